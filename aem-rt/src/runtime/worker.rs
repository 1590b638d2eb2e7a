//! One worker: one thread, one queue, one reactor.
//!
//! Its loop runs what is ready, up to a budget, reads its mail, and then takes a turn of the reactor: with
//! nothing to run the turn sleeps, else it only looks. The kernel is never entered merely because the
//! queue emptied once: mail and what it made ready come first.
//!
//! Promises: AWAKE (the sleep is announced in the word that every push changes), BOUND (the limits below),
//! OUTSIDE (jobs run in here with nothing borrowed).

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::Location;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::blocking::Pool;
use super::{Handle, PanicPolicy, context};
use crate::error::HandlerError;
use crate::job::Payload;
use crate::job::cell::Work;
use crate::job::id::JobId;
use crate::job::owner::{Home, Popped};
use crate::job::registry::{Facts, JobKind, Lost};
use crate::job::waker::JobRef;
use crate::metrics::{Counters, Gauges, JobInfo};
use crate::queue::Priority;
use crate::reactor::{Reactor, Wait};
use crate::sys::clock::{self, Reading};

/// So many jobs run before the kernel is looked at again. A look costs about 150 ns and the shortest job
/// 5 ns: with 256 the looks stay below a tenth, and a ready socket waits for 256 jobs at most before it is
/// seen.
pub const TURN_JOBS: usize = 256;

/// So many letters of other threads are read between two looks at the kernel.
const TURN_MAIL: usize = 1_024;

/// One in so many runs of tasks is timed. A reading of the clock costs more than a wake.
const SAMPLE: u32 = 64;

/// After a turn that ran for longer than this, the next one is timed job by job, so that the slow job gets a
/// name.
const SLOW_TURN_NS: u64 = 5_000_000;

/// What becomes of a handler that has failed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    Ended,
    /// Another takes its place after so long.
    Restarts(Duration),
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fate::Ended => f.write_str("ended with an error"),
            Fate::Restarts(rest) => write!(f, "failed, and goes on with a new handler in {rest:?}"),
        }
    }
}

/// Receives what detached handlers end with.
pub(crate) type OnError = dyn Fn(&JobInfo, &HandlerError);

/// The worker.
pub(crate) struct Worker {
    home: Home,
    reactor: Rc<Reactor>,
    handle: Handle,
    pool: Arc<Pool>,
    on_panic: PanicPolicy,
    on_error: Option<Box<OnError>>,
    counters: Arc<Counters>,
    /// Set by a panic under [`PanicPolicy::Shutdown`]: comes out of `block_on` when its future is done.
    resume: RefCell<Option<Payload>>,
    occupied: Cell<bool>,
    clock: Clock,
}

/// Readings of the clock, as few as will do.
struct Clock {
    source: clock::Clock,
    /// When each of the last 256 turns began.
    turns: RefCell<[Reading; 256]>,
    turn: Cell<u8>,
    /// The last reading, and what took time since.
    last: Cell<Reading>,
    since: Cell<Since>,
    /// Runs until the next one that is timed whatever it is.
    until_sample: Cell<u32>,
    every_job: Cell<bool>,
    /// Every job is timed whatever comes.
    always: Cell<bool>,
}

/// What has taken time since the last reading of the clock.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Since {
    Nothing,
    /// Work of the runtime's own, which no job is charged for.
    Chores,
    /// Runs that were not timed.
    Runs,
}

impl Clock {
    fn new(source: clock::Clock, now: Reading) -> Self {
        Clock {
            source,
            turns: RefCell::new([now; 256]),
            turn: Cell::new(0),
            last: Cell::new(now),
            since: Cell::new(Since::Runs),
            until_sample: Cell::new(SAMPLE),
            every_job: Cell::new(false),
            always: Cell::new(false),
        }
    }

    /// The last reading if nothing has taken time since, else a new one.
    fn now(&self) -> Reading {
        if self.since.get() == Since::Nothing { self.last.get() } else { self.source.read() }
    }

    /// When the last run ended, or a little later.
    fn end_of_runs(&self) -> Reading {
        if self.since.get() == Since::Runs { self.source.read() } else { self.last.get() }
    }

    /// Reads the clock at the end of a timed run.
    fn end_of_run(&self) -> Reading {
        let end = self.source.read();
        self.read(end);
        end
    }

