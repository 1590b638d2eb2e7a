//! Cancels: one last completion each (ONCE), and nothing lost by it (KEPT).

use super::*;

/// Every op on a socket whose peer is silent, so that it waits once it was tried.
fn waiting_ops(socket: &Rc<Descriptor>, listener: &Rc<Descriptor>) -> Vec<Op> {
    let mut queue = SendQueue::default();
    queue.push("never sent");
    vec![
        Op::Receive { socket: socket.clone() },
        Op::Send { socket: socket.clone(), queue: Box::new(queue) },
        Op::Poll { descriptor: socket.clone(), interest: Interest::READABLE },
        Op::Changes { descriptor: socket.clone() },
        Op::Accept { listener: listener.clone() },
    ]
}

pub(super) fn a_cancel_in_any_state_gives_one_last_completion(rig: &mut Rig) {
    // Where the cancel falls: before the op was tried, while it waits, twice, after something came that
    // the keeper has not seen, and after that was seen.
    for state in 0..5 {
        for kind in 0..5 {
            let (socket, mut peer) = rig.full_pair(Attach::Now);
            let (listener, mut callers) = rig.listener(Attach::Now);
            let op = waiting_ops(&socket, &listener).swap_remove(kind);
            let token = rig.backend.submit(op);
            let mut done = Vec::new();
            if state > 0 {
                // A watch may tell once what the descriptor is like already.
                done.extend(rig.rest());
                assert!(kind == 3 || done.is_empty(), "op {kind} waits: {done:?}");
            }
            let mut clients = Vec::new();
            if state >= 3 {
                peer.writes(b"event");
                peer.ends();
                clients.push(callers.call());
            }
            if state == 4 {
                done.extend(rig.rest());
            }
            rig.backend.cancel(token);
            if state == 2 {
                rig.backend.cancel(token);
            }
            if !ended(&done) {
                done.extend(rig.collect(ended));
            }
            rig.backend.cancel(token);
            done.extend(rig.rest());
            let last = done.iter().filter(|completion| !completion.more).count();
            assert_eq!(last, 1, "op {kind} in state {state}: {done:?}");
            assert!(done.iter().all(|completion| completion.token == token));
            assert!(done.last().is_some_and(|completion| !completion.more));
            assert_eq!(rig.backend.pending(), 0);
        }
    }
}

// KEPT: whatever a cancel crosses, each byte goes to the one op or to the next.
pub(super) fn a_cancelled_receive_loses_no_byte(rig: &mut Rig) {
    let (socket, mut peer) = rig.pair(Attach::Now);
    for seen in [false, true] {
        for _ in 0..20 {
            let first = rig.receive(&socket);
            if seen {
                drop(rig.turn(Some(Duration::ZERO)));
            }
            peer.writes(b"kept");
            rig.backend.cancel(first);
            let mut done = rig.collect(ended);
            assert!(done.iter().all(|completion| completion.token == first));
            let second = rig.receive(&socket);
            let got = bytes_of(&done).len();
            done.extend(rig.collect(|done| got + bytes_of(done).len() >= 4));
            assert_eq!(bytes_of(&done), b"kept");
            rig.backend.cancel(second);
            assert_eq!(bytes_of(&rig.collect(ended)), b"");
        }
    }
}

pub(super) fn a_cancelled_accept_loses_no_connection(rig: &mut Rig) {
    let (listener, mut callers) = rig.listener(Attach::Now);
    for _ in 0..20 {
        let first = rig.backend.submit(Op::Accept { listener: listener.clone() });
        drop(rig.turn(Some(Duration::ZERO)));
        let (_client, address) = callers.call();
        rig.backend.cancel(first);
        let mut done = rig.collect(ended);
        if peers_of(&done).is_empty() {
            let second = rig.backend.submit(Op::Accept { listener: listener.clone() });
            done.extend(rig.collect(|done| !done.is_empty()));
            rig.backend.cancel(second);
            done.extend(rig.collect(ended));
        }
        assert_eq!(peers_of(&done), [address]);
    }
}

