//! The only door to `std`'s or loom's shared memory.
//!
//! Floor 1 is model-checked: built with `--cfg loom`, every atomic, cell and thread it touches comes
//! from loom, which runs a test once for each order in which threads may interleave. Nothing outside
//! this file knows about that: it imports from here and finds the same names either way.
//!
//! Two things have no twin in loom and so get a function of their own: [`peek`], a load that loom does
//! not let hide a race, and the address of the thread's current worker.

#[cfg(not(loom))]
mod real {
    use std::cell::Cell as StdCell;

    pub(crate) use std::cell::Cell;
    pub(crate) use std::sync::Arc;
    pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

    /// Whether loom checks this build.
    pub(crate) const MODELLED: bool = false;

    /// `std`'s cell with the interface of loom's, which wants to see where an access ends.
    #[derive(Debug)]
    #[repr(transparent)]
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        #[inline]
        pub(crate) fn new(value: T) -> Self {
            UnsafeCell(std::cell::UnsafeCell::new(value))
        }

        /// Hands out the pointer for reading.
        #[inline]
        pub(crate) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
            read(self.0.get())
        }

        /// Hands out the pointer for writing.
        #[inline]
        pub(crate) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
            write(self.0.get())
        }
    }

    /// A load before a compare-and-swap.
    #[inline]
    pub(crate) fn peek(word: &AtomicU64, ordering: Ordering) -> u64 {
        word.load(ordering)
    }

    /// [`peek`] for a word that holds a pointer.
    #[inline]
    pub(crate) fn peek_word(word: &AtomicUsize, ordering: Ordering) -> usize {
        word.load(ordering)
    }

    thread_local! {
        // Const and without a destructor, so that it can be read in the destructors of other
        // thread-locals, where wakers may still be dropped.
        static CURRENT: StdCell<usize> = const { StdCell::new(0) };
    }

    /// The address of the worker that runs on this thread now; 0 outside of one.
    #[inline]
    pub(crate) fn current() -> usize {
        CURRENT.get()
    }

    /// Sets [`current`] and gives back what it was.
    pub(crate) fn set_current(address: usize) -> usize {
        CURRENT.replace(address)
    }
}

#[cfg(loom)]
mod real {
    pub(crate) use loom::cell::{Cell, UnsafeCell};
    pub(crate) use loom::sync::Arc;
    pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

    pub(crate) const MODELLED: bool = true;

    /// loom remembers one access an object when it decides where to branch, and a load before a
    /// compare-and-swap can hide a race from it; an RMW that changes nothing does not.
    pub(crate) fn peek(word: &AtomicU64, ordering: Ordering) -> u64 {
        word.fetch_or(0, ordering)
    }

    pub(crate) fn peek_word(word: &AtomicUsize, ordering: Ordering) -> usize {
        word.fetch_or(0, ordering)
    }

    loom::thread_local! {
        static CURRENT: std::cell::Cell<usize> = std::cell::Cell::new(0);
    }

    pub(crate) fn current() -> usize {
        CURRENT.with(|current| current.get())
    }

    pub(crate) fn set_current(address: usize) -> usize {
        CURRENT.with(|current| current.replace(address))
    }
}

pub(crate) use real::*;
