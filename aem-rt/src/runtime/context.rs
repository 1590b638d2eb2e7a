//! Which worker runs on this thread, for code that was not handed one.
//!
//! Entering nests: a runtime may be dropped in a task of another. What is kept here is a counted
//! reference, and it is copied out before anything is done with it, so that no borrow lasts while user
//! code runs.

use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::rc::Rc;

use super::worker::Worker;
use crate::job::owner::{Entered, Here, with_here};
use crate::reactor::Reactor;

thread_local! {
    // Without a destructor, so that a runtime which itself is thread-local can end with its thread. The
    // guards of `enter` leave nothing behind.
    static CURRENT: ManuallyDrop<RefCell<Option<Rc<Worker>>>> =
        const { ManuallyDrop::new(RefCell::new(None)) };
    static DRAINING: Cell<bool> = const { Cell::new(false) };
}

/// What is said to those who call from outside.
const OUTSIDE: &str = "no aem runtime on this thread: call this from #[aem::main], from inside \
                       aem::block_on or Runtime::block_on, or use a Handle made there";

/// The worker of this thread.
pub(crate) fn try_current() -> Option<Rc<Worker>> {
    CURRENT.with(|current| current.borrow().clone())
}

/// The worker of this thread.
///
/// # Panics
/// Outside of a runtime; the text says how to enter one.
#[track_caller]
pub(crate) fn current() -> Rc<Worker> {
    match try_current() {
        Some(worker) => worker,
        None => panic!("{OUTSIDE}"),
    }
}

/// Does something as this thread's worker.
///
/// # Panics
/// Outside of a runtime; the text says how to enter one.
#[inline]
#[track_caller]
pub(crate) fn here<R>(act: impl FnOnce(Here<'_>) -> R) -> R {
    match with_here(act) {
        Some(result) => result,
        None => panic!("{OUTSIDE}"),
    }
}

/// The reactor of this thread's worker.
///
/// # Panics
/// Outside of a runtime; the text says how to enter one.
#[track_caller]
pub(crate) fn reactor() -> Rc<Reactor> {
    Rc::clone(current().reactor())
}

/// The reactor of this thread's worker.
pub(crate) fn try_reactor() -> Option<Rc<Reactor>> {
    try_current().map(|worker| Rc::clone(worker.reactor()))
}

/// Counts an overrun of the handler that runs now.
#[cold]
pub(crate) fn note_overrun() {
    CURRENT.with(|current| {
        if let Some(worker) = &*current.borrow() {
            worker.note_overrun();
        }
    });
}

/// Whether a handler polls its source now: streams that hold back for handlers ask this.
#[inline]
pub(crate) fn draining() -> bool {
    DRAINING.get()
}

/// Polls a source for a handler.
#[inline(always)]
pub(crate) fn drain<R>(poll: impl FnOnce() -> R) -> R {
    struct Back(bool);
    impl Drop for Back {
        fn drop(&mut self) {
            DRAINING.set(self.0);
        }
    }
    let _back = Back(DRAINING.replace(true));
    poll()
}

/// Ends with the worker's time on this thread.
#[derive(Debug)]
pub(crate) struct Inside {
    outer: Option<Rc<Worker>>,
    outer_draining: bool,
    _entered: Entered,
}

/// Makes a worker the current one until the guard goes.
pub(crate) fn enter(worker: &Rc<Worker>) -> Inside {
    let outer = CURRENT.with(|current| current.replace(Some(Rc::clone(worker))));
    let outer_draining = DRAINING.replace(false);
    let entered = worker.home().enter();
    worker.reactor().belong_here();
    Inside { outer, outer_draining, _entered: entered }
}

impl Drop for Inside {
    fn drop(&mut self) {
        DRAINING.set(self.outer_draining);
        let outer = self.outer.take();
        // The replaced reference is dropped after the borrow; it is not the last one, but it may become so.
        let inner = CURRENT.with(|current| current.replace(outer));
        drop(inner);
    }
}

/// A line on stderr, limited in rate.
pub(crate) use crate::report::line as report;
