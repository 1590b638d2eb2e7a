//! One turn: take mail, submit, wait, reap, hand over.
//!
//! The reactor stands between the sources and the backend. A source submits an op and names the
//! [`Sink`] that its completions go to; in each [`turn`](Reactor::turn) the reactor lets the dirty
//! sinks send what was queued, lets the backend work and sleep, hands each completion to its
//! sink, expires timers, and last, with nothing borrowed any more, wakes everybody who is
//! concerned (OUTSIDE). A waker that panics is reported, and the others are woken all the same.
//!
//! A turn takes one reading of the clock after its wait, and one before it if there is a deadline
//! to wait for. It allocates nothing.
//!
//! In a forked child it is a copy, with which nothing may happen any more: see `reactor/process.rs`.
//!
//! Every part of the reactor has its own cell, which is borrowed only inside one method of the
//! reactor's at a time, never while a sink or a waker runs. So a sink may call anything here.

pub(crate) mod home;
mod mailbox;
mod orphans;
mod process;
mod timers;
mod waiters;
mod waits;
mod wakes;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::backend::{Attach, Backend, Descriptor, FileOp, Op};
use crate::payload::SendQueue;
use crate::queue::Unpark;
use crate::sync;
use crate::sys::clock::{Clock, Reading, Scale};
use crate::sys::fork::Process;
use mailbox::Mailbox;
use orphans::Orphans;
use timers::Timers;
use waits::Waits;

pub(crate) use crate::backend::{
    Answer, BUFFER_SIZE, BackendKind, COMPLETIONS, Completion, Config, Token, Wanted, Without,
};
pub(crate) use timers::TimerKey;
#[cfg(test)]
pub(crate) use waiters::CALLERS;
pub(crate) use waiters::{Callers, Waiters};
pub(crate) use wakes::Wakes;

/// How long a turn may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Not at all: the worker has more to do.
    Poll,
    /// Until something happens: an event, a deadline, an unpark.
    Sleep,
}

/// Where the completions of an op go: the core of a source.
///
/// No user code may run in these. A waker that is to be called goes into `wakes`; one that is to
/// be dropped may go there too, or must wait for a call from outside a turn.
pub(crate) trait Sink {
    /// Takes a completion of one of its ops.
    fn complete(self: Rc<Self>, completion: Completion, wakes: &mut Wakes);

    /// Called once after a [`mark_dirty`](Reactor::mark_dirty), when the jobs that were ready have
    /// run: the time to send as one what was queued piece by piece.
    #[inline]
    fn flush(self: Rc<Self>, _wakes: &mut Wakes) {}
}

/// So long the end waits for the last completions of cancelled ops (DRAIN). One turn is enough where a
/// cancel is ours to grant; a kernel that has its own view answers as fast, but for what a disk is at.
const DRAIN_WAIT: Duration = Duration::from_secs(5);

/// So many sinks may flush themselves between two looks at the kernel. More than that are dozens of
/// busy connections, whose jobs then run once more; a single one that sends in a loop is held up by it
/// after half a millisecond.
const FLUSHES_PER_TURN: u32 = 64;

/// So many bytes may be queued by dirty sinks before these flush although jobs are ready: what a processor
/// still has in its cache. Answers go out while they are there, and what held them holds the next ones.
const QUEUED_AT_ONCE: usize = 32 << 10;

/// No worker's address, and not that of none, which is zero.
const NOBODY: usize = 1;

/// The waiting part of one worker.
pub(crate) struct Reactor {
    process: Process,
    backend: RefCell<Backend>,
    waits: RefCell<Waits>,
    timers: RefCell<Timers>,
    mailbox: Mailbox,
    orphans: Orphans,
    shutdown: Waiters,
    shutdown_requested: Cell<bool>,
    closed: Cell<bool>,
    /// The address of the worker whose reactor this is, as [`sync::current`] gives it; [`NOBODY`]
    /// before there is one, and after the end.
    worker: Cell<usize>,
    /// Why it is this keeper that runs.
    reason: String,
    /// How many sinks did not wait for the reactor in this turn.
    flushed_by_themselves: Cell<u32>,
    /// Bytes that sinks have queued since the last flush.
    queued: Cell<usize>,
    /// The keeper's.
    clock: Clock,
    scale: Scale,
    turns: Cell<u32>,
    turn_time: Cell<Reading>,
    /// The list that a turn fills and empties, kept for its memory.
    wakes: Cell<Vec<Waker>>,
    reporter: Cell<fn(fmt::Arguments<'_>)>,
}

impl Reactor {
    /// Opens a reactor.
    ///
    /// # Errors
    ///
    /// When the process is out of descriptors or memory.
    pub(crate) fn new(config: &Config) -> io::Result<Rc<Reactor>> {
        let (backend, reason) = Backend::new(config)?;
        Reactor::over(backend, reason, config.timer_slack)
    }