    /// A reading was taken, and nothing has run since.
    fn read(&self, now: Reading) {
        self.last.set(now);
        self.since.set(Since::Nothing);
    }

    /// Something else than a job has taken time, and none is charged for it.
    fn passed(&self) {
        if self.since.get() == Since::Nothing {
            self.since.set(Since::Chores);
        }
    }

    /// From the next run on, times every job, or one in [`SAMPLE`].
    fn time_every_job(&self, every: bool) {
        let every = every || self.always.get();
        if every != self.every_job.replace(every) {
            self.until_sample.set(if every { 1 } else { SAMPLE });
        }
    }

    fn turn_began(&self) -> Reading {
        self.turns.borrow()[usize::from(self.turn.get())]
    }
}

/// The main future's place in the queue: the future itself stands on the stack of `block_on`.
struct Root {
    awake: Rc<Cell<bool>>,
}

impl Work for Root {
    fn run(self: Pin<&Self>, _: &mut Context<'_>) -> Poll<()> {
        self.awake.set(true);
        Poll::Pending
    }

    fn cancel(self: Pin<&Self>) {}
}

impl Worker {
    pub(crate) fn new(
        home: Home,
        reactor: Rc<Reactor>,
        settings: super::Settings,
        handle: Handle,
    ) -> Rc<Self> {
        let super::Settings { on_panic, on_error, counters, pool } = settings;
        let clock = Clock::new(reactor.clock().clone(), reactor.turn_reading());
        let (resume, occupied) = (RefCell::new(None), Cell::new(false));
        Rc::new(Worker {
            home,
            reactor,
            handle,
            pool,
            on_panic,
            on_error,
            counters,
            resume,
            occupied,
            clock,
        })
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    pub(crate) fn reactor(&self) -> &Rc<Reactor> {
        &self.reactor
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Makes a job; at the end of the runtime it is born cancelled.
    #[inline]
    pub(crate) fn spawn<W: Work>(
        &self,
        work: W,
        kind: JobKind,
        location: &'static Location<'static>,
    ) -> (JobRef, JobId) {
        self.home.here().spawn(work, Priority::Normal, Facts { kind, location })
    }

    /// As [`spawn`](Self::spawn), as urgent as the timed job that runs now.
    pub(crate) fn spawn_alike<W: Work>(
        &self,
        work: W,
        kind: JobKind,
        location: &'static Location<'static>,
    ) -> (JobRef, JobId) {
        let running = self.home.info(self.home.running(), |sight| sight.priority);
        let priority = running.unwrap_or(Priority::Normal);
        self.home.here().spawn(work, priority, Facts { kind, location })
    }

    /// Runs jobs until the future is done.
    pub(crate) fn block_on<F: Future>(
        self: &Rc<Self>,
        future: F,
        location: &'static Location<'static>,
    ) -> F::Output {
        struct Vacate<'a>(&'a Worker, JobRef);
        impl Drop for Vacate<'_> {
            fn drop(&mut self) {
                self.0.occupied.set(false);
                // The next run of the queue strikes it out.
                self.1.abort();
            }
        }
        let _inside = context::enter(self);
        self.occupied.set(true);
        let facts = Facts { kind: JobKind::Main, location };
        let awake = Rc::new(Cell::new(false));
        let (root, _) =
            self.home.here().make(Root { awake: Rc::clone(&awake) }, Priority::Normal, facts);
        let root = Vacate(self, root);
        let waker = root.1.waker();
        let mut future = pin!(future);
        let mut context = Context::from_waker(&waker);
        root.1.wake();
        loop {
            let mut left = TURN_JOBS;
            while left > 0 {
                let Some(job) = self.home.pop() else {
                    // The chain of ready jobs has ended: what it had to send goes out, and that or
                    // mail may start a new one.
                    self.reactor.flush();
                    self.home.drain(TURN_MAIL);
                    self.clock.passed();
                    if !self.home.has_ready() {
                        break;
                    }
                    continue;
                };
                left -= 1;
                self.run(job);
                if self.reactor.has_much_queued() {
                    self.reactor.flush();
                }
                if awake.replace(false)
                    && let Poll::Ready(output) =
                        self.run_main(&root.1, || future.as_mut().poll(&mut context))
                {
                    self.attend_to_panics();
                    self.resume_panic();
                    return output;
                }
            }
            if left == 0 {
                // Jobs that keep each other busy keep nobody's mail unread.
                self.home.drain(TURN_MAIL);
                self.clock.passed();
            }
            self.attend_to_panics();
            self.turn();
        }
    }

