//! References to a job: `std` wakers, and the counted reference of a handle.
//!
//! Each operation asks one question, *is this the owner's thread?*, a compare of a thread-local with a
//! field of the cell. If it is, plain loads and stores do the rest. If not, the remote word takes the
//! operation, and what must be done by the owner becomes a message. After the counts have been merged, the
//! answer is "no" on every thread, and the remote word is an ordinary reference count.
//!
//! Wakers are `Send` and `Sync` always, and may outlive the runtime: waking then does nothing.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{RawWaker, RawWakerVTable, Waker};

use super::cell::{self, Header, Work};
use super::owner::{Mail, Owner, hold};
use super::registry::Sight;
use super::state::{Released, Told, Wish};
use crate::queue::Priority;
use crate::queue::inject::Pushed;

static TABLE: RawWakerVTable =
    RawWakerVTable::new(clone_waker, wake_waker, wake_waker_by_ref, drop_waker);

/// A waker that is not counted: the caller's reference stands in for it.
///
/// # Safety
/// The cell outlives the waker.
#[inline]
pub(super) unsafe fn borrowed(job: NonNull<Header>) -> ManuallyDrop<Waker> {
    // SAFETY: the functions of the table keep the contract of `RawWaker`: they are safe on any thread.
    ManuallyDrop::new(unsafe { Waker::new(job.as_ptr().cast(), &TABLE) })
}

/// Wakes, if that is an entry in this thread's own ready queue and runs no foreign code; else the waker comes
/// back.
#[inline]
pub(crate) fn wake_at_home(waker: Waker) -> Result<(), Waker> {
    if !is_home(&waker) {
        return Err(waker);
    }
    let waker = ManuallyDrop::new(waker);
    // SAFETY: at home, so it is a pointer of ours.
    let job = unsafe { job_of(waker.data()) };
    // SAFETY: a waker keeps its cell alive, and this is its owner's thread.
    unsafe { cell::wake_home(job) };
    // SAFETY: the waker's own reference, which its drop does not give up any more.
    unsafe { cell::release_home(job) };
    Ok(())
}

/// As `Clone::clone`, with a shorter way for a job of this thread.
#[inline]
pub(super) fn clone(waker: &Waker) -> Waker {
    if !is_home(waker) {
        return waker.clone();
    }
    // SAFETY: at home, so it is a pointer of ours.
    let job = unsafe { job_of(waker.data()) };
    // SAFETY: a waker keeps its cell alive.
    cell::retain_home(unsafe { job.as_ref() });
    // SAFETY: the functions of the table keep the contract of `RawWaker`; the reference was counted.
    unsafe { Waker::new(waker.data(), &TABLE) }
}

/// Whether this is a job's waker and this is its owner's thread. Then waking is an entry in the ready queue,
/// cloning and dropping count, and none of them runs foreign code.
#[inline]
pub(crate) fn is_home(waker: &Waker) -> bool {
    if !std::ptr::eq(waker.vtable(), &TABLE) {
        return false;
    }
    // SAFETY: with our table, it is a pointer of ours.
    let job = unsafe { job_of(waker.data()) };
    // SAFETY: a waker keeps its cell alive.
    unsafe { job.as_ref() }.is_home()
}

/// The pointer in a waker.
///
/// # Safety
/// It was put there by [`borrowed`] or [`clone_waker`].
unsafe fn job_of(data: *const ()) -> NonNull<Header> {
    // SAFETY: never null, by where it comes from.
    unsafe { NonNull::new_unchecked(data.cast_mut().cast()) }
}

/// # Safety
/// The data of a waker of ours, whose reference keeps its cell alive.
unsafe fn clone_waker(data: *const ()) -> RawWaker {
    // SAFETY: a pointer of ours.
    let job = unsafe { job_of(data) };
    // SAFETY: a waker keeps its cell alive.
    unsafe { retain(job) };
    RawWaker::new(data, &TABLE)
}

/// # Safety
/// The data of a waker of ours, whose reference keeps its cell alive.
unsafe fn wake_waker_by_ref(data: *const ()) {
    // SAFETY: a pointer of ours.
    let job = unsafe { job_of(data) };
    // SAFETY: a waker keeps its cell alive.
    unsafe { wake(job) };
}