    /// A reactor over a keeper that is there.
    ///
    /// # Errors
    ///
    /// When the process is out of memory.
    pub(crate) fn over(
        backend: Backend,
        reason: String,
        timer_slack: Duration,
    ) -> io::Result<Rc<Reactor>> {
        let process = Process::current()?;
        let clock = backend.clock();
        let scale = clock.scale();
        let now = clock.read();
        Ok(Rc::new(Reactor {
            process,
            backend: RefCell::new(backend),
            waits: RefCell::default(),
            timers: RefCell::new(Timers::new(timer_slack, scale.instant(now))),
            mailbox: Mailbox::default(),
            orphans: Orphans::default(),
            shutdown: Waiters::default(),
            shutdown_requested: Cell::new(false),
            closed: Cell::new(false),
            worker: Cell::new(NOBODY),
            reason,
            flushed_by_themselves: Cell::new(0),
            queued: Cell::new(0),
            clock,
            scale,
            turns: Cell::new(0),
            turn_time: Cell::new(now),
            wakes: Cell::default(),
            reporter: Cell::new(|line| eprintln!("aem: {line}")),
        }))
    }

    /// Which interface of the kernel's is in use.
    pub(crate) fn kind(&self) -> BackendKind {
        self.backend.borrow().kind()
    }

    /// Why it is that one, in a line.
    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }

    /// What ends a sleep of this reactor from another thread.
    pub(crate) fn unparker(&self) -> Arc<dyn Unpark> {
        self.backend.borrow().unparker()
    }

    /// Says where one line about a panicking waker goes; standard error at first.
    pub(crate) fn set_reporter(&self, reporter: fn(fmt::Arguments<'_>)) {
        self.reporter.set(reporter);
    }
}

// Descriptors and ops.
impl Reactor {
    /// Takes over a descriptor. It is closed by the turn after its last `Rc` is dropped.
    ///
    /// # Errors
    ///
    /// If it cannot be waited for (a regular file), is registered already, or the reactor is
    /// closed. The descriptor is closed then.
    ///
    /// # Panics
    ///
    /// In a forked child; so do all that ask the kernel for something.
    pub(crate) fn adopt(&self, fd: OwnedFd, attach: Attach) -> io::Result<Rc<Descriptor>> {
        self.check_open()?;
        self.refuse_forked();
        self.backend.borrow_mut().adopt(fd, attach).map_err(|(error, _fd)| error)
    }

    /// See [`Backend::expect_cut_receives`].
    pub(crate) fn expect_cut_receives(&self, socket: &Descriptor) {
        self.backend.borrow_mut().expect_cut_receives(socket);
    }

    /// Makes a descriptor known that remains its owner's. It can be polled, nothing else, and must
    /// be [released](Descriptor::release) before its owner closes it.
    ///
    /// # Errors
    ///
    /// As for [`adopt`](Self::adopt), and if it is closed.
    pub(crate) fn adopt_borrowed(&self, fd: BorrowedFd<'_>) -> io::Result<Rc<Descriptor>> {
        self.check_open()?;
        self.refuse_forked();
        self.backend.borrow_mut().adopt_borrowed(fd)
    }

    /// Submits an op; its completions go to `sink`, in later turns. If the sink is gone by then
    /// they are dropped, which closes connections and frees chunks.
    ///
    /// # Errors
    ///
    /// If the reactor is closed.
    pub(crate) fn submit(&self, op: Op, sink: Weak<dyn Sink>) -> io::Result<Token> {
        self.check_open()?;
        self.refuse_forked();
        let token = self.backend.borrow_mut().submit(op);
        self.waits.borrow_mut().insert(token, sink);
        Ok(token)
    }

    /// Submits an op on a file, if the keeper takes such; else it comes back, to be performed on a thread
    /// that may block.
    ///
    /// # Errors
    ///
    /// If the reactor is closed.
    pub(crate) fn submit_file(
        &self,
        op: FileOp,
        sink: Weak<dyn Sink>,
    ) -> io::Result<Result<Token, FileOp>> {
        self.check_open()?;
        self.refuse_forked();
        let submitted = self.backend.borrow_mut().submit_file(op);
        if let Ok(token) = submitted {
            self.waits.borrow_mut().insert(token, sink);
        }
        Ok(submitted)
    }

