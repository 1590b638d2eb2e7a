//! The block of a worker, and the worker's own view of it.
//!
//! [`Owner`] is what cells point to: the inject queue and the way to wake the worker, for everybody; the
//! ready queue, the registry and the panics nobody read, for the owner's thread alone. It is counted by its
//! worker, by handles, by every merged cell, and by a thread that is about to push.
//!
//! [`Home`] is the owner's proof: there is one for each block, it does not leave its thread, and what only
//! the owner may do is a method of it.
//!
//! A worker that is forgotten without [`Home::finish`] leaks its block: cells go on pointing to it.
#![allow(unsafe_code)]

use std::cell::{Cell as StdCell, RefCell};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use super::Payload;
use super::cell::{self, Birth, Header, Origin, Work};
use super::id::JobId;
use super::join::Note;
use super::memory::Memory;
use super::registry::{
    Cause, Facts, Kind, Lost, Record, Registry, Sight, Statistics, UNREGISTERED,
};
use super::waker::JobRef;
use crate::queue::inject::{Batch, Inject, Post, Pushed};
use crate::queue::ready::Ready;
use crate::queue::{Priority, Unpark};
use crate::sync::{
    Arc, AtomicBool, Cell, Ordering, UnsafeCell, current, let_others_run, set_current,
};

/// How often the end of a worker goes through all jobs, cancels what there is and drops it, before it gives
/// up on destructors that keep spawning. Each round ends whatever existed when it began, so that only a
/// chain of a thousand generations is cut.
pub(crate) const FINISH_ROUNDS: usize = 1_000;

/// So many jobs may be born at the end of a worker, beyond as many as there were, before it gives up on
/// destructors that spawn more than one each: a tenth of a second's work, and some megabytes.
const FINISH_BIRTHS: usize = 100_000;

/// So often the end of a worker waits a millisecond for a thread that is in the middle of a wake: it has
/// marked a job, and not yet sent the mail that will end it. The scheduler may have taken it off its core.
const FINISH_STALLS: usize = 1_000;

/// What the inject queue carries.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mail {
    /// A cell with wishes in its remote word.
    Cell(NonNull<Header>),
    /// A letter of a handle: who wants to be woken.
    Note(NonNull<Note>),
}

/// The tag of a note. Cells and notes are 8-aligned.
const NOTE: usize = 4;

// SAFETY: the words are addresses of at least 8; the tag sits in bits that an address leaves clear; the link
// is a field of the cell or note, written only as `Post` says.
unsafe impl Post for Mail {
    fn into_word(self) -> usize {
        match self {
            Mail::Cell(job) => job.as_ptr().expose_provenance(),
            Mail::Note(note) => note.as_ptr().expose_provenance() | NOTE,
        }
    }

    unsafe fn from_word(word: usize) -> Self {
        let pointer = std::ptr::with_exposed_provenance_mut::<()>(word & !NOTE);
        // SAFETY: made by `into_word` from what is not null.
        let pointer = unsafe { NonNull::new_unchecked(pointer) };
        if word & NOTE == 0 { Mail::Cell(pointer.cast()) } else { Mail::Note(pointer.cast()) }
    }

    unsafe fn link<'a>(self) -> &'a Cell<usize> {
        match self {
            // SAFETY: alive by the caller's word.
            Mail::Cell(job) => &unsafe { job.as_ref() }.mail,
            // SAFETY: as above.
            Mail::Note(note) => &unsafe { note.as_ref() }.link,
        }
    }
}

/// The block.
pub(crate) struct Owner {
    inject: Inject,
    unpark: Box<dyn Unpark>,
    /// New jobs are born cancelled. Written by the owner, and in a forked child, where it never goes back.
    closing: AtomicBool,
    // From here on: the owner's thread only.
    /// Jobs made here since new ones are born cancelled.
    late_births: Cell<usize>,
    memory: Memory,
    ready: UnsafeCell<Ready<Header>>,
    registry: UnsafeCell<Registry>,
    lost: UnsafeCell<Vec<Lost>>,
    /// The turn, modulo 256: stamped on what becomes ready in it.
    stamp: Cell<u8>,
    /// Whether it is noted which job makes which other ready.
    traces: Cell<bool>,
    /// The place of the job that runs now, if its run is timed.
    running: Cell<u32>,
}

