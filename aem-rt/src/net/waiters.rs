//! Those who wait for the same thing: any number of tasks on one direction of a socket.
//!
//! A wait has a number by which its future takes it out again when it is dropped, so an idle
//! stream does not collect the wakers of those who gave up. Waits of `poll_read` and its like have
//! no future of ours to do that. They are told apart by their waker, and wait until the next
//! event; beyond a limit the oldest is woken for nothing, so none is ever lost.
//!
//! A wait may name a position in the stream of bytes; it is woken when that is reached. All else
//! waits for [`ANYTHING`].
//!
//! Wakers are cloned, woken and dropped by the callers, where no borrow is held (OUTSIDE);
//! [`poll_or_wait`] is the one place that does it for all.

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::job::waker::is_home;
use crate::reactor::{Reactor, Wakes};

/// The position of a wait that ends with the next event, whatever it is.
pub(super) const ANYTHING: u64 = 0;

/// The position of one who waits for a message, and for the readers before him to go.
pub(super) const MESSAGE: u64 = 1;

/// So many wakers of poll functions wait on one direction before the oldest is woken for nothing.
/// More than a thousand tasks that read one stream by `poll_read` would keep each other busy.
const MOST_POLLERS: usize = 1024;

/// The number of a wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct WaitId(u64);

impl WaitId {
    /// Of one who never waits again. No wait has this number.
    pub(super) const OVER: WaitId = WaitId(u64::MAX);
}

/// All waits for one thing.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    /// There rarely are two, and one needs no allocation.
    first: Option<Wait>,
    /// Boxed, and only there while there are any, so that an idle stream does not pay for it.
    #[expect(clippy::box_collection, reason = "one word instead of three while idle")]
    others: Option<Box<Vec<Wait>>>,
}

/// A number that no other wait has, on whatever list and thread: so a list may be given up with its last
/// wait, and a future that was on it does not take out one of the next.
#[inline]
fn new_id() -> u64 {
    /// So many numbers a thread takes for itself at a time.
    const TAKEN: u64 = 1 << 20;
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local!(static OWN: Cell<(u64, u64)> = const { Cell::new((0, 0)) });
    let (mut id, mut end) = OWN.get();
    if id == end {
        // Relaxed: all that matters is that each number is taken once.
        id = NEXT.fetch_add(TAKEN, Relaxed);
        end = id + TAKEN;
    }
    OWN.set((id + 1, end));
    id
}

#[derive(Debug)]
struct Wait {
    /// Zero for a poll function's.
    id: u64,
    position: u64,
    waker: Waker,
}

/// Who asks.
pub(super) enum Asker<'a> {
    /// A future, which takes its wait out when it is dropped.
    Future(&'a mut WaitId),
    /// A poll function.
    PollFunction,
}

