//! The outbox as plain data.

use std::io::ErrorKind;

use super::*;

fn push(outbox: &mut Outbox, text: &'static str) -> io::Result<u64> {
    let pushed = outbox.push_by(text.len() as u64, |queue| queue.push(text));
    pushed.map_err(|(_put, error)| error)
}

fn handed(outbox: &Outbox, position: u64) -> Option<io::Result<()>> {
    match outbox.check_handed(position) {
        ControlFlow::Break(result) => Some(result),
        ControlFlow::Continue(wait) => {
            assert_eq!(wait, position);
            None
        }
    }
}

/// Lets the kernel take `n` bytes of what is queued.
fn send(outbox: &mut Outbox, n: usize) -> Vec<u8> {
    let mut queue = outbox.take_queue();
    let mut slices = [io::IoSlice::new(&[]); 8];
    let count = queue.io_slices(&mut slices);
    let mut taken: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
    taken.truncate(n);
    queue.advance(n);
    drop(outbox.take_back(queue));
    outbox.hand_over(n);
    taken
}

#[test]
fn sends_are_handed_over_in_order() {
    let mut outbox = Outbox::default();
    let first = push(&mut outbox, "abc").unwrap();
    let second = push(&mut outbox, "defg").unwrap();
    assert_eq!((first, second, outbox.queued()), (3, 7, 7));
    assert_eq!(send(&mut outbox, 5), b"abcde");
    assert!(handed(&outbox, first).unwrap().is_ok());
    assert!(handed(&outbox, second).is_none());
    let third = push(&mut outbox, "h").unwrap();
    assert_eq!(send(&mut outbox, 3), b"fgh");
    assert!(handed(&outbox, second).unwrap().is_ok());
    assert!(handed(&outbox, third).unwrap().is_ok());
    assert_eq!((outbox.queued(), outbox.has_more()), (0, false));
}

#[test]
fn what_is_queued_during_a_send_follows_it() {
    let mut outbox = Outbox::default();
    push(&mut outbox, "abc").unwrap();
    let mut in_flight = outbox.take_queue();
    push(&mut outbox, "de").unwrap();
    assert_eq!(outbox.queued(), 5);
    in_flight.advance(1);
    drop(outbox.take_back(in_flight));
    outbox.hand_over(1);
    assert_eq!(send(&mut outbox, 4), b"bcde");
}

#[test]
fn first_error_is_kept() {
    let mut outbox = Outbox::default();
    let before = push(&mut outbox, "abc").unwrap();
    let _ = send(&mut outbox, 3);
    let after = push(&mut outbox, "def").unwrap();
    drop(outbox.fail(Kept::System(libc::EPIPE)));
    drop(outbox.fail(Kept::Closed));
    assert!(handed(&outbox, before).unwrap().is_ok(), "those bytes left before");
    assert!(handed(&outbox, after).unwrap().is_err());
    for _ in 0..2 {
        let error = push(&mut outbox, "ghi").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        let ControlFlow::Break(Err(error)) = outbox.check_flushed(before) else {
            panic!("a flush tells of the error first")
        };
        assert_eq!(error.raw_os_error(), Some(libc::EPIPE));
    }
    assert_eq!((outbox.queued(), outbox.has_more()), (0, false));
    assert_eq!(outbox.reached(), u64::MAX);
}

#[test]
fn end_follows_what_is_queued() {
    let mut outbox = Outbox::default();
    push(&mut outbox, "abc").unwrap();
    outbox.ask_fin();
    assert!(!outbox.take_fin());
    let error = push(&mut outbox, "late").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    let _ = send(&mut outbox, 2);
    assert!(!outbox.take_fin());
    let _ = send(&mut outbox, 1);
    assert!(outbox.take_fin());
    outbox.ask_fin();
    assert!(!outbox.take_fin(), "it is sent once");
}

#[test]
fn room_is_measured_by_the_high_water_mark() {
    let mut outbox = Outbox::default();
    outbox.set_high_water(Some(4));
    push(&mut outbox, "abcd").unwrap();
    assert_eq!(outbox.check_room(), ControlFlow::Break(()));
    push(&mut outbox, "ef").unwrap();
    assert_eq!(outbox.check_room(), ControlFlow::Continue(2));
    outbox.set_high_water(None);
    assert_eq!(outbox.check_room(), ControlFlow::Break(()));
    outbox.set_high_water(Some(4));
    let _ = send(&mut outbox, 2);
    assert_eq!(outbox.check_room(), ControlFlow::Break(()));
}
