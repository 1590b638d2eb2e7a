//! Many jobs with one end: a scope owns registrations and tasks, and stops what is left of them.
//!
//! A scope is told by its members when they end: a handler's job drops its [`Membership`] when the ending
//! has become visible, a task's future is dropped together with one. The list of members is borrowed for
//! moves only; what is taken out of it is dropped afterwards (OUTSIDE).

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::Stream;
use pin_project_lite::pin_project;

use super::face::{discard, wake};
use super::{Control, IntoNext, Registration, on, on_async, on_each, on_ok};
use crate::error::BoxError;
use crate::job::join::JoinHandle;
use crate::job::registry::{Facts, JobKind};
use crate::job::waker::JobRef;
use crate::metrics::JobInfo;
use crate::runtime::context;

/// Owns tasks and registrations; dropping it stops them all, the youngest first.
///
/// What an event leads to lives in a scope of its own: one that is held by the event's task, say, ends with
/// that, and all its members with it.
///
/// ```
/// use futures::stream;
///
/// # aem::block_on(async {
/// let scope = aem::Scope::new();
/// scope.on(stream::iter(0..3), |number| assert!(number < 3));
/// let task = scope.spawn(async { 7 });
/// assert_eq!(task.await?, 7);
/// scope.idle().await;
/// assert!(scope.is_empty());
/// # Ok::<(), aem::JoinError>(())
/// # }).unwrap();
/// ```
pub struct Scope {
    inner: Rc<Inner>,
}

/// A reference to a scope that owns nothing.
#[derive(Clone)]
pub struct ScopeHandle {
    inner: Weak<Inner>,
}

#[derive(Default)]
struct Inner {
    /// By age.
    members: RefCell<BTreeMap<u64, Member>>,
    next_key: Cell<u64>,
    paused: Cell<bool>,
    /// [`Scope::close`] has asked: nobody new is let in.
    closing: Cell<bool>,
    /// [`Scope::stop`] is at work: whoever is added by a destructor is stopped too.
    stopping: Cell<bool>,
    idle: Bell,
    asked: Bell,
}

enum Member {
    /// On its way in.
    Arriving,
    Handler(Registration),
    Task(JobRef),
}

/// Its drop tells the scope that a member has ended.
pub(super) struct Membership {
    scope: Weak<Inner>,
    key: u64,
}

impl Drop for Membership {
    fn drop(&mut self) {
        if let Some(scope) = self.scope.upgrade() {
            let member = scope.members.borrow_mut().remove(&self.key);
            drop(member);
            if scope.members.borrow().is_empty() {
                scope.idle.ring();
            }
        }
    }
}

/// Wakers that wait for the same thing, each in a place that its future gives up when it is dropped: a
/// task that is long gone must not be kept by a scope that stays.
#[derive(Default)]
struct Bell {
    waiting: RefCell<BTreeMap<u64, Waker>>,
    next_key: Cell<u64>,
}

/// A place at a bell.
#[derive(Default)]
struct Place(Option<u64>);

impl Bell {
    fn wait(&self, place: &mut Place, waker: &Waker) {
        let key = *place.0.get_or_insert_with(|| {
            let key = self.next_key.get();
            self.next_key.set(key + 1);
            key
        });
        // Cloned and dropped outside of the borrow: it is foreign code.
        let waker = waker.clone();
        let before = self.waiting.borrow_mut().insert(key, waker);
        drop(before);
    }

    fn leave(&self, place: &mut Place) {
        if let Some(key) = place.0.take() {
            let waker = self.waiting.borrow_mut().remove(&key);
            discard(waker);
        }
    }

    /// Wakes all of them, also if one panics.
    fn ring(&self) {
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        waiting.into_values().for_each(wake);
    }
}

impl Inner {
    /// Whether newcomers are stopped at once.
    fn is_shut(&self) -> bool {
        self.closing.get() || self.stopping.get()
    }

    fn reserve(self: &Rc<Self>) -> Membership {
        let key = self.next_key.get();
        self.next_key.set(key + 1);
        self.members.borrow_mut().insert(key, Member::Arriving);
        Membership { scope: Rc::downgrade(self), key }
    }

    /// Puts a member in its place; gives it back if it has left already.
    fn settle(&self, key: u64, member: Member) -> Option<Member> {
        match self.members.borrow_mut().get_mut(&key) {
            Some(place) => {
                *place = member;
                None
            }
            None => Some(member),
        }
    }

    fn add(self: &Rc<Self>, registration: Registration) -> Control {
        let control = registration.control();
        if self.is_shut() {
            registration.stop();
            return control;
        }
        if self.paused.get() {
            registration.set_scope_paused(true);
        }
        let membership = self.reserve();
        let key = membership.key;
        // One that has ended leaves at once.
        registration.join(membership);
        drop(self.settle(key, Member::Handler(registration)));
        control
    }

