//! The runtime: how a program gets one, and the order in which it ends.
//!
//! A [`Runtime`] is a worker with its reactor, on the thread that made it. [`Runtime::block_on`] runs the
//! worker until a future is done; between two calls nothing runs. Its [`Handle`] is the part that
//! travels to other threads.
//!
//! It ends in this order (DRAIN): new jobs are born cancelled; every job is dropped, here, once; the mail of
//! other threads is read and the box is closed; bytes that were queued are flushed for a bounded time; the
//! operations in the kernel are cancelled and reaped; descriptors are closed; queued blocking closures are
//! cancelled, and running ones waited for. Wakers and join handles may outlive it all.
//!
//! In a forked child, which has a copy of the runtime but not its threads, and shares its descriptors, the
//! jobs are dropped and the descriptors closed. The rest is the parent's to do.

pub(crate) mod blocking;
pub(crate) mod context;
mod handle;
pub(crate) mod worker;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

pub use self::handle::{BackendReport, Handle};
pub(crate) use self::worker::Fate;
pub use self::worker::TURN_JOBS;
use self::worker::{OnError, Worker};
pub use crate::backend::BackendKind;
#[cfg(test)]
use crate::backend::simulated;
use crate::error::HandlerError;
use crate::job::id::JobId;
use crate::job::join::JoinHandle;
use crate::job::owner::Home;
use crate::job::registry::{Facts, JobKind};
use crate::metrics::{Counters, JobInfo, Metrics};
use crate::reactor::{self, Reactor, Wanted, Without};

/// Bytes of the pool from which received data comes, unless the builder says otherwise: some 250 buffers
/// of a little more than 16 KiB. Memory that was never received into is not resident.
const POOL_BYTES: usize = 4 << 20;

/// How much later than asked the kernel may be told to end a sleep: as late as its own timers are.
const TIMER_SLACK: Duration = Duration::from_micros(50);

/// How long the end of a runtime waits for queued bytes to leave.
const FLUSH_AT_EXIT: Duration = Duration::from_secs(1);

/// Which of the kernel's interfaces is to be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// io_uring where the kernel has it and allows it, else epoll; [`BackendReport::reason`] says why. The
    /// environment variable `AEM_BACKEND` (`auto`, `io_uring`, `epoll`) overrides it.
    #[default]
    Auto,
    /// io_uring, or an error.
    IoUring,
    /// epoll, or an error.
    Epoll,
}

/// What happens when a job, a task or a handler, panics and nobody asks for its result, and no other takes
/// its place ([`Restart`](crate::Restart)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PanicPolicy {
    /// One line on stderr; the others run on.
    #[default]
    Report,
    /// The line, then [`Handle::shutdown`]: the other jobs are cancelled, and the main future, which can hear
    /// of it by [`shutdown_requested`](crate::signal::shutdown_requested), ends as it does. Then `block_on`
    /// resumes the panic in place of an output.
    Shutdown,
    /// The line, then the process aborts.
    Abort,
}

/// Settings of a runtime to be.
pub struct Builder {
    backend: Backend,
    workers: usize,
    pool_bytes: usize,
    timer_slack: Duration,
    busy_poll: Duration,
    flush_at_exit: Duration,
    on_panic: PanicPolicy,
    on_error: Option<Box<OnError>>,
    trace_causes: bool,
}

/// What the worker takes of them.
pub(crate) struct Settings {
    pub(crate) on_panic: PanicPolicy,
    pub(crate) on_error: Option<Box<OnError>>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) pool: Arc<blocking::Pool>,
}

impl Default for Builder {
    fn default() -> Self {
        Builder {
            backend: Backend::Auto,
            workers: 1,
            pool_bytes: POOL_BYTES,
            timer_slack: TIMER_SLACK,
            busy_poll: Duration::ZERO,
            flush_at_exit: FLUSH_AT_EXIT,
            on_panic: PanicPolicy::Report,
            on_error: None,
            trace_causes: false,
        }
    }
}

impl Builder {
    /// Which of the kernel's interfaces to use. [`Backend::Auto`] by default.
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// How many workers, one thread each. This version has one.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// The size in bytes of the pool from which received data comes; 4 MiB by default. The pool is a
    /// cache: a program that holds more data than it has gets the rest from the heap.
    pub fn pool(mut self, bytes: usize) -> Self {
        self.pool_bytes = bytes;
        self
    }

