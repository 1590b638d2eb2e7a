//! What users hold: the owner of a handler, and the remote control.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::Stream;
use futures::future::FusedFuture;

use super::cloner;
use super::core::{Core, Merge, Operate, Pauser};
use super::face::{self, BoxFace};
use super::restart::{Restart, Supervisor};
use super::scope::Membership;
use super::{End, IntoNext};
use crate::error::HandlerError;
use crate::job::id::JobId;
use crate::job::registry::JobKind;
use crate::job::waker::JobRef;
use crate::metrics::{JobInfo, JobStats};
use crate::queue::Priority;
use crate::runtime::{Fate, context};

/// A job that is known to be a handler's, and the way to its core.
#[derive(Clone)]
pub(super) struct Link {
    job: JobRef,
    id: JobId,
    operate: for<'a> fn(&'a JobRef) -> Pin<&'a dyn Operate>,
}

impl Link {
    fn operate(&self) -> Pin<&dyn Operate> {
        (self.operate)(&self.job)
    }

    /// Does something to the core and lets the job run if it must look.
    fn act(&self, act: impl FnOnce(Pin<&dyn Operate>) -> bool) {
        if act(self.operate()) {
            self.job.wake();
        }
    }

    pub(super) fn set_paused(&self, by: Pauser, paused: bool) {
        self.act(|core| core.get_ref().set_paused(by, paused));
    }

    pub(super) fn stop(&self) {
        self.act(|core| core.stop());
    }

    pub(super) fn finish(&self) {
        self.act(|core| core.finish());
    }

    pub(super) fn is_ended(&self) -> bool {
        self.operate().is_ended()
    }

    pub(super) fn info(&self) -> Option<JobInfo> {
        self.job.info(JobInfo::new)
    }

    fn stats(&self) -> JobStats {
        self.info().map(|info| info.stats()).unwrap_or_default()
    }
}

/// A registered handler, owned: dropping it stops the handler.
///
/// Keep it, [`detach`](Self::detach) it, put it into a [`Scope`](crate::Scope), or await it to learn how it
/// ended. All methods may be called from anywhere on its thread, from inside the handler too.
///
/// # Cancel safety
/// Awaiting it by value and being cancelled drops it, which stops the handler; await `&mut registration`
/// to keep it.
#[must_use = "a Registration owns its handler: dropped (as by `let _ =`), it stops it at once; \
              keep it, `.detach()` it or await it"]
pub struct Registration<S = ()> {
    /// Empty once it has been detached, reclaimed, erased or put into a scope.
    link: Option<Link>,
    location: &'static Location<'static>,
    /// Whether somebody has waited for the end: then it was not dropped for want of a use.
    is_awaited: bool,
    _source: PhantomData<fn() -> S>,
}

impl<S> Unpin for Registration<S> {}

