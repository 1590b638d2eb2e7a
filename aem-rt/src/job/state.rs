//! The two state words of a job, and every move they can make.
//!
//! [`Local`] is written by the owner with plain stores; other threads only ask it whether the job is done.
//! [`Remote`] is written by everybody with RMWs: flags that say what other threads want, and above them a
//! *signed* count of the references they made or dropped. Bit arithmetic on either is done in this file
//! and nowhere else.
//!
//! | | owner's thread | another thread |
//! |-|-|-|
//! | clone | count + 1 (in the cell) | [`Remote::retain`] |
//! | drop | count − 1; at zero: [`Remote::observe`] * | [`Remote::release`]: may post or free the cell |
//! | wake | [`Local::wake`] | [`Remote::tell`] WAKE |
//! | abort | [`Local::cancel`] | [`Remote::tell`] ABORT |
//! | handle dropped | [`Local::leave`] | [`Remote::tell`] LEFT |
//! | run | [`Local::start`], then [`Local::suspend`] or [`Local::complete`] | |
//! | drain | [`Remote::take`] | |
//! | turned away by a closed queue | | [`Remote::bounce`] |
//! | shutdown | [`Remote::seal`] | |
//!
//! \* and then, by what it shows: free, leave, [`Remote::fold`] or [`Remote::merge`].

use crate::sync::{AtomicU32, AtomicU64, Ordering, peek};

/// The job is in the ready queue, or will be when its run ends.
const SCHEDULED: u32 = 1;
/// The job runs now.
const RUNNING: u32 = 1 << 1;
/// The work is gone and the output stands. Stored with Release; for ever.
const DONE: u32 = 1 << 2;
/// The next run drops the work instead.
const CANCELLED: u32 = 1 << 3;
/// Nobody will ask for the output: the owner drops it.
const UNHELD: u32 = 1 << 4;
/// Each run is timed. Set at birth.
const TIMED: u32 = 1 << 5;

/// The owner's word.
#[derive(Debug)]
pub(crate) struct Local(AtomicU32);

/// Whether the caller must put the job into the ready queue.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Push it: the flag that says it is there has been set.
    Push,
    /// Leave it.
    Nothing,
}

/// What a run begins with.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Run the work.
    Run,
    /// Drop the work: it was cancelled.
    Cancel,
}

/// What becomes of the output when its handle goes.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// It stands: the caller drops it.
    OutputIsYours,
    /// It is still to come: the owner will drop it.
    Later,
}

impl Local {
    /// The word of a new job. One that is scheduled is put into the ready queue at once.
    #[inline]
    pub(crate) fn new(scheduled: bool, timed: bool) -> Self {
        let scheduled = if scheduled { SCHEDULED } else { 0 };
        Local(AtomicU32::new(scheduled | if timed { TIMED } else { 0 }))
    }

    /// Whether each run is timed.
    #[inline]
    pub(crate) fn is_timed(&self) -> bool {
        self.get() & TIMED != 0
    }

    /// Relaxed, as the owner alone writes.
    #[inline]
    fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    #[inline]
    fn set(&self, word: u32) {
        self.0.store(word, Ordering::Relaxed);
    }

    /// Whether the output stands. Any thread.
    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        // Acquire: pairs with the Release in `complete`, so that the output is visible.
        self.0.load(Ordering::Acquire) & DONE != 0
    }

    /// A wake on the owner's thread. During a run it asks for one more (AGAIN).
    #[inline]
    pub(crate) fn wake(&self) -> Next {
        let word = self.get();
        if word & (SCHEDULED | DONE) != 0 {
            return Next::Nothing;
        }
        self.set(word | SCHEDULED);
        if word & RUNNING != 0 { Next::Nothing } else { Next::Push }
    }

    /// An abort on the owner's thread.
    pub(crate) fn cancel(&self) -> Next {
        let word = self.get();
        if word & DONE == 0 {
            self.set(word | CANCELLED);
        }
        self.wake()
    }

    /// A run begins; the job was popped from the ready queue.
    #[inline]
    pub(crate) fn start(&self) -> Start {
        let word = self.get();
        debug_assert!(word & SCHEDULED != 0 && word & (RUNNING | DONE) == 0, "state {word:#b}");
        self.set((word & !SCHEDULED) | RUNNING);
        if word & CANCELLED != 0 { Start::Cancel } else { Start::Run }
    }

    /// A run ends without a result.
    #[inline]
    pub(crate) fn suspend(&self) -> Next {
        let word = self.get() & !RUNNING;
        self.set(word);
        if word & SCHEDULED != 0 { Next::Push } else { Next::Nothing }
    }

    /// Whether somebody may still ask for the output. Owner.
    #[inline]
    pub(crate) fn is_held(&self) -> bool {
        self.get() & UNHELD == 0
    }

    /// The output stands, or nobody wants it. Nothing follows.
    #[inline]
    pub(crate) fn complete(&self) {
        let word = self.get();
        debug_assert!(word & DONE == 0);
        // Release: pairs with the Acquire in `is_done`. The scheduled mark goes: a done job is in no queue.
        self.0.store((word & !(SCHEDULED | RUNNING)) | DONE, Ordering::Release);
    }

    /// The handle goes, on the owner's thread.
    pub(crate) fn leave(&self) -> Left {
        let word = self.get();
        if word & DONE != 0 {
            return Left::OutputIsYours;
        }
        self.set(word | UNHELD);
        Left::Later
    }
}

