//! Threads for closures that block.
//!
//! A bounded pool, started with its first use; a thread that has had nothing to do for a while ends. The job
//! of a closure is a task that waits for its result: cancelling the task before a thread has taken the
//! closure cancels the closure.
//!
//! Locks are held for moves of a few words only. A closure, its result and its destructors run outside of
//! them (OUTSIDE).
//!
//! A forked child has a copy of the locks, perhaps held, and none of the threads: there nobody is waited for,
//! and a lock that is held is left alone.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crate::job::contain;
use crate::job::registry::Lost;
use crate::sys::fork::Process;

/// At most so many threads: enough for slow disks and name servers, few enough for their stacks.
const THREADS_MAX: usize = 64;

/// A thread with nothing to do ends after this.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// How long the end of the runtime waits for closures that run.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// Something with a closure in it.
trait Chore: Send + Sync {
    /// Runs the closure, unless it was cancelled.
    fn run(&self);
    /// Drops the closure, if it has not begun; its job panics with the text, or is never polled again.
    fn fail(&self, reason: &str);
}

/// The pool.
pub(crate) struct Pool {
    state: Mutex<State>,
    /// Signalled when there is a chore, or the pool closes.
    work: Condvar,
    /// Signalled when a thread ends.
    ended: Condvar,
    /// Where the threads are.
    process: Process,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Arc<dyn Chore>>,
    threads: usize,
    idle: usize,
    closed: bool,
}

/// Takes a lock whose holder cannot have panicked in the middle: nothing foreign runs under it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poison| poison.into_inner())
}

impl Pool {
    pub(crate) fn new(process: Process) -> Arc<Self> {
        let state = Mutex::new(State::default());
        Arc::new(Pool { state, work: Condvar::new(), ended: Condvar::new(), process })
    }

    /// The future of a closure that nobody will run: for a job that is born cancelled.
    pub(crate) fn refuse<F, T>(&self, closure: F) -> Waiting<F, T> {
        let stage = Mutex::new(Stage::Queued(closure, None));
        Waiting { errand: Arc::new(Errand { stage }), process: self.process }
    }

    /// Queues a closure and gives the future of its result.
    pub(crate) fn submit<F, T>(self: &Arc<Self>, closure: F) -> Waiting<F, T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let waiting = self.refuse(closure);
        let errand = &waiting.errand;
        let mut state = lock(&self.state);
        if state.closed {
            drop(state);
            return waiting;
        }
        state.queue.push_back(Arc::clone(errand) as Arc<dyn Chore>);
        let starts = state.idle < state.queue.len() && state.threads < THREADS_MAX;
        if starts {
            state.threads += 1;
        }
        drop(state);
        self.work.notify_one();
        if starts && let Err(error) = self.start_thread() {
            self.thread_refused(&error);
        }
        waiting
    }

    fn start_thread(self: &Arc<Self>) -> std::io::Result<()> {
        let pool = Arc::clone(self);
        thread::Builder::new().name("aem-blocking".into()).spawn(move || pool.serve()).map(drop)
    }

    /// With other threads about, they will do the work; without any, it would wait for ever.
    fn thread_refused(&self, error: &std::io::Error) {
        let mut state = lock(&self.state);
        state.threads -= 1;
        let stranded =
            if state.threads == 0 { std::mem::take(&mut state.queue) } else { VecDeque::new() };
        drop(state);
        for chore in stranded {
            chore.fail(&format!("no thread could be started for a blocking closure: {error}"));
        }
    }

    /// The life of a thread.
    fn serve(&self) {
        while let Some(chore) = self.next() {
            chore.run();
        }
        self.ended.notify_all();
    }

    /// The next chore. With None the thread has been struck off: under the same lock, as whoever queues a
    /// chore counts on the threads that are there.
    fn next(&self) -> Option<Arc<dyn Chore>> {
        let mut state = lock(&self.state);
        loop {
            if let Some(chore) = state.queue.pop_front() {
                return Some(chore);
            }
            if state.closed {
                state.threads -= 1;
                return None;
            }
            state.idle += 1;
            let (back, timeout) = self
                .work
                .wait_timeout(state, KEEP_ALIVE)
                .unwrap_or_else(|poison| poison.into_inner());
            state = back;
            state.idle -= 1;
            if timeout.timed_out() && state.queue.is_empty() {
                state.threads -= 1;
                return None;
            }
        }
    }

    /// Cancels what is queued and waits, for a bounded time, for what runs.
    pub(crate) fn close(&self) {
        if !self.process.is_current() {
            return;
        }
        let mut state = lock(&self.state);
        state.closed = true;
        let queued = std::mem::take(&mut state.queue);
        drop(state);
        self.work.notify_all();
        // Their jobs are gone, and the closures with them, unless a thread was just about to take them.
        drop(queued);
        let deadline = Instant::now() + CLOSE_WAIT;
        let mut state = lock(&self.state);
        while state.threads > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let threads = state.threads;
                drop(state);
                super::context::report(format_args!(
                    "{threads} blocking closures still run {CLOSE_WAIT:?} after their runtime has \
                     ended; they are left alone"
                ));
                return;
            }
            state = self.ended.wait_timeout(state, left).unwrap_or_else(|p| p.into_inner()).0;
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