    /// How late a timer may be, so that timers close to each other share a wake-up; 50 µs by default. A
    /// timer is never early.
    pub fn timer_slack(mut self, slack: Duration) -> Self {
        self.timer_slack = slack;
        self
    }

    /// How long a worker looks for events without sleeping. Off (zero) by default; this version has
    /// nothing else.
    pub fn busy_poll(mut self, duration: Duration) -> Self {
        self.busy_poll = duration;
        self
    }

    /// How long the end of the runtime waits for queued bytes to be taken by the kernel; 1 s by default.
    pub fn flush_at_exit(mut self, limit: Duration) -> Self {
        self.flush_at_exit = limit;
        self
    }

    /// What happens when a job panics and nobody asks for its result. [`PanicPolicy::Report`] by default.
    pub fn on_panic(mut self, policy: PanicPolicy) -> Self {
        self.on_panic = policy;
        self
    }

    /// Receives the errors of detached handlers. By default each is a line on stderr, limited in rate,
    /// but for lost connections, which are only counted. The function runs as a part of the job that ended.
    /// It hears of the panics of detached handlers too, before [`on_panic`](Self::on_panic) is followed.
    pub fn on_error(mut self, on_error: impl Fn(&JobInfo, &HandlerError) + 'static) -> Self {
        self.on_error = Some(Box::new(on_error));
        self
    }

    /// Has it noted from the start which job made which other, and made it ready: see
    /// [`trace_causes`](crate::trace_causes()). Off by default.
    pub fn trace_causes(mut self, on: bool) -> Self {
        self.trace_causes = on;
        self
    }

    /// Makes the runtime, on this thread.
    ///
    /// # Errors
    /// `Unsupported` for what this version does not have (several workers, busy polling);
    /// `InvalidInput` for no workers, or an `AEM_BACKEND` that is none; for [`Backend::IoUring`], what the
    /// kernel refuses it with; and what the kernel says when it has no descriptors or no memory left.
    pub fn build(self) -> io::Result<Runtime> {
        let unsupported = |what: &str| {
            let text = format!("{what} of aem-rt: see `Builder`");
            Err(io::Error::new(io::ErrorKind::Unsupported, text))
        };
        match self.workers {
            0 => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "a runtime needs a worker",
                ));
            }
            1 => {}
            _ => return unsupported("several workers are not in this version"),
        }
        if !self.busy_poll.is_zero() {
            return unsupported("busy polling is not in this version");
        }
        let config = reactor::Config {
            wanted: choose(self.backend, std::env::var_os("AEM_BACKEND"))?,
            without: without(std::env::var_os("AEM_IO_URING_WITHOUT"))?,
            pool_bytes: self.pool_bytes,
            buffer_size: reactor::BUFFER_SIZE,
            completions: reactor::COMPLETIONS,
            timer_slack: self.timer_slack,
        };
        let reactor = Reactor::new(&config)?;
        Ok(self.on(reactor))
    }

    /// Makes a runtime over a kernel that a test plays.
    #[cfg(test)]
    pub(crate) fn simulated(self, kernel: &simulated::Kernel) -> Runtime {
        let backend = crate::backend::Backend::simulated(kernel);
        let reactor = Reactor::over(backend, "simulated: a test plays it".to_owned(), TIMER_SLACK);
        self.on(reactor.unwrap())
    }

    /// Makes the runtime over its reactor.
    fn on(self, reactor: Rc<Reactor>) -> Runtime {
        reactor.set_reporter(context::report);
        let home = Home::new(Box::new(reactor.unparker()));
        let counters = Arc::new(Counters::default());
        let report = BackendReport { kind: reactor.kind(), reason: reactor.reason().to_owned() };
        let process = reactor.process();
        let handle = Handle::new(home.block(), report, Arc::clone(&counters), process);
        let settings = Settings {
            on_panic: self.on_panic,
            on_error: self.on_error,
            counters,
            pool: blocking::Pool::new(process),
        };
        let worker = Worker::new(home, reactor, settings, handle);
        worker.trace_causes(self.trace_causes);
        Runtime { worker, flush_at_exit: self.flush_at_exit }
    }
}

