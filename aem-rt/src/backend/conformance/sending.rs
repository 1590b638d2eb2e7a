//! Sends: each byte once, in order, and nobody's memory is let go of too early.

use std::thread;

use socket2::{Domain, Socket, Type};

use super::*;
use crate::payload::Payload;

pub(super) fn a_send_is_answered_once_and_says_how_much_was_taken(rig: &mut Rig) {
    for attach in BOTH {
        let (socket, mut peer) = rig.pair(attach);
        for pieces in [1, 2, 40] {
            let mut queue = Box::new(SendQueue::default());
            let whole: Vec<u8> = (0..pieces * 7).map(|at| at as u8).collect();
            whole.chunks(7).for_each(|piece| queue.push(piece.to_vec()));
            let mut sent = 0;
            while !queue.is_empty() {
                let token = rig.backend.submit(Op::Send { socket: socket.clone(), queue });
                let last = rig.only();
                assert_eq!(last.token, token);
                let Answer::Sent { queue: back, result } = last.answer else { panic!("{last:?}") };
                sent += result.unwrap();
                assert_eq!(
                    back.bytes() as usize,
                    whole.len() - sent,
                    "what was sent is gone from it"
                );
                queue = back;
            }
            assert_eq!(peer.reads(whole.len()), whole);
        }
        rig.nothing_comes();
    }
}

// LENT: what the kernel may read from lives until the last completion.
pub(super) fn a_send_holds_its_bytes_until_it_is_answered(rig: &mut Rig) {
    let (socket, _peer) = rig.full_pair(Attach::Now);
    let bytes: Arc<[u8]> = Arc::from(&b"lent"[..]);
    let token = rig.send(&socket, Payload::from(bytes.clone()));
    rig.nothing_comes();
    assert_eq!(Arc::strong_count(&bytes), 2);
    rig.backend.cancel(token);
    assert_eq!(Arc::strong_count(&bytes), 2, "the cancel has not been answered");
    let last = rig.only();
    assert_eq!(Arc::strong_count(&bytes), 2, "they come back");
    drop(last);
    assert_eq!(Arc::strong_count(&bytes), 1);
}

pub(super) fn nothing_overtakes_a_send_that_is_under_way(rig: &mut Rig) {
    let (socket, _peer) = rig.full_pair(Attach::Now);
    let token = rig.send(&socket, "first");
    rig.nothing_comes();
    let mut queue = SendQueue::default();
    queue.push("second");
    assert!(rig.backend.send_now(&socket, &mut queue).is_none());
    assert_eq!(queue.bytes(), 6);
    rig.backend.cancel(token);
    rig.only();
}

pub(super) fn a_send_waits_for_room_and_sends_each_byte_once(rig: &mut Rig) {
    for attach in BOTH {
        let (socket, peer) = rig.pair(attach);
        let mut peer = peer.into_real();
        let whole: Vec<u8> = (0..3_000_000_u32).map(|index| (index >> 3) as u8).collect();
        let length = whole.len();
        let mut queue = Box::new(SendQueue::default());
        whole.chunks(100_000).for_each(|piece| queue.push(piece.to_vec()));
        while rig.backend.send_now(&socket, &mut queue).is_some() {}
        assert!(!queue.is_empty(), "the room never ended");
        let reader = thread::spawn(move || {
            let mut received = vec![0; length];
            peer.read_exact(&mut received).map(|()| received)
        });
        while !queue.is_empty() {
            let left = queue.bytes() as usize;
            let token = rig.backend.submit(Op::Send { socket: socket.clone(), queue });
            let last = rig.only();
            assert_eq!(last.token, token);
            let Answer::Sent { queue: back, result } = last.answer else { panic!("{last:?}") };
            assert_eq!(back.bytes() as usize, left - result.unwrap());
            queue = back;
        }
        assert!(reader.join().unwrap().unwrap() == whole);
    }
}

pub(super) fn a_send_at_once_takes_what_fits(rig: &mut Rig) {
    for attach in BOTH {
        let (socket, mut peer) = rig.pair(attach);
        let mut queue = Box::new(SendQueue::default());
        let whole: Vec<u8> = (0..2_000_000_u32).map(|index| (index >> 3) as u8).collect();
        whole.chunks(50_000).for_each(|piece| queue.push(piece.to_vec()));
        let mut sent = 0;
        while let Some(result) = rig.backend.send_now(&socket, &mut queue) {
            sent += result.unwrap();
        }
        assert_eq!(queue.bytes() as usize, whole.len() - sent);
        assert!(!queue.is_empty(), "the room never ended");
        rig.backend.submit(Op::Send { socket: socket.clone(), queue });
        rig.nothing_comes();
        assert!(peer.reads(sent) == whole[..sent]);
        let last = rig.only();
        let Answer::Sent { queue, result: Ok(n) } = &last.answer else { panic!("{last:?}") };
        assert_eq!(queue.bytes() as usize, whole.len() - sent - n);
        assert!(peer.reads(*n) == whole[sent..][..*n]);
    }
}

pub(super) fn a_send_to_a_closed_peer_is_an_error_and_no_signal(rig: &mut Rig) {
    let (socket, peer) = rig.pair(Attach::Now);
    drop(peer);
    rig.send(&socket, "x");
    let last = rig.only();
    let Answer::Sent { queue, result: Err(error) } = &last.answer else { panic!("{last:?}") };
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    assert_eq!(queue.bytes(), 1, "what was not sent comes back");
    let mut queue = SendQueue::default();
    queue.push("x");
    if let Some(result) = rig.backend.send_now(&socket, &mut queue) {
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
    assert_eq!(queue.bytes(), 1);
}

pub(super) fn a_connect_succeeds_or_says_why_not(rig: &mut Rig) {
    for attach in BOTH {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        for refused in [false, true] {
            let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None).unwrap();
            let socket = rig.backend.adopt(socket.into(), attach).unwrap();
            // What the kernel says of an unconnected socket (HUP) must not pass for an answer.
            rig.nothing_comes();
            let target = if refused { SocketAddr::from(([127, 0, 0, 1], 1)) } else { address };
            let address = Box::new(target.into());
            rig.backend.submit(Op::Connect { socket: socket.clone(), address });
            let last = rig.only();
            match &last.answer {
                Answer::Connected if !refused => {}
                Answer::Failed(error) if refused => {
                    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
                    continue;
                }
                _ => panic!("refused: {refused}: {last:?}"),
            }
            let (mut peer, _) = listener.accept().unwrap();
            rig.send(&socket, "hello");
            rig.only();
            let mut hello = [0; 5];
            peer.read_exact(&mut hello).unwrap();
            assert_eq!(&hello, b"hello");
        }
    }
}
