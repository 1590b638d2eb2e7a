//! Turns: when a wait ends, and what belongs to which turn.

use std::thread;

use super::*;

pub(super) fn a_wait_ends_at_its_deadline_and_not_before(rig: &mut Rig) {
    let clock = rig.backend.clock();
    // News of making the keeper, if it has any.
    drop(rig.rest());
    for wait in [1, 7].map(Duration::from_millis) {
        let start = clock.now();
        rig.backend.wait(Some(wait)).unwrap();
        assert!(rig.backend.next().is_none());
        let waited = clock.now() - start;
        assert!((wait..PATIENCE).contains(&waited), "{waited:?} of {wait:?}");
    }
    let start = clock.now();
    (0..3).for_each(|_| rig.backend.wait(Some(Duration::ZERO)).unwrap());
    assert!(clock.now() - start < PATIENCE);
}

// AWAKE: an unpark before the wait counts as much as one during it.
pub(super) fn a_wait_is_ended_from_another_thread(rig: &mut Rig) {
    let unparker = rig.backend.unparker();
    let (socket, _peer) = rig.pair(Attach::Now);
    rig.receive(&socket);
    drop(rig.rest());
    unparker.unpark();
    unparker.unpark();
    rig.backend.wait(None).unwrap();
    assert!(rig.backend.next().is_none(), "it is no op's answer");
    for _ in 0..3 {
        drop(rig.rest());
        let unparker = unparker.clone();
        let other = thread::spawn(move || unparker.unpark());
        rig.backend.wait(None).unwrap();
        assert!(rig.backend.next().is_none());
        other.join().unwrap();
    }
}

// BOUND: who asks anew at each answer cannot keep a turn from ending.
pub(super) fn what_is_asked_between_two_answers_is_for_the_next_turn(rig: &mut Rig) {
    let (socket, mut peer) = rig.pair(Attach::Now);
    peer.ends();
    let mut token = rig.receive(&socket);
    for _ in 0..20 {
        let mut drawn = 0;
        let start = Instant::now();
        while drawn == 0 {
            assert!(start.elapsed() < PATIENCE);
            let started = rig.backend.start();
            for half in 0..2 {
                if half == 1 {
                    rig.backend.wait(Some(Duration::ZERO)).unwrap();
                } else if !started {
                    continue;
                }
                let mut asked = None;
                while let Some(completion) = rig.backend.next() {
                    assert_ne!(Some(completion.token), asked, "asked and answered in one go");
                    assert_eq!(completion.token, token);
                    token = rig.receive(&socket);
                    asked = Some(token);
                    drawn += 1;
                }
            }
        }
    }
    rig.backend.cancel(token);
    rig.collect(ended);
}

pub(super) fn the_gauges_count_what_is_under_way(rig: &mut Rig) {
    let (socket, _peer) = rig.full_pair(Attach::Now);
    let counts =
        |rig: &Rig| (rig.backend.pending(), rig.backend.sends(), rig.backend.descriptors());
    assert_eq!(counts(rig), (0, 0, 1));
    let receiving = rig.receive(&socket);
    rig.send(&socket, "x");
    assert_eq!(counts(rig), (2, 1, 1));
    rig.nothing_comes();
    rig.backend.cancel(receiving);
    assert_eq!(counts(rig), (2, 1, 1), "it is under way until its last completion is drawn");
    rig.only();
    assert_eq!(counts(rig), (1, 1, 1));
    drop(socket);
    rig.backend.cancel_all(|_| true);
    rig.only();
    rig.nothing_comes();
    assert_eq!(counts(rig), (0, 0, 0));
}
