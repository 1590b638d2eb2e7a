//! What goes beside the bytes comes beside the bytes.

use std::io::{ErrorKind, IoSlice, PipeWriter, Read, Write, pipe};
use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};

use super::*;
use crate::sys::socket::dropped;

fn send_with(socket: impl AsFd, bytes: &[u8], beside: &Outgoing) -> io::Result<usize> {
    send(socket.as_fd(), &[IoSlice::new(bytes)], None, beside)
}

fn receive_all(socket: impl AsFd, room: &mut [u8]) -> io::Result<Received> {
    receive(socket.as_fd(), room, Some(&mut Control::default()))
}

#[test]
fn descriptors_come_in_order_and_close_on_exec() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let nothing = receive_all(&theirs, &mut [0; 8]).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
    let pipes: Vec<_> = (0..5).map(|_| pipe().unwrap()).collect();
    let beside = Outgoing::descriptors(pipes.iter().map(|(_, writer)| writer.as_fd()));
    send_with(&ours, b"five", &beside).unwrap();
    let received = receive_all(&theirs, &mut [0; 8]).unwrap();
    assert_eq!((received.len, received.beside.cut), (4, false));
    assert_eq!(received.beside.descriptors.len(), 5);
    for ((mut reader, writer), came) in pipes.into_iter().zip(received.beside.descriptors) {
        // SAFETY: asks for the flags of an open descriptor.
        let flags = unsafe { libc::fcntl(came.as_raw_fd(), libc::F_GETFD) };
        assert_eq!(flags, libc::FD_CLOEXEC);
        drop(writer);
        PipeWriter::from(came).write_all(b"!").unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "!");
    }
}

#[test]
fn as_many_as_there_can_be_have_room() {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let all = |count| Outgoing::descriptors(std::iter::repeat_n(ours.as_fd(), count));
    send_with(&ours, b"!", &all(MOST_DESCRIPTORS)).unwrap();
    let received = receive_all(&theirs, &mut [0; 8]).unwrap();
    assert_eq!(received.beside.descriptors.len(), MOST_DESCRIPTORS);
    assert!(!received.beside.cut);
    let too_many = send_with(&ours, b"!", &all(MOST_DESCRIPTORS + 1)).unwrap_err();
    assert_eq!(too_many.raw_os_error(), Some(libc::EINVAL));
}

#[test]
fn what_there_is_no_room_for_is_told() {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let beside = Outgoing::descriptors([ours.as_fd()].into_iter());
    send_with(&ours, b"longer", &beside).unwrap();
    let received = receive(theirs.as_fd(), &mut [0; 3], None).unwrap();
    assert_eq!((received.len, received.beside.cut), (6, true));
    assert!(received.beside.descriptors.is_empty());
    send_with(&ours, b"", &Outgoing::default()).unwrap();
    let empty = receive_all(&theirs, &mut [0; 3]).unwrap();
    assert_eq!((empty.len, empty.beside.cut), (0, false));
}

#[test]
fn a_row_that_is_broken_ends_where_it_breaks() {
    let fd = OwnedFd::from(UnixDatagram::unbound().unwrap());
    let good = Outgoing::descriptors([fd.as_fd()].into_iter()).0;
    assert_eq!(records(&good).count(), 1);
    assert_eq!(records(&[good.clone(), good.clone()].concat()).count(), 2);
    for length in 0..good.len() {
        let count = records(&good[..length]).count();
        assert_eq!(count, usize::from(length >= HEAD), "{length} bytes");
    }
    let mut lies = good.clone();
    for length in [0, 1, HEAD - 1] {
        lies[..WORD].copy_from_slice(&usize::to_ne_bytes(length));
        assert_eq!(records(&lies).count(), 0, "a record of {length} bytes");
    }
    lies[..WORD].copy_from_slice(&usize::MAX.to_ne_bytes());
    assert_eq!(records(&lies).count(), 1, "as if its end were cut off");
}

#[test]
fn the_kernel_counts_what_it_drops() {
    let (ours, theirs) =
        (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    assert_eq!(dropped(theirs.as_fd()).unwrap(), 0);
    let mut sent = 0;
    while dropped(theirs.as_fd()).unwrap() == 0 {
        ours.send_to(&[0; 1000], theirs.local_addr().unwrap()).unwrap();
        sent += 1;
        assert!(sent < 100_000);
    }
}
