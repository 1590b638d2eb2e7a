//! A ring by itself: what it takes, how it waits, what it hands over.

use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::ptr::NonNull;
use std::time::Instant;

use io_uring::{opcode, types};

use super::*;

/// A small ring; none where io_uring may not be used, which is said.
pub(crate) fn small_ring() -> Option<Ring> {
    let all = (true, true, true);
    let (deferred, cooperative, submit_all) = all;
    let shape = Shape { entries: 8, completions: 16, deferred, cooperative, submit_all };
    match Ring::open(&shape) {
        Ok(ring) => Some(ring),
        Err(error) => {
            let required = std::env::var("AEM_REQUIRE").unwrap_or_default();
            assert!(!required.contains("io_uring"), "io_uring is required: {error}");
            println!("skipped: io_uring is refused here: {error}");
            None
        }
    }
}

fn push_nop(ring: &mut Ring, key: u64) -> bool {
    let entry = opcode::Nop::new().build().user_data(key);
    // SAFETY: it names nothing.
    unsafe { ring.push(&entry) }
}

#[test]
fn entries_go_in_until_it_is_full_and_come_back_in_order() {
    let Some(mut ring) = small_ring() else { return };
    let pushed = (0..100).take_while(|key| push_nop(&mut ring, *key)).count();
    assert_eq!(pushed, 8);
    assert!(ring.has_entries() && !ring.has_completions());
    ring.enter(Sleep::UntilOne).unwrap();
    assert!(!ring.has_entries());
    // They are handed over as far as there is room for them.
    let mut few = Completions::new(3);
    let mut keys = Vec::new();
    while ring.has_completions() {
        ring.reap(&mut few);
        assert!((1..=3).contains(&few.len()));
        keys.extend((0..few.len()).map(|index| few.get(index).user_data()));
    }
    assert_eq!(keys, (0..8).collect::<Vec<u64>>());
}

#[test]
fn a_wait_ends_in_time_and_not_before() {
    let Some(mut ring) = small_ring() else { return };
    let start = Instant::now();
    ring.enter(Sleep::For(Duration::from_millis(20))).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(20));
    ring.enter(Sleep::No).unwrap();
    let mut none = Completions::new(1);
    ring.reap(&mut none);
    assert_eq!(none.len(), 0);
}

#[test]
fn operations_that_nobody_made_are_missing() {
    let Some(ring) = small_ring() else { return };
    assert!(ring.is_complete());
    assert_eq!(ring.first_missing(&[opcode::Nop::CODE, opcode::PollAdd::CODE]).unwrap(), None);
    assert_eq!(ring.first_missing(&[opcode::Nop::CODE, 250, 251]).unwrap(), Some(250));
}

/// What was made ready while the ring of completions was full is not lost: it says that it must be entered.
#[test]
fn completions_without_room_are_kept_for_us() {
    let Some(mut ring) = small_ring() else { return };
    let mut pushed = 0;
    while pushed < 64 {
        while pushed < 64 && push_nop(&mut ring, pushed) {
            pushed += 1;
        }
        ring.enter(Sleep::No).unwrap();
    }
    let mut keys = Vec::new();
    let mut some = Completions::new(16);
    while keys.len() < 64 {
        ring.reap(&mut some);
        assert!(some.len() > 0 || ring.must_be_entered(), "lost after {}", keys.len());
        keys.extend((0..some.len()).map(|index| some.get(index).user_data()));
        ring.enter(Sleep::No).unwrap();
    }
    assert_eq!(keys, (0..64).collect::<Vec<u64>>());
}

#[test]
fn receives_take_their_buffers_from_the_ring_of_buffers() {
    let Some(mut ring) = small_ring() else { return };
    ring.register_buffer_ring(4, 7).unwrap();
    let mut memory = [[0_u8; 8]; 4];
    let buffers = ring.buffers().unwrap();
    for (number, buffer) in memory.iter_mut().enumerate().take(2) {
        let start = NonNull::from(buffer).cast();
        // SAFETY: they live to the end of this function, after the ring, and are read only when named.
        unsafe { buffers.provide(start, 8, number as u16) };
    }
    buffers.publish();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(b"0123456789abcdefXYZ").unwrap();
    let fd = types::Fd(ours.as_raw_fd());
    let entry = opcode::RecvMulti::new(fd, 7).build().user_data(5);
    // SAFETY: it names a descriptor that is open to the end of this function.
    assert!(unsafe { ring.push(&entry) });
    let mut some = Completions::new(16);
    let mut results = Vec::new();
    while results.len() < 3 {
        ring.enter(Sleep::UntilOne).unwrap();
        ring.reap(&mut some);
        results.extend((0..some.len()).map(|index| {
            let entry = some.get(index);
            (entry.result(), cqueue::buffer_select(entry.flags()), cqueue::more(entry.flags()))
        }));
    }
    let dry = (-libc::ENOBUFS, None, false);
    assert_eq!(results, [(8, Some(0), true), (8, Some(1), true), dry]);
    assert_eq!(memory[..2], [*b"01234567", *b"89abcdef"]);
    drop(ring);
}

#[test]
fn it_says_what_it_is() {
    let Some(ring) = small_ring() else { return };
    let text = format!("{ring:?}");
    assert!(text.contains("entries: 8") && text.contains("completions: 16"), "{text}");
}
