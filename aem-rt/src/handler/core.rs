//! The job of a registration: its source, its handler, and what a run does with them.
//!
//! Everything in here is looked at through shared references, as handles look while the job runs. So each
//! part is a cell that is emptied while its content is used: the handler is taken out while it is called,
//! the source is lent while it is polled. A handle that finds a part away leaves a mark, and the run reads
//! the marks each time user code has returned.
//!
//! ```text
//!                 pause / resume: the source is not polled
//!                    ┌──────┐
//!   registered ──► started ◄┘──► closing ──► ended ──► visible
//!                    │  stop, Next::Stop, Err, panic,    │  on_end runs first, in a run of its own
//!                    │  exhausted (and its last event)   └► awaiters and scopes hear of it
//! ```
//!
//! Promises: AGAIN, OUTSIDE, BOUND (events a run), HOME (source and handler are dropped on every path).

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;
use pin_project_lite::pin_project;

use super::face::{BoxFace, discard, fail_alone, report_if_lost};
use super::scope::Membership;
use super::{End, Next, Outcome};
use crate::error::HandlerError;
use crate::job::cell::Work;
use crate::job::slot::PinSlot;
use crate::job::{Payload, contain};
use crate::runtime::context;

/// So many events are handled in a run before others get their turn: enough to spread the cost of a run,
/// few enough that a source which is always ready keeps nobody waiting for long.
pub const RUN_EVENTS: usize = 32;

/// How a registration ends.
pub(super) type Ending = Result<End, HandlerError>;

/// A function for the end.
pub(super) type OnEnd = Box<dyn FnOnce(&Ending)>;

/// The registration's own pause.
const PAUSED: u16 = 1;
/// Its scope's pause.
const SCOPE_PAUSED: u16 = 1 << 1;
/// The handler never runs again.
const STOPPED: u16 = 1 << 2;
/// The event in progress is the last one: the source was reclaimed in it, or the scope closes.
const LAST: u16 = 1 << 3;
/// A run is under way: handler or source may be away.
const RUNNING: u16 = 1 << 4;
/// The source has said that there is no more.
const EXHAUSTED: u16 = 1 << 5;
/// How it ended is known; `on_end` may still have to hear of it.
const ENDED: u16 = 1 << 6;
/// Everybody may know how it ended.
const VISIBLE: u16 = 1 << 7;
/// A `Registration` holds it: the source is kept for `reclaim`, and the ending for who awaits it.
const HELD: u16 = 1 << 8;
/// The source has been polled at least once.
const POLLED: u16 = 1 << 9;
/// Somebody has awaited the ending.
const READ: u16 = 1 << 10;
/// It is ending: what it was is dropped now, and code of the user may look on.
const ENDING: u16 = 1 << 11;
/// Another handler follows when the event in progress has ended.
const SUCCEEDED: u16 = 1 << 12;
/// The handler is a plain closure: it is never busy and always ready.
const PLAIN: u16 = 1 << 13;

pin_project! {
    /// The work of a handler's job.
    pub(super) struct Core<S: Stream> {
        #[pin]
        source: PinSlot<S>,
        face: Cell<Option<BoxFace<S::Item>>>,
        rare: Cell<Option<Box<Rare<S::Item>>>>,
        flags: Cell<u16>,
    }
}

/// What few have while they run. It costs the others a word.
struct Rare<I> {
    /// The handler that follows when the event in progress has ended.
    successor: Option<BoxFace<I>>,
    ending: Option<Ending>,
    on_end: Option<OnEnd>,
    membership: Option<Membership>,
}

impl<I> Default for Rare<I> {
    fn default() -> Self {
        Rare { successor: None, ending: None, on_end: None, membership: None }
    }
}

