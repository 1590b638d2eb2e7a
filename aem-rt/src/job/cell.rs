//! The cell of a job, and what its owner does with it: run, complete, take mail, settle the counts, free.
//!
//! A cell is a [`Header`], the same for all jobs, and behind it the [`Work`], whatever it is. Everything
//! that is not the work's own business goes through a `NonNull<Header>`; the header's [`Table`] knows the
//! way back to the whole. The functions here that take such a pointer are unsafe, and all want the same:
//! the cell is alive, and this is its owner's thread. What other threads may do is in [`super::waker`] and
//! [`super::join`].
//!
//! Promises: SINGLE, AGAIN, HOME. User code (the work, and the wakers and outputs it leaves) runs here with
//! no borrow of the owner's lists (OUTSIDE), and its panics end here.
#![allow(unsafe_code)]

use std::alloc::Layout;
use std::any::TypeId;
use std::panic::Location;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll, Waker};

use super::id::JobId;
use super::memory::Piece;
use super::owner::{Owner, hold};
use super::registry::{Kind, UNREGISTERED};
use super::state::{Local, Next, Remote, Start, Taken};
use super::{Payload, contain, waker};
use crate::queue::Priority;
use crate::queue::ready::Linked;
use crate::sync::{AtomicUsize, Cell, MODELLED, Ordering, UnsafeCell, current};

/// What a job does. Its own state is its own affair: the cell hands out shared references, so that handles
/// may look at a handler while it runs.
pub(crate) trait Work: 'static {
    /// Runs until it waits or is done. Done means that no value of the user is left but the output.
    fn run(self: Pin<&Self>, context: &mut Context<'_>) -> Poll<()>;

    /// Drops what there is to run, and is done. Called instead of `run`, never during it.
    fn cancel(self: Pin<&Self>);

    /// Drops the output, if there is one. A panic that nobody has read comes back.
    ///
    /// # Safety
    /// The job is done, or is completing, and the caller is who the output belongs to.
    unsafe fn discard(&self) -> Option<Payload> {
        None
    }

    /// Moves the output into room for it, which is written, or there is a panic. True if nothing is left
    /// that has a destructor.
    ///
    /// # Safety
    /// As for `discard`, and the output is there; `into` is room for a `Result` of this work's output.
    unsafe fn take_output(&self, _into: *mut ()) -> bool {
        unreachable!("a job that no `JoinHandle` has");
    }

    /// Whether each run is timed: runs that begin with the kernel are, those of a few nanoseconds are not.
    fn is_timed(&self) -> bool {
        false
    }

    /// What it counts itself.
    fn tally(&self) -> Tally {
        Tally::default()
    }

    /// The place of birth of a job that comes by mail.
    fn birth(&self) -> Option<Birth> {
        None
    }
}

/// What the work of a handler counts, beside what the registry does.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Events that its handler was given, and such as became one with them.
    pub(crate) events: u64,
    /// How often another handler has followed one that failed.
    pub(crate) restarts: u32,
}

/// What a job that comes by mail brings for the registry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Birth {
    pub(crate) id: JobId,
    pub(crate) kind: Kind,
    pub(crate) location: &'static Location<'static>,
}

