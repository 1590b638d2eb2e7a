//! The ways to be called: a closure, an async closure; a task for each event is in [`super::cloner`].
//!
//! A face is what a registration calls; which one it is may change while the registration lives. The job
//! takes it out of its place before it calls it, and drops it with nothing borrowed.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::{IntoNext, Next, Outcome, outcome};
use crate::error::{BoxError, HandlerError};
use crate::job::registry::Lost;
use crate::job::{Payload, contain};
use crate::runtime::context;

/// What a registration calls.
pub(super) trait Face<I> {
    /// Handles an event, at once or in steps.
    fn call(&mut self, event: I, context: &mut Context<'_>) -> Poll<Outcome>;

    /// Whether it leaves `is_busy` and `poll_ready` as they are here, so that nobody need ask.
    fn is_plain(&self) -> bool {
        false
    }

    /// Whether an event is in progress.
    fn is_busy(&self) -> bool {
        false
    }

    /// Goes on with the event in progress.
    fn resume(&mut self, _: &mut Context<'_>) -> Poll<Outcome> {
        Poll::Ready(Ok(Next::Keep))
    }

    /// Whether another event may come, or somebody wants to end it all.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Outcome> {
        Poll::Ready(Ok(Next::Keep))
    }

    /// The source has ended: whether the last event has been handled.
    fn poll_finished(&mut self, _: &mut Context<'_>) -> Poll<Outcome> {
        Poll::Ready(Ok(Next::Keep))
    }

    /// It is being replaced: what it started goes on without it.
    fn retire(&mut self) {}

    /// The source is being reclaimed: if that comes from inside an event, that event runs to its end.
    fn spare(&mut self) {}
}

/// A face of any kind.
pub(super) type BoxFace<I> = Box<dyn Face<I>>;

/// A closure.
pub(super) fn plain<I, R: IntoNext>(handler: impl FnMut(I) -> R + 'static) -> BoxFace<I> {
    struct Plain<F>(F);
    impl<I, R: IntoNext, F: FnMut(I) -> R> Face<I> for Plain<F> {
        fn call(&mut self, event: I, _: &mut Context<'_>) -> Poll<Outcome> {
            Poll::Ready(outcome((self.0)(event)))
        }

        fn is_plain(&self) -> bool {
            true
        }
    }
    Box::new(Plain(handler))
}

/// A closure for the good half of a result.
pub(super) fn good<T, E, R>(mut handler: impl FnMut(T) -> R + 'static) -> BoxFace<Result<T, E>>
where
    T: 'static,
    E: Into<BoxError> + 'static,
    R: IntoNext,
{
    plain(move |event: Result<T, E>| match event {
        Ok(event) => handler(event).into_next(),
        Err(error) => Err(error.into()),
    })
}

/// An async closure, called with one event after the other.
pub(super) fn one_at_a_time<I: 'static, R: IntoNext + 'static>(
    mut handler: impl AsyncFnMut(I) -> R + 'static,
) -> BoxFace<I> {
    let exchange = Rc::new(Exchange { event: Cell::new(None), outcome: Cell::new(None) });
    let inner = Rc::clone(&exchange);
    // One future for all events: it borrows the closure for each in turn.
    let driver = async move {
        loop {
            let event = std::future::poll_fn(|_| match inner.event.take() {
                Some(event) => Poll::Ready(event),
                None => Poll::Pending,
            });
            let returned = handler(event.await).await;
            inner.outcome.set(Some(outcome(returned)));
        }
    };
    Box::new(OneAtATime { exchange, driver: Box::pin(driver), busy: false })
}

/// What passes between a registration and the driver of its async closure.
struct Exchange<I> {
    event: Cell<Option<I>>,
    outcome: Cell<Option<Outcome>>,
}

struct OneAtATime<I, D> {
    exchange: Rc<Exchange<I>>,
    driver: Pin<Box<D>>,
    busy: bool,
}

impl<I, D: Future<Output = std::convert::Infallible>> Face<I> for OneAtATime<I, D> {
    fn call(&mut self, event: I, context: &mut Context<'_>) -> Poll<Outcome> {
        self.exchange.event.set(Some(event));
        self.busy = true;
        self.resume(context)
    }

    fn is_busy(&self) -> bool {
        self.busy
    }

    fn resume(&mut self, context: &mut Context<'_>) -> Poll<Outcome> {
        let Poll::Pending = self.driver.as_mut().poll(context);
        match self.exchange.outcome.take() {
            Some(outcome) => {
                self.busy = false;
                Poll::Ready(outcome)
            }
            None => Poll::Pending,
        }
    }
}

/// Drops what belongs to a user; a panic in there is reported, and goes no further.
pub(super) fn discard<T>(value: T) {
    report_if_lost(contain(|| drop(value)));
}

/// Wakes what may be a user's waker; a panic in there is reported, and goes no further.
pub(super) fn wake(waker: Waker) {
    report_if_lost(contain(|| waker.wake()));
}

/// Reports a panic of user code that no result stands for, with the name of the job that runs.
pub(super) fn report_if_lost(contained: Result<(), Payload>) {
    let Err(panic) = contained else { return };
    let Some(worker) = context::try_current() else {
        return Lost::anonymous(panic).tell();
    };
    worker.lost_panic(match worker.running_job() {
        Some(job) => job.lost(panic),
        None => Lost::anonymous(panic),
    });
}

/// The error of a handler whose runtime has ended: there is nobody to tell but stderr.
pub(super) fn fail_alone(what: &dyn fmt::Display, error: HandlerError) {
    report_if_lost(contain(|| {
        if !error.is_connection_loss() {
            context::report(format_args!("{what} ended with an error: {error}"));
        }
        drop(error);
    }));
}
