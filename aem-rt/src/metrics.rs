//! What the runtime counts: always there, without a build flag.
//!
//! [`jobs`](crate::jobs) lists what lives on this worker, [`metrics`](crate::metrics()) sums up. Run
//! counts are exact. Times of handlers are measured at each run, neighbours sharing a reading of the
//! clock; times of tasks are estimates from one poll in 64, as a reading costs more than a wake. A turn
//! longer than 5 ms makes the next one timed job by job.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::job::Payload;
pub use crate::job::id::JobId;
pub use crate::job::registry::JobKind;
use crate::job::registry::{Facts, Lost, Sight};
use crate::queue::Priority;

/// How a job has fared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobStats {
    /// How often it ran. Exact.
    pub runs: u64,
    /// For how long, in all. Exact for handlers, an estimate for tasks.
    pub running: Duration,
    /// The longest run that was timed.
    pub longest: Duration,
    /// How long it waited in the queue, in all, to the accuracy of a turn. An estimate for tasks.
    pub queued: Duration,
    /// Events that its source gave. Exact; none for tasks.
    pub events: u64,
    /// How many of them were there before the handler was done with the one before: it is slower than its
    /// source, or they come in bursts. What becomes of them is said by
    /// [`keep_latest`](crate::Registration::keep_latest) and [`merge`](crate::Registration::merge).
    pub overruns: u64,
    /// How often the handler failed and [another followed](crate::Registration::restart).
    pub restarts: u64,
}

/// A job and how it has fared.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JobInfo {
    /// Its identity.
    pub id: JobId,
    /// The name that it was given.
    pub name: Option<Arc<str>>,
    /// Where it was made.
    pub location: &'static Location<'static>,
    /// Which job made it: spawned it, or registered the handler. Known if [causes are
    /// traced](crate::trace_causes), unless another thread made it.
    pub parent: Option<JobId>,
    /// Which job made it ready last: sent to it, or ended while it waited. Known if causes are traced, unless
    /// the kernel, the clock or another thread did.
    pub woken_by: Option<JobId>,
    /// What sort of job it is.
    pub kind: JobKind,
    /// How urgent it is.
    pub priority: Priority,
    /// How often it ran. Exact.
    pub runs: u64,
    /// For how long, in all. Exact for handlers, an estimate for tasks.
    pub running: Duration,
    /// The longest run that was timed.
    pub longest: Duration,
    /// How long it waited in the queue, in all, to the accuracy of a turn. An estimate for tasks.
    pub queued: Duration,
    /// Events that its source gave. Exact; none for tasks.
    pub events: u64,
    /// How many of them were there before the handler was done with the one before: it is slower than its
    /// source, or they come in bursts. What becomes of them is said by
    /// [`keep_latest`](crate::Registration::keep_latest) and [`merge`](crate::Registration::merge).
    pub overruns: u64,
    /// How often the handler failed and [another followed](crate::Registration::restart).
    pub restarts: u64,
}

impl JobInfo {
    pub(crate) fn new(sight: Sight<'_>) -> Self {
        let Sight { record, runs, priority, tally } = sight;
        let statistics = record.statistics;
        JobInfo {
            id: record.id,
            name: record.name.cloned(),
            location: record.location,
            parent: record.cause.parent,
            woken_by: record.cause.waker,
            kind: record.kind,
            priority,
            runs,
            running: Duration::from_nanos(statistics.running),
            longest: Duration::from_micros(u64::from(statistics.longest_us)),
            queued: Duration::from_nanos(statistics.queued),
            events: tally.events,
            overruns: u64::from(statistics.overruns),
            restarts: u64::from(tally.restarts),
        }
    }