/// How to get from a header to the cell around it.
#[derive(Debug)]
pub(crate) struct Table {
    type_id: fn() -> TypeId,
    work: unsafe fn(NonNull<Header>) -> NonNull<dyn Work>,
    run: unsafe fn(NonNull<Header>, &mut Context<'_>) -> Poll<()>,
    take_output: unsafe fn(NonNull<Header>, *mut ()) -> bool,
    drop: unsafe fn(NonNull<Header>),
    piece: Piece,
}

/// What all jobs have.
#[repr(C)]
pub(crate) struct Header {
    table: &'static Table,
    /// The address of the owner's block; bit 0 is set once the counts are merged, and then no thread's
    /// current worker is equal to it.
    owner: AtomicUsize,
    pub(super) remote: Remote,
    /// The link of the inject queue. Written by whoever set QUEUED, and by the owner while it is set.
    pub(super) mail: Cell<usize>,
    pub(super) local: Local,
    /// The owner's count of references. May be below zero while other threads hold some.
    references: Cell<i32>,
    /// The link of the ready queue.
    ready: Cell<Option<NonNull<Header>>>,
    /// The place in the registry.
    slot: Cell<u32>,
    priority: Cell<Priority>,
    /// The turn in which the job became ready, modulo 256.
    stamp: Cell<u8>,
    /// Runs that the registry does not know of yet.
    runs: Cell<u16>,
    join: UnsafeCell<Option<Waker>>,
}

/// One allocation a spawn, and this much of it is ours.
const HEADER_MAX: usize = 72;
const _: () = assert!(MODELLED || size_of::<Header>() <= HEADER_MAX);

// SAFETY: the cell is a field of the header, and only the owner, whose list it is, writes it.
unsafe impl Linked for Header {
    fn link(&self) -> &Cell<Option<NonNull<Self>>> {
        &self.ready
    }
}

/// A header and its work.
#[repr(C)]
struct Whole<W> {
    header: Header,
    work: W,
}

impl<W: Work> Whole<W> {
    const TABLE: &'static Table = &Table {
        type_id: TypeId::of::<W>,
        work: Self::work,
        run: Self::run,
        take_output: Self::take_output,
        drop: Self::drop,
        piece: Piece::new(Layout::new::<Self>()),
    };

    /// # Safety
    /// The header belongs to a live `Whole<W>`, whose owner is about to run it.
    unsafe fn run(job: NonNull<Header>, context: &mut Context<'_>) -> Poll<()> {
        // SAFETY: alive by the caller's word.
        let whole = unsafe { job.cast::<Self>().as_ref() };
        // SAFETY: a cell never moves: it is a box that nobody opens.
        unsafe { Pin::new_unchecked(&whole.work) }.run(context)
    }

    /// # Safety
    /// As for [`Work::take_output`], of a live `Whole<W>`.
    unsafe fn take_output(job: NonNull<Header>, into: *mut ()) -> bool {
        // SAFETY: alive by the caller's word.
        let whole = unsafe { job.cast::<Self>().as_ref() };
        // SAFETY: passed on.
        unsafe { whole.work.take_output(into) }
    }

    /// # Safety
    /// The header belongs to a live `Whole<W>`.
    unsafe fn work(job: NonNull<Header>) -> NonNull<dyn Work> {
        let whole = job.cast::<Self>();
        // SAFETY: alive by the caller's word; only the address of a field is taken.
        let work = unsafe { &raw mut (*whole.as_ptr()).work };
        // SAFETY: the address of a field is not null.
        unsafe { NonNull::new_unchecked(work as *mut dyn Work) }
    }

    /// Leaves nothing but the memory.
    ///
    /// # Safety
    /// As for `work`, and nobody has a reference.
    unsafe fn drop(job: NonNull<Header>) {
        // SAFETY: written in `allocate`, and the last reference is gone: the counts are checked by the
        // models `last_reference_*`.
        unsafe { job.cast::<Self>().drop_in_place() };
    }
}

/// How a cell begins.
#[derive(Debug)]
pub(super) enum Origin {
    /// Made by its owner, who puts it into the ready queue at once: one reference is the owner's until the
    /// job is done, one is the handle's.
    Ready,
    /// Made by its owner, and woken later.
    Waiting,
    /// Made by another thread, which pushes it next; the owner will take its reference when it comes.
    Posted,
}

/// Makes a cell. At home it takes the owner's own memory, so that must be true.
#[inline]
pub(super) fn allocate<W: Work>(
    owner: &Owner,
    origin: Origin,
    priority: Priority,
    work: W,
) -> NonNull<Header> {
    let piece = Whole::<W>::TABLE.piece;
    let (memory, remote, references) = match origin {
        Origin::Ready | Origin::Waiting => (owner.memory().allocate(piece), Remote::new(), 2),
        Origin::Posted => (piece.allocate(), Remote::new_posted(), 1),
    };
    let local = Local::new(matches!(origin, Origin::Ready), work.is_timed());
    let address = std::ptr::from_ref(owner).expose_provenance();
    let whole = Whole {
        header: Header {
            table: Whole::<W>::TABLE,
            owner: AtomicUsize::new(address),
            remote,
            mail: Cell::new(0),
            local,
            references: Cell::new(references),
            ready: Cell::new(None),
            slot: Cell::new(UNREGISTERED),
            priority: Cell::new(priority),
            stamp: Cell::new(0),
            runs: Cell::new(0),
            join: UnsafeCell::new(None),
        },
        work,
    };
    let cell = memory.cast::<Whole<W>>();
    // SAFETY: memory of this layout, and ours.
    unsafe { cell.write(whole) };
    cell.cast()
}

