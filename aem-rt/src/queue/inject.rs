//! The inject queue: what other threads send to a worker.
//!
//! One word, `head`, is the whole queue: a stack of intrusive nodes that the worker takes whole and
//! reverses, so that what comes out is in the order in which it went in. The word has two more values:
//!
//! | head | meaning |
//! |-|-|
//! | 0 | empty, the worker is awake |
//! | [`ASLEEP`] | empty, the worker sleeps or is about to: who pushes now must wake it |
//! | [`CLOSED`] | the worker has ended; nothing can be pushed any more |
//! | else | the newest node |
//!
//! As the sleep mark sits in the word that a push must change anyway, a push cannot miss it and no fence
//! is needed (AWAKE). A push never blocks and never spins for longer than others make progress; it is as
//! long as memory allows.
//!
//! Orderings: push Release pairs with the Acquire of `take`; `close` Release pairs with the Acquire with
//! which a push finds [`CLOSED`].
#![allow(unsafe_code)]

use crate::sync::{AtomicUsize, Cell, Ordering, peek_word};

const EMPTY: usize = 0;
const ASLEEP: usize = 1;
const CLOSED: usize = 2;

/// The word of an element must not be below this: nodes are at least 8-aligned, and so have room for a tag.
const LOWEST: usize = 8;

/// A handle to something with a link that other threads may follow.
///
/// The link is a plain cell, as one thread at a time has it: the pusher, until its push publishes the
/// element, then the owner. So the models notice if the orderings do not keep these two apart.
///
/// # Safety
/// `into_word` gives a word of at least 8, from which `from_word` makes the same handle; `link` is valid
/// while the element is in a queue, and nobody else touches it then.
pub(crate) unsafe trait Post: Copy {
    /// The element as a word.
    fn into_word(self) -> usize;
    /// The element again.
    ///
    /// # Safety
    /// The word came from `into_word`.
    unsafe fn from_word(word: usize) -> Self;
    /// The link of the element.
    ///
    /// # Safety
    /// The element is alive, and stays so while the reference is used.
    unsafe fn link<'a>(self) -> &'a Cell<usize>;
}

/// What a push found.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// The worker is awake and will look.
    Quiet,
    /// The worker sleeps: wake it.
    Wake,
    /// The worker has ended; the element was not taken.
    Closed,
}

/// The queue.
#[derive(Debug)]
pub(crate) struct Inject {
    head: AtomicUsize,
}

impl Inject {
    /// An open, empty queue with an awake worker.
    pub(crate) fn new() -> Self {
        Inject { head: AtomicUsize::new(EMPTY) }
    }

    /// Appends an element. Any thread.
    ///
    /// # Safety
    /// The element is in no inject queue, and stays alive until it is taken out or `Closed` is returned.
    pub(crate) unsafe fn push<P: Post>(&self, node: P) -> Pushed {
        let word = node.into_word();
        debug_assert!(word >= LOWEST);
        // Acquire: pairs with the Release of `close`, so that who is refused sees every job done.
        let mut head = peek_word(&self.head, Ordering::Acquire);
        loop {
            if head == CLOSED {
                return Pushed::Closed;
            }
            let older = if head == ASLEEP { EMPTY } else { head };
            // SAFETY: alive and ours until the compare-and-swap below publishes it.
            let link = unsafe { node.link() };
            link.set(older);
            // Release: the node and its link are visible to who takes it. Nothing is read through the old
            // head, so success acquires nothing; a failure may have met `CLOSED`: Acquire, as above.
            match self.head.compare_exchange_weak(head, word, Ordering::Release, Ordering::Acquire)
            {
                Ok(ASLEEP) => return Pushed::Wake,
                Ok(_) => return Pushed::Quiet,
                Err(now) => head = now,
            }
        }
    }

    /// Takes all there is, oldest first. Owner only.
    pub(crate) fn take<P: Post>(&self) -> Batch<P> {
        // A load first: an empty queue costs no RMW. What is missed now is seen next time, or by `sleep`.
        let head = self.head.load(Ordering::Relaxed);
        if head < LOWEST {
            return Batch::empty();
        }
        // Acquire: pairs with the Release in `push`, that of each node, as pushes are RMWs and so carry on
        // each other's release. It releases nothing: who finds the queue empty reads nothing of ours.
        let newest = self.head.swap(EMPTY, Ordering::Acquire);
        let mut batch = Batch::empty();
        let mut word = newest;
        while word != EMPTY {
            // SAFETY: the word was made by `push`, whose caller keeps the node alive until it is taken.
            let node = unsafe { P::from_word(word) };
            // SAFETY: as above.
            let link = unsafe { node.link() };
            word = link.get();
            link.set(batch.oldest);
            batch.oldest = node.into_word();
        }
        batch
    }

    /// Marks the worker asleep; false if there is mail, and then it must not sleep. Owner only.
    pub(crate) fn sleep(&self) -> bool {
        // Relaxed: no data passes here; what a pusher publishes is taken by `take`.
        self.head.compare_exchange(EMPTY, ASLEEP, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Marks the worker awake again. Owner only.
    pub(crate) fn awake(&self) {
        // A failure means that somebody pushed, and cleared the mark by it.
        let _ = self.head.compare_exchange(ASLEEP, EMPTY, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Closes an empty queue; false if there is mail. Owner only.
    pub(crate) fn close(&self) -> bool {
        // Release: what the worker did before is visible to who finds the queue closed.
        self.head.compare_exchange(EMPTY, CLOSED, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// Whether the worker has ended, and so all it did is visible.
    pub(crate) fn is_closed(&self) -> bool {
        // Acquire: pairs with the Release of `close`.
        peek_word(&self.head, Ordering::Acquire) == CLOSED
    }
}

/// Elements taken out of an [`Inject`], oldest first. The owner's alone.
#[derive(Debug)]
pub(crate) struct Batch<P> {
    oldest: usize,
    _posts: std::marker::PhantomData<P>,
}

impl<P: Post> Batch<P> {
    /// Nothing.
    pub(crate) fn empty() -> Self {
        Batch { oldest: EMPTY, _posts: std::marker::PhantomData }
    }

    /// Whether nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.oldest == EMPTY
    }

    /// The oldest element. Its link has been read: it may be pushed again at once.
    pub(crate) fn pop(&mut self) -> Option<P> {
        if self.is_empty() {
            return None;
        }
        // SAFETY: the word was made by `push`, and the node is alive until it leaves here.
        let node = unsafe { P::from_word(self.oldest) };
        // SAFETY: as above.
        let link = unsafe { node.link() };
        self.oldest = link.get();
        Some(node)
    }
}

#[cfg(test)]
mod tests;
