//! A future that is ready when its deadline has passed.
//!
//! Making one costs a reading of the clock. The timer is inserted at the first poll that finds the
//! deadline ahead, and taken out by `Drop`; its waker is dropped where no borrow is held (OUTSIDE).
//! Whether the deadline has passed is asked of the reading of the present turn, which the reactor
//! took anyway: the timer was fired by that same reading.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::future::FusedFuture;

use crate::reactor::{Reactor, TimerKey};
use crate::runtime::context;

/// The future of [`sleep`](super::sleep()) and [`sleep_until`](super::sleep_until).
///
/// It waits on the runtime that polls it, and may be moved from one to another.
#[must_use = "a sleep does nothing unless it is awaited or polled"]
pub struct Sleep {
    /// `None` is never.
    deadline: Option<Instant>,
    timer: Option<(Rc<Reactor>, TimerKey)>,
    done: bool,
}

impl Sleep {
    pub(super) fn new(deadline: Option<Instant>) -> Sleep {
        Sleep { deadline, timer: None, done: false }
    }

    /// When it ends; `None` is never.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Begins again with another deadline, whether it has ended or not.
    ///
    /// A task that waits in it notices at its next poll, so this is for the one who polls: for
    /// idle timeouts, say, that each event puts off.
    ///
    /// ```
    /// # #[aem::main] async fn main() {
    /// use std::time::Duration;
    /// use aem::time::{now, sleep};
    ///
    /// let mut idle = sleep(Duration::from_millis(1));
    /// (&mut idle).await;
    /// idle.reset(now() + Duration::from_millis(1));
    /// idle.await;
    /// # }
    /// ```
    pub fn reset(&mut self, deadline: Instant) {
        self.set_deadline(Some(deadline));
    }

    /// Begins again, to end `duration` from now.
    pub fn reset_after(&mut self, duration: Duration) {
        self.set_deadline(super::now().checked_add(duration));
    }

    pub(super) fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.remove_timer();
        self.deadline = deadline;
        self.done = false;
    }

    /// Waits on in the wheel that it is in, or goes into the wheel of `reactor`.
    fn wait(&mut self, reactor: Rc<Reactor>, deadline: Instant, cx: &Context<'_>) {
        if let Some((home, key)) = &self.timer
            && Rc::ptr_eq(home, &reactor)
            && reactor.set_timer_waker(*key, cx.waker())
        {
            return;
        }
        self.remove_timer();
        let key = reactor.insert_timer(deadline, cx.waker().clone());
        self.timer = Some((reactor, key));
    }

    fn remove_timer(&mut self) {
        if let Some((reactor, key)) = self.timer.take() {
            // The waker may be anyone's. It is dropped here, after the wheel was given back.
            drop(reactor.remove_timer(key));
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.done {
            return Poll::Ready(());
        }
        let reactor = context::reactor();
        let Some(deadline) = self.deadline else { return Poll::Pending };
        if deadline <= reactor.turn_time() {
            self.remove_timer();
            self.done = true;
            return Poll::Ready(());
        }
        self.wait(reactor, deadline, cx);
        Poll::Pending
    }
}

impl FusedFuture for Sleep {
    fn is_terminated(&self) -> bool {
        self.done
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.remove_timer();
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Sleep");
        text.field("deadline", &self.deadline).field("done", &self.done).finish_non_exhaustive()
    }
}