impl Header {
    /// Whether this thread runs the owner now, and the counts are not merged.
    #[inline]
    pub(super) fn is_home(&self) -> bool {
        // Relaxed: written by the owner; another thread's answer is "no" whatever it reads, as the block
        // of a live cell is alive and so no other worker has its address.
        self.owner.load(Ordering::Relaxed) == current()
    }

    /// The owner's block. It is alive while the cell is: before the merge as its worker runs, after it as
    /// the cell holds it.
    #[inline]
    pub(super) fn owner(&self) -> NonNull<Owner> {
        let address = self.owner.load(Ordering::Relaxed) & !1;
        // The address was exposed when the block was made; see `Owner`.
        NonNull::new(std::ptr::with_exposed_provenance_mut(address)).expect("a cell has an owner")
    }

    /// The same, for a cell that is at home: it is not merged, so that the word is the address.
    ///
    /// # Safety
    /// The cell is alive, and [`is_home`](Self::is_home) is true on this thread.
    #[inline]
    pub(super) unsafe fn owner_at_home<'a>(&self) -> &'a Owner {
        let address = self.owner.load(Ordering::Relaxed);
        debug_assert!(address & 1 == 0, "a merged cell has no home");
        let owner = std::ptr::with_exposed_provenance::<Owner>(address);
        // SAFETY: the block of a live cell is alive; see `owner`.
        unsafe { &*owner }
    }

    pub(super) fn is_merged(&self) -> bool {
        self.owner.load(Ordering::Relaxed) & 1 != 0
    }

    /// The place in the registry. Owner only.
    pub(crate) fn slot(&self) -> u32 {
        self.slot.get()
    }

    pub(super) fn set_slot(&self, slot: u32) {
        self.slot.set(slot);
    }

    /// Owner only.
    pub(crate) fn priority(&self) -> Priority {
        self.priority.get()
    }

    /// Takes effect when the job becomes ready next. Owner only.
    pub(crate) fn set_priority(&self, priority: Priority) {
        self.priority.set(priority);
    }

    /// Whether each run is timed.
    #[inline]
    pub(super) fn is_timed(&self) -> bool {
        self.local.is_timed()
    }

    /// The turn in which the job became ready, modulo 256. Owner only.
    pub(crate) fn stamp(&self) -> u8 {
        self.stamp.get()
    }

    /// Gives up the runs that the registry does not know of yet. Owner only.
    pub(super) fn take_runs(&self) -> u16 {
        self.runs.replace(0)
    }

    /// Runs that the registry does not know of yet. Owner only.
    pub(crate) fn runs(&self) -> u16 {
        self.runs.get()
    }
}

/// The work of a cell.
///
/// # Safety
/// The cell is alive for `'a`.
pub(super) unsafe fn work<'a>(job: NonNull<Header>) -> Pin<&'a dyn Work> {
    // SAFETY: alive by the caller's word.
    let table = unsafe { job.as_ref() }.table;
    // SAFETY: the table is that of this very cell.
    let work = unsafe { (table.work)(job) };
    // SAFETY: the field is alive as long as the cell.
    let work = unsafe { work.as_ref() };
    // SAFETY: a cell never moves: it is a box that nobody opens.
    unsafe { Pin::new_unchecked(work) }
}

/// The work of a cell, if it is a `W`.
///
/// # Safety
/// As for [`work`].
pub(super) unsafe fn work_as<'a, W: Work>(job: NonNull<Header>) -> Option<Pin<&'a W>> {
    // SAFETY: alive by the caller's word.
    let table = unsafe { job.as_ref() }.table;
    if (table.type_id)() != TypeId::of::<W>() {
        return None;
    }
    // SAFETY: the table is that of this very cell.
    let work = unsafe { (table.work)(job) }.cast::<W>();
    // SAFETY: the type was compared; alive as above.
    let work = unsafe { work.as_ref() };
    // SAFETY: as in `work`.
    Some(unsafe { Pin::new_unchecked(work) })
}