    fn spawn<F>(
        self: &Rc<Self>,
        future: F,
        location: &'static Location<'static>,
    ) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        if self.is_shut() {
            let (_, handle) = spawn_job(future, location);
            handle.abort();
            return handle;
        }
        let membership = self.reserve();
        let key = membership.key;
        let (job, handle) = spawn_job(MemberFuture { future, _membership: membership }, location);
        drop(self.settle(key, Member::Task(job)));
        handle
    }

    fn stop(&self) {
        let outer = self.stopping.replace(true);
        let members = std::mem::take(&mut *self.members.borrow_mut());
        // The youngest first, as a later one may build on an earlier one.
        for member in members.into_values().rev() {
            match member {
                Member::Handler(registration) => {
                    // Meant: its drop has nothing to remark on.
                    registration.stop();
                    drop(registration);
                }
                Member::Task(job) => job.abort(),
                Member::Arriving => {}
            }
        }
        self.stopping.set(outer);
        self.idle.ring();
    }

    /// Does something with each registration, with nothing borrowed.
    fn for_each_handler(&self, act: impl Fn(&Control)) {
        let members = self.members.borrow();
        let controls: Vec<Control> = members
            .values()
            .filter_map(|member| match member {
                Member::Handler(registration) => Some(registration.control()),
                _ => None,
            })
            .collect();
        drop(members);
        controls.iter().for_each(act);
    }
}

fn spawn_job<F>(future: F, location: &'static Location<'static>) -> (JobRef, JoinHandle<F::Output>)
where
    F: Future + 'static,
    F::Output: 'static,
{
    let facts = Facts { kind: JobKind::Task, location };
    context::here(|here| JoinHandle::spawn_held(here, future, facts))
}

pin_project! {
    /// A task's future and its membership, which goes after it.
    struct MemberFuture<F> {
        #[pin]
        future: F,
        _membership: Membership,
    }
}

impl<F: Future> Future for MemberFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.poll(context)
    }
}

/// What [`Scope::close`] came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CloseReport {
    /// How many members ended by themselves.
    pub ended: usize,
    /// The names of those that did not, and were cancelled; or where they were made.
    pub cancelled: Vec<String>,
}

impl Scope {
    /// An empty scope.
    pub fn new() -> Self {
        Scope { inner: Rc::default() }
    }

    /// Takes a registration in, erased or not. A closed scope stops it.
    pub fn add<S>(&self, registration: Registration<S>) -> Control {
        self.inner.add(registration.erase())
    }

    /// As [`aem::on`](crate::on), in this scope.
    #[track_caller]
    pub fn on<S, R>(&self, source: S, handler: impl FnMut(S::Item) -> R + 'static) -> Control
    where
        S: Stream + 'static,
        R: IntoNext,
    {
        self.add(on(source, handler))
    }

    /// As [`aem::on_async`](crate::on_async), in this scope.
    #[track_caller]
    pub fn on_async<S, R>(
        &self,
        source: S,
        handler: impl AsyncFnMut(S::Item) -> R + 'static,
    ) -> Control
    where
        S: Stream + 'static,
        R: IntoNext + 'static,
    {
        self.add(on_async(source, handler))
    }

    /// As [`aem::on_ok`](crate::on_ok), in this scope.
    #[track_caller]
    pub fn on_ok<S, T, E, R>(&self, source: S, handler: impl FnMut(T) -> R + 'static) -> Control
    where
        S: Stream<Item = Result<T, E>> + 'static,
        E: Into<BoxError> + 'static,
        T: 'static,
        R: IntoNext,
    {
        self.add(on_ok(source, handler))
    }

    /// As [`aem::on_each`](crate::on_each), in this scope.
    ///
    /// # Panics
    /// If `limit` is zero.
    #[track_caller]
    pub fn on_each<S, R>(
        &self,
        source: S,
        limit: usize,
        handler: impl AsyncFn(S::Item) -> R + 'static,
    ) -> Control
    where
        S: Stream + 'static,
        R: IntoNext + 'static,
    {
        self.add(on_each(source, limit, handler))
    }

    /// As [`aem::spawn`](crate::spawn), in this scope. Dropping the handle leaves the task in the scope.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.inner.spawn(future, Location::caller())
    }

    /// Stops all members, the youngest first: handlers are dropped before this returns (a handler that runs
    /// now: when it returns), tasks are cancelled, and so is whoever their destructors add meanwhile. The
    /// scope is empty afterwards, and can be used again.
    pub fn stop(&self) {
        self.inner.stop();
    }

    /// Pauses all handlers, those of new members too. A handler's own pause is another matter.
    pub fn pause(&self) {
        self.set_paused(true);
    }

    /// Ends the pause of the scope.
    pub fn resume(&self) {
        self.set_paused(false);
    }

    fn set_paused(&self, paused: bool) {
        self.inner.paused.set(paused);
        self.inner.for_each_handler(|control| control.set_scope_paused(paused));
    }

    /// How many members have not ended.
    pub fn len(&self) -> usize {
        self.inner.members.borrow().len()
    }

    /// Whether all members have ended.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until all members have ended.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub fn idle(&self) -> Idle<'_> {
        Idle { scope: self, place: Place::default() }
    }

