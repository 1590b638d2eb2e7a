//! A source of ticks on a schedule.
//!
//! The schedule is a start and a period. Every tick is computed from the one before by adding whole
//! periods, never from the time at which it was taken, so the ticks do not drift; only
//! [`Missed::Delay`] begins a new schedule, on purpose, when a tick comes a period or more late.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures::future::FusedFuture;
use futures::stream::{FusedStream, Stream};

use super::Sleep;

/// What becomes of ticks whose time passed before the one ahead of them was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Missed {
    /// They are left out and counted; the next tick is the next one of the schedule.
    #[default]
    Skip,
    /// They follow at once, one after the other, until the schedule is reached again.
    Burst,
    /// They are left out and counted; a new schedule begins with the tick that came late.
    Delay,
}

/// One tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tick {
    /// When the schedule wanted it.
    pub scheduled: Instant,
    /// How long after that it was taken.
    pub late: Duration,
    /// How many more were due by then and will not come.
    pub missed: u64,
}

/// The source of [`after`](super::after) and [`every`](super::every).
///
/// It is a fused stream: give it a handler with `aem::on`, or await its [`tick`](Ticks::tick).
#[derive(Debug)]
#[must_use = "ticks come only while somebody takes them"]
pub struct Ticks {
    /// Until the next tick.
    sleep: Sleep,
    /// `None` for a single tick.
    period: Option<Duration>,
    policy: Missed,
}

impl Ticks {
    pub(super) fn once(at: Option<Instant>) -> Ticks {
        Ticks { sleep: Sleep::new(at), period: None, policy: Missed::default() }
    }

    pub(super) fn periodic(first: Option<Instant>, period: Duration) -> Ticks {
        Ticks { sleep: Sleep::new(first), period: Some(period), policy: Missed::default() }
    }

    /// What becomes of ticks that are not taken in time; [`Missed::Skip`] unless said.
    ///
    /// ```
    /// # #[aem::main] async fn main() {
    /// use std::time::Duration;
    /// use aem::time::{Missed, every};
    ///
    /// let mut ticks = every(Duration::from_millis(1)).missed(Missed::Burst);
    /// std::thread::sleep(Duration::from_millis(5));
    /// for _ in 0..5 {
    ///     assert_eq!(ticks.tick().await.missed, 0);
    /// }
    /// # }
    /// ```
    pub fn missed(mut self, policy: Missed) -> Ticks {
        self.policy = policy;
        self
    }

    /// The next tick.
    ///
    /// After the one tick of [`after`](super::after) there is none, and this waits for ever; its
    /// stream says so by ending.
    ///
    /// # Cancel safety
    ///
    /// A tick that has come and was not taken is taken by the next call (KEPT).
    pub fn tick(&mut self) -> TickFuture<'_> {
        TickFuture { ticks: Some(self) }
    }

    /// The tick that was due at `scheduled`, and with it the deadline of the next.
    fn take(&mut self, scheduled: Instant) -> Tick {
        let now = super::now();
        let late = now.saturating_duration_since(scheduled);
        let Some(period) = self.period else {
            return Tick { scheduled, late, missed: 0 };
        };
        let (next, missed) = follow(self.policy, scheduled, period, now);
        self.sleep.set_deadline(next);
        Tick { scheduled, late, missed }
    }

    fn is_over(&self) -> bool {
        self.period.is_none() && self.sleep.is_terminated()
    }
}

/// When the tick after the one of `scheduled` comes, which is taken `now`, and how many are missed.
fn follow(
    policy: Missed,
    scheduled: Instant,
    period: Duration,
    now: Instant,
) -> (Option<Instant>, u64) {
    let late = now.saturating_duration_since(scheduled);
    if late < period || policy == Missed::Burst {
        return (scheduled.checked_add(period), 0);
    }
    // Late by a period at least. A quotient beyond u64 would take 584 years of nanoseconds.
    let missed = u64::try_from(late.as_nanos() / period.as_nanos()).unwrap_or(u64::MAX);
    if policy == Missed::Delay {
        return (now.checked_add(period), missed);
    }
    let into_period = late.as_nanos() % period.as_nanos();
    let into_period = Duration::from_nanos(u64::try_from(into_period).unwrap_or(u64::MAX));
    (now.checked_add(period.saturating_sub(into_period)), missed)
}

impl Stream for Ticks {
    type Item = Tick;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Tick>> {
        if self.is_over() {
            return Poll::Ready(None);
        }
        ready!(Pin::new(&mut self.sleep).poll(cx));
        // A sleep that has ended had a deadline.
        let tick = self.sleep.deadline().map(|scheduled| self.take(scheduled));
        Poll::Ready(tick)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self.period {
            Some(_) => (0, None),
            None => (0, Some(usize::from(!self.is_over()))),
        }
    }
}

impl FusedStream for Ticks {
    fn is_terminated(&self) -> bool {
        self.is_over()
    }
}

/// The future of [`Ticks::tick`].
#[derive(Debug)]
#[must_use = "a tick is taken only if it is awaited or polled"]
pub struct TickFuture<'a> {
    ticks: Option<&'a mut Ticks>,
}

impl Future for TickFuture<'_> {
    type Output = Tick;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Tick> {
        let Some(ticks) = &mut self.ticks else { return Poll::Pending };
        match ready!(Pin::new(&mut **ticks).poll_next(cx)) {
            Some(tick) => {
                self.ticks = None;
                Poll::Ready(tick)
            }
            None => Poll::Pending,
        }
    }
}

impl FusedFuture for TickFuture<'_> {
    fn is_terminated(&self) -> bool {
        self.ticks.is_none()
    }
}
