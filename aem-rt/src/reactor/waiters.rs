//! Wakers of those who wait for one and the same thing.
//!
//! A future registers its waker under a key that it keeps, again and again as it is polled, and
//! removes it when it is dropped. Whoever has news takes all wakers at once. No waker is ever
//! cloned, woken or dropped while the list is borrowed (OUTSIDE).

use std::cell::RefCell;
use std::fmt;
use std::task::Waker;

use slab::Slab;

/// See the head of this file.
#[derive(Default)]
pub(crate) struct Waiters {
    wakers: RefCell<Slab<Option<Waker>>>,
}

impl Waiters {
    /// Has `waker` woken by the next news. `key` is `None` at first and belongs to this list
    /// from then on; it must be [removed](Self::remove) in the end.
    pub(crate) fn register(&self, key: &mut Option<usize>, waker: &Waker) {
        if let Some(key) = *key
            && let Some(Some(held)) = self.wakers.borrow().get(key)
            && held.will_wake(waker)
        {
            return;
        }
        let waker = Some(waker.clone());
        let old = match *key {
            Some(key) => std::mem::replace(&mut self.wakers.borrow_mut()[key], waker),
            None => {
                *key = Some(self.wakers.borrow_mut().insert(waker));
                None
            }
        };
        drop(old);
    }

    /// Forgets a waiter.
    pub(crate) fn remove(&self, key: &mut Option<usize>) {
        let Some(key) = key.take() else { return };
        let waker = self.wakers.borrow_mut().remove(key);
        drop(waker);
    }

    /// Moves the wakers of all that wait to `taken`. Their keys remain theirs.
    pub(crate) fn take_all(&self, taken: &mut impl Extend<Waker>) {
        let mut wakers = self.wakers.borrow_mut();
        taken.extend(wakers.iter_mut().filter_map(|(_, waker)| waker.take()));
    }
}

impl fmt::Debug for Waiters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Waiters({})", self.wakers.borrow().len())
    }
}
