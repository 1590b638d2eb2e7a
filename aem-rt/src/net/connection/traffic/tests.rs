//! Coming to rest and stirring again.

use super::*;

fn is_at_rest(both: &Directions) -> bool {
    both.traffic().is_none()
}

#[test]
fn a_stream_rests_when_nothing_is_unread_or_unsent_and_goes_on_where_it_was() {
    let mut both = Directions::default();
    for round in 1..=3 {
        assert!(is_at_rest(&both));
        both.stir().inbox.push(Chunk::from(b"ask".to_vec()), true);
        both.settle();
        assert!(!is_at_rest(&both) && !both.has_nothing_to_read());
        assert_eq!(both.stir().inbox.take().unwrap().unwrap(), b"ask");
        let accepted = both.stir().outbox.push_by(6, |queue| queue.push(b"answer"));
        assert_eq!(accepted.map_err(|(_, error)| error).unwrap(), 6 * round);
        both.settle();
        assert!(both.has_more() && both.queued() == 6);
        both.stir().outbox.queue().advance(6);
        both.settle();
        assert!(!is_at_rest(&both), "the kernel's word is not noted yet");
        assert!(both.stir().outbox.hand_over(6));
        both.settle();
        assert!(is_at_rest(&both) && both.queued() == 0 && both.has_room());
        assert_eq!(both.accepted(), 6 * round);
    }
}

#[test]
fn what_was_set_or_has_ended_is_not_forgotten() {
    type Change = fn(&mut Traffic);
    let changes: [(&str, Change); 6] = [
        ("limit", |traffic| traffic.inbox.set_limit(1)),
        ("end of file", |traffic| traffic.inbox.end_of_file()),
        ("high-water mark", |traffic| traffic.outbox.set_high_water(None)),
        ("end of ours", |traffic| traffic.outbox.ask_fin()),
        ("closed", |traffic| drop(traffic.outbox.fail(crate::net::kept::Kept::Closed))),
        ("a part of a chunk", |traffic| {
            traffic.inbox.push(Chunk::from(b"two".to_vec()), true);
            traffic.inbox.read(&mut [0]);
        }),
    ];
    for (what, change) in changes {
        let mut both = Directions::default();
        change(both.stir());
        both.settle();
        assert!(!is_at_rest(&both), "{what}");
    }
    let mut both = Directions::default();
    both.stir().with_writers(|_| ());
    both.settle();
    assert!(is_at_rest(&both), "nobody waits");
}

#[test]
fn a_box_is_used_again_and_no_more_are_kept_than_said() {
    let mut many: Vec<_> = (0..2 * SPARES).map(|_| Directions::default()).collect();
    many.iter_mut().for_each(|both| {
        both.stir();
    });
    many.iter_mut().for_each(Directions::settle);
    assert_eq!(SPARE.with(|spare| spare.borrow().len()), SPARES);
    many[0].stir();
    assert_eq!(SPARE.with(|spare| spare.borrow().len()), SPARES - 1);
}
