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
//!                    └► resting ──► started: a supervised handler has failed, and another follows
//! ```
//!
//! Promises: AGAIN, OUTSIDE, BOUND (events a run), HOME (source and handler are dropped on every path).

mod merging;
mod operate;
mod rare;
mod restarting;

use std::cell::Cell;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;
use pin_project_lite::pin_project;

pub(super) use self::merging::Merge;
pub(super) use self::operate::{Operate, Pauser};
use self::rare::Beside;
use super::face::{BoxFace, discard, fail_alone, report_if_lost};
use super::{End, Next, Outcome};
use crate::error::HandlerError;
use crate::job::cell::{Tally, Work};
use crate::job::slot::PinSlot;
use crate::job::{Payload, contain};
use crate::runtime::{Fate, context};

/// So many events are handled in a run before others get their turn: enough to spread the cost of a run,
/// few enough that a source which is always ready keeps nobody waiting for long.
pub const RUN_EVENTS: usize = 32;

/// How a registration ends.
pub(super) type Ending = Result<End, HandlerError>;

/// A function for the end.
pub(super) type OnEnd = Box<dyn FnOnce(&Ending)>;

/// The registration's own pause.
const PAUSED: u64 = 1;
/// Its scope's pause.
const SCOPE_PAUSED: u64 = 1 << 1;
/// The handler never runs again.
const STOPPED: u64 = 1 << 2;
/// The event in progress is the last one: the source was reclaimed in it, or the scope closes.
const LAST: u64 = 1 << 3;
/// A run is under way: handler or source may be away.
const RUNNING: u64 = 1 << 4;
/// The source has said that there is no more.
const EXHAUSTED: u64 = 1 << 5;
/// How it ended is known; `on_end` may still have to hear of it.
const ENDED: u64 = 1 << 6;
/// Everybody may know how it ended.
const VISIBLE: u64 = 1 << 7;
/// A `Registration` holds it: the source is kept for `reclaim`, and the ending for who awaits it.
const HELD: u64 = 1 << 8;
/// The source has been polled at least once.
const POLLED: u64 = 1 << 9;
/// Somebody has awaited the ending.
const READ: u64 = 1 << 10;
/// It is ending: what it was is dropped now, and code of the user may look on.
const ENDING: u64 = 1 << 11;
/// Another handler follows when the event in progress has ended.
const SUCCEEDED: u64 = 1 << 12;
/// The handler is a plain closure: it is never busy and always ready.
const PLAIN: u64 = 1 << 13;
/// Nothing was waited for since the last event: the next one was there already.
const PROMPT: u64 = 1 << 14;
/// Events that wait while the handler is at work become one.
const MERGING: u64 = 1 << 15;
/// The handler has failed, and the next one begins when a while has passed.
const RESTING: u64 = 1 << 16;

/// Above the marks a core's word counts the events that its handler was given.
const EVENTS: u32 = 20;
const ONE_EVENT: u64 = 1 << EVENTS;

pin_project! {
    /// The work of a handler's job.
    pub(super) struct Core<S: Stream> {
        #[pin]
        source: PinSlot<S>,
        face: Cell<Option<BoxFace<S::Item>>>,
        beside: Cell<Option<Box<Beside<S::Item>>>>,
        // Marks, and the number of events.
        word: Cell<u64>,
    }
}

impl<S: Stream + 'static> Core<S> {
    pub(super) fn new(source: S, face: BoxFace<S::Item>) -> Self {
        let plain = if face.is_plain() { PLAIN } else { 0 };
        Core {
            source: PinSlot::new(source),
            face: Cell::new(Some(face)),
            beside: Cell::new(None),
            word: Cell::new(HELD | plain),
        }
    }

    fn has(&self, mark: u64) -> bool {
        self.word.get() & mark != 0
    }

    fn set(&self, mark: u64) {
        self.word.set(self.word.get() | mark);
    }

    fn clear(&self, mark: u64) {
        self.word.set(self.word.get() & !mark);
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
                self.step(face, left, context)
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
        left: &mut usize,
        context: &mut Context<'_>,
    ) -> Poll<Step> {
        if !self.has(EXHAUSTED | LAST) {
            if !self.has(PLAIN) {
                match face.poll_ready(context) {
                    Poll::Ready(Ok(Next::Keep)) => {}
                    other => return other.map(Step::Said),
                }
            }
            if self.has(PAUSED | SCOPE_PAUSED | RESTING) && self.must_wait(context) {
                return Poll::Pending;
            }
            loop {
                let mut polled = self.poll_source(context);
                if self.has(MERGING) {
                    match self.merge(polled, left) {
                        ControlFlow::Continue(()) => continue,
                        ControlFlow::Break(merged) => polled = merged,
                    }
                }
                match polled {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(None) => break,
                    Poll::Ready(Some(event)) => return self.hand_over(event, face, context),
                }
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
        match polled {
            Poll::Pending => self.clear(PROMPT),
            Poll::Ready(None) => self.set(EXHAUSTED),
            Poll::Ready(Some(_)) => self.count(),
        }
        polled
    }

    /// Counts an event, and whether it was there before anybody waited for it.
    #[inline]
    fn count(&self) {
        let word = self.word.get();
        self.word.set((word | PROMPT).wrapping_add(ONE_EVENT));
        if word & PROMPT != 0 {
            context::note_overrun();
        }
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
        self: Pin<&Self>,
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
            return match ending {
                Err(error) if self.is_supervised() => self.try_again(face, error),
                ending => self.conclude(face, ending),
            };
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

    /// It ends like this. The handler's destructor finds the matter settled: nothing it does can change it.
    fn conclude(&self, face: BoxFace<S::Item>, ending: Ending) -> Verdict {
        self.set(ENDING);
        discard(face);
        Verdict::End(ending)
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
        self.discard_rest();
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
        self.of_beside(|beside| beside.on_end.is_some())
    }

    /// Calls `on_end`, if there is one.
    fn tell(&self) {
        if let Some(on_end) = self.of_beside(|beside| beside.on_end.take())
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
        discard(self.of_beside(|beside| beside.membership.take()));
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
            self.discard_rest();
            self.keep_ending(Ok(End::Stopped));
            self.set(ENDED);
        }
        self.clear_source();
        self.tell();
        discard(self.of_beside(|beside| beside.on_end.take()));
        self.show();
    }

    fn is_timed(&self) -> bool {
        true
    }

    fn tally(&self) -> Tally {
        let restarts = self.of_rare(|rare| rare.restarts);
        Tally { events: self.word.get() >> EVENTS, restarts }
    }
}

/// The error of a handler that nobody holds.
fn report(error: HandlerError) {
    tell(error, Fate::Ended);
}

/// The error of the handler that runs now.
fn tell(error: HandlerError, fate: Fate) {
    let Some(worker) = context::try_current() else { return fail_alone(&"a handler", error) };
    match worker.running_job() {
        Some(job) => worker.handler_failed(&job, error, fate),
        None => fail_alone(&"a handler", error),
    }
}
