//! Wakers of those who wait for one and the same thing.
//!
//! A future registers its waker under a key that it keeps, again and again as it is polled, and
//! removes it when it is dropped. Whoever has news takes all wakers at once. No waker is ever
//! cloned, woken or dropped while the list is borrowed (OUTSIDE).

use std::cell::{Cell, RefCell};
use std::fmt;
use std::task::Waker;

use slab::Slab;

use super::{Reactor, Wakes};

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

/// Those who ask by poll functions, and have no place to keep a key.
///
/// What has become of them is not known. When they are many, all are woken: those that still live ask again
/// soon. So there is room for all who ask in the turns after that; later, all are woken again.
#[derive(Default)]
pub(crate) struct Callers {
    wakers: RefCell<Vec<Waker>>,
    most: Cell<usize>,
    /// In which turn they were last woken to see whether they live.
    asked: Cell<Option<u32>>,
}

/// Within so many turns everybody who was woken has run, as long as no more than sixteen thousand are ready.
const SOON: u32 = 64;

/// So many are remembered at least.
pub(crate) const CALLERS: usize = 64;

impl Callers {
    /// Has `waker` woken by the next news of something of this reactor's.
    pub(crate) fn add(&self, waker: &Waker, reactor: &Reactor) {
        if self.wakers.borrow().iter().any(|caller| caller.will_wake(waker)) {
            return;
        }
        let (waker, turn) = (waker.clone(), reactor.turns());
        let before = {
            let mut wakers = self.wakers.borrow_mut();
            let mut before = Vec::new();
            if wakers.len() >= self.most.get().max(CALLERS) {
                if self.asked.get().is_some_and(|asked| turn.wrapping_sub(asked) <= SOON) {
                    self.most.set(2 * wakers.len());
                } else {
                    self.most.set(CALLERS);
                    self.asked.set(Some(turn));
                    before = std::mem::take(&mut *wakers);
                }
            }
            wakers.push(waker);
            before
        };
        reactor.wake_all(Wakes::from(before));
    }

    /// Moves the wakers of all to `taken`.
    pub(crate) fn take_all(&self, taken: &mut impl Extend<Waker>) {
        taken.extend(self.wakers.borrow_mut().drain(..));
    }

    /// How many are remembered.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.wakers.borrow().len()
    }
}

impl fmt::Debug for Waiters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Waiters({})", self.wakers.borrow().len())
    }
}