// SAFETY: what other threads touch is atomic, or the `Unpark`, which is Send and Sync. The rest is touched by
// the owner's thread alone: by `Home`, which does not leave it, and by the functions of `cell`, whose
// callers promise it. The models check that with loom's cells.
unsafe impl Send for Owner {}
// SAFETY: as above.
unsafe impl Sync for Owner {}

impl Owner {
    #[inline]
    pub(super) fn with_ready<R>(&self, act: impl FnOnce(&mut Ready<Header>) -> R) -> R {
        // SAFETY: owner's thread; `act` is code of this floor that touches nothing else.
        self.ready.with_mut(|ready| act(unsafe { &mut *ready }))
    }

    pub(super) fn with_registry<R>(&self, act: impl FnOnce(&mut Registry) -> R) -> R {
        // SAFETY: as in `with_ready`.
        self.registry.with_mut(|registry| act(unsafe { &mut *registry }))
    }

    /// For cells that are made or freed on the owner's thread.
    #[inline]
    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    #[inline]
    pub(super) fn stamp(&self) -> u8 {
        self.stamp.get()
    }

    /// Whether causes are traced.
    #[inline]
    pub(super) fn traces(&self) -> bool {
        self.traces.get()
    }

    /// Notes which job has made this one ready: the one that runs now, or none.
    #[cold]
    pub(super) fn note_cause(&self, header: &Header) {
        let by = self.running.get();
        self.with_registry(|registry| registry.note_cause(header.slot(), by));
    }

    pub(super) fn inject(&self) -> &Inject {
        &self.inject
    }

    /// Ends the worker's sleep, on the word of a push.
    pub(super) fn unpark(&self) {
        self.unpark.unpark();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.inject.is_closed()
    }

    /// Whether jobs are born cancelled.
    pub(super) fn is_closing(&self) -> bool {
        // Relaxed: the owner reads its own write; others turn back a little later, or at the closed queue.
        self.closing.load(Ordering::Relaxed)
    }

    /// Enters a job that came by mail.
    pub(super) fn register(&self, job: NonNull<Header>, birth: Option<Birth>) {
        let Some(Birth { id, kind, location }) = birth else {
            return;
        };
        let facts = Facts { kind, location };
        let slot = self.with_registry(|registry| registry.insert(job, id, facts));
        // SAFETY: the caller has the job.
        unsafe { job.as_ref() }.set_slot(slot);
    }

    /// Looks at a job's record, with its full run count and its priority.
    pub(super) fn info<R>(&self, slot: u32, look: impl FnOnce(Sight<'_>) -> R) -> Option<R> {
        self.with_registry(|registry| Some(look(sight(registry.record(slot)?))))
    }

    /// Strikes out a job, if it is entered.
    #[inline]
    pub(super) fn forget(&self, slot: u32) {
        self.with_registry(|registry| registry.remove(slot));
    }

    /// Moves the run count of a header, which is about to overflow, into the registry.
    #[cold]
    pub(super) fn bank_runs(&self, header: &Header) {
        let runs = header.take_runs();
        self.with_registry(|registry| {
            if let Some(statistics) = registry.statistics(header.slot()) {
                statistics.runs += u64::from(runs);
            }
        });
    }

    /// Keeps a panic for the report.
    pub(super) fn lose(&self, header: &Header, panic: Payload) {
        let (id, name, location) =
            self.with_registry(|registry| match registry.record(header.slot()) {
                Some(record) => (Some(record.id), record.name.cloned(), Some(record.location)),
                None => (None, None, None),
            });
        self.lose_of(Lost { id, name, location, panic });
    }

    pub(super) fn lose_of(&self, lost: Lost) {
        // SAFETY: owner's thread; pushing runs no foreign code.
        self.lost.with_mut(|list| unsafe { &mut *list }.push(lost));
    }
}

impl std::fmt::Debug for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Owner").field("inject", &self.inject).finish_non_exhaustive()
    }
}