/// In the inject queue, or about to be.
const QUEUED: u64 = 1;
/// Another thread woke the job.
const WAKE: u64 = 1 << 1;
/// Another thread aborted it.
const ABORT: u64 = 1 << 2;
/// The handle was dropped on another thread.
const LEFT: u64 = 1 << 3;
/// The counts are one; the owner is nobody special any more.
const MERGED: u64 = 1 << 4;

const COUNT_SHIFT: u32 = 5;
const ONE: u64 = 1 << COUNT_SHIFT;

/// At most so much of the remote count moves into the local one at a time, so that its 32 bits hold. (The
/// remote count has 59 bits: at one clone a nanosecond it lasts for 9 years of clones without a drop.)
const FOLD_MAX: i64 = 1 << 30;

fn count(word: u64) -> i64 {
    (word as i64) >> COUNT_SHIFT
}

fn word(count: i64, flags: u64) -> u64 {
    ((count as u64) << COUNT_SHIFT) | flags
}

/// Everybody's word.
#[derive(Debug)]
pub(crate) struct Remote(AtomicU64);

/// What another thread wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Run the job.
    Wake,
    /// Cancel it.
    Abort,
    /// Its handle is gone.
    Left,
}

/// What came of telling the owner.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Now push the cell into the inject queue.
    Push,
    /// It is there already; the owner will see.
    Queued,
    /// The job is done and its counts are merged; everything it did is visible.
    Merged,
}

/// What came of dropping a reference on another thread.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Released {
    /// Others keep the cell; it must not be touched any more.
    Kept,
    /// Push the cell: it is kept by the mark that says so, until it is in the queue.
    Post,
    /// It was the last one: free the cell.
    Free,
}

/// What the owner found in the word when its own count reached zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View(u64);

impl View {
    /// No other thread has or wants anything.
    #[inline]
    pub(crate) fn is_blank(self) -> bool {
        self.0 == 0
    }

    /// The cell is in the inject queue, which keeps it.
    pub(crate) fn is_queued(self) -> bool {
        self.0 & QUEUED != 0
    }

    /// References that other threads made, less those they dropped.
    pub(crate) fn count(self) -> i64 {
        count(self.0)
    }
}

/// What a drain took out of the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// What other threads wanted.
    pub(crate) wake: bool,
    /// As above.
    pub(crate) abort: bool,
    /// As above.
    pub(crate) left: bool,
    /// The part of the count, zero or less, that the local count takes over.
    pub(crate) debt: i64,
}

impl Remote {
    /// The word of a job made on its owner's thread.
    pub(crate) fn new() -> Self {
        Remote(AtomicU64::new(0))
    }

    /// The word of a job made elsewhere: it is about to be pushed, and its handle is counted here.
    pub(crate) fn new_posted() -> Self {
        Remote(AtomicU64::new(word(1, QUEUED | WAKE)))
    }

    /// The posted job found its worker closed: it is done, and its handle is all there is.
    pub(crate) fn reject(&self) {
        // Relaxed: nobody else has seen the cell yet.
        self.0.store(word(1, MERGED), Ordering::Relaxed);
    }

    /// A clone on another thread.
    pub(crate) fn retain(&self) {
        // Relaxed: a new reference is made from one that is held, as in any reference count.
        self.0.fetch_add(ONE, Ordering::Relaxed);
    }

    /// A drop on another thread.
    pub(crate) fn release(&self) -> Released {
        let mut now = peek(&self.0, Ordering::Relaxed);
        loop {
            let mut next = now.wrapping_sub(ONE);
            let posts = now & (MERGED | QUEUED) == 0 && count(next) < 0;
            if posts {
                // In the same step: a count below zero without the mark is a cell that nobody keeps.
                next |= QUEUED;
            }
            // Release: what this thread did with the job comes before its end. Acquire: if this frees the
            // cell, what all others did; if it posts it, the drain's reading of the link.
            match self.0.compare_exchange_weak(now, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if posts => return Released::Post,
                Ok(_) if next == word(0, MERGED) => return Released::Free,
                Ok(_) => return Released::Kept,
                Err(seen) => now = seen,
            }
        }
    }