impl Waiters {
    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none() && self.others.is_none()
    }

    /// Where nobody waits, this one does not either: who was woken need not be looked for again.
    #[inline]
    pub(super) fn forget_if_empty(&self, id: &mut WaitId) {
        if self.is_empty() {
            id.0 = 0;
        }
    }

    /// Whether the future of somebody else waits.
    pub(super) fn has_other_future(&self, own: &WaitId) -> bool {
        let others = self.others.iter().flat_map(|others| others.iter());
        self.first.iter().chain(others).any(|wait| wait.id != 0 && wait.id != own.0)
    }

    /// Moves the wakers of those who wait for messages into `wakes`.
    pub(super) fn wake_for_messages(&mut self, wakes: &mut impl Extend<Waker>) {
        self.wake_those(|wait| wait.position == MESSAGE, wakes);
    }

    fn wake_those(&mut self, which: impl Fn(&mut Wait) -> bool, wakes: &mut impl Extend<Waker>) {
        wakes.extend(self.first.take_if(|wait| which(wait)).map(|wait| wait.waker));
        if let Some(others) = &mut self.others {
            wakes.extend(others.extract_if(.., |wait| which(wait)).map(|wait| wait.waker));
            if others.is_empty() {
                self.others = None;
            }
        }
    }

    /// Whether a poll function's task waits, or did.
    pub(super) fn has_pollers(&self) -> bool {
        let others = self.others.iter().flat_map(|others| others.iter());
        self.first.iter().chain(others).any(|wait| wait.id == 0)
    }

    /// Moves the wakers of poll functions into `wakes`.
    pub(super) fn wake_pollers(&mut self, wakes: &mut impl Extend<Waker>) {
        self.wake_those(|wait| wait.id == 0, wakes);
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Wait> {
        self.first.iter_mut().chain(self.others.iter_mut().flat_map(|others| others.iter_mut()))
    }

    /// Whether this one waits already, with this very waker; if so, for `position` from now on.
    #[inline]
    fn renew(&mut self, asker: &Asker<'_>, position: u64, waker: &Waker) -> bool {
        if self.is_empty() {
            return false;
        }
        let id = match asker {
            Asker::Future(WaitId(0)) => return false,
            Asker::Future(id) => id.0,
            Asker::PollFunction => 0,
        };
        let wait = self.iter_mut().find(|wait| wait.id == id && wait.waker.will_wake(waker));
        wait.map(|wait| wait.position = position).is_some()
    }

    /// Adds the wait of one of this thread's own jobs for anything, if nobody else waits; whether
    /// it could. What [`poll_or_wait`] does for all is done here in one step for nearly all.
    #[inline]
    pub(super) fn wait_at_home(&mut self, id: &mut WaitId, waker: &Waker) -> bool {
        if !self.is_empty() || !is_home(waker) {
            return false;
        }
        id.0 = new_id();
        self.first = Some(Wait { id: id.0, position: ANYTHING, waker: waker.clone() });
        true
    }

    /// Adds a wait, and gives back a waker to be dropped or, if it is a poll function's, woken.
    #[inline]
    fn store(&mut self, asker: Asker<'_>, position: u64, waker: Waker) -> Option<Waker> {
        let Asker::Future(id) = asker else {
            return self.store_poller(position, waker);
        };
        if id.0 != 0 && !self.is_empty() {
            let wait = self.iter_mut().find(|wait| wait.id == id.0);
            if let Some(wait) = wait {
                wait.position = position;
                return Some(std::mem::replace(&mut wait.waker, waker));
            }
        }
        id.0 = new_id();
        self.push(Wait { id: id.0, position, waker });
        None
    }

    #[cold]
    fn store_poller(&mut self, position: u64, waker: Waker) -> Option<Waker> {
        let mut oldest = None;
        if let Some(others) = &mut self.others
            && others.len() >= MOST_POLLERS
        {
            let at = others.iter().position(|wait| wait.id == 0);
            oldest = at.map(|at| others.remove(at).waker);
        }
        self.push(Wait { id: 0, position, waker });
        oldest
    }

    #[inline]
    fn push(&mut self, wait: Wait) {
        if self.first.is_none() {
            self.first = Some(wait);
        } else {
            self.others.get_or_insert_default().push(wait);
        }
    }

    /// Takes a wait out. Its waker is to be dropped where no borrow is held.
    #[must_use = "the waker is dropped by the caller, after the borrow"]
    pub(super) fn remove(&mut self, id: &WaitId) -> Option<Waker> {
        if id.0 == 0 {
            return None;
        }
        if self.first.as_ref().is_some_and(|wait| wait.id == id.0) {
            return self.first.take().map(|wait| wait.waker);
        }
        let others = self.others.as_mut()?;
        let at = others.iter().position(|wait| wait.id == id.0)?;
        let wait = others.swap_remove(at);
        if others.is_empty() {
            self.others = None;
        }
        Some(wait.waker)
    }

    /// Moves the wakers of all who wait for `position` or less into `wakes`.
    #[inline]
    pub(super) fn wake_reached(&mut self, position: u64, wakes: &mut impl Extend<Waker>) {
        if let Some(first) = self.first.take_if(|wait| wait.position <= position) {
            wakes.extend(Some(first.waker));
        }
        if self.others.is_some() {
            self.wake_others(position, wakes);
        }
    }

    #[cold]
    fn wake_others(&mut self, position: u64, wakes: &mut impl Extend<Waker>) {
        let Some(others) = &mut self.others else { return };
        wakes
            .extend(others.extract_if(.., |wait| wait.position <= position).map(|wait| wait.waker));
        if others.is_empty() {
            // Nobody waits for long in a crowd, and an idle stream holds no memory.
            self.others = None;
        }
    }

    /// Moves the wakers of all into `wakes`.
    pub(super) fn wake_all(&mut self, wakes: &mut impl Extend<Waker>) {
        self.wake_reached(u64::MAX, wakes);
    }
}