/// What a record and the header say together.
fn sight(record: Record<'_>) -> Sight<'_> {
    // SAFETY: a registered cell is alive: it is struck out before it is freed or merged.
    let header = unsafe { record.job.as_ref() };
    let runs = record.statistics.runs + u64::from(header.runs());
    // SAFETY: as above.
    let tally = unsafe { cell::work(record.job) }.tally();
    Sight { record, runs, priority: header.priority(), tally }
}

/// A counted reference to a block. Any thread.
#[derive(Clone, Debug)]
pub(crate) struct Block(Arc<Owner>);

/// Holds the block of a live cell.
pub(super) fn hold(owner: NonNull<Owner>) -> Block {
    // SAFETY: the block is alive, as a live cell keeps it; it was made as an `Arc`.
    unsafe { Arc::increment_strong_count(owner.as_ptr().cast_const()) };
    // SAFETY: the count was raised for this one.
    Block(unsafe { Arc::from_raw(owner.as_ptr().cast_const()) })
}

/// Gives up what [`Block::keep`] kept.
///
/// # Safety
/// Once for each `keep`.
pub(super) unsafe fn unhold(owner: NonNull<Owner>) {
    // SAFETY: passed on.
    drop(unsafe { Arc::from_raw(owner.as_ptr().cast_const()) });
}

impl Block {
    /// Leaves the reference with whoever has the address.
    pub(super) fn keep(self) {
        let _ = Arc::into_raw(self.0);
    }

    pub(super) fn owner(&self) -> &Owner {
        &self.0
    }

    pub(super) fn address(&self) -> NonNull<Owner> {
        let address = Arc::as_ptr(&self.0);
        address.expose_provenance();
        NonNull::new(address.cast_mut()).expect("an Arc is not null")
    }

    /// Whether the worker has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Has new jobs born cancelled, in a forked child: its copy of the worker runs nothing.
    pub(crate) fn refuse_jobs(&self) {
        self.0.closing.store(true, Ordering::Relaxed);
    }

    /// Sends a new job. The reference that comes back is the handle's. If the worker is ending or has ended,
    /// the work is cancelled here.
    ///
    /// # Safety
    /// Until its first run the work holds nothing but values that may be sent to another thread and
    /// dropped there; its output may be sent as well, or never leaves the owner's thread.
    pub(super) unsafe fn post<W: Work>(&self, work: W) -> NonNull<Header> {
        let job = cell::allocate(&self.0, Origin::Posted, Priority::Normal, work);
        // Threads that send jobs faster than the end of the worker can cancel them would put it off for
        // ever, so they cancel them themselves.
        if self.0.is_closing() {
            // SAFETY: nobody else knows the cell.
            unsafe { reject(job) };
            return job;
        }
        // SAFETY: new, and QUEUED was set at birth.
        let pushed = unsafe { self.0.inject.push(Mail::Cell(job)) };
        match pushed {
            Pushed::Quiet => {}
            Pushed::Wake => self.0.unpark(),
            // SAFETY: nobody else knows the cell.
            Pushed::Closed => unsafe { reject(job) },
        }
        job
    }
}

/// Cancels a job that its worker, which is ending or has ended, did not take.
///
/// # Safety
/// Nobody else knows the cell.
unsafe fn reject(job: NonNull<Header>) {
    // SAFETY: alive, and ours.
    let work = unsafe { cell::work(job) };
    work.cancel();
    // SAFETY: as above.
    unsafe { cell::set_merged(job) };
    // SAFETY: as above.
    let header = unsafe { job.as_ref() };
    header.local.complete();
    header.remote.reject();
}

/// What the owner, and nobody else, does with its block.
#[derive(Debug)]
pub(crate) struct Home {
    block: ManuallyDrop<Block>,
    /// Mail taken out of the inject queue and not yet read.
    unread: RefCell<Batch<Mail>>,
    finished: StdCell<bool>,
    _not_send: PhantomData<*mut ()>,
}

/// A job that was taken out of the ready queue and must be run.
#[must_use]
#[derive(Debug)]
pub(crate) struct Popped(NonNull<Header>);

impl Popped {
    fn header(&self) -> &Header {
        // SAFETY: the owner's reference keeps it until it is done, which needs a run.
        unsafe { self.0.as_ref() }
    }

    /// The job's place in the registry.
    pub(crate) fn slot(&self) -> u32 {
        self.header().slot()
    }

    /// Whether its runs are timed.
    #[inline]
    pub(crate) fn is_timed(&self) -> bool {
        self.header().is_timed()
    }

    /// The turn in which it became ready, modulo 256.
    pub(crate) fn stamp(&self) -> u8 {
        self.header().stamp()
    }
}

/// Ends with the worker's time on this thread.
#[derive(Debug)]
pub(crate) struct Entered {
    outer: usize,
    /// As long as this thread takes the address for its worker, no other block may get it.
    _block: Block,
    _not_send: PhantomData<*mut ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        set_current(self.outer);
    }
}

