//! Sleeps, timeouts and ticks.
//!
//! A [`Sleep`] is a deadline and, once it has been polled, a place in the worker's timer wheel; a
//! [`Timeout`] is a future beside a sleep; [`Ticks`] is a sleep that begins again. None of them
//! belongs to a runtime: each waits on the one that polls it. All instants are those of `std`, read
//! from the runtime's clock by [`now`].
//!
//! It promises: nothing fires before its deadline, and at most a slack (`Builder::timer_slack`)
//! after it the kernel is asked to wake the worker; what is dropped leaves nothing behind; what
//! lies further away than an [`Instant`] can say, as after [`Duration::MAX`], is never.
//!
//! ```
//! # #[aem::main] async fn main() -> aem::Result {
//! use std::time::Duration;
//! use aem::time::{every, sleep, timeout};
//!
//! sleep(Duration::from_millis(2)).await;
//!
//! let slow = sleep(Duration::from_secs(3600));
//! assert!(timeout(Duration::from_millis(2), slow).await.is_err());
//!
//! let mut ticks = every(Duration::from_millis(1));
//! let (first, second) = (ticks.tick().await, ticks.tick().await);
//! assert!(second.scheduled > first.scheduled);
//! # Ok(()) }
//! ```

mod sleep;
mod ticks;
mod timeout;

use std::future::IntoFuture;
use std::time::{Duration, Instant};

pub use sleep::Sleep;
pub use ticks::{Missed, Tick, TickFuture, Ticks};
pub use timeout::{Elapsed, Timeout};

use crate::runtime::context;

/// The time on the clock of this thread's runtime; outside of one, the system's.
///
/// It is read anew at each call.
#[must_use]
pub fn now() -> Instant {
    context::try_reactor().map_or_else(Instant::now, |reactor| reactor.now())
}

/// Waits until `duration` from now has passed.
///
/// The time counts from this call, not from the first poll. A duration of zero lets everything
/// that is ready run once before it goes on; one that no [`Instant`] can express never ends.
///
/// # Cancel safety
///
/// Dropping it takes its timer out of the wheel and has no other effect.
pub fn sleep(duration: Duration) -> Sleep {
    Sleep::new(now().checked_add(duration))
}

/// Waits until `deadline`.
///
/// # Cancel safety
///
/// As for [`sleep`](sleep()).
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep::new(Some(deadline))
}

/// Gives `future` until `duration` from now to complete, and drops it then.
///
/// The future is always polled before the clock is looked at, so one that is ready at once succeeds
/// even with no time at all.
///
/// # Errors
///
/// [`Elapsed`], if the time passed first. It turns into an `io::Error` of kind `TimedOut` by `?`.
///
/// # Cancel safety
///
/// That of the future inside.
///
/// ```
/// # #[aem::main] async fn main() -> std::io::Result<()> {
/// use std::time::Duration;
/// let answer = aem::time::timeout(Duration::from_secs(1), async { 42 }).await?;
/// assert_eq!(answer, 42);
/// # Ok(()) }
/// ```
pub fn timeout<F: IntoFuture>(duration: Duration, future: F) -> Timeout<F::IntoFuture> {
    Timeout::new(sleep(duration), future.into_future())
}

/// A source of one tick, `duration` from now.
///
/// ```no_run
/// # use std::time::Duration;
/// # fn main() {
/// aem::on(aem::time::after(Duration::from_secs(5)), |tick| println!("{:?} late", tick.late)).detach();
/// # }
/// ```
pub fn after(duration: Duration) -> Ticks {
    Ticks::once(now().checked_add(duration))
}

/// A source of ticks, each a `period` after the one before, the first of them a `period` from now.
///
/// The schedule is fixed when this is called and does not drift, however late a tick is taken. What
/// becomes of ticks that nobody took in time is said by [`Ticks::missed`].
///
/// # Panics
///
/// If `period` is zero: ticks without end at one instant would leave time for nothing else.
pub fn every(period: Duration) -> Ticks {
    assert!(!period.is_zero(), "aem::time::every needs a period longer than zero");
    Ticks::periodic(now().checked_add(period), period)
}

#[cfg(test)]
mod tests;
