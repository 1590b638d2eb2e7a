//! The handle of a spawned job: its output, from any thread.
//!
//! On the owner's thread a handle looks into the cell. From another thread it asks by letter: a [`Note`] in
//! the owner's inject queue says who wants to be woken. From its first note on a handle uses notes only,
//! so that an older note cannot overtake a newer wish. When the inject queue is closed the job is done, and
//! the handle sees it.
#![allow(unsafe_code)]

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures::future::FusedFuture;

use super::cell::{self, Birth, Header};
use super::contain;
use super::id::JobId;
use super::owner::{Block, Here, Mail, Owner};
use super::registry::{Facts, Lost};
use super::state::{Left, Wish};
use super::task::{Lazy, Posted, Task};
use super::waker::{self, JobRef};
use crate::error::JoinError;
use crate::queue::Priority;
use crate::queue::inject::Pushed;
use crate::rare::Rare;
use crate::sync::Cell;

/// A letter to the owner.
pub(super) struct Note {
    pub(super) link: Cell<usize>,
    /// Counted.
    job: NonNull<Header>,
    content: Content,
}

enum Content {
    /// Wake this when the job ends.
    Wake(Waker),
    /// The handle was dropped elsewhere with this panic unread.
    Unread(super::Payload),
    /// Something to note about the job.
    Fact(Fact),
}

/// What a handle may say about its job.
enum Fact {
    Name(Arc<str>),
    Priority(Priority),
}

impl Fact {
    /// Writes it down, on the owner's thread.
    fn note(self, header: &Header, owner: &Owner) {
        match self {
            Fact::Name(name) => {
                owner.with_registry(|registry| registry.set_name(header.slot(), name));
            }
            Fact::Priority(priority) => header.set_priority(priority),
        }
    }
}

/// Sends a letter about a job; its content comes back if the worker has ended.
///
/// # Safety
/// The caller has a reference to the job.
unsafe fn send(job: NonNull<Header>, content: Content) -> Result<(), Content> {
    // SAFETY: alive by the caller's reference.
    let owner = unsafe { job.as_ref() }.owner();
    // SAFETY: a live cell keeps its owner's block alive.
    let owner = unsafe { owner.as_ref() };
    // SAFETY: as above.
    unsafe { waker::retain(job) };
    let note = Box::into_raw(Box::new(Note { link: Cell::new(0), job, content }));
    // SAFETY: a box is not null.
    let mail = Mail::Note(unsafe { NonNull::new_unchecked(note) });
    // SAFETY: new, and the queue's from here on.
    match unsafe { owner.inject().push(mail) } {
        Pushed::Quiet => Ok(()),
        Pushed::Wake => {
            owner.unpark();
            Ok(())
        }
        Pushed::Closed => {
            // SAFETY: not taken, so still ours.
            let note = unsafe { Box::from_raw(note) };
            // SAFETY: counted above.
            unsafe { waker::release(job) };
            Err(note.content)
        }
    }
}

/// The owner reads a letter.
///
/// # Safety
/// The note was just popped from the owner's inject queue, on its thread.
pub(super) unsafe fn receive(note: NonNull<Note>, owner: &Owner) {
    // SAFETY: made by `send`, and ours since the pop.
    let note = *unsafe { Box::from_raw(note.as_ptr()) };
    // SAFETY: the note has a reference.
    let header = unsafe { note.job.as_ref() };
    match note.content {
        Content::Wake(waker) => {
            let woken = contain(|| {
                if !header.local.is_held() {
                    // The handle went while its note was under way: nobody waits any more.
                    drop(waker);
                } else if header.local.is_done() {
                    waker.wake();
                } else {
                    // SAFETY: the note's reference, the owner's thread, not done.
                    drop(unsafe { cell::set_join(note.job, Some(waker)) });
                }
            });
            if let Err(panic) = woken {
                owner.lose(header, panic);
            }
        }
        Content::Unread(panic) => owner.lose(header, panic),
        Content::Fact(fact) if !header.local.is_done() => fact.note(header, owner),
        Content::Fact(_) => {}
    }
    // SAFETY: the note's reference.
    unsafe { waker::release(note.job) };
}

/// The result of a spawned job, to be awaited anywhere.
///
/// Dropping the handle lets the job run on; [`abort`](Self::abort) ends it. If the job panicked and nobody
/// has asked for the result, dropping the handle reports the panic as the runtime's policy says.
///
/// # Cancel safety
/// Awaiting `&mut handle` may be given up and taken up again; the result stays.
pub struct JoinHandle<T> {
    /// None once the output has been taken.
    job: Option<NonNull<Header>>,
    id: JobId,
    extra: Rare<Extra>,
    _output: PhantomData<T>,
}

/// What few handles have.
#[derive(Default)]
struct Extra {
    /// Whom the last note names; from the first one on there are only notes.
    noted: Option<Waker>,
    abort_on_drop: bool,
}