impl Home {
    /// A block, and its owner's side, on this thread.
    pub(crate) fn new(unpark: Box<dyn Unpark>) -> Self {
        let owner = Arc::new(Owner {
            inject: Inject::new(),
            unpark,
            closing: AtomicBool::new(false),
            late_births: Cell::new(0),
            memory: Memory::new(),
            ready: UnsafeCell::new(Ready::new()),
            registry: UnsafeCell::new(Registry::default()),
            lost: UnsafeCell::new(Vec::new()),
            stamp: Cell::new(0),
            traces: Cell::new(false),
            running: Cell::new(UNREGISTERED),
        });
        let block = Block(owner);
        block.address();
        Home {
            block: ManuallyDrop::new(block),
            unread: RefCell::new(Batch::empty()),
            finished: StdCell::new(false),
            _not_send: PhantomData,
        }
    }

    fn owner(&self) -> &Owner {
        &self.block.0
    }

    /// The part that travels.
    pub(crate) fn block(&self) -> Block {
        Block::clone(&self.block)
    }

    /// Makes this worker the current one of its thread until the guard goes; they nest.
    pub(crate) fn enter(&self) -> Entered {
        let outer = set_current(self.block.address().as_ptr() as usize);
        Entered { outer, _block: self.block(), _not_send: PhantomData }
    }