/// # Safety
/// The data of a waker of ours, whose reference keeps its cell alive.
unsafe fn wake_waker(data: *const ()) {
    // SAFETY: a pointer of ours.
    let job = unsafe { job_of(data) };
    // SAFETY: a waker keeps its cell alive, for these two lines at least.
    let header = unsafe { job.as_ref() };
    if header.is_home() {
        // SAFETY: the owner's thread.
        unsafe { cell::wake_home(job) };
        // SAFETY: the owner's thread, and the waker's own reference.
        unsafe { cell::release_home(job) };
    } else if !header.remote.tell_and_release() {
        // SAFETY: as above.
        unsafe { tell(job, Wish::Wake) };
        // SAFETY: the waker's own reference.
        unsafe { release_away(job) };
    }
}

/// # Safety
/// The data of a waker of ours, whose reference keeps its cell alive.
unsafe fn drop_waker(data: *const ()) {
    // SAFETY: a pointer of ours.
    let job = unsafe { job_of(data) };
    // SAFETY: the waker's own reference.
    unsafe { release(job) };
}

/// One more reference. Any thread.
///
/// # Safety
/// The caller has a reference.
#[inline]
pub(super) unsafe fn retain(job: NonNull<Header>) {
    // SAFETY: alive by the caller's reference.
    let header = unsafe { job.as_ref() };
    if header.is_home() {
        cell::retain_home(header);
    } else {
        header.remote.retain();
    }
}

/// One reference less. Any thread.
///
/// # Safety
/// The reference is the caller's, who does not touch the cell afterwards.
#[inline]
pub(super) unsafe fn release(job: NonNull<Header>) {
    // SAFETY: alive by the caller's reference.
    if unsafe { job.as_ref() }.is_home() {
        // SAFETY: the owner's thread.
        unsafe { cell::release_home(job) };
    } else {
        // SAFETY: passed on.
        unsafe { release_away(job) };
    }
}

/// One reference less, on a thread that is not the owner's, or after the merge.
///
/// # Safety
/// As for [`release`].
pub(super) unsafe fn release_away(job: NonNull<Header>) {
    // SAFETY: alive by the caller's reference, up to the word's change.
    let header = unsafe { job.as_ref() };
    match header.remote.release() {
        Released::Kept => {}
        Released::Post => {
            // The mark keeps the cell until the push, and no longer; its block must outlive the push.
            let block = hold(header.owner());
            // SAFETY: QUEUED was set by this thread.
            unsafe { push(job, block.owner()) };
        }
        // SAFETY: it was the last reference.
        Released::Free => unsafe { cell::free(job) },
    }
}

/// A wake. Any thread.
///
/// # Safety
/// The caller has a reference.
#[inline]
pub(super) unsafe fn wake(job: NonNull<Header>) {
    // SAFETY: alive by the caller's reference.
    if unsafe { job.as_ref() }.is_home() {
        // SAFETY: the owner's thread.
        unsafe { cell::wake_home(job) };
    } else {
        // SAFETY: passed on. A merged job is done and needs no wake.
        unsafe { tell(job, Wish::Wake) };
    }
}

/// Tells the owner something, from another thread; false if the job is done and merged.
///
/// # Safety
/// The caller has a reference, and keeps it during the call.
pub(super) unsafe fn tell(job: NonNull<Header>, wish: Wish) -> bool {
    // SAFETY: alive by the caller's reference.
    let header = unsafe { job.as_ref() };
    match header.remote.tell(wish) {
        Told::Queued => true,
        Told::Merged => false,
        Told::Push => {
            // SAFETY: a live cell keeps its owner's block alive, and the caller's reference keeps the cell.
            let owner = unsafe { header.owner().as_ref() };
            // SAFETY: QUEUED was set by this thread.
            unsafe { push(job, owner) };
            true
        }
    }
}

/// Pushes a cell whose QUEUED this thread has set.
///
/// # Safety
/// The flag keeps the cell alive until a drain, or until the push is turned away.
unsafe fn push(job: NonNull<Header>, owner: &Owner) {
    // SAFETY: alive by the flag.
    let pushed = unsafe { owner.inject().push(Mail::Cell(job)) };
    match pushed {
        Pushed::Quiet => {}
        Pushed::Wake => owner.unpark(),
        Pushed::Closed => {
            // SAFETY: not taken, so still alive by the flag.
            if unsafe { job.as_ref() }.remote.bounce() {
                // SAFETY: the flag was the last thing that kept it.
                unsafe { cell::free(job) };
            }
        }
    }
}