// SAFETY: the cell may be used from any thread; the output alone belongs to one type of value, and goes where
// the handle goes.
unsafe impl<T: Send> Send for JoinHandle<T> {}
// SAFETY: through a shared reference one may ask and abort, which any thread may do.
unsafe impl<T: Send> Sync for JoinHandle<T> {}

impl<T> Unpin for JoinHandle<T> {}

impl<T: 'static> JoinHandle<T> {
    /// Makes a job of a future, on its owner's thread.
    #[inline]
    pub(crate) fn spawn<F>(here: Here<'_>, future: F, facts: Facts) -> Self
    where
        F: Future<Output = T> + 'static,
    {
        let (reference, id) = here.spawn(Task::new(future), Priority::Normal, facts);
        // SAFETY: the job was made here, of this future.
        unsafe { Self::from_raw(reference.into_raw(), id) }
    }

    /// As [`spawn`](Self::spawn), with a reference that stays at home beside the handle.
    pub(crate) fn spawn_held<F>(here: Here<'_>, future: F, facts: Facts) -> (JobRef, Self)
    where
        F: Future<Output = T> + 'static,
    {
        let (reference, id) = here.spawn(Task::new(future), Priority::Normal, facts);
        // SAFETY: the job was made here, of this future.
        (reference.clone(), unsafe { Self::from_raw(reference.into_raw(), id) })
    }

    /// Takes over the reference of birth.
    ///
    /// # Safety
    /// The reference is the caller's, and the job's output is a `T`.
    pub(super) unsafe fn from_raw(job: NonNull<Header>, id: JobId) -> Self {
        JoinHandle { job: Some(job), id, extra: Rare::none(), _output: PhantomData }
    }

    /// Sends a future to a worker, as a job.
    pub(crate) fn post<F>(block: &Block, future: F, birth: Birth) -> Self
    where
        F: Future<Output = T> + Send + 'static,
        T: Send,
    {
        // SAFETY: the future and its output may go anywhere.
        let job = unsafe { block.post(Posted::new(future, birth)) };
        // SAFETY: the job was made here, of this future.
        unsafe { Self::from_raw(job, birth.id) }
    }

    /// Sends a closure to a worker, which makes the future there.
    pub(crate) fn post_with<M, F>(block: &Block, make: M, birth: Birth) -> Self
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output = T> + 'static,
        T: Send,
    {
        let lazy: Lazy<M, F> = Lazy::Make(Some(make));
        // SAFETY: until its first run, which is at home, there is the closure alone, and it may go
        // anywhere; so may the output.
        let job = unsafe { block.post(Posted::new(lazy, birth)) };
        // SAFETY: the job was made here, of this future.
        unsafe { Self::from_raw(job, birth.id) }
    }

    /// Takes the output of a done job, and lets the job go.
    #[inline]
    fn take(&mut self, job: NonNull<Header>) -> Result<T, JoinError> {
        let mut output = MaybeUninit::<Result<T, JoinError>>::uninit();
        self.job = None;
        // SAFETY: done, as the caller saw by an Acquire; the handle is here, so the output is ours; and
        // the work was made with this type of output, by `spawn`, `post` or `post_with`.
        let is_empty = unsafe { cell::take_output(job, output.as_mut_ptr().cast()) };
        // SAFETY: our reference, which is gone from the handle, and the output is taken.
        unsafe { cell::release_taken(job, is_empty) };
        // SAFETY: written by `take_output`, which has returned.
        unsafe { output.assume_init() }
    }
}

impl<T> JoinHandle<T> {
    fn noted(&self) -> Option<&Waker> {
        self.extra.get()?.noted.as_ref()
    }

    fn header(&self) -> Option<&Header> {
        // SAFETY: alive by our reference.
        self.job.map(|job| unsafe { job.as_ref() })
    }

    /// Cancels the job: its future is dropped instead of being polled again, and the handle gives
    /// [`JoinError::is_cancelled`]. A job that has ended is not touched. Works from any thread.
    pub fn abort(&self) {
        let Some(job) = self.job else { return };
        // SAFETY: alive by our reference.
        if unsafe { job.as_ref() }.is_home() {
            // SAFETY: alive by our reference, and the owner's thread.
            unsafe { cell::abort_home(job) };
        } else {
            // SAFETY: alive by our reference. A merged job is done.
            unsafe { waker::tell(job, Wish::Abort) };
        }
    }

    /// Whether the job has ended.
    pub fn is_finished(&self) -> bool {
        self.header().is_none_or(|header| header.local.is_done())
    }

    /// From here on, dropping the handle cancels the job.
    pub fn abort_on_drop(mut self) -> Self {
        self.extra.get_or_insert_default().abort_on_drop = true;
        self
    }

    /// Gives the job a name, for statistics and reports. Works from any thread; one that has ended has none.
    pub fn name(self, name: impl Into<Arc<str>>) -> Self {
        self.say(Fact::Name(name.into()));
        self
    }

    /// How urgent the job's runs are. The run that is queued already, as the first one is since the spawn,
    /// keeps its place. Works from any thread.
    pub fn priority(self, priority: Priority) -> Self {
        self.say(Fact::Priority(priority));
        self
    }

    /// Has the owner note something about the job: at once if it is here, else by a letter.
    fn say(&self, fact: Fact) {
        let Some(job) = self.job else { return };
        // SAFETY: alive by our reference.
        let header = unsafe { job.as_ref() };
        if header.local.is_done() {
            return;
        }
        if header.is_home() {
            // SAFETY: alive, and at home.
            fact.note(header, unsafe { header.owner_at_home() });
        } else {
            // SAFETY: our reference. If the worker has ended so has the job, and nobody asks about it.
            drop(unsafe { send(job, Content::Fact(fact)) });
        }
    }

    /// The identity of the job.
    pub fn id(&self) -> JobId {
        self.id
    }
}

/// Drops the output of a done job on a thread that is not its owner's.
///
/// # Safety
/// The caller has a reference and saw, by an Acquire, that the job is done; the output is the caller's.
unsafe fn discard_away(job: NonNull<Header>) {
    // SAFETY: alive by the caller's reference.
    let work = unsafe { cell::work(job) };
    // SAFETY: passed on. Its destructor's panic is told as the job's own would be, as at home.
    let unread = contain(|| unsafe { work.discard() });
    if let Some(panic) = unread.unwrap_or_else(Some) {
        // SAFETY: the caller's reference.
        let sent = unsafe { send(job, Content::Unread(panic)) };
        if let Err(Content::Unread(panic)) = sent {
            Lost::anonymous(panic).tell();
        }
    }
}

impl<T: 'static> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let Some(job) = this.job else { return Poll::Pending };
        // SAFETY: alive by our reference.
        let header = unsafe { job.as_ref() };
        if header.local.is_done() {
            return Poll::Ready(this.take(job));
        }
        if this.noted().is_some() || !header.is_home() {
            return this.poll_away(job, context.waker());
        }
        // SAFETY: alive by our reference, the owner's thread, not done.
        if !unsafe { cell::will_wake(job, context.waker()) } {
            let waker = waker::clone(context.waker());
            // SAFETY: as above: a clone runs no job.
            drop(unsafe { cell::set_join(job, Some(waker)) });
        }
        Poll::Pending
    }
}

