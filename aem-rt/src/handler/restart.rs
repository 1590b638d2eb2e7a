//! Going on after a failure: how often, how soon, and with what.
//!
//! A [`Restart`] says how many failures within which time are borne, and how long to wait after each. A
//! [`Supervisor`] is that and a way to make the next handler of a registration, which keeps its source and
//! every event in it. [`supervise`] does the same for a whole job, source and all: it makes it anew.
//!
//! The idea is Erlang's, of its supervisors: what is in doubt is dropped and made again, and what fails too
//! often is given up and told of (Armstrong 2003).

use std::collections::VecDeque;
use std::fmt;
use std::panic::Location;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::face::{BoxFace, fail_alone};
use crate::error::{BoxError, HandlerError};
use crate::job::join::JoinHandle;
use crate::job::registry::{Facts, JobKind};
use crate::metrics::JobInfo;
use crate::runtime::{Fate, context};
use crate::time::{Sleep, now, sleep};

/// How often, and how soon, something that failed is begun again.
///
/// ```
/// use std::time::Duration;
/// use aem::Restart;
///
/// // Ten times within a minute; after 50 ms at first, then after twice as long each time, up to 5 s.
/// let restart = Restart::new()
///     .times(10)
///     .within(Duration::from_secs(60))
///     .back_off(Duration::from_millis(50), Duration::from_secs(5));
/// # let _ = restart;
/// ```
#[derive(Clone, Debug)]
pub struct Restart {
    times: u32,
    within: Duration,
    first: Duration,
    longest: Duration,
    /// When it failed, as far as that counts.
    failures: VecDeque<Instant>,
}

impl Restart {
    /// Five times within ten seconds; after 10 ms at first, then twice as long each time, up to a second.
    pub fn new() -> Self {
        Restart {
            times: 5,
            within: Duration::from_secs(10),
            first: Duration::from_millis(10),
            longest: Duration::from_secs(1),
            failures: VecDeque::new(),
        }
    }

    /// How many failures are borne [within](Self::within) a time. One more is the end.
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// The time in which failures are counted. After so long without one, all are forgotten.
    pub fn within(mut self, time: Duration) -> Self {
        self.within = time;
        self
    }

    /// How long to wait after the first failure, and at most. In between it doubles with each failure that
    /// counts.
    pub fn back_off(mut self, first: Duration, longest: Duration) -> Self {
        (self.first, self.longest) = (first, longest);
        self
    }

    /// Notes a failure. How long to wait for the next beginning; none if that was once too often.
    fn rest_after(&mut self, failure: Instant) -> Option<Duration> {
        let is_over = |then: &Instant| failure.saturating_duration_since(*then) > self.within;
        while self.failures.front().is_some_and(is_over) {
            self.failures.pop_front();
        }
        let before = u32::try_from(self.failures.len()).unwrap_or(u32::MAX);
        if before >= self.times {
            return None;
        }
        self.failures.push_back(failure);
        let factor = 1_u32.checked_shl(before).unwrap_or(u32::MAX);
        Some(self.first.saturating_mul(factor).min(self.longest))
    }
}

impl Default for Restart {
    fn default() -> Self {
        Restart::new()
    }
}

/// Makes the next handler of a registration when one has failed.
pub(super) struct Supervisor<I> {
    restart: Restart,
    make: Box<dyn FnMut() -> BoxFace<I>>,
    rest: Option<Sleep>,
}

impl<I> Supervisor<I> {
    pub(super) fn new(restart: Restart, make: impl FnMut() -> BoxFace<I> + 'static) -> Self {
        Supervisor { restart, make: Box::new(make), rest: None }
    }

    /// The handler has failed just now. How long the next one has to wait; none if it was once too often.
    pub(super) fn rest_after_failure(&mut self) -> Option<Duration> {
        let rest = self.restart.rest_after(now())?;
        self.rest = (!rest.is_zero()).then(|| sleep(rest));
        Some(rest)
    }

    /// The next handler. It may run when [`poll_rested`](Self::poll_rested) says so.
    pub(super) fn make(&mut self) -> BoxFace<I> {
        (self.make)()
    }

    /// Waits until the time after a failure has passed.
    pub(super) fn poll_rested(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(rest) = &mut self.rest else { return Poll::Ready(()) };
        let rested = std::pin::Pin::new(rest).poll(context);
        if rested.is_ready() {
            self.rest = None;
        }
        rested
    }
}

impl<I> fmt::Debug for Supervisor<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor").field("restart", &self.restart).finish_non_exhaustive()
    }
}

/// Keeps something going: makes a job, and makes it again when that ends with an error or a panic.
///
/// `make` gives the future of each life; a [`Registration`](crate::Registration) is one. Each life is a job
/// of its own, so that its panic is no other's. What a life ended with goes to
/// [`Builder::on_error`](crate::Builder::on_error) if another follows; the error of the last one is the
/// output of the supervisor, as is what a life gives that ends well.
///
/// To keep the source, and begin anew with the handler only, use
/// [`Registration::restart`](crate::Registration::restart).
///
/// ```
/// # aem::block_on(async {
/// let mut attempts = 0;
/// let answer = aem::supervise(aem::Restart::new(), move || {
///     attempts += 1;
///     let attempt = attempts;
///     async move {
///         if attempt < 3 { Err(std::io::Error::other("not yet")) } else { Ok(attempt) }
///     }
/// });
/// assert_eq!(answer.await??, 3);
/// # Ok::<(), aem::BoxError>(())
/// # }).unwrap();
/// ```
///
/// # Panics
/// Outside of a runtime. A panic of `make` is the supervisor's own.
///
/// # Cancel safety
/// Aborting the job that comes back cancels the life that runs now.
#[track_caller]
pub fn supervise<M, F, T, E>(
    mut restart: Restart,
    mut make: M,
) -> JoinHandle<Result<T, HandlerError>>
where
    M: FnMut() -> F + 'static,
    F: Future<Output = Result<T, E>> + 'static,
    T: 'static,
    E: Into<BoxError> + 'static,
{
    let location = Location::caller();
    let facts = Facts { kind: JobKind::Task, location };
    let lives = async move {
        loop {
            let life = context::here(|here| JoinHandle::spawn(here, make(), facts));
            let id = life.id();
            let error = match life.abort_on_drop().await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(error)) => HandlerError::from_box(error.into()),
                Err(end) => match end.into_payload() {
                    Some(panic) => HandlerError::new_panic(panic),
                    // The runtime ends, and this job with it.
                    None => std::future::pending().await,
                },
            };
            let Some(rest) = restart.rest_after(now()) else { return Err(error) };
            match context::try_current() {
                Some(worker) => {
                    let life = JobInfo::of_ended(id, facts);
                    worker.handler_failed(&life, error, Fate::Restarts(rest));
                }
                None => fail_alone(&format_args!("the job made at {location}"), error),
            }
            sleep(rest).await;
        }
    };
    context::here(|here| JoinHandle::spawn(here, lives, facts))
}

#[cfg(test)]
mod tests;
