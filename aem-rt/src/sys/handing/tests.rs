//! What is handed over arrives once, and what is not taken goes with the socket.

use std::io::{ErrorKind, PipeReader, Read, Write, pipe};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use socket2::Socket;

use super::{hand, pair, take};
use crate::sys::child::in_child;

/// Whether nobody has the other end of a pipe any more.
fn is_closed(mut reader: &PipeReader) -> bool {
    reader.read(&mut [0]).unwrap() == 0
}

#[test]
fn what_is_handed_over_is_taken_once_and_in_order() {
    let (ours, theirs) = pair().unwrap();
    assert_eq!(take(theirs.as_fd()).unwrap_err().kind(), ErrorKind::WouldBlock);
    let (mut reader, writer) = pipe().unwrap();
    hand(ours.as_fd(), writer.as_fd()).unwrap();
    hand(ours.as_fd(), reader.as_fd()).unwrap();
    drop(ours);
    let first = take(theirs.as_fd()).unwrap().unwrap();
    let second = take(theirs.as_fd()).unwrap().unwrap();
    assert!(take(theirs.as_fd()).unwrap().is_none());
    assert_ne!(first.as_raw_fd(), writer.as_raw_fd());
    drop((writer, second));
    std::io::PipeWriter::from(first).write_all(b"!").unwrap();
    let mut read = Vec::new();
    reader.read_to_end(&mut read).unwrap();
    assert_eq!(read, b"!");
}

#[test]
fn what_nobody_takes_goes_with_the_socket() {
    // A child that another test starts meanwhile would have the pipe too, for a moment.
    if !in_child("sys::handing::tests::what_nobody_takes_goes_with_the_socket") {
        return;
    }
    let (ours, theirs) = pair().unwrap();
    let (reader, writer) = pipe().unwrap();
    hand(ours.as_fd(), writer.as_fd()).unwrap();
    drop(writer);
    drop(theirs);
    assert!(is_closed(&reader));
    let gone = hand(ours.as_fd(), reader.as_fd()).unwrap_err();
    assert!(matches!(gone.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{gone}");
}

#[test]
fn a_message_of_another_kind_is_refused() {
    let (ours, theirs) = pair().unwrap();
    let ours = Socket::from(ours);
    ours.send(b"no descriptor").unwrap();
    assert_eq!(take(theirs.as_fd()).unwrap_err().kind(), ErrorKind::InvalidData);
    // And the next one is taken all the same.
    let ours = OwnedFd::from(ours);
    hand(ours.as_fd(), theirs.as_fd()).unwrap();
    assert!(take(theirs.as_fd()).unwrap().is_some());
}
