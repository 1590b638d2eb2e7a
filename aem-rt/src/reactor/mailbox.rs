//! What others left for the next turn: sinks to be flushed, wakers to be woken once a descriptor
//! is free again.
//!
//! Nothing of theirs runs while a list is borrowed, so whatever runs may add to them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;

use super::{Sink, Wakes};

/// See the head of this file.
#[derive(Default)]
pub(super) struct Mailbox {
    dirty: RefCell<Vec<Rc<dyn Sink>>>,
    /// An empty list, kept for its memory, that takes the place of `dirty` while that is gone through.
    spare: Cell<Vec<Rc<dyn Sink>>>,
    freed: RefCell<Vec<Waker>>,
}

impl Mailbox {
    #[inline]
    pub(super) fn mark_dirty(&self, sink: Rc<dyn Sink>) {
        self.dirty.borrow_mut().push(sink);
    }

    /// Takes back the mark of `sink`, if it was the last one made.
    #[inline]
    pub(super) fn unmark_last(&self, sink: *const ()) -> bool {
        let mut dirty = self.dirty.borrow_mut();
        // One that is taken back here goes by the caller's own reference, and drops nothing.
        dirty.pop_if(|last| std::ptr::eq(Rc::as_ptr(last).cast(), sink)).is_some()
    }

    pub(super) fn is_dirty(&self) -> bool {
        !self.dirty.borrow().is_empty()
    }

    /// Flushes those that were marked before this call; who marks himself again waits (BOUND).
    #[inline]
    pub(super) fn flush_dirty(&self, wakes: &mut Wakes) {
        if !self.is_dirty() {
            return;
        }
        let mut marked = self.dirty.replace(self.spare.take());
        for sink in marked.drain(..) {
            sink.flush(wakes);
        }
        self.spare.set(marked);
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

    pub(super) fn take_freed(&self, wakers: &mut impl Extend<Waker>) {
        wakers.extend(self.freed.borrow_mut().drain(..));
    }

    /// Gives up everything; wakers go to `wakers`, to be dropped where user code may run.
    pub(super) fn clear(&self, wakers: &mut impl Extend<Waker>) {
        self.take_freed(wakers);
        drop(self.dirty.take());
    }
}