    /// Whether a `block_on` is under way.
    pub(crate) fn is_occupied(&self) -> bool {
        self.occupied.get()
    }

    /// A turn of the reactor: a look at the kernel if there is something to run, else a sleep.
    fn turn(&self) {
        // Before the mark of the sleep is set, which a panic in the turn itself would leave behind.
        self.reactor.refuse_forked();
        let before = self.clock.turn_began();
        // Mail that is not read keeps it from sleeping as well.
        let asleep = !self.home.has_ready() && self.home.sleep();
        if asleep {
            self.clock.time_every_job(self.clock.end_of_runs().since(before) > SLOW_TURN_NS);
        }
        // What becomes ready in this turn is stamped with it.
        let turn = self.clock.turn.get().wrapping_add(1);
        self.clock.turn.set(turn);
        self.home.set_stamp(turn);
        let turned = self.reactor.turn(if asleep { Wait::Sleep } else { Wait::Poll });
        if asleep {
            self.home.awake();
        }
        if let Err(error) = turned {
            // The wait call fails only if its arguments or its descriptor are wrong: nothing can be waited
            // for any more, and every job would hang.
            panic!("the reactor cannot wait for events: {error}");
        }
        let now = self.reactor.turn_reading();
        if !asleep {
            self.clock.time_every_job(now.since(before) > SLOW_TURN_NS);
        }
        self.clock.turns.borrow_mut()[usize::from(turn)] = now;
        self.clock.read(now);
        let (operations, descriptors) = self.reactor.operations_and_descriptors();
        self.counters.turn(
            asleep,
            Gauges {
                jobs: self.home.registered(),
                ready: self.home.ready_len(),
                timers: self.reactor.timers(),
                operations,
                descriptors,
            },
        );
    }

    /// Runs one job, with a clock beside it if it is one that is timed.
    #[inline]
    fn run(&self, job: Popped) {
        let left = self.clock.until_sample.get() - 1;
        if left == 0 || job.is_timed() {
            return self.run_timed(job);
        }
        self.clock.until_sample.set(left);
        self.clock.since.set(Since::Runs);
        self.home.run(job);
    }

