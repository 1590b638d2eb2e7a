//! The part of a runtime that travels to other threads.

use std::panic::Location;
use std::sync::Arc;

use super::context;
use crate::backend::BackendKind;
use crate::job::cell::Birth;
use crate::job::id::JobId;
use crate::job::join::JoinHandle;
use crate::job::owner::Block;
use crate::job::registry::JobKind;
use crate::metrics::{Counters, Metrics};
use crate::sys::fork::Process;

/// Which backend runs, and why that one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackendReport {
    /// Which.
    pub kind: BackendKind,
    /// Why, in a line.
    pub reason: String,
}

/// A reference to a runtime, from any thread. It does not keep the runtime alive.
#[derive(Clone, Debug)]
pub struct Handle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    block: Block,
    report: BackendReport,
    counters: Arc<Counters>,
    process: Process,
}

impl Handle {
    pub(crate) fn new(
        block: Block,
        report: BackendReport,
        counters: Arc<Counters>,
        process: Process,
    ) -> Self {
        Handle { shared: Arc::new(Shared { block, report, counters, process }) }
    }

    /// The handle of the runtime that runs on this thread.
    ///
    /// # Panics
    /// Outside of a runtime; the text says how to enter one.
    #[track_caller]
    pub fn current() -> Handle {
        context::current().handle().clone()
    }

    /// The handle of the runtime that runs on this thread, if there is one.
    pub fn try_current() -> Option<Handle> {
        context::try_current().map(|worker| worker.handle().clone())
    }

    /// Sends a future to the runtime, to run there as a job. If the runtime has ended, or this is a forked
    /// child of its process, the future is dropped here and the job is cancelled.
    ///
    /// One that awaits what stays on its thread, as all sources of this crate do, is not `Send`: send
    /// the closure that makes it, by [`spawn_with`](Self::spawn_with).
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let birth = self.birth(Location::caller());
        JoinHandle::post(self.block(), future, birth)
    }

    /// Sends a closure to the runtime, which makes a future there that need not be `Send`.
    ///
    /// ```
    /// use std::rc::Rc;
    ///
    /// let runtime = aem::Runtime::new()?;
    /// let handle = runtime.handle();
    /// let thread = std::thread::spawn(move || {
    ///     handle.spawn_with(|| async { Rc::new(7).to_string() })
    /// });
    /// let job = thread.join().unwrap();
    /// assert_eq!(runtime.block_on(job)?, "7");
    /// # Ok::<(), aem::BoxError>(())
    /// ```
    #[track_caller]
    pub fn spawn_with<M, F>(&self, make: M) -> JoinHandle<F::Output>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        let birth = self.birth(Location::caller());
        JoinHandle::post_with(self.block(), make, birth)
    }

    /// Where jobs are sent.
    fn block(&self) -> &Block {
        if !self.shared.process.is_current() {
            // Nobody reads this copy's mail.
            self.shared.block.refuse_jobs();
        }
        &self.shared.block
    }

    fn birth(&self, location: &'static Location<'static>) -> Birth {
        Birth { id: JobId::next(), kind: JobKind::Task, location }
    }

    /// How many workers the runtime has.
    pub fn workers(&self) -> usize {
        1
    }

    /// The handle of one worker.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn worker(&self, index: usize) -> Handle {
        assert!(index < self.workers(), "worker {index} of a runtime with {}", self.workers());
        self.clone()
    }

    /// Which backend runs, and why that one.
    pub fn backend(&self) -> BackendReport {
        self.shared.report.clone()
    }

    /// Sums over the runtime, as they stood at its last turn.
    pub fn metrics(&self) -> Metrics {
        self.shared.counters.read()
    }

    /// Asks the runtime to end: every job but the main future is cancelled, new ones are born cancelled,
    /// and [`shutdown_requested`](crate::signal::shutdown_requested) resolves. `block_on` returns when
    /// its own future ends.
    pub fn shutdown(&self) {
        match context::try_current() {
            Some(worker) if worker.handle().is(self) => worker.shutdown(),
            _ => drop(self.spawn(async {
                if let Some(worker) = context::try_current() {
                    worker.shutdown();
                }
            })),
        }
    }

    fn is(&self, other: &Handle) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Whether the runtime has ended.
    pub fn is_closed(&self) -> bool {
        self.shared.block.is_closed()
    }
}