/// Moves the output of a done job into room for it, which is written, or there is a panic. True if nothing
/// is left in the work that has a destructor.
///
/// # Safety
/// As for [`Work::take_output`].
pub(super) unsafe fn take_output(job: NonNull<Header>, into: *mut ()) -> bool {
    // SAFETY: alive by the caller's word.
    let table = unsafe { job.as_ref() }.table;
    // SAFETY: passed on; the table is that of this very cell.
    unsafe { (table.take_output)(job, into) }
}

/// Puts a job into the ready queue; `Next::Push` has just been answered, or it was born [`Origin::Ready`].
///
/// # Safety
/// The cell is alive, this is its owner's thread, and it is in no ready queue.
#[inline]
pub(super) unsafe fn make_ready(job: NonNull<Header>) {
    // SAFETY: alive by the caller's word.
    let header = unsafe { job.as_ref() };
    // SAFETY: alive and at home by the caller's word.
    let owner = unsafe { header.owner_at_home() };
    if owner.traces() {
        owner.note_cause(header);
    }
    header.stamp.set(owner.stamp());
    // SAFETY: owner's thread; no other access to the list is under way, as none runs foreign code. The
    // job is in no list by the caller's word, and is kept alive by the owner's own reference.
    owner.with_ready(|ready| unsafe { ready.push(job, header.priority.get()) });
}

/// The same for a new job that is to be cancelled in its first run.
///
/// # Safety
/// As for [`make_ready`].
pub(super) unsafe fn make_ready_cancelled(job: NonNull<Header>) {
    // SAFETY: alive by the caller's word.
    let next = unsafe { job.as_ref() }.local.cancel();
    debug_assert!(next == Next::Nothing, "it is scheduled since its birth");
    // SAFETY: passed on.
    unsafe { make_ready(job) };
}

/// A wake on the owner's thread.
///
/// # Safety
/// The cell is alive, and this is its owner's thread.
#[inline]
pub(super) unsafe fn wake_home(job: NonNull<Header>) {
    // SAFETY: alive by the caller's word.
    if unsafe { job.as_ref() }.local.wake() == Next::Push {
        // SAFETY: passed on; the flag that was clear says that it is in no queue (SINGLE).
        unsafe { make_ready(job) };
    }
}

/// An abort on the owner's thread.
///
/// # Safety
/// As for [`wake_home`].
pub(super) unsafe fn abort_home(job: NonNull<Header>) {
    // SAFETY: alive by the caller's word.
    if unsafe { job.as_ref() }.local.cancel() == Next::Push {
        // SAFETY: as in `wake_home`.
        unsafe { make_ready(job) };
    }
}

/// One more reference, on the owner's thread.
#[inline]
pub(super) fn retain_home(header: &Header) {
    let count = header.references.get();
    if count >= i32::MAX - 1 {
        // As std's Arc: 2^31 references exist only because somebody forgets them in a loop.
        std::process::abort();
    }
    header.references.set(count + 1);
}

/// One reference less, on the owner's thread.
///
/// # Safety
/// The cell is alive, this is its owner's thread, and the reference is the caller's to give up.
#[inline]
pub(super) unsafe fn release_home(job: NonNull<Header>) {
    // SAFETY: alive by the caller's word.
    let header = unsafe { job.as_ref() };
    debug_assert!(!header.is_merged(), "a merged cell has no home");
    let count = header.references.get() - 1;
    header.references.set(count);
    if count <= 0 {
        // SAFETY: passed on.
        unsafe { settle(job) };
    }
}