    /// The proof that this is the owner's thread, for a while.
    #[inline]
    pub(crate) fn here(&self) -> Here<'_> {
        Here { owner: self.owner(), _not_send: PhantomData }
    }

    /// The next job to run.
    #[inline]
    pub(crate) fn pop(&self) -> Option<Popped> {
        self.owner().with_ready(Ready::pop).map(Popped)
    }

    /// From here on, notes which job makes which other ready, or no longer. All runs are to be timed then.
    pub(crate) fn trace_causes(&self, on: bool) {
        self.owner().traces.set(on);
        if !on {
            self.owner().with_registry(Registry::forget_causes);
        }
    }

    /// What led to the run of the job that runs now, if causes are traced.
    pub(crate) fn running_cause(&self) -> Option<Cause> {
        self.info(self.running(), |sight| sight.record.cause)
    }

    /// The place of the timed job that runs now.
    pub(crate) fn running(&self) -> u32 {
        self.owner().running.get()
    }

    /// From here on it is that in this place which runs, if it is a timed one. The one that ran comes back.
    pub(crate) fn set_running(&self, slot: u32) -> u32 {
        self.owner().running.replace(slot)
    }

    /// Runs a job. Its wakes, outputs and destructors run in here.
    #[inline]
    pub(crate) fn run(&self, job: Popped) {
        // SAFETY: popped just now, from our own queue, on our own thread, with no borrow held.
        unsafe { cell::run(job.0) };
    }

    /// Whether a job is ready.
    #[inline]
    pub(crate) fn has_ready(&self) -> bool {
        self.owner().with_ready(|ready| !ready.is_empty())
    }

    /// How many jobs are ready.
    pub(crate) fn ready_len(&self) -> usize {
        self.owner().with_ready(|ready| ready.len())
    }

    /// Reads at most that much mail; whether some is left unread.
    #[inline]
    pub(crate) fn drain(&self, limit: usize) -> bool {
        for _ in 0..limit {
            let mut unread = self.unread.borrow_mut();
            if unread.is_empty() {
                *unread = self.owner().inject.take();
            }
            let mail = unread.pop();
            drop(unread);
            match mail {
                Some(mail) => self.read(mail),
                None => return false,
            }
        }
        !self.unread.borrow().is_empty()
    }

    /// Reads the mail that is there now, and not what comes meanwhile.
    fn drain_batch(&self) {
        self.drain(1);
        loop {
            // A statement of its own: reading mail runs foreign code, and the borrow must have ended.
            let mail = self.unread.borrow_mut().pop();
            match mail {
                Some(mail) => self.read(mail),
                None => return,
            }
        }
    }

    /// Does what a piece of mail says.
    fn read(&self, mail: Mail) {
        match mail {
            // SAFETY: popped from our own inject queue, on our own thread, with no borrow held.
            Mail::Cell(job) => unsafe { cell::receive(job) },
            // SAFETY: as above.
            Mail::Note(note) => unsafe { super::join::receive(note, self.owner()) },
        }
    }

    /// Marks the worker asleep: from here on a push wakes it. False if there is mail.
    #[inline]
    pub(crate) fn sleep(&self) -> bool {
        self.unread.borrow().is_empty() && self.owner().inject.sleep()
    }

    /// Marks it awake.
    #[inline]
    pub(crate) fn awake(&self) {
        self.owner().inject.awake();
    }

    /// Begins a turn: what becomes ready from now on carries this stamp.
    pub(crate) fn set_stamp(&self, stamp: u8) {
        self.owner().stamp.set(stamp);
    }

    /// The panics that nobody read.
    pub(crate) fn take_lost(&self) -> Vec<Lost> {
        // SAFETY: owner's thread; no foreign code runs meanwhile.
        self.owner().lost.with_mut(|lost| std::mem::take(unsafe { &mut *lost }))
    }

    /// Whether there are such panics.
    #[inline]
    pub(crate) fn has_lost(&self) -> bool {
        // SAFETY: as above.
        self.owner().lost.with(|lost| !unsafe { &*lost }.is_empty())
    }

    /// Adds to a job's statistics.
    pub(crate) fn with_statistics<R>(
        &self,
        slot: u32,
        add: impl FnOnce(&mut Statistics) -> R,
    ) -> Option<R> {
        self.owner().with_registry(|registry| registry.statistics(slot).map(add))
    }

    /// Looks at a job's record, with its full run count and its priority.
    pub(crate) fn info<R>(&self, slot: u32, look: impl FnOnce(Sight<'_>) -> R) -> Option<R> {
        self.owner().info(slot, look)
    }

    /// Looks at the records of all jobs that have not ended, with their full run counts and priorities.
    pub(crate) fn for_each(&self, mut look: impl FnMut(Sight<'_>)) {
        self.owner().with_registry(|registry| {
            for record in registry.iter() {
                // SAFETY: a registered cell is alive: it is struck out before it is freed or merged.
                if !unsafe { record.job.as_ref() }.local.is_done() {
                    look(sight(record));
                }
            }
        });
    }

    /// How many jobs have a record.
    pub(crate) fn registered(&self) -> usize {
        self.owner().with_registry(|registry| registry.len())
    }

    /// From here on, jobs are born cancelled.
    pub(crate) fn begin_closing(&self) {
        self.owner().closing.store(true, Ordering::Relaxed);
    }

    /// Whether jobs are born cancelled.
    pub(crate) fn is_closing(&self) -> bool {
        self.owner().is_closing()
    }

    /// Asks every job but those of that kind to end.
    pub(crate) fn abort_all(&self, but: Option<Kind>) {
        let jobs = |registry: &mut Registry| registry.jobs(|kind| Some(kind) != but);
        for job in self.owner().with_registry(jobs) {
            // SAFETY: registered, so alive; an abort runs no foreign code, so all stay so.
            unsafe { cell::abort_home(job) };
        }
    }

    /// Ends the worker (DRAIN): cancels and drops every job, closes the inject queue, and cuts what others
    /// still hold loose from this block. Gives back how many jobs were left running by destructors that
    /// kept spawning; those are leaked with the block. The worker must be the current one. A second time
    /// there is nothing to do.
    pub(crate) fn finish(&self) -> usize {
        if self.finished.get() {
            return 0;
        }
        self.begin_closing();
        let births = || self.owner().late_births.get();
        let births_max = births() + self.alive() + FINISH_BIRTHS;
        let (mut rounds, mut stalls) = (0, 0);
        loop {
            let born = births();
            self.abort_all(None);
            let ready = self.ready_len();
            for _ in 0..ready {
                match self.pop() {
                    Some(job) => self.run(job),
                    None => break,
                }
            }
            self.drain_batch();
            let alive = self.alive();
            if alive == 0 && self.ready_len() == 0 && self.owner().inject.close() {
                break;
            }
            if ready > 0 || births() > born {
                rounds += 1;
            } else {
                stalls += 1;
                let_others_run();
            }
            if rounds == FINISH_ROUNDS || stalls == FINISH_STALLS || births() > births_max {
                return alive.max(1);
            }
        }
        let left = self.owner().with_registry(std::mem::take);
        for job in left.jobs(|_| true) {
            // SAFETY: registered, so alive; closed, so nothing was freed by `settle`; ours.
            unsafe { cell::seal(job) };
        }
        self.finished.set(true);
        0
    }

    fn alive(&self) -> usize {
        let mut alive = 0;
        self.for_each(|_| alive += 1);
        alive
    }
}

/// The proof that this is the thread of a worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Here<'a> {
    owner: &'a Owner,
    _not_send: PhantomData<*mut ()>,
}