/// Settles on a backend.
fn choose(wanted: Backend, environment: Option<OsString>) -> io::Result<Wanted> {
    let (wanted, by) = match (wanted, environment) {
        (Backend::Auto, Some(value)) => match value.to_str() {
            Some("" | "auto") => (Backend::Auto, "AEM_BACKEND"),
            Some("io_uring") => (Backend::IoUring, "AEM_BACKEND=io_uring"),
            Some("epoll") => (Backend::Epoll, "AEM_BACKEND=epoll"),
            _ => {
                let text = format!("AEM_BACKEND={value:?}: it is one of auto, io_uring, epoll");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
        },
        (wanted, _) => (wanted, "the builder"),
    };
    Ok(match wanted {
        Backend::Auto => Wanted::Best,
        Backend::Epoll => Wanted::Only(BackendKind::Epoll, by),
        Backend::IoUring => Wanted::Only(BackendKind::IoUring, by),
    })
}

/// Reads which parts of io_uring are not to be used.
fn without(environment: Option<OsString>) -> io::Result<Without> {
    let Some(value) = environment else { return Ok(Without::default()) };
    let text = value.to_string_lossy();
    Without::parse(&text).map_err(|wrong| {
        let names = Without::names();
        let text = format!("AEM_IO_URING_WITHOUT: {wrong:?} is none of {names}");
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("backend", &self.backend)
            .field("workers", &self.workers)
            .field("pool_bytes", &self.pool_bytes)
            .field("timer_slack", &self.timer_slack)
            .field("flush_at_exit", &self.flush_at_exit)
            .field("on_panic", &self.on_panic)
            .field("trace_causes", &self.trace_causes)
            .finish_non_exhaustive()
    }
}

/// A worker and its reactor, on the thread that made them.
///
/// A forked child has a copy that is of no use to it: [`block_on`](Self::block_on) panics there. Dropping the
/// copy drops its jobs and closes the child's descriptors, and nothing else: nothing is sent, no thread is
/// waited for, and the parent does not notice. The same goes for sources that are dropped one by one. A child
/// that does not `exec` can make a runtime of its own; until it drops the copy, it keeps the parent's
/// connections open.
///
/// ```
/// let runtime = aem::Runtime::new()?;
/// let answer = runtime.block_on(async {
///     let handle = aem::spawn(async { 6 * 7 });
///     handle.await
/// })?;
/// assert_eq!(answer, 42);
/// # Ok::<(), aem::BoxError>(())
/// ```
#[derive(Debug)]
pub struct Runtime {
    worker: Rc<Worker>,
    flush_at_exit: Duration,
}

impl Runtime {
    /// A runtime with the default settings.
    ///
    /// # Errors
    /// As for [`Builder::build`].
    pub fn new() -> io::Result<Runtime> {
        Runtime::builder().build()
    }

    /// Settings to begin with.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Runs this runtime's jobs on this thread until the future is done. It may borrow, and need not be
    /// `Send`. When it returns, the other jobs stand still until the next call.
    ///
    /// # Panics
    /// If a runtime runs on this thread already; if the future panics; and with
    /// [`PanicPolicy::Shutdown`] if a job did and nobody asked for its result. In a forked child of the
    /// process that made the runtime, at once, or as soon as the job that forked gives way.
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.worker.reactor().refuse_forked();
        refuse_to_nest();
        self.worker.block_on(future, Location::caller())
    }

    /// The part of the runtime that travels.
    pub fn handle(&self) -> Handle {
        self.worker.handle().clone()
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if self.worker.is_occupied() {
            // Only a panic that leaves `block_on` comes here with the mark set; the stack is being unwound.
            debug_assert!(std::thread::panicking());
        }
        self.worker.end(self.flush_at_exit);
    }
}

#[track_caller]
fn refuse_to_nest() {
    let outer = context::try_current();
    // In a child that a job has forked, the runtime of that job has no jobs to be stopped.
    if outer.is_some_and(|worker| worker.reactor().check_process().is_ok()) {
        panic!(
            "block_on inside a runtime would stop every other job of this thread: use `.await`, or \
             `aem::spawn`, or run it on a thread of its own"
        );
    }
}

/// Runs a future on a fresh runtime on this thread, until it is done. It may borrow, and need not be `Send`.
///
/// ```
/// let name = String::from("world");
/// let greeting = aem::block_on(async { format!("hello, {name}") });
/// assert_eq!(greeting, "hello, world");
/// ```
///
/// # Panics
/// If a runtime runs on this thread already; if none can be made (no descriptors or memory left; use
/// [`Runtime::new`] to handle that); if the future panics.
#[track_caller]
pub fn block_on<F: Future>(future: F) -> F::Output {
    refuse_to_nest();
    match Runtime::new() {
        Ok(runtime) => runtime.block_on(future),
        Err(error) => panic!("aem::block_on cannot make a runtime: {error}"),
    }
}

/// Spawns a future as a job of this thread's worker. It need not be `Send`: the job never changes threads.
///
/// ```
/// use std::{cell::Cell, rc::Rc};
///
/// # aem::block_on(async {
/// let count = Rc::new(Cell::new(0));
/// let counted = count.clone();
/// aem::spawn(async move { counted.set(counted.get() + 1) }).await?;
/// assert_eq!(count.get(), 1);
/// # Ok::<(), aem::JoinError>(())
/// # }).unwrap();
/// ```
///
/// # Panics
/// Outside of a runtime. While the runtime ends, the job is born cancelled.
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let facts = Facts { kind: JobKind::Task, location: Location::caller() };
    context::here(|here| JoinHandle::spawn(here, future, facts))
}

