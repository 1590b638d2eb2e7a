//! The ways to be called: a closure, an async closure, a task for each event.
//!
//! A face is what a registration calls; which one it is may change while the registration lives. The job
//! takes it out of its place before it calls it, and drops it with nothing borrowed.

use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use slab::Slab;

use super::{IntoNext, Next, Outcome, outcome};
use crate::error::{BoxError, HandlerError};
use crate::job::contain;
use crate::job::registry::{JobKind, Lost};
use crate::job::task::Task;
use crate::job::waker::JobRef;
use crate::metrics::JobInfo;
use crate::runtime::context;

/// What a registration calls.
pub(super) trait Face<I> {
    /// Handles an event, at once or in steps.
    fn call(&mut self, event: I, context: &mut Context<'_>) -> Poll<Outcome>;

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

/// A task for each event, at most `limit` at once.
#[track_caller]
pub(super) fn each<I: 'static, R: IntoNext + 'static>(
    limit: usize,
    handler: impl AsyncFn(I) -> R + 'static,
) -> BoxFace<I> {
    assert!(limit > 0, "on_each with a limit of zero would never take an event");
    let crew = Crew {
        tasks: RefCell::new(Slab::new()),
        wish: Cell::new(Next::Keep),
        waker: Cell::new(None),
    };
    let (handler, crew) = (Rc::new(handler), Rc::new(crew));
    Box::new(Each { handler, crew, limit, location: Location::caller(), retired: false })
}

/// The tasks of a cloner.
struct Crew {
    tasks: RefCell<Slab<Option<JobRef>>>,
    /// What a task returned that concerns all.
    wish: Cell<Next>,
    /// Whoever waits for a task to end.
    waker: Cell<Option<Waker>>,
}

impl Crew {
    /// Is woken when a task ends.
    fn wait(&self, context: &mut Context<'_>) {
        let before = self.waker.replace(Some(context.waker().clone()));
        drop(before);
    }

    /// A task has ended, whichever way.
    fn leave(&self, key: usize) {
        let job = self.tasks.borrow_mut().try_remove(key);
        drop(job);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// A wish is heard once, but for the end, which stays.
    fn take_wish(&self) -> Next {
        let wish = self.wish.get();
        if wish == Next::Pause {
            self.wish.set(Next::Keep);
        }
        wish
    }

    /// The error of one event's task, of which nobody else will hear.
    fn report(&self, key: usize, error: &HandlerError) {
        let job = self.tasks.borrow().get(key).cloned().flatten();
        let (Some(worker), Some(job)) = (context::try_current(), job) else { return };
        if let Some(info) = job.info(JobInfo::new) {
            worker.handler_failed(&info, error);
        }
    }

    fn len(&self) -> usize {
        self.tasks.borrow().len()
    }

    fn abort_all(&self) {
        let jobs: Vec<JobRef> =
            self.tasks.borrow().iter().filter_map(|(_, job)| job.clone()).collect();
        jobs.iter().for_each(JobRef::abort);
    }
}

struct Each<F> {
    handler: Rc<F>,
    crew: Rc<Crew>,
    limit: usize,
    location: &'static Location<'static>,
    retired: bool,
}

impl<I, R, F> Face<I> for Each<F>
where
    I: 'static,
    R: IntoNext + 'static,
    F: AsyncFn(I) -> R + 'static,
{
    fn call(&mut self, event: I, _: &mut Context<'_>) -> Poll<Outcome> {
        struct Leave(Rc<Crew>, usize);
        impl Drop for Leave {
            fn drop(&mut self) {
                self.0.leave(self.1);
            }
        }
        let key = self.crew.tasks.borrow_mut().insert(None);
        let leave = Leave(Rc::clone(&self.crew), key);
        let handler = Rc::clone(&self.handler);
        let task = async move {
            let leave = leave;
            let returned = handler(event).await;
            drop(handler);
            match outcome(returned) {
                Ok(Next::Keep) => {}
                Ok(wish) => leave.0.wish.set(wish),
                Err(error) => leave.0.report(leave.1, &error),
            }
        };
        let (job, _) = context::current().spawn(Task::new(task), JobKind::Task, self.location);
        // A panic of the task is read by nobody, and so is reported.
        job.leave_output();
        let place = self.crew.tasks.borrow_mut().get_mut(key).map(|place| place.replace(job));
        drop(place);
        Poll::Ready(Ok(Next::Keep))
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Outcome> {
        self.crew.wait(context);
        match self.crew.take_wish() {
            Next::Keep if self.crew.len() >= self.limit => Poll::Pending,
            wish => Poll::Ready(Ok(wish)),
        }
    }

    fn poll_finished(&mut self, context: &mut Context<'_>) -> Poll<Outcome> {
        self.crew.wait(context);
        match self.crew.take_wish() {
            Next::Keep if self.crew.len() > 0 => Poll::Pending,
            wish => Poll::Ready(Ok(wish)),
        }
    }

    fn retire(&mut self) {
        self.retired = true;
    }
}

impl<F> Drop for Each<F> {
    fn drop(&mut self) {
        if !self.retired {
            self.crew.abort_all();
        }
    }
}

/// Drops what belongs to a user; a panic in there is reported, and goes no further.
pub(super) fn discard<T>(value: T) {
    if let Err(panic) = contain(|| drop(value)) {
        match context::try_current() {
            Some(worker) => worker.lost_panic(Lost::anonymous(panic)),
            None => context::report(format_args!("{}", Lost::anonymous(panic))),
        }
    }
}