impl<S: Stream + 'static> Registration<S> {
    pub(super) fn new(
        source: S,
        face: BoxFace<S::Item>,
        location: &'static Location<'static>,
    ) -> Self {
        fn operate<S: Stream + 'static>(job: &JobRef) -> Pin<&dyn Operate> {
            job.work::<Core<S>>().expect("the job was made with this source")
        }
        let Some(worker) = context::try_current() else {
            panic!(
                "{location}: a handler needs a runtime on this thread: call this from \
                 #[aem::main], or from inside aem::block_on or Runtime::block_on"
            )
        };
        let (job, id) = worker.spawn(Core::new(source, face), JobKind::Handler, location);
        let link = Some(Link { job, id, operate: operate::<S> });
        Registration { link, location, is_awaited: false, _source: PhantomData }
    }

    fn core(&self) -> Pin<&Core<S>> {
        self.link().job.work().expect("the job was made with this source")
    }

    fn put(&self, face: BoxFace<S::Item>) -> bool {
        let replaced = self.core().replace(face);
        if replaced {
            self.link().job.wake();
        }
        replaced
    }

    /// Puts another handler in the place of this one. An event in progress ends with the old handler before
    /// the new one's first; no event is lost or seen twice. False, and the new handler dropped, if the
    /// registration has ended or was stopped.
    ///
    /// The new handler takes the source's own events: after [`on_ok`](crate::on_ok) that is the `Result`.
    pub fn replace<R: IntoNext>(&self, handler: impl FnMut(S::Item) -> R + 'static) -> bool {
        self.put(face::plain(handler))
    }

    /// [`replace`](Self::replace) by a handler as for [`on_async`](crate::on_async).
    pub fn replace_async<R>(&self, handler: impl AsyncFnMut(S::Item) -> R + 'static) -> bool
    where
        R: IntoNext + 'static,
    {
        self.put(face::one_at_a_time(handler))
    }

    /// [`replace`](Self::replace) by a handler as for [`on_each`](crate::on_each). Tasks of the old one, if
    /// it was such a handler too, run on beside it.
    ///
    /// # Panics
    /// If `limit` is zero.
    #[track_caller]
    pub fn replace_each<R>(
        &self,
        limit: usize,
        handler: impl AsyncFn(S::Item) -> R + 'static,
    ) -> bool
    where
        R: IntoNext + 'static,
    {
        self.put(cloner::each(limit, handler))
    }

    /// When the handler is slower than its source, gives it the latest event only: of those that have come
    /// while it was at work, all others are dropped. They count as
    /// [events](crate::JobStats::events) and as [overruns](crate::JobStats::overruns).
    ///
    /// Else all are kept: they stay in the source, which holds its peer back where it can. For a source of
    /// results an error is an event like others: to keep it, [`merge`](Self::merge).
    ///
    /// ```
    /// use futures::stream;
    ///
    /// # aem::block_on(async {
    /// let levels = stream::iter([3, 7, 5]);
    /// aem::on(levels, |level| assert_eq!(level, 5)).keep_latest().await?;
    /// # Ok::<(), aem::HandlerError>(())
    /// # }).unwrap();
    /// ```
    pub fn keep_latest(self) -> Self {
        self.merge(|event, next| *event = next)
    }

    /// When the handler is slower than its source, makes one event of those that have come while it was at
    /// work: `merge` is called with the first and, one after the other, with those that follow it, of which
    /// all but the first count as [overruns](crate::JobStats::overruns). After a thousand the handler is
    /// called even if there are more.
    ///
    /// A panic of it is one of the handler.
    ///
    /// ```
    /// use futures::stream;
    ///
    /// # aem::block_on(async {
    /// let paid = aem::on(stream::iter([3, 7, 5]), |sum| assert_eq!(sum, 15));
    /// paid.merge(|sum, next| *sum += next).await?;
    /// # Ok::<(), aem::HandlerError>(())
    /// # }).unwrap();
    /// ```
    pub fn merge(self, merge: impl FnMut(&mut S::Item, S::Item) + 'static) -> Self {
        let merge: Merge<S::Item> = Box::new(merge);
        self.core().set_merge(Some(merge));
        self
    }

    /// Gives the handler every event, however slow it is: undoes [`keep_latest`](Self::keep_latest) and
    /// [`merge`](Self::merge).
    pub fn keep_all(self) -> Self {
        self.core().set_merge(None);
        self
    }

    /// Goes on after an error or a panic of the handler: it is dropped, and after a while another one that
    /// `make` gives takes its place. The source stays, with every event in it; the one that was in progress
    /// is gone. What the handler failed with goes to [`Builder::on_error`](crate::Builder::on_error); when
    /// that happens too often, the registration ends with it. A panic of `make` ends it, too.
    ///
    /// A handler that is [replaced](Self::replace) is followed by one that `make` gives as well. It takes
    /// the source's own events: after [`on_ok`](crate::on_ok) that is the `Result`. To make the source anew
    /// as well, use [`supervise`](crate::supervise).
    ///
    /// ```
    /// use futures::stream;
    ///
    /// # aem::block_on(async {
    /// let handler = || {
    ///     let mut calls = 0;
    ///     move |text: &str| -> aem::Result {
    ///         calls += 1;
    ///         println!("call {calls} of this handler: {}", text.parse::<i32>()?);
    ///         Ok(())
    ///     }
    /// };
    /// let numbers = aem::on(stream::iter(["1", "two", "3"]), handler());
    /// assert_eq!(numbers.restart(aem::Restart::new(), handler).await?, aem::End::Exhausted);
    /// # Ok::<(), aem::HandlerError>(())
    /// # }).unwrap();
    /// ```
    pub fn restart<H, R>(self, restart: Restart, mut make: impl FnMut() -> H + 'static) -> Self
    where
        H: FnMut(S::Item) -> R + 'static,
        R: IntoNext,
    {
        self.core().set_supervisor(Supervisor::new(restart, move || face::plain(make())));
        self
    }

    /// [`restart`](Self::restart) with handlers as for [`on_async`](crate::on_async).
    pub fn restart_async<H, R>(
        self,
        restart: Restart,
        mut make: impl FnMut() -> H + 'static,
    ) -> Self
    where
        H: AsyncFnMut(S::Item) -> R + 'static,
        R: IntoNext + 'static,
    {
        let make = move || face::one_at_a_time(make());
        self.core().set_supervisor(Supervisor::new(restart, make));
        self
    }

    /// Ends the handler and gives the source back with every event that it still holds; also after
    /// [`Next::Stop`](crate::Next::Stop), after `stop()` and after an error.
    ///
    /// From outside, an event in progress is dropped as by [`stop`](Self::stop). From inside its own handler
    /// that event runs to its end, no longer tied to the registration.
    ///
    /// None if the source is exhausted, if its poll panicked, if the runtime has ended or was asked to, and
    /// if the source is being polled right now (by a closure in a combinator, say).
    pub fn reclaim(mut self) -> Option<S>
    where
        S: Unpin,
    {
        let link = self.link.take()?;
        let core: Pin<&Core<S>> = link.job.work().expect("the job was made with this source");
        let (source, wake) = core.reclaim();
        if wake {
            link.job.wake();
        }
        part(&link, Parting::Reclaimed, self.location);
        source
    }
}

impl<S> Registration<S> {
    /// The same registration without its type, for fields and lists. It can do all but `replace` and
    /// `reclaim`.
    pub fn erase(mut self) -> Registration {
        let (link, location) = (self.link.take(), self.location);
        Registration { link, location, is_awaited: self.is_awaited, _source: PhantomData }
    }

    fn link(&self) -> &Link {
        self.link.as_ref().expect("only methods that take `self` empty it")
    }

    /// Lets the handler live until its source ends or the runtime does. An error of it goes to
    /// [`Builder::on_error`](crate::Builder::on_error).
    pub fn detach(mut self) {
        if let Some(link) = self.link.take() {
            part(&link, Parting::Detached, self.location);
        }
    }

    /// Gives the job a name, for statistics and reports.
    pub fn name(self, name: impl Into<Arc<str>>) -> Self {
        self.link().job.set_name(name.into());
        self
    }

    /// How urgent the handler's runs are. The run that is queued already, as it is by the registration
    /// itself, keeps its place.
    pub fn priority(self, priority: Priority) -> Self {
        self.link().job.set_priority(priority);
        self
    }

    /// Begins paused: nothing is polled before [`resume`](Self::resume).
    pub fn paused(self) -> Self {
        self.pause();
        self
    }

    /// Stops polling the source. An event in progress goes on. Not counted: one `resume` undoes any number of
    /// pauses; a pause of the scope is another matter.
    pub fn pause(&self) {
        self.link().set_paused(Pauser::Registration, true);
    }

    /// Goes on where [`pause`](Self::pause) stopped; nothing was lost.
    pub fn resume(&self) {
        self.link().set_paused(Pauser::Registration, false);
    }

    /// Ends the handler: it never runs again. Handler and event in progress are dropped before this
    /// returns; from inside the handler itself, when the handler returns; from inside its async form, at
    /// its next await.
    pub fn stop(&self) {
        self.link().stop();
    }

    /// Has a function called, as a job of its own, when the handler has ended and been dropped, and before
    /// anybody who awaits the registration hears of it. A second function takes the place of the first. When
    /// all that has happened, it is called at once; but not after an error that was awaited, as the error is
    /// its reader's.
    pub fn on_end(self, on_end: impl FnOnce(&Result<End, HandlerError>) + 'static) -> Self {
        self.link().operate().set_on_end(Box::new(on_end));
        self
    }

    /// A remote control that owns nothing.
    pub fn control(&self) -> Control {
        Control { link: self.link().clone() }
    }

    /// The identity of the job.
    pub fn id(&self) -> JobId {
        self.link().id
    }

    /// How the job has fared.
    pub fn stats(&self) -> JobStats {
        self.link().stats()
    }

    /// Whether it has ended, `on_end` included.
    pub fn is_ended(&self) -> bool {
        self.link().is_ended()
    }

    /// Joins a scope, which holds the registration from here on.
    pub(super) fn join(&self, membership: Membership) {
        self.link().operate().set_membership(membership);
    }

    pub(super) fn set_scope_paused(&self, paused: bool) {
        self.link().set_paused(Pauser::Scope, paused);
    }

    pub(super) fn describe(&self) -> String {
        let name = self.link().info().and_then(|info| info.name);
        name.map_or_else(|| self.location.to_string(), |name| name.to_string())
    }
}

/// How a registration goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parting {
    /// With its handler.
    Dropped,
    /// The handler stays.
    Detached,
    /// The source has gone before it, and the handler ends as `reclaim` says.
    Reclaimed,
}