    /// Polls the main future, just after the run of its job: if that was timed, this is what took the time.
    #[inline]
    fn run_main<R>(&self, job: &JobRef, poll: impl FnOnce() -> R) -> R {
        if self.clock.since.get() != Since::Nothing {
            return poll();
        }
        let (slot, start) = (job.header().slot(), self.clock.last.get());
        struct Back<'a>(&'a Home, u32);
        impl Drop for Back<'_> {
            fn drop(&mut self) {
                self.0.set_running(self.1);
            }
        }
        // A panic of the main future leaves `block_on` by way of here.
        let back = Back(&self.home, self.home.set_running(slot));
        let result = poll();
        drop(back);
        let weight = if self.clock.every_job.get() { 1 } else { u64::from(SAMPLE) };
        self.account(slot, self.clock.end_of_run().since(start), 0, weight);
        result
    }

    fn run_timed(&self, job: Popped) {
        let clock = &self.clock;
        let sampled = clock.until_sample.get() == 1;
        if sampled {
            clock.until_sample.set(if clock.every_job.get() { 1 } else { SAMPLE });
        }
        let every = job.is_timed() || clock.every_job.get();
        let weight = if every { 1 } else { u64::from(SAMPLE) };
        let (slot, ready) = (job.slot(), usize::from(job.stamp()));
        let start = clock.now();
        let outer = self.home.set_running(slot);
        self.home.run(job);
        self.home.set_running(outer);
        let running = clock.end_of_run().since(start);
        let queued = start.since(clock.turns.borrow()[ready]);
        self.account(slot, running, queued, weight);
    }

    /// Adds a run of so many nanoseconds, which stands for `weight` runs, to a job's statistics.
    fn account(&self, slot: u32, running: u64, queued: u64, weight: u64) {
        // Gone, if this run was its last and nobody holds it.
        self.home.with_statistics(slot, |of| {
            of.running += running * weight;
            of.queued += queued * weight;
            if running > u64::from(of.longest_us) * 1_000 {
                of.longest_us = u32::try_from(running.div_ceil(1_000)).unwrap_or(u32::MAX);
            }
        });
    }

    /// Does with panics that nobody read what the policy says.
    #[inline]
    fn attend_to_panics(&self) {
        if self.home.has_lost() {
            self.attend_to_lost();
        }
    }

    #[cold]
    fn attend_to_lost(&self) {
        for lost in self.home.take_lost() {
            self.attend_to(lost);
        }
    }

    fn attend_to(&self, lost: Lost) {
        context::report(format_args!("{lost}"));
        self.follow_policy(lost.panic);
    }

    /// Does what is to be done about a panic that nobody read, but for the line.
    fn follow_policy(&self, panic: Payload) {
        self.counters.panic();
        let unwanted = match self.on_panic {
            PanicPolicy::Report => Some(panic),
            PanicPolicy::Abort => std::process::abort(),
            PanicPolicy::Shutdown => {
                self.shutdown();
                // The first one comes out of `block_on`; the others have been reported.
                let mut resume = self.resume.borrow_mut();
                if resume.is_none() {
                    *resume = Some(panic);
                    None
                } else {
                    Some(panic)
                }
            }
        };
        unwanted.into_iter().for_each(crate::job::dispose);
    }

    #[inline]
    fn resume_panic(&self) {
        if self.resume.borrow().is_some() {
            self.resume_it();
        }
    }

    #[cold]
    fn resume_it(&self) {
        let panic = self.resume.borrow_mut().take();
        if let Some(panic) = panic {
            std::panic::resume_unwind(panic);
        }
    }

    /// Cancels every job but the main future; new ones are born cancelled.
    pub(crate) fn shutdown(&self) {
        self.home.begin_closing();
        self.home.abort_all(Some(JobKind::Main));
        self.reactor.request_shutdown();
    }

    /// Has it noted which job makes which other ready, or no longer. As it must be known which one runs, all
    /// are timed then.
    pub(crate) fn trace_causes(&self, on: bool) {
        self.clock.always.set(on);
        self.clock.time_every_job(on);
        self.home.trace_causes(on);
    }

    /// Counts an overrun of the job that runs now, if it is a timed one.
    pub(crate) fn note_overrun(&self) {
        self.home.with_statistics(self.home.running(), |of| {
            of.overruns = of.overruns.saturating_add(1);
        });
    }

    /// What is known of the job that runs now, if it is a timed one.
    pub(crate) fn running_job(&self) -> Option<JobInfo> {
        self.home.info(self.home.running(), JobInfo::new)
    }

    /// All jobs that have not ended.
    pub(crate) fn jobs(&self) -> Vec<JobInfo> {
        let mut jobs = Vec::new();
        self.home.for_each(|sight| jobs.push(JobInfo::new(sight)));
        jobs
    }

    /// A handler failed with an error, or a panic, and nobody else will hear of it.
    pub(crate) fn handler_failed(&self, job: &JobInfo, error: HandlerError, fate: Fate) {
        if error.is_connection_loss() && self.on_error.is_none() {
            self.counters.connection_loss();
        } else {
            self.counters.handler_error();
            // The error's own text is the user's code, as `on_error` is.
            let reported = crate::job::contain(|| match &self.on_error {
                Some(on_error) => on_error(job, &error),
                None => context::report(format_args!("{job} {fate}: {error}")),
            });
            if let Err(panic) = reported {
                self.attend_to(Lost::anonymous(panic));
            }
        }
        // What another handler takes up after is nobody's end.
        if error.is_panic() && matches!(fate, Fate::Ended) {
            self.follow_policy(error.into_panic());
        } else if let Err(panic) = crate::job::contain(|| drop(error)) {
            self.attend_to(Lost::anonymous(panic));
        }
    }

    /// A panic in user code that no job stands for.
    pub(crate) fn lost_panic(&self, lost: Lost) {
        self.attend_to(lost);
    }

    /// Ends all jobs, flushes what is queued for at most `flush`, and closes the reactor. In a forked child
    /// nothing is flushed and nobody is waited for.
    pub(crate) fn end(self: &Rc<Self>, flush: Duration) {
        let _inside = context::enter(self);
        let left = self.home.finish();
        if left > 0 {
            context::report(format_args!(
                "{left} jobs were left behind at the end of the runtime: their destructors kept \
                 spawning new ones"
            ));
        }
        self.attend_to_panics();
        self.reactor.close(flush);
        self.pool.close();
        self.attend_to_panics();
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("home", &self.home).finish_non_exhaustive()
    }
}
