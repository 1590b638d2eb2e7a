//! What a look tells in a process, in its forked children, and in theirs. Each test has a process of its own.

use std::thread;

use super::*;
use crate::sys::child::{forked, in_child};

fn current() -> Process {
    Process::current().unwrap()
}

/// In each process its own is the current one, and none of its forebears'.
fn assert_told_apart() {
    let own = current();
    forked(|| {
        assert!(!own.is_current());
        let child = current();
        assert!(child.is_current() && !own.is_current());
        forked(|| {
            assert!(!child.is_current() && !own.is_current());
            let grandchild = current();
            assert!(grandchild.is_current() && !child.is_current() && !own.is_current());
        });
        assert!(child.is_current() && current().number == child.number);
        // One that has never asked has no number when it forks.
        forked(|| forked(|| assert!(!child.is_current() && current().is_current())));
    });
    assert!(own.is_current() && current().number == own.number);
}

#[test]
fn a_forked_child_is_another_process() {
    if in_child("sys::fork::tests::a_forked_child_is_another_process") {
        assert_told_apart();
    }
}

#[test]
fn the_c_library_wipes_where_the_kernel_does_not() {
    if !in_child("sys::fork::tests::the_c_library_wipes_where_the_kernel_does_not") {
        return;
    }
    let pages = Pages::map(size_of::<AtomicU64>()).unwrap();
    PAGE.store(pages.start().as_ptr().cast(), Ordering::Release);
    mem::forget(pages);
    let own = current();
    forked(|| assert!(own.is_current(), "nobody has wiped it"));
    wipe_by_hand().unwrap();
    assert_told_apart();
}

#[test]
fn threads_that_are_the_first_to_ask_are_told_the_same() {
    if !in_child("sys::fork::tests::threads_that_are_the_first_to_ask_are_told_the_same") {
        return;
    }
    let threads: Vec<_> = (0..8).map(|_| thread::spawn(|| current().number)).collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), current().number);
    }
}