/// Runs a closure that blocks on a thread of its own kind, from a bounded pool that starts with its first
/// use.
///
/// Aborting the job, or the end of the runtime, cancels a closure that has not begun; one that runs goes on
/// to its end, and the end of the runtime waits for it for 5 s.
///
/// ```
/// # aem::block_on(async {
/// let sum = aem::spawn_blocking(|| (1..=100).sum::<u32>()).await?;
/// assert_eq!(sum, 5050);
/// # Ok::<(), aem::JoinError>(())
/// # }).unwrap();
/// ```
///
/// # Panics
/// Outside of a runtime. If the system refuses to start a thread and there is none yet, the job panics.
#[track_caller]
pub fn spawn_blocking<F, T>(closure: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let facts = Facts { kind: JobKind::Blocking, location: Location::caller() };
    let worker = context::current();
    let here = worker.home().here();
    // A job that is born cancelled must find its closure in no queue: a thread might be quicker.
    let waiting = if worker.home().is_closing() {
        worker.pool().refuse(closure)
    } else {
        worker.pool().submit(closure)
    };
    JoinHandle::spawn(here, waiting, facts)
}

/// The sums of this thread's runtime.
///
/// # Panics
/// Outside of a runtime.
#[track_caller]
pub fn metrics() -> Metrics {
    context::current().counters().read()
}

/// All jobs of this worker that have not ended, in no particular order.
///
/// # Panics
/// Outside of a runtime.
#[track_caller]
pub fn jobs() -> Vec<JobInfo> {
    context::current().jobs()
}

/// From here on, notes for each job of this worker which job made it and which one made it ready last, or
/// no longer. It tells what led to an event: [`cause`], [`JobInfo::parent`] and [`JobInfo::woken_by`].
///
/// It costs some nanoseconds at each wake, a reading of the clock at each run, and 48 bytes a job; while it
/// is off, as at first, next to nothing. [`Builder::trace_causes`] has it on from the start.
///
/// ```
/// use futures::channel::mpsc;
///
/// # aem::block_on(async {
/// aem::trace_causes(true);
/// let (sender, receiver) = mpsc::unbounded();
/// let handler = aem::on(receiver, |()| println!("sent by job {:?}", aem::cause()));
/// aem::yield_now().await;
/// let other = sender.clone();
/// let task = aem::spawn(async move { other.unbounded_send(()) });
/// let id = task.id();
/// task.await??;
/// let jobs = aem::jobs();
/// let job = jobs.iter().find(|job| job.id == handler.id());
/// assert_eq!(job.and_then(|job| job.woken_by), Some(id));
/// # drop(handler);
/// # Ok::<(), aem::BoxError>(())
/// # }).unwrap();
/// ```
///
/// # Panics
/// Outside of a runtime.
#[track_caller]
pub fn trace_causes(on: bool) {
    context::current().trace_causes(on);
}

/// The job that led to what this job does now: the one that made it ready, by sending to it, say, or else,
/// if that was the kernel, the clock or another thread, the one that made it. Of several that made it ready
/// at once it is the first.
///
/// None outside of a job, if nothing is known, and if [causes are not traced](trace_causes).
///
/// # Panics
/// Outside of a runtime.
#[track_caller]
#[must_use]
pub fn cause() -> Option<JobId> {
    let cause = context::current().home().running_cause()?;
    cause.waker.or(cause.parent)
}

/// Lets every other job that is ready run first.
///
/// # Cancel safety
/// Dropping the future is safe; there is nothing to lose.
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
}

/// The future of [`yield_now`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