/// The owner's count is at zero or below: frees the cell, or finds out who still has it.
///
/// # Safety
/// As for [`release_home`]; the caller does not touch the cell afterwards.
unsafe fn settle(job: NonNull<Header>) {
    // SAFETY: alive by the caller's word.
    let header = unsafe { job.as_ref() };
    // SAFETY: alive and at home by the caller's word.
    let owner = unsafe { header.owner_at_home() };
    // Nearly always no other thread ever had a reference.
    if header.remote.observe().is_blank() && !owner.is_closed() {
        debug_assert!(header.references.get() == 0, "the counts together are never below zero");
        // SAFETY: no reference is left on any side, and the cell is in no queue.
        unsafe { bury(job, owner, false) };
    } else {
        // SAFETY: passed on.
        unsafe { settle_shared(job, owner) };
    }
}

/// As [`waker::release`], by the handle that has just taken the output: nearly always it has the last
/// reference, and the cell is empty.
///
/// # Safety
/// As for [`waker::release`], after [`take_output`], which has answered so.
#[inline]
pub(super) unsafe fn release_taken(job: NonNull<Header>, is_empty: bool) {
    // SAFETY: alive by the caller's reference.
    let header = unsafe { job.as_ref() };
    if !header.is_home() {
        // SAFETY: passed on.
        return unsafe { waker::release_away(job) };
    }
    // SAFETY: alive and at home.
    let owner = unsafe { header.owner_at_home() };
    let last = header.references.get() == 1 && header.remote.observe().is_blank();
    if last && !owner.is_closed() {
        // SAFETY: no reference is left on any side, and a done job is in no queue. The joiner's place is
        // empty since it was done.
        unsafe { bury(job, owner, is_empty) };
    } else {
        // SAFETY: passed on.
        unsafe { release_home(job) };
    }
}

/// The end of a cell at home.
///
/// # Safety
/// As for [`free`], on the owner's thread, of a cell that is not merged. If it is said to be empty, it has
/// nothing left with a destructor.
#[inline]
unsafe fn bury(job: NonNull<Header>, owner: &Owner, is_empty: bool) {
    // SAFETY: alive until the end of this function.
    let header = unsafe { job.as_ref() };
    owner.forget(header.slot.get());
    let piece = header.table.piece;
    touch(header);
    if !is_empty {
        // SAFETY: passed on; the table is that of this cell.
        unsafe { (header.table.drop)(job) };
    }
    // SAFETY: allocated for this; nothing is left in it, and nobody has it. The owner's thread.
    unsafe { owner.memory().release(job.cast(), piece) };
}

/// As [`settle`], when other threads have had references, or the worker ends.
///
/// # Safety
/// As for [`settle`].
#[cold]
unsafe fn settle_shared(job: NonNull<Header>, owner: &Owner) {
    // SAFETY: alive by the caller's word.
    let header = unsafe { job.as_ref() };
    // Each round fails only because another thread changed the word; each such thread does so a bounded
    // number of times without a push, and a push ends the loop.
    loop {
        let view = header.remote.observe();
        if header.references.get() == i32::MIN {
            // As in `retain_home`: one more would make it the largest number.
            std::process::abort();
        }
        let local = i64::from(header.references.get());
        if local > 0 || view.is_queued() || owner.is_closed() {
            // A drain or the end of the worker comes by.
            return;
        }
        let total = local + view.count();
        if total == 0 {
            // SAFETY: no reference is left on any side, and the cell is in no queue.
            unsafe { bury(job, owner, false) };
            return;
        }
        if !header.local.is_done() {
            if let Some(moved) = header.remote.fold(view) {
                header.references.set((local + moved) as i32);
            }
            continue;
        }
        // The cell outlives its worker perhaps: it holds the block from here on.
        let block = hold(header.owner());
        let address = header.owner.load(Ordering::Relaxed);
        let slot = header.slot.get();
        header.owner.store(address | 1, Ordering::Relaxed);
        if header.remote.merge(view, total) {
            // The cell may be gone already; its free gives the block back.
            block.keep();
            owner.forget(slot);
            return;
        }
        header.owner.store(address, Ordering::Relaxed);
    }
}