    /// Asks for the end of an op. Its sink gets exactly one terminal completion all the same. A
    /// token whose op is over does nothing.
    pub(crate) fn cancel(&self, token: Token) {
        if !self.process.is_current() {
            return self.give_up(token);
        }
        self.backend.borrow_mut().cancel(token);
    }

    /// Has `sink` flushed by the next [`flush`](Self::flush) or turn, and kept until then.
    #[inline]
    pub(crate) fn mark_dirty(&self, sink: Rc<dyn Sink>) {
        self.mailbox.mark_dirty(sink);
    }

    /// Notes that a sink has queued so many bytes.
    #[inline]
    pub(crate) fn note_queued(&self, bytes: usize) {
        self.queued.set(self.queued.get().saturating_add(bytes));
    }

    /// Whether so much is queued that the dirty sinks should flush at once.
    #[inline]
    pub(crate) fn has_much_queued(&self) -> bool {
        self.queued.get() >= QUEUED_AT_ONCE
    }

    /// Whether `sink`, which was marked dirty and nothing after it, may flush itself now instead: a
    /// few may in each turn, so that a job which sends in a loop lets others run (BOUND).
    pub(crate) fn may_flush_now<T: Sink>(&self, sink: &Rc<T>) -> bool {
        let made = self.flushed_by_themselves.get();
        let may = made < FLUSHES_PER_TURN && self.mailbox.unmark_last(Rc::as_ptr(sink).cast());
        self.flushed_by_themselves.set(made + u32::from(may));
        may
    }

    /// Sends what one call takes of `queue`, if the keeper can do that at once; what was sent is
    /// gone from the queue. `None` says that nothing was: submit an op. So does a rest.
    #[inline]
    pub(crate) fn send_now(
        &self,
        socket: &Descriptor,
        queue: &mut SendQueue,
    ) -> Option<io::Result<usize>> {
        if self.closed.get() {
            return Some(Err(ended()));
        }
        self.refuse_forked();
        self.backend.borrow_mut().send_now(socket, queue)
    }

    /// Sends on behalf of a stream that nobody holds any more: first what `sending`, an op of its
    /// own under way, has left, then `rest`, and then closes the socket, if this is the last `Rc`.
    ///
    /// It is given up when nothing was taken for [`orphans::PATIENCE`], and, when the reactor is
    /// closed, with everything else that is still unsent. In a forked child nothing is sent: the parent
    /// has all of it, too.
    pub(crate) fn finish_sending(
        self: &Rc<Reactor>,
        socket: Rc<Descriptor>,
        sending: Option<Token>,
        rest: SendQueue,
    ) {
        if self.closed.get() || (sending.is_none() && rest.is_empty()) {
            return;
        }
        if !self.process.is_current() {
            return sending.into_iter().for_each(|token| self.give_up(token));
        }
        let orphan = self.orphans.adopt(Rc::downgrade(self), self.now(), socket, rest);
        let sink: Rc<dyn Sink> = orphan.clone();
        let sink = Rc::downgrade(&sink);
        match sending {
            Some(token) if self.waits.borrow_mut().redirect(token, sink) => {
                orphan.note_sending(token);
            }
            _ => orphan.send_rest(self),
        }
    }

    /// Has `waker` woken the next time that a descriptor of this reactor is closed: whoever is out
    /// of descriptors may try again.
    pub(crate) fn on_descriptor_freed(&self, waker: Waker) {
        self.mailbox.on_descriptor_freed(waker);
    }

    /// Notes that the worker that runs on this thread now is the one whose reactor this is.
    pub(crate) fn belong_here(&self) {
        if !self.closed.get() {
            self.worker.set(sync::current());
        }
    }

    /// Whether its worker runs on this thread now, and it can be asked for something.
    #[inline]
    pub(crate) fn is_here(&self) -> bool {
        self.worker.get() == sync::current()
    }

    /// Whether anything can still be asked of it.
    ///
    /// # Errors
    ///
    /// If it is closed.
    pub(crate) fn check_open(&self) -> io::Result<()> {
        if self.closed.get() { Err(ended()) } else { Ok(()) }
    }
}

/// What every source answers when its runtime has ended.
pub(crate) fn ended() -> io::Error {
    io::Error::other("the runtime that this source belongs to has ended")
}

// Time.
impl Reactor {
    /// Reads the clock.
    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// What it reads for the time.
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// How many turns there were, modulo 2³².
    pub(crate) fn turns(&self) -> u32 {
        self.turns.get()
    }

    /// When the last turn came back from its wait.
    pub(crate) fn turn_time(&self) -> Instant {
        self.scale.instant(self.turn_time.get())
    }

