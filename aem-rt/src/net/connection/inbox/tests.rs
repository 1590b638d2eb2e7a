//! The inbox as plain data.

use std::io::ErrorKind;

use super::*;

fn chunk(bytes: &[u8]) -> Chunk {
    Chunk::from(bytes.to_vec())
}

fn taken(inbox: &mut Inbox) -> Vec<u8> {
    inbox.take().expect("something").expect("no error").into_vec()
}

#[test]
fn chunks_come_out_once_and_in_order() {
    let mut inbox = Inbox::default();
    assert!(inbox.take().is_none());
    for piece in ["one", "two", "three"] {
        inbox.push(chunk(piece.as_bytes()), true);
    }
    assert_eq!(taken(&mut inbox), b"one");
    inbox.push(chunk(b"four"), true);
    for piece in ["two", "three", "four"] {
        assert_eq!(taken(&mut inbox), piece.as_bytes());
    }
    assert!(inbox.take().is_none());
    assert_eq!((inbox.cost, inbox.rest.is_none()), (0, true));
}

#[test]
fn bytes_and_chunks_may_be_read_in_turn() {
    let mut inbox = Inbox::default();
    inbox.push(chunk(b"abcdef"), true);
    inbox.push(chunk(b"ghi"), true);
    inbox.push(chunk(b"jkl"), true);
    let mut buffer = [0; 4];
    assert_eq!(inbox.read(&mut buffer).unwrap().unwrap(), 4);
    assert_eq!(&buffer, b"abcd");
    assert_eq!(taken(&mut inbox), b"ef");
    assert_eq!(inbox.read(&mut buffer).unwrap().unwrap(), 4);
    assert_eq!(&buffer, b"ghij");
    assert_eq!(inbox.read(&mut buffer).unwrap().unwrap(), 2);
    assert!(inbox.read(&mut buffer).is_none());
    assert!(inbox.read(&mut []).unwrap().is_ok());
    assert_eq!((inbox.cost, inbox.offset), (0, 0));
}

#[test]
fn what_is_put_back_comes_first() {
    let mut inbox = Inbox::default();
    inbox.push(chunk(b"abc"), true);
    inbox.push(chunk(b"defg"), true);
    let mut first = inbox.take().unwrap().unwrap();
    drop(first.split_to(1));
    let mut buffer = [0; 2];
    inbox.read(&mut buffer).unwrap().unwrap();
    inbox.put_back(first);
    assert_eq!(taken(&mut inbox), b"bc");
    assert_eq!(taken(&mut inbox), b"fg");
    assert_eq!(inbox.cost, 0);
}

#[test]
fn end_and_error_come_after_the_bytes_and_stay() {
    let mut inbox = Inbox::default();
    inbox.push(chunk(b"last"), true);
    inbox.end_of_file();
    inbox.fail(Kept::System(libc::ECONNRESET));
    assert_eq!(taken(&mut inbox), b"last");
    for _ in 0..3 {
        assert!(taken(&mut inbox).is_empty());
        assert_eq!(inbox.read(&mut [0; 9]).unwrap().unwrap(), 0);
    }

    let mut inbox = Inbox::default();
    inbox.push(chunk(b"last"), true);
    inbox.fail(Kept::System(libc::ECONNRESET));
    inbox.end_of_file();
    assert_eq!(taken(&mut inbox), b"last");
    for _ in 0..3 {
        let error = inbox.take().unwrap().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ECONNRESET));
        assert!(inbox.read(&mut [0; 9]).unwrap().is_err());
    }
}

#[test]
fn closed_it_holds_nothing_and_takes_nothing() {
    let mut inbox = Inbox::default();
    inbox.push(chunk(b"unread"), true);
    inbox.push(chunk(b"as well"), true);
    inbox.close(Kept::Closed);
    inbox.push(chunk(b"late"), true);
    inbox.put_back(chunk(b"later"));
    for _ in 0..2 {
        assert_eq!(inbox.take().unwrap().unwrap_err().kind(), ErrorKind::NotConnected);
    }
    assert_eq!((inbox.cost, inbox.rest.is_none()), (0, true));
}

#[test]
fn limit_counts_bytes_and_chunks() {
    let mut inbox = Inbox::default();
    inbox.set_limit(1000);
    let mut pushed = 0;
    while !inbox.is_full() {
        inbox.push(chunk(b"x"), true);
        pushed += 1;
    }
    assert!(pushed <= 1000 / COST_OF_CHUNK + 1, "tiny chunks count for more than their bytes");
    while inbox.take().is_some() {}
    assert!(!inbox.is_full());
    inbox.set_limit(0);
    assert!(!inbox.is_full(), "one chunk always has room");
    inbox.push(chunk(b"x"), true);
    assert!(inbox.is_full());
}