/// Gives the memory back.
///
/// # Safety
/// Nobody has a reference to the cell, and it is in no queue.
pub(super) unsafe fn free(job: NonNull<Header>) {
    // SAFETY: alive until the end of this function.
    let header = unsafe { job.as_ref() };
    let block = header.is_merged().then(|| header.owner());
    let piece = header.table.piece;
    touch(header);
    // SAFETY: passed on; the table is that of this cell.
    unsafe { (header.table.drop)(job) };
    // SAFETY: allocated for this; nothing is left in it, and nobody has it.
    unsafe { piece.release(job.cast()) };
    if let Some(block) = block {
        // SAFETY: a merged cell holds its owner's block, by the `keep` in `settle`, `seal` or `reject`.
        unsafe { super::owner::unhold(block) };
    }
}

/// loom does not see memory go: touching what is plain tells it that all who used it are done.
#[inline]
fn touch(header: &Header) {
    if MODELLED {
        header.mail.set(0);
        header.join.with_mut(|_| ());
    }
}

/// Marks a cell that is its own last word: done, with merged counts, holding its owner's block.
///
/// # Safety
/// The cell is alive and nobody else knows it yet.
pub(super) unsafe fn set_merged(job: NonNull<Header>) {
    // SAFETY: alive by the caller's word.
    let header = unsafe { job.as_ref() };
    hold(header.owner()).keep();
    let address = header.owner.load(Ordering::Relaxed);
    header.owner.store(address | 1, Ordering::Relaxed);
}

/// Runs a job that was popped from the ready queue.
///
/// # Safety
/// The cell is alive, this is its owner's thread, the job was just popped, and no borrow of the owner's
/// lists is held.
#[inline]
pub(super) unsafe fn run(job: NonNull<Header>) {
    // SAFETY: alive: the owner has a reference until the job is done.
    let header = unsafe { job.as_ref() };
    header.runs.set(header.runs.get().wrapping_add(1));
    if header.runs.get() == u16::MAX {
        // SAFETY: a live cell keeps its owner's block alive.
        unsafe { header.owner().as_ref() }.bank_runs(header);
    }
    let done = match header.local.start() {
        Start::Run => {
            // SAFETY: as above; the waker is borrowed and not counted.
            let waker = unsafe { waker::borrowed(job) };
            let mut context = Context::from_waker(&waker);
            // SAFETY: the table is that of this very cell, and this is the run.
            unsafe { (header.table.run)(job, &mut context) }.is_ready()
        }
        Start::Cancel => {
            // SAFETY: as above.
            unsafe { work(job) }.cancel();
            true
        }
    };
    if done {
        // SAFETY: passed on.
        unsafe { complete(job) };
    } else if header.local.suspend() == Next::Push {
        // SAFETY: the job was popped, so it is in no queue.
        unsafe { make_ready(job) };
    }
}

/// The work is gone: publishes the output, wakes who waits for it, and gives up the owner's reference.
///
/// # Safety
/// As for [`run`]; the caller does not touch the cell afterwards.
pub(super) unsafe fn complete(job: NonNull<Header>) {
    // SAFETY: alive: the owner has a reference until the end of this function.
    let header = unsafe { job.as_ref() };
    if !header.local.is_held() {
        // SAFETY: the handle is gone, so the output is the owner's.
        unsafe { discard(job) };
    }
    header.local.complete();
    // SAFETY: owner's thread; nobody else touches the field, and no foreign code runs meanwhile.
    let join = header.join.with_mut(|join| unsafe { (*join).take() });
    if let Some(Err(foreign)) = join.map(waker::wake_at_home)
        && let Err(panic) = contain(|| foreign.wake())
    {
        // SAFETY: a live cell keeps its owner's block alive.
        unsafe { header.owner().as_ref() }.lose(header, panic);
    }
    // Asked again where home is: who was woken may have merged the counts meanwhile.
    // SAFETY: the owner's own reference.
    unsafe { waker::release(job) };
}

/// Drops the output on the owner's thread, and keeps an unread panic for the report.
///
/// # Safety
/// The cell is alive, this is its owner's thread, and the output is the caller's.
pub(super) unsafe fn discard(job: NonNull<Header>) {
    // SAFETY: passed on.
    let work = unsafe { work(job) };
    // SAFETY: passed on.
    let unread = contain(|| unsafe { work.discard() });
    if let Some(panic) = unread.unwrap_or_else(Some) {
        // SAFETY: alive by the caller's word.
        let header = unsafe { job.as_ref() };
        // SAFETY: a live cell keeps its owner's block alive.
        unsafe { header.owner().as_ref() }.lose(header, panic);
    }
}