    /// A wish of another thread. It is written even where it stands already: what that thread did before
    /// must be visible to the run it asks for.
    pub(crate) fn tell(&self, wish: Wish) -> Told {
        let flag = match wish {
            Wish::Wake => WAKE,
            Wish::Abort => ABORT,
            Wish::Left => LEFT,
        };
        // Acquire: pairs with the Release of `merge` and `seal`.
        let mut now = peek(&self.0, Ordering::Acquire);
        loop {
            if now & MERGED != 0 {
                return Told::Merged;
            }
            // Release: pairs with the Acquire of `take`. Acquire: with its Release, as the link that a push
            // writes was read before it.
            let next = now | flag | QUEUED;
            match self.0.compare_exchange_weak(now, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) if now & QUEUED == 0 => return Told::Push,
                Ok(_) => return Told::Queued,
                Err(seen) => now = seen,
            }
        }
    }

    /// A wake that gives up its reference: both in one step if the cell is queued anyway.
    pub(crate) fn tell_and_release(&self) -> bool {
        let mut now = peek(&self.0, Ordering::Relaxed);
        while now & (QUEUED | MERGED) == QUEUED {
            let next = (now | WAKE).wrapping_sub(ONE);
            // Release: as in `tell`, and as in `release`. No Acquire: the cell is not touched any more.
            match self.0.compare_exchange_weak(now, next, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(seen) => now = seen,
            }
        }
        false
    }

    /// The owner takes the cell out of the inject queue: its wishes, and a count below zero.
    pub(crate) fn take(&self) -> Taken {
        let mut now = peek(&self.0, Ordering::Relaxed);
        loop {
            debug_assert!(now & QUEUED != 0 && now & MERGED == 0, "remote word {now:#x}");
            let next = word(count(now).max(0), 0);
            // Acquire: pairs with the Release of `tell` and `release`. Release: the link has been read; who
            // queues the cell next may write it.
            match self.0.compare_exchange_weak(now, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => {
                    return Taken {
                        wake: now & WAKE != 0,
                        abort: now & ABORT != 0,
                        left: now & LEFT != 0,
                        debt: count(now).min(0),
                    };
                }
                Err(seen) => now = seen,
            }
        }
    }

    /// A push met a closed queue. True if the cell is to be freed.
    #[must_use]
    pub(crate) fn bounce(&self) -> bool {
        // AcqRel: this may be the last that anybody does with the cell.
        let before = self.0.fetch_and(!QUEUED, Ordering::AcqRel);
        before == word(0, MERGED | QUEUED)
    }

    /// The owner looks, its own count being at zero or below.
    #[inline]
    pub(crate) fn observe(&self) -> View {
        // Acquire: if the cell is freed now, what others did with it comes before.
        View(peek(&self.0, Ordering::Acquire))
    }

    /// Moves references from the remote count to the local one; how many, if the word has not changed.
    pub(crate) fn fold(&self, view: View) -> Option<i64> {
        debug_assert!(!view.is_queued());
        let moved = view.count().min(FOLD_MAX);
        let next = word(view.count() - moved, 0);
        // Relaxed: a number moves from one place to another; no data passes.
        self.0
            .compare_exchange(view.0, next, Ordering::Relaxed, Ordering::Relaxed)
            .ok()
            .map(|_| moved)
    }

    /// Makes the counts one: from here on every thread counts alike. False if the word has changed.
    pub(crate) fn merge(&self, view: View, total: i64) -> bool {
        debug_assert!(!view.is_queued() && total > 0);
        // Release: the finished job is visible to whoever sees the mark. No Acquire: others hold the cell
        // still, and it is they who will free it.
        self.0
            .compare_exchange(view.0, word(total, MERGED), Ordering::Release, Ordering::Relaxed)
            .is_ok()
    }

    /// The worker ends: merges whatever the word says; `local` is the owner's count. True if the handle
    /// was dropped elsewhere and nobody took note yet.
    pub(crate) fn seal(&self, local: i64) -> bool {
        let mut now = peek(&self.0, Ordering::Relaxed);
        loop {
            debug_assert!(now & MERGED == 0);
            let next = word(count(now) + local, MERGED | (now & QUEUED));
            // Release: as in `merge`. No Acquire: the output that may be dropped for the handle is the
            // owner's own, and the handle, which left before it was done, has not seen it.
            match self.0.compare_exchange_weak(now, next, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return now & LEFT != 0,
                Err(seen) => now = seen,
            }
        }
    }
}