    /// The same as it was read.
    pub(crate) fn turn_reading(&self) -> Reading {
        self.turn_time.get()
    }

    /// Has `waker` woken when `deadline` has come, never before.
    pub(crate) fn insert_timer(&self, deadline: Instant, waker: Waker) -> TimerKey {
        let mut timers = self.timers.borrow_mut();
        if timers.is_empty() {
            // Turns leave the time of an empty wheel where it is.
            timers.catch_up(self.turn_time());
        }
        timers.insert(deadline, waker)
    }

    /// Takes a timer out; the waker comes back, or nothing if it has fired.
    pub(crate) fn remove_timer(&self, key: TimerKey) -> Option<Waker> {
        self.timers.borrow_mut().remove(key)
    }

    /// Has `waker` woken by a timer that was made with another one; false if it has fired.
    pub(crate) fn set_timer_waker(&self, key: TimerKey, waker: &Waker) -> bool {
        match self.timers.borrow().waker(key) {
            Some(held) if held.will_wake(waker) => return true,
            Some(_) => {}
            None => return false,
        }
        // A clone is user code, and so is the drop of the one that comes back.
        let waker = waker.clone();
        let back = self.timers.borrow_mut().replace_waker(key, waker);
        back.is_ok()
    }

    /// How many timers there are.
    pub(crate) fn timers(&self) -> usize {
        self.timers.borrow().len()
    }

    /// How many ops have not had their last completion, and how many descriptors are known.
    pub(crate) fn operations_and_descriptors(&self) -> (usize, usize) {
        let backend = self.backend.borrow();
        (backend.pending(), backend.descriptors())
    }
}

// The end that somebody asks for.
impl Reactor {
    /// Notes that the runtime is asked to end, and wakes those who wait to hear of it.
    pub(crate) fn request_shutdown(&self) {
        self.shutdown_requested.set(true);
        let mut wakes = Wakes::default();
        self.shutdown.take_all(&mut wakes);
        self.wake_all(wakes);
    }

    /// Whether the runtime is asked to end.
    pub(crate) fn shutdown_is_requested(&self) -> bool {
        self.shutdown_requested.get()
    }

    /// Those who wait to hear that it is.
    pub(crate) fn shutdown_waiters(&self) -> &Waiters {
        &self.shutdown
    }
}

// Turns.
impl Reactor {
    /// Has the dirty sinks send what was queued, and wakes whoever waited for that. A turn begins
    /// with it; to do it before saves a turn, if what it wakes has nothing to do with the kernel.
    pub(crate) fn flush(&self) {
        self.queued.set(0);
        if self.mailbox.is_dirty() {
            let mut wakes = Wakes::from(self.wakes.take());
            self.mailbox.flush_dirty(&mut wakes);
            self.wake_all(wakes);
        }
    }

    /// Makes a turn: see the head of this file.
    ///
    /// # Errors
    ///
    /// What the kernel's wait fails with. Everything that was known before is handed over first.
    pub(crate) fn turn(&self, wait: Wait) -> io::Result<()> {
        let limit = match wait {
            Wait::Poll => Some(Duration::ZERO),
            Wait::Sleep => None,
        };
        self.turn_for(limit)
    }

    /// A turn that sleeps for at most `limit`, for ever without one, unless a deadline comes first.
    fn turn_for(&self, limit: Option<Duration>) -> io::Result<()> {
        self.refuse_forked();
        let mut wakes = Wakes::from(self.wakes.take());
        self.queued.set(0);
        self.mailbox.flush_dirty(&mut wakes);
        if self.backend.borrow_mut().start() {
            self.deliver(&mut wakes);
        }
        let idle = !wakes.have_any() && !self.mailbox.is_dirty() && !self.is_drained();
        let wait = if idle { self.wait_until(limit) } else { Some(Duration::ZERO) };
        let result = self.backend.borrow_mut().wait(wait);
        self.turn_time.set(self.clock.read());
        self.turns.set(self.turns.get().wrapping_add(1));
        self.flushed_by_themselves.set(0);
        self.deliver(&mut wakes);
        self.expire(&mut wakes);
        if self.backend.borrow_mut().take_closed() > 0 {
            self.mailbox.take_freed(&mut wakes);
        }
        self.wake_all(wakes);
        result
    }

    /// Lets go of what has waited long enough.
    #[inline]
    fn expire(&self, wakes: &mut Wakes) {
        if !self.timers.borrow().is_empty() {
            let now = self.turn_time();
            self.timers.borrow_mut().expire(now, wakes);
        }
        if !self.orphans.is_empty() {
            self.orphans.expire(self.turn_time(), self);
        }
    }

