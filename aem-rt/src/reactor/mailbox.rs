//! What others left for the next turn: sinks to be flushed, wakers to be woken once a descriptor
//! is free again.
//!
//! Both lists are taken out whole before anything of theirs runs, so whatever runs may add to them.

use std::cell::{Cell, RefCell};
use std::rc::Weak;
use std::task::Waker;

use super::{Sink, Wakes};

/// See the head of this file.
#[derive(Default)]
pub(super) struct Mailbox {
    dirty: RefCell<Vec<Weak<dyn Sink>>>,
    /// The list of the last turn, empty, kept for its memory.
    flushed: Cell<Vec<Weak<dyn Sink>>>,
    freed: RefCell<Vec<Waker>>,
}

impl Mailbox {
    pub(super) fn mark_dirty(&self, sink: Weak<dyn Sink>) {
        self.dirty.borrow_mut().push(sink);
    }

    pub(super) fn is_dirty(&self) -> bool {
        !self.dirty.borrow().is_empty()
    }

    /// Flushes those that were marked before this call; who marks himself again waits a turn.
    pub(super) fn flush_dirty(&self) {
        if !self.is_dirty() {
            return;
        }
        let mut sinks = self.dirty.replace(self.flushed.take());
        for sink in sinks.drain(..) {
            if let Some(sink) = sink.upgrade() {
                sink.flush();
            }
        }
        self.flushed.set(sinks);
    }

    /// A task that asks again each time it is polled is noted once.
    pub(super) fn on_descriptor_freed(&self, waker: Waker) {
        let mut freed = self.freed.borrow_mut();
        if freed.iter().any(|held| held.will_wake(&waker)) {
            // The drop of a waker is user code.
            drop(freed);
            drop(waker);
        } else {
            freed.push(waker);
        }
    }

    pub(super) fn take_freed(&self, wakes: &mut Wakes) {
        wakes.append(&mut self.freed.borrow_mut());
    }

    /// Gives up everything; wakers go to `wakes`, to be dropped where user code may run.
    pub(super) fn clear(&self, wakes: &mut Wakes) {
        self.take_freed(wakes);
        drop(self.dirty.take());
    }
}
