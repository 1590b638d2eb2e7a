//! The cloner: a task for each event, at most so many at once.
//!
//! The task of an event is a job of its own kind, an [`Errand`], whose future sits in a slot that can be
//! emptied from outside: `stop` drops all events in progress before it returns. The [`Crew`] knows who is
//! at work; it is shared with the errands, and outlives a cloner that was replaced.

use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;
use slab::Slab;

use super::face::{BoxFace, Face, fail_alone};
use super::{IntoNext, Next, Outcome, outcome};
use crate::error::HandlerError;
use crate::job::cell::Work;
use crate::job::registry::{JobKind, Lost};
use crate::job::slot::PinSlot;
use crate::job::waker::JobRef;
use crate::job::{Payload, contain};
use crate::metrics::JobInfo;
use crate::runtime::{Fate, context};

/// A task for each event, at most `limit` at once.
#[track_caller]
pub(super) fn each<I: 'static, R: IntoNext + 'static>(
    limit: usize,
    handler: impl AsyncFn(I) -> R + 'static,
) -> BoxFace<I> {
    assert!(limit > 0, "on_each with a limit of zero would never take an event");
    let crew = Crew {
        members: RefCell::new(Slab::new()),
        wish: Cell::new(Next::Keep),
        waker: Cell::new(None),
    };
    let (handler, crew) = (Rc::new(handler), Rc::new(crew));
    let location = Location::caller();
    Box::new(Each { handler, crew, limit, location, retired: false, spare: false })
}

/// Those at work.
struct Crew {
    members: RefCell<Slab<Option<Member>>>,
    /// What one of them returned that concerns all.
    wish: Cell<Next>,
    /// Whoever waits for one of them to end.
    waker: Cell<Option<Waker>>,
}

#[derive(Clone)]
struct Member {
    job: JobRef,
    /// Empties the slot of the errand; if told to spare, not of the one that runs now.
    dismiss: fn(&JobRef, bool),
}

impl Crew {
    /// Is woken when one of them ends.
    fn wait(&self, context: &mut Context<'_>) {
        let before = self.waker.replace(Some(context.waker().clone()));
        drop(before);
    }

    /// One has ended, whichever way.
    fn leave(&self, key: usize) {
        let member = self.members.borrow_mut().try_remove(key);
        drop(member);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// A wish for the end stays, whoever wishes for less after it.
    fn wish(&self, wish: Next) {
        if self.wish.get() != Next::Stop {
            self.wish.set(wish);
        }
    }

    /// A wish for a pause is heard once.
    fn take_wish(&self) -> Next {
        let wish = self.wish.get();
        if wish == Next::Pause {
            self.wish.set(Next::Keep);
        }
        wish
    }

    fn info(&self, key: usize) -> Option<JobInfo> {
        let member = self.members.borrow().get(key).cloned().flatten()?;
        member.job.info(JobInfo::new)
    }

    /// The error of one event, of which nobody else will hear.
    fn report(&self, key: usize, error: HandlerError) {
        match (context::try_current(), self.info(key)) {
            (Some(worker), Some(info)) => worker.handler_failed(&info, error, Fate::Ended),
            _ => fail_alone(&"a handler", error),
        }
    }

    /// The panic of one event, of which nobody else will hear.
    fn report_panic(&self, key: usize, panic: Payload) {
        let lost = match self.info(key) {
            Some(info) => info.lost(panic),
            None => Lost::anonymous(panic),
        };
        match context::try_current() {
            Some(worker) => worker.lost_panic(lost),
            None => context::report(format_args!("{lost}")),
        }
    }

    fn len(&self) -> usize {
        self.members.borrow().len()
    }

    fn dismiss(&self, spare: bool) {
        let members: Vec<Member> =
            self.members.borrow().iter().filter_map(|(_, member)| member.clone()).collect();
        members.iter().for_each(|member| (member.dismiss)(&member.job, spare));
    }
}

struct Each<F> {
    handler: Rc<F>,
    crew: Rc<Crew>,
    limit: usize,
    location: &'static Location<'static>,
    retired: bool,
    spare: bool,
}

impl<I, R, F> Face<I> for Each<F>
where
    I: 'static,
    R: IntoNext + 'static,
    F: AsyncFn(I) -> R + 'static,
{
    fn call(&mut self, event: I, _: &mut Context<'_>) -> Poll<Outcome> {
        /// How an errand of this type, which has no name, is dismissed.
        fn dismissal<F>(_: &Errand<F>) -> fn(&JobRef, bool)
        where
            F: Future<Output = Outcome> + 'static,
        {
            |job, spare| {
                let Some(errand) = job.work::<Errand<F>>() else { return };
                if !(spare && errand.future.is_busy()) {
                    errand.clear();
                    job.abort();
                }
            }
        }
        let key = self.crew.members.borrow_mut().insert(None);
        let place = Place { crew: Rc::clone(&self.crew), key };
        let handler = Rc::clone(&self.handler);
        let future = async move { outcome(handler(event).await) };
        let errand = Errand { future: PinSlot::new(future), place: Cell::new(Some(place)) };
        let dismiss = dismissal(&errand);
        let (job, _) = context::current().spawn_alike(errand, JobKind::Task, self.location);
        if let Some(place) = self.crew.members.borrow_mut().get_mut(key) {
            *place = Some(Member { job, dismiss });
        }
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

    fn spare(&mut self) {
        self.spare = true;
    }
}

impl<F> Drop for Each<F> {
    fn drop(&mut self) {
        if !self.retired {
            self.crew.dismiss(self.spare);
        }
    }
}

pin_project! {
    /// The work of one event.
    struct Errand<F> {
        #[pin]
        future: PinSlot<F>,
        place: Cell<Option<Place>>,
    }
}

/// A place in the crew, given up by its drop.
struct Place {
    crew: Rc<Crew>,
    key: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crew.leave(self.key);
    }
}

impl<F: Future<Output = Outcome>> Errand<F> {
    /// Drops the event in progress; from inside it, at its next await.
    fn clear(self: Pin<&Self>) {
        if let Err(panic) = contain(|| self.project_ref().future.clear()) {
            self.with_place(|place| place.crew.report_panic(place.key, panic));
        }
    }

    fn with_place(&self, user: impl FnOnce(&Place)) {
        if let Some(place) = self.place.take() {
            user(&place);
            self.place.set(Some(place));
        }
    }

    fn said(&self, outcome: Outcome) {
        self.with_place(|place| match outcome {
            Ok(Next::Keep) => {}
            Ok(wish) => place.crew.wish(wish),
            Err(error) => place.crew.report(place.key, error),
        });
    }
}

impl<F: Future<Output = Outcome> + 'static> Work for Errand<F> {
    fn run(self: Pin<&Self>, context: &mut Context<'_>) -> Poll<()> {
        let polled = contain(|| self.project_ref().future.lend(|future| future.poll(context)));
        match polled {
            Ok(Some(Poll::Pending)) if !self.future.is_empty() => return Poll::Pending,
            // Dismissed, while it ran or before.
            Ok(Some(Poll::Pending) | None) => {}
            Ok(Some(Poll::Ready(outcome))) => {
                self.clear();
                self.said(outcome);
            }
            Err(panic) => self.with_place(|place| place.crew.report_panic(place.key, panic)),
        }
        drop(self.place.take());
        Poll::Ready(())
    }

    fn cancel(self: Pin<&Self>) {
        self.clear();
        drop(self.place.take());
    }
}