    /// A reference that owns nothing.
    pub fn handle(&self) -> ScopeHandle {
        ScopeHandle { inner: Rc::downgrade(&self.inner) }
    }

    /// Closes the scope: asks its members to end (tasks hear it by [`ScopeHandle::closing`], a handler ends
    /// its event and takes no more), waits for at most `deadline`, and cancels the others, the youngest
    /// first. Nobody new is let in: what is added from now on is stopped at once.
    ///
    /// # Cancel safety
    /// Dropped before it is done, the scope stays open for those who are in it, and stays closed for others.
    pub async fn close(&self, deadline: Duration) -> CloseReport {
        self.inner.closing.set(true);
        let members = self.len();
        self.inner.for_each_handler(Control::finish);
        self.inner.asked.ring();
        let in_time = crate::time::timeout(deadline, self.idle()).await.is_ok();
        if in_time {
            return CloseReport { ended: members, cancelled: Vec::new() };
        }
        let left = self.inner.members.borrow();
        let cancelled: Vec<String> = left.values().map(Member::describe).collect();
        drop(left);
        self.stop();
        CloseReport { ended: members.saturating_sub(cancelled.len()), cancelled }
    }
}

impl Member {
    fn describe(&self) -> String {
        let name = |info: JobInfo| match info.name {
            Some(name) => name.to_string(),
            None => info.location.to_string(),
        };
        match self {
            Member::Arriving => String::new(),
            Member::Handler(registration) => registration.describe(),
            Member::Task(job) => job.info(JobInfo::new).map(name).unwrap_or_default(),
        }
    }
}

impl Default for Scope {
    fn default() -> Self {
        Scope::new()
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        self.inner.closing.set(true);
        self.inner.stop();
        self.inner.asked.ring();
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("len", &self.len()).finish()
    }
}

/// The future of [`Scope::idle`].
#[must_use = "futures do nothing unless awaited"]
pub struct Idle<'a> {
    scope: &'a Scope,
    place: Place,
}

impl Future for Idle<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.scope.is_empty() {
            return Poll::Ready(());
        }
        self.scope.inner.idle.wait(&mut self.place, context.waker());
        Poll::Pending
    }
}

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        self.scope.inner.idle.leave(&mut self.place);
    }
}

impl fmt::Debug for Idle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idle").field("scope", self.scope).finish()
    }
}

impl ScopeHandle {
    /// As [`Scope::add`]; if the scope is gone, the registration is stopped.
    pub fn add<S>(&self, registration: Registration<S>) -> Control {
        match self.inner.upgrade() {
            Some(inner) => inner.add(registration.erase()),
            None => {
                registration.stop();
                registration.control()
            }
        }
    }

    /// As [`Scope::on`]; if the scope is gone, the handler is stopped.
    #[track_caller]
    pub fn on<S, R>(&self, source: S, handler: impl FnMut(S::Item) -> R + 'static) -> Control
    where
        S: Stream + 'static,
        R: IntoNext,
    {
        self.add(on(source, handler))
    }

    /// As [`Scope::spawn`]; if the scope is gone, the task is cancelled.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let location = Location::caller();
        match self.inner.upgrade() {
            Some(inner) => inner.spawn(future, location),
            None => {
                let (_, handle) = spawn_job(future, location);
                handle.abort();
                handle
            }
        }
    }

    /// Resolves when the scope is asked to close, or is gone: how a task hears that it should end.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub fn closing(&self) -> Closing {
        Closing { scope: self.inner.clone(), place: Place::default() }
    }
}

impl fmt::Debug for ScopeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScopeHandle")
    }
}

/// The future of [`ScopeHandle::closing`].
#[must_use = "futures do nothing unless awaited"]
pub struct Closing {
    scope: Weak<Inner>,
    place: Place,
}

impl Future for Closing {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match self.scope.upgrade() {
            Some(scope) if !scope.closing.get() => {
                scope.asked.wait(&mut self.place, context.waker());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        if let Some(scope) = self.scope.upgrade() {
            scope.asked.leave(&mut self.place);
        }
    }
}

impl fmt::Debug for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closing")
    }
}
