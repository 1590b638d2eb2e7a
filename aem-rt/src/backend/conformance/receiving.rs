//! Receives: all bytes, in order, and then their end.

use socket2::SockRef;

use super::*;

pub(super) fn receive_brings_all_bytes_in_order(rig: &mut Rig) {
    for attach in BOTH {
        let (socket, mut peer) = rig.pair(attach);
        let token = rig.receive(&socket);
        rig.nothing_comes();
        let mut sent = Vec::new();
        // Some pieces one by one, then some at once, the last larger than a buffer.
        for round in 0..20_usize {
            let length = if round == 19 { 3 * BUFFER_SIZE + 17 } else { 1 + round * 100 };
            let piece: Vec<u8> = (0..length).map(|at| (at + round) as u8).collect();
            peer.writes(&piece);
            sent.extend_from_slice(&piece);
            if round < 10 {
                let done = rig.collect(|done| bytes_of(done).len() >= length);
                assert_eq!(bytes_of(&done), piece);
                assert!(done.iter().all(|answer| answer.more && answer.token == token));
            }
        }
        let before: usize = (0..10).map(|round| 1 + round * 100).sum();
        let done = rig.collect(|done| bytes_of(done).len() >= sent.len() - before);
        assert!(bytes_of(&done) == sent[before..]);
        rig.nothing_comes();
        peer.ends();
        check_end(&rig.collect(ended), token, b"");
    }
}

pub(super) fn bytes_and_their_end_are_both_told(rig: &mut Rig) {
    for attach in BOTH {
        for armed_first in [true, false] {
            let (socket, mut peer) = rig.pair(attach);
            let mut token = None;
            if armed_first {
                token = Some(rig.receive(&socket));
                rig.nothing_comes();
            }
            peer.writes(b"last words");
            peer.ends();
            let token = token.unwrap_or_else(|| rig.receive(&socket));
            check_end(&rig.collect(ended), token, b"last words");
            rig.nothing_comes();
        }
    }
}

/// These bytes have come, and then their end.
fn check_end(done: &[Completion], token: Token, bytes: &[u8]) {
    assert_eq!(bytes_of(done), bytes);
    let [.., Completion { token: last, answer: Answer::EndOfFile, more: false }] = done else {
        panic!("no end of file: {done:?}")
    };
    assert_eq!(*last, token);
    assert_eq!(done.iter().filter(|answer| !answer.more).count(), 1);
}

pub(super) fn the_end_is_told_again_to_who_asks_again(rig: &mut Rig) {
    let (socket, mut peer) = rig.pair(Attach::Now);
    peer.ends();
    for _ in 0..3 {
        let token = rig.receive(&socket);
        let last = rig.only();
        assert!(matches!(last.answer, Answer::EndOfFile) && last.token == token, "{last:?}");
    }
}

pub(super) fn data_and_fin_in_one_segment_bring_both(rig: &mut Rig) {
    for attach in BOTH {
        for armed_first in [true, false] {
            let (socket, mut peer) = rig.tcp_pair(attach);
            let mut token = None;
            if armed_first {
                token = Some(rig.receive(&socket));
                rig.nothing_comes();
            }
            // Corked, so that they leave together.
            SockRef::from(&peer).set_tcp_cork(true).unwrap();
            peer.write_all(b"last words").unwrap();
            drop(peer);
            let token = token.unwrap_or_else(|| rig.receive(&socket));
            check_end(&rig.collect(ended), token, b"last words");
        }
    }
}

pub(super) fn an_urgent_mark_hides_no_bytes(rig: &mut Rig) {
    for attach in BOTH {
        let (socket, mut peer) = rig.tcp_pair(attach);
        let token = rig.receive(&socket);
        rig.nothing_comes();
        peer.write_all(b"before").unwrap();
        SockRef::from(&peer).send_out_of_band(b"!").unwrap();
        peer.write_all(b"after").unwrap();
        let done = rig.collect(|done| bytes_of(done).len() >= 11);
        assert_eq!(bytes_of(&done), b"beforeafter");
        peer.shutdown(Shutdown::Write).unwrap();
        check_end(&rig.collect(ended), token, b"");
    }
}

// The pool is a cache, never a gate: one who holds all of it still receives.
pub(super) fn a_dry_pool_stops_nobody(rig: &mut Rig) {
    let (socket, mut peer) = rig.pair(Attach::Now);
    let (other, mut other_peer) = rig.pair(Attach::Now);
    rig.receive(&socket);
    let mut held = Vec::new();
    let sent: Vec<u8> = (0..100 * BUFFER_SIZE).map(|at| (at / 5) as u8).collect();
    for piece in sent.chunks(BUFFER_SIZE) {
        peer.writes(piece);
        let before = bytes_of(&held).len();
        let wanted = piece.len();
        held.extend(rig.collect(|done| bytes_of(done).len() >= wanted));
        assert_eq!(bytes_of(&held).len(), before + wanted);
    }
    assert!(bytes_of(&held) == sent);
    rig.receive(&other);
    other_peer.writes(b"me too");
    let done = rig.collect(|done| bytes_of(done).len() >= 6);
    assert_eq!(bytes_of(&done), b"me too");
}
