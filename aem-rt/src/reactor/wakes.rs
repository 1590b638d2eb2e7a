//! Who is to be woken by what has happened.
//!
//! Waking a job of this thread's own worker is an entry in its queue and runs nobody's code, so it is
//! done at once. Every other waker may run anything: it is kept until nothing is borrowed any more,
//! and called by the reactor then (OUTSIDE).

use std::task::Waker;

use crate::job::waker::wake_at_home;

/// See the head of this file. What is kept and not handed to
/// [`Reactor::wake_all`](super::Reactor::wake_all) is dropped.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    foreign: Vec<Waker>,
    any: bool,
}

impl Wakes {
    /// Wakes, now or when nothing is borrowed.
    #[inline]
    pub(crate) fn push(&mut self, waker: Waker) {
        self.any = true;
        if let Err(foreign) = wake_at_home(waker) {
            self.foreign.push(foreign);
        }
    }

    /// Whether anybody was or will be woken.
    pub(super) fn have_any(&self) -> bool {
        self.any
    }

    /// Those that are still to be called.
    pub(super) fn into_foreign(self) -> Vec<Waker> {
        self.foreign
    }
}

impl From<Vec<Waker>> for Wakes {
    fn from(foreign: Vec<Waker>) -> Wakes {
        Wakes { any: !foreign.is_empty(), foreign }
    }
}

impl Extend<Waker> for Wakes {
    fn extend<I: IntoIterator<Item = Waker>>(&mut self, wakers: I) {
        wakers.into_iter().for_each(|waker| self.push(waker));
    }
}