fn part(link: &Link, parting: Parting, location: &'static Location<'static>) {
    let info = link.info();
    if parting == Parting::Dropped {
        // At the end of the runtime nothing gets to be used.
        let ends = context::try_current().is_some_and(|worker| worker.home().is_closing());
        let unused = link.operate().is_unused() && !ends;
        // First the event in progress and the handler, then the source.
        link.stop();
        if unused {
            context::report(format_args!(
                "the handler made at {location} was dropped before its source was ever polled: \
                 keep its Registration, `.detach()` it or await it"
            ));
        }
    }
    let unread = link.operate().let_go(parting == Parting::Detached);
    let Some(error) = unread else { return };
    match (context::try_current(), info) {
        (Some(worker), Some(info)) => worker.handler_failed(&info, error, Fate::Ended),
        _ => face::fail_alone(&format_args!("the handler made at {location}"), error),
    }
}

impl<S> Drop for Registration<S> {
    fn drop(&mut self) {
        if let Some(link) = self.link.take() {
            if self.is_awaited {
                link.stop();
            }
            part(&link, Parting::Dropped, self.location);
        }
    }
}

impl<S> Future for Registration<S> {
    type Output = Result<End, HandlerError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.is_awaited = true;
        let link = self.link();
        if let Some(ending) = link.operate().take_ending() {
            return Poll::Ready(ending);
        }
        // False when the job is done: then the ending was taken before.
        let _ = link.job.wake_at_end(context.waker());
        Poll::Pending
    }
}

