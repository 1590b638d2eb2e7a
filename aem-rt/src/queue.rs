//! The queues of a worker: what is ready here, and what other threads sent.
//!
//! - [`ready::Ready`] is the worker's own list of jobs that want to run: by priority, then in order of
//!   arrival, with an ageing bound so that low is late and never starved. Owner only, no atomics.
//! - [`inject::Inject`] takes what other threads push: lock-free, unbounded, first in first out. The same
//!   word says whether the worker sleeps, so that a push finds out, by the push itself, that it must wake
//!   somebody (AWAKE), and whether the worker has closed.
//!
//! Both are intrusive: an element carries its own link and is in at most one place of each (SINGLE). No
//! element type is named here; `job` brings its own. Nothing on this floor makes a system call: whoever
//! must be woken is woken through [`Unpark`].

pub(crate) mod inject;
pub(crate) mod ready;

/// Wakes the thread of a worker that sleeps in the kernel.
pub(crate) trait Unpark: Send + Sync {
    /// Makes the worker's present or next sleep end. Called on any thread.
    fn unpark(&self);
}

impl<U: Unpark + ?Sized> Unpark for std::sync::Arc<U> {
    fn unpark(&self) {
        (**self).unpark();
    }
}

/// How urgent a job is. Within a priority, jobs run in the order in which they became ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Runs before everything else that is ready.
    High = 0,
    /// The default.
    #[default]
    Normal = 1,
    /// Runs when nothing else is ready, and now and then all the same: it is late, not starved.
    Low = 2,
}