/// A list of waits in its cell, which nobody holds while anything of anyone's runs.
pub(super) trait WaitList {
    fn with<R>(&self, act: impl FnOnce(&mut Waiters) -> R) -> R;

    /// Takes out the wait of a future that is dropped.
    #[inline]
    fn forget(&self, wait: &WaitId) {
        if wait.0 == 0 {
            return;
        }
        let waker = self.with(|waiters| waiters.remove(wait));
        drop(waker);
    }

    /// Wakes all of them, from outside of a turn.
    fn wake_all_now(&self, reactor: &Reactor) {
        let mut wakes = Wakes::default();
        self.with(|waiters| waiters.wake_all(&mut wakes));
        reactor.wake_all(wakes);
    }
}

impl WaitList for RefCell<Waiters> {
    fn with<R>(&self, act: impl FnOnce(&mut Waiters) -> R) -> R {
        act(&mut self.borrow_mut())
    }
}

impl WaitList for Mutex<Waiters> {
    fn with<R>(&self, act: impl FnOnce(&mut Waiters) -> R) -> R {
        act(&mut self.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Polls: `check` answers, or says which position to wait for.
///
/// The waker is cloned between two checks, and an old one dropped after the last, as either may
/// run anything of anyone's; the second check sees what that did. A waker of this thread's own jobs
/// runs nothing, and what was checked still holds.
#[inline]
pub(super) fn poll_or_wait<T>(
    list: &impl WaitList,
    asker: Asker<'_>,
    cx: &Context<'_>,
    mut check: impl FnMut() -> ControlFlow<T, u64>,
) -> Poll<T> {
    let position = match check() {
        ControlFlow::Break(answer) => return Poll::Ready(answer),
        ControlFlow::Continue(position) => position,
    };
    if !is_home(cx.waker()) {
        return wait_for_foreign(list, asker, position, cx, check);
    }
    let is_poll_function = matches!(asker, Asker::PollFunction);
    let old = list.with(|waiters| {
        if waiters.renew(&asker, position, cx.waker()) {
            return None;
        }
        waiters.store(asker, position, cx.waker().clone())
    });
    if let Some(old) = old {
        part_with(old, is_poll_function);
    }
    Poll::Pending
}

/// Drops a waker whose place was taken; one that a poll function left is woken, as its task asked
/// for the same and would not come back.
#[cold]
fn part_with(old: Waker, is_poll_function: bool) {
    if is_poll_function { old.wake() } else { drop(old) }
}

#[cold]
fn wait_for_foreign<T>(
    list: &impl WaitList,
    asker: Asker<'_>,
    position: u64,
    cx: &Context<'_>,
    mut check: impl FnMut() -> ControlFlow<T, u64>,
) -> Poll<T> {
    if list.with(|waiters| waiters.renew(&asker, position, cx.waker())) {
        return Poll::Pending;
    }
    let waker = cx.waker().clone();
    let position = match check() {
        ControlFlow::Break(answer) => return Poll::Ready(answer),
        ControlFlow::Continue(position) => position,
    };
    let is_poll_function = matches!(asker, Asker::PollFunction);
    let old = list.with(|waiters| waiters.store(asker, position, waker));
    if let Some(old) = old {
        part_with(old, is_poll_function);
    }
    Poll::Pending
}

#[cfg(test)]
mod tests;
