//! Jobs and their queues (SINGLE, AGAIN, HOME): one thread plays the owner and, with no worker current,
//! all the others.
//!
//! The model says which futures are polled, in which order, what they give, whom that wakes, which values
//! are dropped when, how many cells there are, and which panics nobody read.

mod model;
mod play;

use std::cell::RefCell;

use aem::Priority;

pub use play::run;

/// So many jobs an input makes at most: the last operations must still meet the first jobs.
const JOBS: usize = 48;

/// So many wakers ask for outputs.
const ASKERS: usize = 4;

/// What a job does in one poll.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// Waits.
    Wait,
    /// Wakes itself and waits.
    WakeSelf,
    /// Wakes another job, by a waker of its own, and waits.
    Wake(usize),
    /// Aborts another job and waits.
    Abort(usize),
    /// Drops the handle of another job and waits.
    DropHandle(usize),
    /// Gives its number.
    Finish,
    /// Panics.
    Panic,
}

/// Something that can be seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Polled(usize),
    FutureDropped(usize),
    OutputDropped(usize),
    Gave(usize),
    Cancelled(usize),
    Panicked(usize),
    Woken(usize),
}

thread_local! {
    /// What the jobs did, in order.
    static EVENTS: RefCell<Vec<Event>> = const { RefCell::new(Vec::new()) };
}

fn note(event: Event) {
    EVENTS.with(|events| events.borrow_mut().push(event));
}

fn priority(index: usize) -> Priority {
    [Priority::High, Priority::Normal, Priority::Low][index]
}