/// Sets who is woken by the end of the job, and gives back who was.
///
/// # Safety
/// The cell is alive, this is its owner's thread, and the job is not done.
pub(super) unsafe fn set_join(job: NonNull<Header>, waker: Option<Waker>) -> Option<Waker> {
    // SAFETY: alive by the caller's word.
    let header = unsafe { job.as_ref() };
    // SAFETY: owner's thread; nobody else touches the field, and no foreign code runs meanwhile.
    header.join.with_mut(|join| unsafe { std::mem::replace(&mut *join, waker) })
}

/// Whether that waker would wake whom the end of the job wakes.
///
/// # Safety
/// As for [`set_join`].
pub(super) unsafe fn will_wake(job: NonNull<Header>, waker: &Waker) -> bool {
    // SAFETY: alive by the caller's word.
    let header = unsafe { job.as_ref() };
    // SAFETY: as in `set_join`; `will_wake` compares two pointers.
    header.join.with(|join| unsafe { &*join }.as_ref().is_some_and(|set| set.will_wake(waker)))
}

/// The owner takes a cell out of its inject queue and does what other threads wanted.
///
/// # Safety
/// As for [`run`], but that the cell was popped from the inject queue, which kept it alive.
pub(super) unsafe fn receive(job: NonNull<Header>) {
    // SAFETY: alive: QUEUED keeps it until `take`, and the guard below from there on.
    let header = unsafe { job.as_ref() };
    // The guard comes first: once QUEUED is clear, another thread's drop may queue the cell again, but
    // only this thread can free it.
    header.references.set(header.references.get() + 1);
    let Taken { wake, mut abort, left, debt } = header.remote.take();
    header.references.set((i64::from(header.references.get()) + debt) as i32);
    if header.slot.get() == UNREGISTERED && !header.local.is_done() {
        // SAFETY: passed on.
        let birth = unsafe { work(job) }.birth();
        // SAFETY: a live cell keeps its owner's block alive.
        let owner = unsafe { header.owner().as_ref() };
        owner.register(job, birth);
        // It was on its way when the end began, or it would have been cancelled by its sender.
        abort |= owner.is_closing();
    }
    if left {
        match header.local.leave() {
            // SAFETY: the handle is gone and left its output to us.
            super::state::Left::OutputIsYours => unsafe { discard(job) },
            super::state::Left::Later => {
                // SAFETY: not done.
                let join = unsafe { set_join(job, None) };
                if let Err(panic) = contain(|| drop(join)) {
                    // SAFETY: a live cell keeps its owner's block alive.
                    unsafe { header.owner().as_ref() }.lose(header, panic);
                }
            }
        }
    }
    if abort {
        // SAFETY: passed on.
        unsafe { abort_home(job) };
    } else if wake {
        // SAFETY: passed on.
        unsafe { wake_home(job) };
    }
    // As in `complete`: a destructor of the output may have merged the counts.
    // SAFETY: the guard.
    unsafe { waker::release(job) };
}

/// The worker ends and the job is done: its counts become one, so that what is left of it needs no owner.
///
/// # Safety
/// As for [`run`]; the inject queue is closed; the caller does not touch the cell afterwards.
pub(super) unsafe fn seal(job: NonNull<Header>) {
    // SAFETY: alive: it is registered, and `settle` frees nothing once the queue is closed.
    let header = unsafe { job.as_ref() };
    debug_assert!(header.local.is_done());
    // SAFETY: nobody else merges: this is the owner's thread, and the queue is closed.
    unsafe { set_merged(job) };
    let guarded = i64::from(header.references.get()) + 1;
    if header.remote.seal(guarded) {
        // SAFETY: the handle is gone and left its output to us.
        unsafe { discard(job) };
    }
    // The guard, as any thread would drop it.
    // SAFETY: the reference was counted just now.
    unsafe { waker::release_away(job) };
}

impl std::fmt::Debug for Header {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Header").field("local", &self.local).field("remote", &self.remote).finish()
    }
}