    /// A job that has ended, and of which no more is known than at its birth.
    pub(crate) fn of_ended(id: JobId, facts: Facts) -> Self {
        let Facts { kind, location } = facts;
        let JobStats { runs, running, longest, queued, events, overruns, restarts } =
            JobStats::default();
        JobInfo {
            id,
            name: None,
            location,
            parent: None,
            woken_by: None,
            kind,
            priority: Priority::Normal,
            runs,
            running,
            longest,
            queued,
            events,
            overruns,
            restarts,
        }
    }

    /// A panic of this job that nobody read.
    pub(crate) fn lost(self, panic: Payload) -> Lost {
        Lost { id: Some(self.id), name: self.name, location: Some(self.location), panic }
    }

    pub(crate) fn stats(&self) -> JobStats {
        let JobInfo { runs, running, longest, queued, events, overruns, restarts, .. } = *self;
        JobStats { runs, running, longest, queued, events, overruns, restarts }
    }
}

impl fmt::Display for JobInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            JobKind::Main => "main",
            JobKind::Task => "task",
            JobKind::Handler => "handler",
            JobKind::Blocking => "blocking closure",
        };
        write!(f, "{kind} {}", self.id)?;
        if let Some(name) = &self.name {
            write!(f, " named {name:?}")?;
        }
        write!(f, " made at {}", self.location)
    }
}

/// Sums over a runtime.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Jobs with a record, at the last turn.
    pub jobs: u64,
    /// Jobs that were ready at the last turn.
    pub ready: u64,
    /// Timers that had not fired at the last turn.
    pub timers: u64,
    /// Operations that waited for the kernel at the last turn: accepts, receives, sends, watches of a
    /// descriptor.
    pub operations: u64,
    /// Descriptors that belonged to sources or streams at the last turn.
    pub descriptors: u64,
    /// Turns of the reactor so far.
    pub turns: u64,
    /// Turns that slept.
    pub sleeps: u64,
    /// Panics that nobody read.
    pub panics: u64,
    /// Detached handlers that ended with an error, but for lost connections.
    pub handler_errors: u64,
    /// Detached handlers that ended because the peer of a connection went away.
    pub connection_losses: u64,
}

/// What is there after a turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gauges {
    pub(crate) jobs: usize,
    pub(crate) ready: usize,
    pub(crate) timers: usize,
    pub(crate) operations: usize,
    pub(crate) descriptors: usize,
}

/// The sums, written by the worker and read by anybody.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    jobs: AtomicU64,
    ready: AtomicU64,
    timers: AtomicU64,
    operations: AtomicU64,
    descriptors: AtomicU64,
    turns: AtomicU64,
    sleeps: AtomicU64,
    panics: AtomicU64,
    handler_errors: AtomicU64,
    connection_losses: AtomicU64,
}

/// Adds one. The worker alone writes, so that a load and a store do; readers want no order.
fn bump(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

impl Counters {
    pub(crate) fn turn(&self, asleep: bool, gauges: Gauges) {
        bump(&self.turns);
        if asleep {
            bump(&self.sleeps);
        }
        let set = |gauge: &AtomicU64, value: usize| gauge.store(value as u64, Ordering::Relaxed);
        set(&self.jobs, gauges.jobs);
        set(&self.ready, gauges.ready);
        set(&self.timers, gauges.timers);
        set(&self.operations, gauges.operations);
        set(&self.descriptors, gauges.descriptors);
    }

    pub(crate) fn panic(&self) {
        bump(&self.panics);
    }

    pub(crate) fn handler_error(&self) {
        bump(&self.handler_errors);
    }

    pub(crate) fn connection_loss(&self) {
        bump(&self.connection_losses);
    }

    pub(crate) fn read(&self) -> Metrics {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Metrics {
            jobs: load(&self.jobs),
            ready: load(&self.ready),
            timers: load(&self.timers),
            operations: load(&self.operations),
            descriptors: load(&self.descriptors),
            turns: load(&self.turns),
            sleeps: load(&self.sleeps),
            panics: load(&self.panics),
            handler_errors: load(&self.handler_errors),
            connection_losses: load(&self.connection_losses),
        }
    }
}