/// What a handle can do without knowing the source.
pub(super) trait Operate {
    /// Sets or clears a pause; true if the job should run.
    #[must_use]
    fn set_paused(&self, by: Pauser, paused: bool) -> bool;
    /// Drops handler and event in progress, now or when they are back; true if the job should run.
    #[must_use]
    fn stop(self: Pin<&Self>) -> bool;
    /// Ends after the event in progress; true if the job should run.
    #[must_use]
    fn finish(self: Pin<&Self>) -> bool;
    /// Whether it never came to polling its source, though nobody kept it from that.
    fn is_unused(&self) -> bool;
    /// The holder goes; the error that nobody read comes back.
    #[must_use]
    fn let_go(self: Pin<&Self>, detached: bool) -> Option<HandlerError>;
    fn set_on_end(&self, on_end: OnEnd);
    fn set_membership(&self, membership: Membership);
    fn is_ended(&self) -> bool;
    /// The ending, once it is visible, to the one who asks first.
    fn take_ending(&self) -> Option<Ending>;
    fn is_read(&self) -> bool;
}

/// Who holds a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pauser {
    Registration,
    Scope,
}

impl<S: Stream + 'static> Core<S> {
    pub(super) fn new(source: S, face: BoxFace<S::Item>) -> Self {
        let plain = if face.is_plain() { PLAIN } else { 0 };
        Core {
            source: PinSlot::new(source),
            face: Cell::new(Some(face)),
            rare: Cell::new(None),
            flags: Cell::new(HELD | plain),
        }
    }

    fn has(&self, flag: u16) -> bool {
        self.flags.get() & flag != 0
    }

    fn set(&self, flag: u16) {
        self.flags.set(self.flags.get() | flag);
    }

    fn clear(&self, flag: u16) {
        self.flags.set(self.flags.get() & !flag);
    }

    /// Has `act` move something in or out of the rare parts; what it takes is used after that.
    fn rarely<R>(&self, act: impl FnOnce(&mut Rare<S::Item>) -> R) -> R {
        let mut rare = self.rare.take().unwrap_or_default();
        let result = act(&mut rare);
        self.rare.set(Some(rare));
        result
    }

    /// The same to take something out, or to look whether it is there.
    fn of_rare<R: Default>(&self, act: impl FnOnce(&mut Rare<S::Item>) -> R) -> R {
        let Some(mut rare) = self.rare.take() else { return R::default() };
        let result = act(&mut rare);
        self.rare.set(Some(rare));
        result
    }

    #[cold]
    fn take_successor(&self) -> Option<BoxFace<S::Item>> {
        self.clear(SUCCEEDED);
        self.of_rare(|rare| rare.successor.take())
    }

    #[cold]
    fn set_successor(&self, new: BoxFace<S::Item>) {
        let old = self.rarely(|rare| rare.successor.replace(new));
        self.set(SUCCEEDED);
        discard(old);
    }

    fn take_kept_ending(&self) -> Option<Ending> {
        self.of_rare(|rare| rare.ending.take())
    }

    fn keep_ending(&self, ending: Ending) {
        self.rarely(|rare| rare.ending = Some(ending));
    }

    /// Notes what sort of handler the present one is.
    fn note_face(&self, face: &BoxFace<S::Item>) {
        self.clear(PLAIN);
        if face.is_plain() {
            self.set(PLAIN);
        }
    }

    /// Puts another handler in. False, and the new one dropped, if none will run any more.
    pub(super) fn replace(&self, new: BoxFace<S::Item>) -> bool {
        if self.has(STOPPED | LAST | ENDING | ENDED) {
            discard(new);
            return false;
        }
        match self.face.take() {
            Some(mut old) if !old.is_busy() && !self.has(RUNNING) => {
                old.retire();
                self.note_face(&new);
                self.face.set(Some(new));
                discard(old);
            }
            face => {
                // The event in progress belongs to the old one.
                if face.is_some() {
                    self.face.set(face);
                }
                self.set_successor(new);
            }
        }
        true
    }

    /// Gives the source back. The job ends: now, or, from inside its handler, with that event.
    pub(super) fn reclaim(self: Pin<&Self>) -> (Option<S>, bool)
    where
        S: Unpin,
    {
        let exhausted = self.has(EXHAUSTED);
        let source = self.project_ref().source.take().filter(|_| !exhausted);
        let in_handler = self.has(RUNNING) && !self.project_ref().source.is_busy();
        let wake = if in_handler {
            self.set(LAST);
            true
        } else {
            if let Some(mut face) = self.face.take() {
                face.spare();
                self.face.set(Some(face));
            }
            self.stop()
        };
        (source, wake)
    }

    /// A run, until there is nothing to do or the budget is spent.
    fn work_through(self: Pin<&Self>, context: &mut Context<'_>) -> Poll<Ending> {
        let mut left = RUN_EVENTS;
        while left > 0 {
            if self.has(STOPPED) {
                return Poll::Ready(Ok(End::Stopped));
            }
            let Some(mut face) = self.face.take() else {
                return Poll::Ready(Ok(End::Stopped));
            };
            let was_last = self.has(LAST);
            let result = contain(|| self.work(&mut face, &mut left, context));
            match self.judge(face, result, was_last) {
                Verdict::Go => {}
                Verdict::Wait => return Poll::Pending,
                Verdict::End(ending) => return Poll::Ready(ending),
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Steps, until one comes to something else than to going on with the next event.
    #[inline]
    fn work(
        self: Pin<&Self>,
        face: &mut BoxFace<S::Item>,
        left: &mut usize,
        context: &mut Context<'_>,
    ) -> Poll<Step> {
        loop {
            *left -= 1;
            let step = if !self.has(PLAIN) && face.is_busy() {
                face.resume(context).map(Step::Said)
            } else {
                if self.has(SUCCEEDED) {
                    self.let_successor_in(face);
                    if self.has(STOPPED) {
                        return Poll::Ready(Step::Said(Ok(Next::Stop)));
                    }
                }
                self.step(face, context)
            };
            let goes_on = matches!(step, Poll::Ready(Step::Said(Ok(Next::Keep))));
            if !goes_on || *left == 0 || self.has(STOPPED) {
                return step;
            }
        }
    }

    /// With no event in progress: takes the next one and hands it over. Whatever of this panics, the
    /// registration ends with it.
    #[inline]
    fn step(
        self: Pin<&Self>,
        face: &mut BoxFace<S::Item>,
        context: &mut Context<'_>,
    ) -> Poll<Step> {
        if !self.has(EXHAUSTED | LAST) {
            if !self.has(PLAIN) {
                match face.poll_ready(context) {
                    Poll::Ready(Ok(Next::Keep)) => {}
                    other => return other.map(Step::Said),
                }
            }
            if self.has(PAUSED | SCOPE_PAUSED) {
                return Poll::Pending;
            }
            match self.poll_source(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => {}
                Poll::Ready(Some(event)) => return self.hand_over(event, face, context),
            }
        }
        if self.has(STOPPED) {
            return Poll::Ready(Step::Said(Ok(Next::Stop)));
        }
        face.poll_finished(context).map(|said| match said {
            Ok(Next::Keep) if self.has(LAST) => Step::Said(Ok(Next::Stop)),
            Ok(Next::Keep) => Step::Finished,
            said => Step::Said(said),
        })
    }

    /// The source's next event. None when it has no more, or has been taken away.
    #[inline]
    fn poll_source(self: Pin<&Self>, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        self.set(POLLED);
        let source = self.project_ref().source;
        let polled = context::drain(|| source.lend(|source| source.poll_next(context)));
        // Without a source: it was reclaimed, and its taker has set the mark that ends the job.
        let Some(polled) = polled else { return Poll::Ready(None) };
        if let Poll::Ready(None) = polled {
            self.set(EXHAUSTED);
        }
        polled
    }

    /// Calls the handler. What the source's own code asked for during its poll is done before: a stopped
    /// handler never runs again, a successor takes the event.
    #[inline]
    fn hand_over(
        &self,
        event: S::Item,
        face: &mut BoxFace<S::Item>,
        context: &mut Context<'_>,
    ) -> Poll<Step> {
        if self.has(SUCCEEDED) {
            // The old one's destructor may stop us, so that the question comes after it.
            self.let_successor_in(face);
        }
        if self.has(STOPPED) {
            discard(event);
            return Poll::Ready(Step::Said(Ok(Next::Stop)));
        }
        face.call(event, context).map(Step::Said)
    }

    /// The handler that was waiting for it takes the place of this one.
    #[cold]
    fn let_successor_in(&self, face: &mut BoxFace<S::Item>) {
        let Some(successor) = self.take_successor() else { return };
        self.note_face(&successor);
        face.retire();
        discard(std::mem::replace(face, successor));
    }

    /// User code has returned: what follows from what it said, and from what was done to us meanwhile.
    fn judge(
        &self,
        face: BoxFace<S::Item>,
        result: Result<Poll<Step>, Payload>,
        was_last: bool,
    ) -> Verdict {
        let end = match &result {
            Ok(Poll::Ready(Step::Said(Err(_)))) | Err(_) => true,
            Ok(Poll::Ready(Step::Finished | Step::Said(Ok(Next::Stop)))) => true,
            Ok(_) => self.has(STOPPED),
        };
        if end {
            let ending = match result {
                Err(panic) => Err(HandlerError::new_panic(panic)),
                Ok(Poll::Ready(Step::Said(Err(error)))) => Err(error),
                Ok(Poll::Ready(Step::Finished)) if !self.has(STOPPED) => Ok(End::Exhausted),
                Ok(_) => Ok(End::Stopped),
            };
            // Its destructor finds the matter settled: nothing it does can change how this ends.
            self.set(ENDING);
            discard(face);
            return Verdict::End(ending);
        }
        let idle = self.has(PLAIN) || !face.is_busy();
        self.face.set(Some(face));
        match result {
            // Something may have been asked of us while the source or the handler was away.
            Ok(Poll::Pending) if idle && self.must_look_again(was_last) => Verdict::Go,
            Ok(Poll::Pending) => Verdict::Wait,
            _ => {
                if matches!(result, Ok(Poll::Ready(Step::Said(Ok(Next::Pause))))) {
                    self.set(PAUSED);
                }
                Verdict::Go
            }
        }
    }

    /// Whether a handler with nothing to do may be changed or ended after all. Where the last event was
    /// known to be the last before, the handler has been asked, and will wake the job when it has finished.
    fn must_look_again(&self, was_last: bool) -> bool {
        self.has(SUCCEEDED) || self.has(LAST) && !was_last
    }

    /// How it ended is known.
    fn end(self: Pin<&Self>, ending: Ending) -> Poll<()> {
        self.set(ENDING);
        discard(self.face.take());
        discard(self.take_successor());
        if !self.has(HELD) {
            self.clear_source();
        }
        // Of an end without an error nobody hears where nobody holds it or wants to be told.
        if ending.is_err() || self.has(HELD) || self.has_on_end() {
            self.keep_ending(ending);
        }
        self.set(ENDED);
        self.show_unless_awaited()
    }

    /// `on_end` has a run of its own; without one the ending is visible at once.
    fn show_unless_awaited(&self) -> Poll<()> {
        if self.has_on_end() {
            return Poll::Pending;
        }
        self.show();
        Poll::Ready(())
    }

    fn has_on_end(&self) -> bool {
        self.of_rare(|rare| rare.on_end.is_some())
    }

    /// Calls `on_end`, if there is one.
    fn tell(&self) {
        if let Some(on_end) = self.of_rare(|rare| rare.on_end.take())
            && let Some(ending) = self.take_kept_ending()
        {
            let called = contain(|| on_end(&ending));
            self.keep_ending(ending);
            report_if_lost(called);
        }
    }

    /// Lets everybody know.
    fn show(&self) {
        self.set(VISIBLE);
        if !self.has(HELD)
            && let Some(Err(error)) = self.take_kept_ending()
        {
            report(error);
        }
        discard(self.of_rare(|rare| rare.membership.take()));
    }

    fn clear_source(self: Pin<&Self>) {
        report_if_lost(contain(|| self.project_ref().source.clear()));
    }
}

/// What came of a step.
enum Step {
    /// The handler spoke.
    Said(Outcome),
    /// The source has no more, and the handler has finished with all there was.
    Finished,
}

/// What a run does next.
enum Verdict {
    Go,
    Wait,
    End(Ending),
}

impl<S: Stream + 'static> Work for Core<S> {
    fn run(self: Pin<&Self>, context: &mut Context<'_>) -> Poll<()> {
        let shown = if self.has(ENDED) {
            self.tell();
            // Told of the end, a user may still have asked to be told again.
            self.show_unless_awaited()
        } else {
            self.set(RUNNING);
            let worked = self.work_through(context);
            self.clear(RUNNING);
            let Poll::Ready(ending) = worked else { return Poll::Pending };
            self.end(ending)
        };
        if shown.is_pending() {
            context.waker().wake_by_ref();
        }
        shown
    }

    fn cancel(self: Pin<&Self>) {
        self.set(STOPPED | ENDING);
        if !self.has(ENDED) {
            discard(self.face.take());
            discard(self.take_successor());
            self.keep_ending(Ok(End::Stopped));
            self.set(ENDED);
        }
        self.clear_source();
        self.tell();
        discard(self.of_rare(|rare| rare.on_end.take()));
        self.show();
    }

    fn is_timed(&self) -> bool {
        true
    }
}

impl<S: Stream + 'static> Operate for Core<S> {
    fn set_paused(&self, by: Pauser, paused: bool) -> bool {
        let flag = match by {
            Pauser::Registration => PAUSED,
            Pauser::Scope => SCOPE_PAUSED,
        };
        if paused {
            self.set(flag);
        } else {
            self.clear(flag);
        }
        !paused
    }

    fn stop(self: Pin<&Self>) -> bool {
        if self.has(ENDED | ENDING | STOPPED) {
            return false;
        }
        self.set(STOPPED);
        if !self.has(RUNNING) {
            discard(self.face.take());
        }
        discard(self.take_successor());
        true
    }

    fn finish(self: Pin<&Self>) -> bool {
        if self.has(ENDED | ENDING | STOPPED | LAST) {
            return false;
        }
        self.set(LAST);
        true
    }

    fn is_unused(&self) -> bool {
        !self.has(POLLED | STOPPED | ENDED | PAUSED | SCOPE_PAUSED)
    }

    fn let_go(self: Pin<&Self>, detached: bool) -> Option<HandlerError> {
        self.clear(HELD);
        if !detached || self.has(ENDED) {
            self.clear_source();
        }
        if !self.has(VISIBLE) {
            // Whoever makes it visible reports an error.
            return None;
        }
        self.take_kept_ending()?.err()
    }

    fn set_on_end(&self, on_end: OnEnd) {
        if self.has(VISIBLE) {
            // Too late to be a run of its own; it is called all the same, as it was promised.
            if let Some(ending) = self.take_kept_ending() {
                let called = contain(|| on_end(&ending));
                self.keep_ending(ending);
                report_if_lost(called);
            }
        } else {
            discard(self.rarely(|rare| rare.on_end.replace(on_end)));
        }
    }

    fn set_membership(&self, membership: Membership) {
        if self.has(VISIBLE) {
            discard(membership);
        } else {
            discard(self.rarely(|rare| rare.membership.replace(membership)));
        }
    }

    fn is_ended(&self) -> bool {
        self.has(VISIBLE)
    }

    fn take_ending(&self) -> Option<Ending> {
        if !self.has(VISIBLE) || self.has(READ) {
            return None;
        }
        self.set(READ);
        let ending = self.take_kept_ending()?;
        if let Ok(end) = ending {
            // Of an end without an error an `on_end` may hear later still.
            self.keep_ending(Ok(end));
        }
        Some(ending)
    }

    fn is_read(&self) -> bool {
        self.has(READ)
    }
}

/// The error of a handler that nobody holds.
fn report(error: HandlerError) {
    let Some(worker) = context::try_current() else { return fail_alone(&"a handler", error) };
    match worker.running_job() {
        Some(job) => worker.handler_failed(&job, error),
        None => fail_alone(&"a handler", error),
    }
}