impl<S> FusedFuture for Registration<S> {
    fn is_terminated(&self) -> bool {
        self.link().operate().is_read()
    }
}

impl<S> fmt::Debug for Registration<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Registration");
        if let Some(link) = &self.link {
            debug.field("id", &link.id).field("ended", &link.is_ended());
        }
        debug.field("location", &format_args!("{}", self.location)).finish()
    }
}

/// A remote control of a handler. It owns nothing, and does nothing once the handler has ended.
#[derive(Clone)]
pub struct Control {
    link: Link,
}

impl Control {
    /// As [`Registration::pause`].
    pub fn pause(&self) {
        self.link.set_paused(Pauser::Registration, true);
    }

    /// As [`Registration::resume`].
    pub fn resume(&self) {
        self.link.set_paused(Pauser::Registration, false);
    }

    /// As [`Registration::stop`].
    pub fn stop(&self) {
        self.link.stop();
    }

    pub(super) fn set_scope_paused(&self, paused: bool) {
        self.link.set_paused(Pauser::Scope, paused);
    }

    pub(super) fn finish(&self) {
        self.link.finish();
    }

    /// As [`Registration::is_ended`].
    pub fn is_ended(&self) -> bool {
        self.link.is_ended()
    }

    /// As [`Registration::id`].
    pub fn id(&self) -> JobId {
        self.link.id
    }

    /// As [`Registration::stats`].
    pub fn stats(&self) -> JobStats {
        self.link.stats()
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("id", &self.link.id).finish()
    }
}