/// A counted reference to a job, of a handle that does not leave its thread.
///
/// It keeps the cell's memory; the life of the job is another matter. It is neither `Send` nor `Sync`, as
/// it gives access to the work.
#[derive(Debug)]
pub(crate) struct JobRef {
    job: NonNull<Header>,
    _not_send: PhantomData<*mut ()>,
}

impl JobRef {
    /// Takes over a reference.
    ///
    /// # Safety
    /// The reference is the caller's, on the thread on which the job was made.
    pub(super) unsafe fn from_raw(job: NonNull<Header>) -> Self {
        JobRef { job, _not_send: PhantomData }
    }

    /// The job that a waker wakes, if it is one of this thread's worker.
    pub(crate) fn at_home(waker: &Waker) -> Option<Self> {
        if !is_home(waker) {
            return None;
        }
        let waker = ManuallyDrop::new(clone(waker));
        // SAFETY: at home, so it is a pointer of ours.
        let job = unsafe { job_of(waker.data()) };
        // SAFETY: the reference of the clone, which is not dropped; at home, as was just asked.
        Some(unsafe { JobRef::from_raw(job) })
    }

    /// Gives the reference to the caller.
    pub(super) fn into_raw(self) -> NonNull<Header> {
        ManuallyDrop::new(self).job
    }

    pub(crate) fn header(&self) -> &Header {
        // SAFETY: alive by our reference.
        unsafe { self.job.as_ref() }
    }

    /// The work, if it is a `W`.
    pub(crate) fn work<W: Work>(&self) -> Option<Pin<&W>> {
        // SAFETY: alive by our reference, for as long as `self` is borrowed. The thread is the one on
        // which the work was made, as `self` is not Send.
        unsafe { cell::work_as(self.job) }
    }

    /// A waker of the job.
    pub(crate) fn waker(&self) -> Waker {
        // SAFETY: alive by our reference; the clone is counted.
        let waker = unsafe { borrowed(self.job) };
        Waker::clone(&waker)
    }

    /// Makes the job run.
    pub(crate) fn wake(&self) {
        // SAFETY: alive by our reference.
        unsafe { wake(self.job) };
    }

    /// Makes the next run of the job its last: its work is dropped.
    pub(crate) fn abort(&self) {
        if self.header().is_home() {
            // SAFETY: alive by our reference, and the owner's thread.
            unsafe { cell::abort_home(self.job) };
        } else {
            // SAFETY: alive by our reference. A merged job is done.
            unsafe { tell(self.job, Wish::Abort) };
        }
    }

    /// Whether the job has ended.
    pub(crate) fn is_done(&self) -> bool {
        self.header().local.is_done()
    }

    /// Takes effect when the job becomes ready next.
    pub(crate) fn set_priority(&self, priority: Priority) {
        self.header().set_priority(priority);
    }

    /// The owner's block, while the job is in its registry.
    fn owner(&self) -> Option<&Owner> {
        // SAFETY: a cell that is not merged belongs to a worker that lives; its block is not freed while
        // this thread, the worker's, is in here.
        (!self.header().is_merged()).then(|| unsafe { self.header().owner().as_ref() })
    }

    /// Looks at the job's record, with its full run count and its priority; while its worker lives.
    pub(crate) fn info<R>(&self, look: impl FnOnce(Sight<'_>) -> R) -> Option<R> {
        self.owner()?.info(self.header().slot(), look)
    }

    /// Gives the job a name.
    pub(crate) fn set_name(&self, name: std::sync::Arc<str>) {
        if let Some(owner) = self.owner() {
            owner.with_registry(|registry| registry.set_name(self.header().slot(), name));
        }
    }

    /// Asks to be woken by the end of the job; false if it has ended.
    pub(crate) fn wake_at_end(&self, waker: &Waker) -> bool {
        if self.is_done() {
            return false;
        }
        // SAFETY: alive by our reference; `JobRef` does not leave the owner's thread, and between two
        // `block_on`s nothing runs that could touch the field.
        if unsafe { cell::will_wake(self.job, waker) } {
            return true;
        }
        let waker = waker.clone();
        // SAFETY: as above; the clone ran foreign code, but no job.
        let before = unsafe { cell::set_join(self.job, Some(waker)) };
        drop(before);
        true
    }
}

impl Clone for JobRef {
    fn clone(&self) -> Self {
        // SAFETY: alive by our reference.
        unsafe { retain(self.job) };
        JobRef { job: self.job, _not_send: PhantomData }
    }
}

impl Drop for JobRef {
    fn drop(&mut self) {
        // SAFETY: our reference.
        unsafe { release(self.job) };
    }
}