    /// How long a wait may be: up to `limit`, up to the next deadline.
    #[inline]
    fn wait_until(&self, limit: Option<Duration>) -> Option<Duration> {
        if limit == Some(Duration::ZERO) {
            return limit;
        }
        if self.timers.borrow().is_empty() && self.orphans.is_empty() {
            return limit;
        }
        let timer = self.timers.borrow().next();
        let deadline = [timer, self.orphans.next()].into_iter().flatten().min();
        let Some(deadline) = deadline else { return limit };
        let wait = deadline.saturating_duration_since(self.now());
        Some(limit.map_or(wait, |limit| limit.min(wait)))
    }

    /// Hands completions to their sinks.
    #[inline]
    fn deliver(&self, wakes: &mut Wakes) {
        while self.backend.borrow().has_next() {
            // A statement of its own: the sink may ask anything of the backend.
            let completion = self.backend.borrow_mut().next();
            let Some(completion) = completion else { return };
            let sink = self.waits.borrow_mut().find(completion.token, completion.more);
            if let Some(sink) = sink {
                sink.complete(completion, wakes);
            }
        }
    }

    /// Calls wakers. One that panics is reported; the others are called all the same.
    #[inline]
    pub(crate) fn wake_all(&self, wakes: Wakes) {
        let mut wakers = wakes.into_foreign();
        if !wakers.is_empty() {
            self.with_each(&mut wakers, Waker::wake);
        }
        self.wakes.set(wakers);
    }

    #[cold]
    fn with_each(&self, wakers: &mut Vec<Waker>, act: fn(Waker)) {
        let mut rest = wakers.drain(..);
        loop {
            let act_on_all = AssertUnwindSafe(|| rest.by_ref().for_each(act));
            let Err(panic) = catch_unwind(act_on_all) else { return };
            let text = crate::error::panic_text(&*panic);
            (self.reporter.get())(format_args!("a waker panicked: {text}"));
            // Its payload may panic when dropped; then it is leaked with what it said.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(panic))).map_err(std::mem::forget);
        }
    }

    /// Ends (DRAIN): sends what is queued for at most `flush`, cancels all ops and collects their
    /// last completions, closes what was dropped. From here on submitting is an error. The
    /// remaining wakers are dropped.
    ///
    /// In a forked child nothing is sent and the ops are given up: they go on in the parent.
    pub(crate) fn close(&self, flush: Duration) {
        if self.closed.get() {
            return;
        }
        if self.process.is_current() {
            self.flush_for(flush);
        }
        self.closed.set(true);
        self.worker.set(NOBODY);
        if self.process.is_current() {
            self.cancel_everything();
        } else {
            self.give_up_all();
        }
        self.orphans.clear();
        self.backend.borrow_mut().shut();
        // Wakers are taken out first and dropped when nothing is borrowed any more.
        let timers = self.timers.replace(Timers::new(Duration::ZERO, self.now()));
        let mut wakers = timers.into_wakers();
        self.mailbox.clear(&mut wakers);
        self.shutdown.take_all(&mut wakers);
        self.with_each(&mut wakers, drop);
    }

    /// Cancels all ops and collects their last completions.
    fn cancel_everything(&self) {
        self.backend.borrow_mut().cancel_all(|_| true);
        self.drain();
    }

    /// Collects the last completions of ops that were cancelled.
    fn drain(&self) {
        let deadline = self.now() + DRAIN_WAIT;
        loop {
            let pending = self.backend.borrow().pending();
            if pending == 0 {
                return;
            }
            let left = deadline.saturating_duration_since(self.now());
            // A kernel that cannot wait any more has nothing to tell either.
            if left.is_zero() || self.turn_for(Some(left)).is_err() {
                (self.reporter.get())(format_args!(
                    "the kernel did not end {pending} operations; what they need is left to it"
                ));
                return;
            }
        }
    }

    /// Whether the end has what it waits for: an op that the kernel has not had yet ends before a wait.
    fn is_drained(&self) -> bool {
        self.closed.get() && self.backend.borrow().pending() == 0
    }

    /// Lets the sends that are under way, and those that dirty sinks still make, go out.
    fn flush_for(&self, flush: Duration) {
        self.backend.borrow_mut().cancel_all(|op| !matches!(op, Op::Send { .. }));
        let deadline = self.now().checked_add(flush);
        while self.mailbox.is_dirty() || self.backend.borrow().sends() > 0 {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(self.now()));
            if left == Some(Duration::ZERO) || self.turn_for(left).is_err() {
                return;
            }
        }
    }
}

impl fmt::Debug for Reactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor").field("closed", &self.closed.get()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