/// Does something as the worker that runs on this thread now. None outside of one.
#[inline]
pub(crate) fn with_here<R>(act: impl FnOnce(Here<'_>) -> R) -> Option<R> {
    let owner = NonNull::new(std::ptr::with_exposed_provenance_mut::<Owner>(current()))?;
    // SAFETY: the address was set by `Home::enter`, on this thread, whose guard keeps the block alive and
    // takes the address away when it goes; a guard that goes during `act` leaves its block to `Home`.
    let owner = unsafe { owner.as_ref() };
    Some(act(Here { owner, _not_send: PhantomData }))
}

impl Here<'_> {
    /// Makes a job and puts it into the ready queue. At the end of the worker it is born cancelled.
    #[inline]
    pub(crate) fn spawn<W: Work>(
        self,
        work: W,
        priority: Priority,
        facts: Facts,
    ) -> (JobRef, JobId) {
        let (job, id) = self.allocate(work, priority, Origin::Ready);
        if !self.owner.is_closing() {
            self.enter(job, id, facts);
            // SAFETY: new, ours, and in no queue.
            unsafe { cell::make_ready(job) };
        } else if self.enter_late(job, id, facts) {
            // SAFETY: as above.
            unsafe { cell::make_ready_cancelled(job) };
        }
        // SAFETY: one of the two references of birth, or the one that a rejected cell has; made on the
        // owner's thread.
        (unsafe { JobRef::from_raw(job) }, id)
    }

    /// Makes a job that waits to be woken. After the end of the worker it is made cancelled.
    pub(crate) fn make<W: Work>(
        self,
        work: W,
        priority: Priority,
        facts: Facts,
    ) -> (JobRef, JobId) {
        let (job, id) = self.allocate(work, priority, Origin::Waiting);
        if self.owner.is_closing() {
            self.enter_late(job, id, facts);
        } else {
            self.enter(job, id, facts);
        }
        // SAFETY: as in `spawn`.
        (unsafe { JobRef::from_raw(job) }, id)
    }

    /// The work has one way only, straight into its cell: with two it would go by way of the stack.
    #[inline]
    fn allocate<W: Work>(
        self,
        work: W,
        priority: Priority,
        origin: Origin,
    ) -> (NonNull<Header>, JobId) {
        (cell::allocate(self.owner, origin, priority, work), JobId::next())
    }

    #[inline]
    fn enter(self, job: NonNull<Header>, id: JobId, facts: Facts) {
        let slot = self.owner.with_registry(|registry| registry.insert(job, id, facts));
        // SAFETY: made just now.
        unsafe { job.as_ref() }.set_slot(slot);
    }

    /// At the end of the worker: true if it still runs. After it the job is cancelled here and now: the
    /// destructor of an output can still ask for one.
    #[cold]
    fn enter_late(self, job: NonNull<Header>, id: JobId, facts: Facts) -> bool {
        let runs = !self.owner.is_closed();
        self.owner.late_births.set(self.owner.late_births.get() + 1);
        if runs {
            self.enter(job, id, facts);
        } else {
            // SAFETY: nobody else knows the cell.
            unsafe { reject(job) };
        }
        runs
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if self.finished.get() {
            // SAFETY: once, as this is the drop.
            unsafe { ManuallyDrop::drop(&mut self.block) };
        }
        // Else cells that are not merged point to the block: it is leaked.
    }
}