pub(super) fn a_cancelled_send_gives_its_queue_back(rig: &mut Rig) {
    let (socket, _peer) = rig.full_pair(Attach::Now);
    for waits in [true, false] {
        let token = rig.send(&socket, "back");
        if waits {
            rig.nothing_comes();
        }
        assert_eq!(rig.backend.sends(), 1);
        rig.backend.cancel(token);
        let last = rig.only();
        let Answer::Cancelled(Some(queue)) = &last.answer else { panic!("{last:?}") };
        assert_eq!(queue.front().0, b"back");
        assert_eq!(rig.backend.sends(), 0);
    }
}

// FRESH: a token that is over means nobody, though its place is another op's now.
pub(super) fn a_cancel_of_what_is_over_does_nothing(rig: &mut Rig) {
    let (socket, mut peer) = rig.pair(Attach::Now);
    let old = rig.receive(&socket);
    rig.backend.cancel(old);
    rig.only();
    let new = rig.receive(&socket);
    assert_eq!(new.index(), old.index(), "the place is used again");
    assert_ne!(new, old);
    rig.backend.cancel(old);
    rig.nothing_comes();
    peer.writes(b"alive");
    let done = rig.collect(|done| bytes_of(done).len() >= 5);
    assert!(done.iter().all(|completion| completion.token == new && completion.more));
}

// ONCE, FRESH: answers of two ops are there at once, and the first to be drawn frees one place only.
pub(super) fn a_token_is_not_given_again_before_its_last_answer_is_drawn(rig: &mut Rig) {
    let (socket, mut peer) = rig.pair(Attach::OnFirstUse);
    let (other, _silent) = rig.pair(Attach::Now);
    peer.ends();
    let tokens = [rig.receive(&socket), rig.send(&socket, "x")];
    let (mut drawn, mut new) = (Vec::new(), None);
    let start = Instant::now();
    while drawn.len() < 2 {
        assert!(start.elapsed() < PATIENCE, "{drawn:?}");
        if !rig.backend.start() || !rig.backend.has_next() {
            rig.backend.wait(Some(Duration::from_millis(100))).unwrap();
        }
        while let Some(completion) = rig.backend.next() {
            assert!(tokens.contains(&completion.token) && !completion.more, "{completion:?}");
            drawn.push(completion.token);
            if new.is_none() {
                // What a sink may do on hearing of the first.
                let undrawn = tokens.iter().find(|token| **token != completion.token).unwrap();
                let token = rig.receive(&other);
                assert_ne!(token.index(), undrawn.index());
                rig.backend.cancel(*undrawn);
                new = Some(token);
            }
        }
    }
    assert_ne!(drawn[0], drawn[1], "each ends once");
    rig.nothing_comes();
    rig.backend.cancel(new.unwrap());
    rig.only();
}

pub(super) fn all_can_be_cancelled_at_once(rig: &mut Rig) {
    let (socket, _peer) = rig.full_pair(Attach::Now);
    let (listener, _callers) = rig.listener(Attach::Now);
    let ops = waiting_ops(&socket, &listener);
    let tokens: Vec<Token> = ops.into_iter().map(|op| rig.backend.submit(op)).collect();
    let mut last: Vec<Token> =
        rig.rest().iter().filter(|done| !done.more).map(|d| d.token).collect();
    assert!(last.is_empty());
    rig.backend.cancel_all(|op| !matches!(op, Op::Send { .. }));
    while rig.backend.pending() > 1 {
        let done = rig.collect(ended);
        last.extend(done.iter().filter(|done| !done.more).map(|done| done.token));
    }
    rig.nothing_comes();
    assert!(!last.contains(&tokens[1]), "the send is spared");
    rig.backend.cancel_all(|_| true);
    last.push(rig.only().token);
    last.sort_by_key(|token| token.to_bits());
    assert_eq!(last, tokens);
}

pub(super) fn a_direction_is_free_after_the_last_completion(rig: &mut Rig) {
    let (socket, mut peer) = rig.pair(Attach::Now);
    for round in 0..10_u8 {
        let receiving = rig.receive(&socket);
        let sending = rig.send(&socket, vec![round]);
        rig.only();
        assert_eq!(peer.reads(1), [round]);
        let polling = rig.poll(&socket, Interest::READABLE);
        rig.backend.cancel(receiving);
        rig.backend.cancel(sending);
        rig.backend.cancel(polling);
        let done = rig.collect(|done| done.iter().filter(|done| !done.more).count() == 2);
        assert_eq!(done.len(), 2, "{done:?}");
    }
}