impl<T: 'static> JoinHandle<T> {
    /// A poll on another thread, or after one.
    #[cold]
    fn poll_away(&mut self, job: NonNull<Header>, waker: &Waker) -> Poll<Result<T, JoinError>> {
        // A loop of polls with the same waker sends one note, not one each.
        if self.noted().is_some_and(|noted| noted.will_wake(waker)) {
            return Poll::Pending;
        }
        // SAFETY: our reference.
        match unsafe { send(job, Content::Wake(waker.clone())) } {
            Ok(()) => {
                let waker = waker.clone();
                let before = self.extra.get_or_insert_default().noted.replace(waker);
                drop(before);
                Poll::Pending
            }
            // The worker has ended, so the job is done, and visible by the Acquire of the push.
            Err(_) => Poll::Ready(self.take(job)),
        }
    }
}

impl<T: 'static> FusedFuture for JoinHandle<T> {
    fn is_terminated(&self) -> bool {
        self.job.is_none()
    }
}

impl<T> Drop for JoinHandle<T> {
    #[inline]
    fn drop(&mut self) {
        if self.job.is_some() {
            self.part();
        }
    }
}

impl<T> JoinHandle<T> {
    /// The handle goes before the output was taken.
    #[inline(never)]
    fn part(&mut self) {
        if self.extra.get().is_some_and(|extra| extra.abort_on_drop) {
            self.abort();
        }
        let Some(job) = self.job.take() else { return };
        // SAFETY: alive by our reference.
        let header = unsafe { job.as_ref() };
        let mut join = None;
        if header.is_home() {
            match header.local.leave() {
                // SAFETY: our reference, the owner's thread; the output is ours.
                Left::OutputIsYours => unsafe { cell::discard(job) },
                // SAFETY: our reference, the owner's thread, not done.
                Left::Later => join = unsafe { cell::set_join(job, None) },
            }
        } else {
            // SAFETY: our reference.
            if header.local.is_done() || !unsafe { waker::tell(job, Wish::Left) } {
                // SAFETY: done, by an Acquire in either; the handle is here, so the output is ours.
                unsafe { discard_away(job) };
            }
        }
        // SAFETY: our reference.
        unsafe { waker::release(job) };
        // Here, where its owner expects it, and last, as it may panic.
        drop(join);
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("id", &self.id)
            .field("finished", &self.is_finished())
            .finish()
    }
}