/// A closure on its way, or its result.
struct Errand<F, T> {
    stage: Mutex<Stage<F, T>>,
}

enum Stage<F, T> {
    Queued(F, Option<Waker>),
    Running(Option<Waker>),
    Done(Result<T, Box<dyn Any + Send>>),
    /// Cancelled, or taken.
    Over,
}

impl<F, T> Errand<F, T> {
    /// Puts a stage in and gives back what was there, for the caller to drop outside of the lock.
    fn replace(&self, stage: Stage<F, T>) -> Stage<F, T> {
        std::mem::replace(&mut *lock(&self.stage), stage)
    }

    /// The result stands: wakes the job, or drops the result if the job is gone.
    fn deliver(&self, result: Result<T, Box<dyn Any + Send>>) {
        let mut stage = lock(&self.stage);
        let before = if matches!(*stage, Stage::Over) {
            Stage::Done(result)
        } else {
            std::mem::replace(&mut *stage, Stage::Done(result))
        };
        drop(stage);
        // Dropped or woken on this thread, which is nobody's home: a panic in here has no job.
        let contained = contain(|| match before {
            Stage::Queued(closure, waker) => {
                drop(closure);
                waker.into_iter().for_each(Waker::wake);
            }
            Stage::Running(waker) => waker.into_iter().for_each(Waker::wake),
            // The job was aborted while the closure ran.
            Stage::Done(Err(panic)) => Lost::anonymous(panic).tell(),
            Stage::Done(Ok(unwanted)) => drop(unwanted),
            Stage::Over => {}
        });
        if let Err(panic) = contained {
            super::context::report(format_args!(
                "the result of a cancelled blocking closure panicked when it was dropped: {}",
                crate::error::panic_text(&*panic)
            ));
        }
    }
}

impl<F, T> Chore for Errand<F, T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    fn run(&self) {
        let mut stage = lock(&self.stage);
        let closure = match std::mem::replace(&mut *stage, Stage::Over) {
            Stage::Queued(closure, waker) => {
                *stage = Stage::Running(waker);
                closure
            }
            _ => return,
        };
        drop(stage);
        self.deliver(contain(closure));
    }

    fn fail(&self, reason: &str) {
        self.deliver(Err(Box::new(reason.to_owned())));
    }
}

/// The future of a closure's result.
pub(crate) struct Waiting<F, T> {
    errand: Arc<Errand<F, T>>,
    /// Where the thread is that may have the errand.
    process: Process,
}

impl<F, T> Future for Waiting<F, T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // Cloned and dropped outside of the lock: it is foreign code.
        let fresh = context.waker().clone();
        let mut stage = lock(&self.errand.stage);
        let before = match &mut *stage {
            Stage::Queued(_, waker) | Stage::Running(waker) => waker.replace(fresh),
            Stage::Done(_) => {
                let done = std::mem::replace(&mut *stage, Stage::Over);
                drop(stage);
                return match done {
                    Stage::Done(Ok(value)) => Poll::Ready(value),
                    // The hook has spoken on the thread that panicked: the job only carries it on.
                    Stage::Done(Err(panic)) => std::panic::resume_unwind(panic),
                    _ => unreachable!("looked at under the same lock"),
                };
            }
            Stage::Over => unreachable!("a job is not polled after its end"),
        };
        drop(stage);
        drop(before);
        Poll::Pending
    }
}

impl<F, T> Drop for Waiting<F, T> {
    fn drop(&mut self) {
        if !self.process.is_current() && self.errand.stage.try_lock().is_err() {
            // The thread that had the lock when the process was forked is not here to give it back.
            return;
        }
        // A closure that has not begun is dropped here; one that runs finds nobody to deliver to.
        drop(self.errand.replace(Stage::Over));
    }
}

#[cfg(test)]
mod tests;
