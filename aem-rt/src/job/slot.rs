//! A pinned value that is used in place, by one at a time.
//!
//! Like a `RefCell`, but who comes second is told "busy" instead of a panic, and the value may be one that
//! must not move. The code that uses the value may do anything to the slot meanwhile: it finds it busy.
#![allow(unsafe_code)]

use std::cell::{Cell, UnsafeCell};
use std::pin::Pin;

/// What a slot holds, or why it does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Full,
    Empty,
    Busy,
    /// Busy, and to be emptied when the user is done.
    Doomed,
}

/// The slot.
pub(crate) struct PinSlot<T> {
    value: UnsafeCell<Option<T>>,
    mark: Cell<Mark>,
}

impl<T> PinSlot<T> {
    /// A slot with a value in it.
    pub(crate) fn new(value: T) -> Self {
        PinSlot { value: UnsafeCell::new(Some(value)), mark: Cell::new(Mark::Full) }
    }

    /// Whether there is nothing in it and nothing will come back.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.mark.get(), Mark::Empty | Mark::Doomed)
    }

    /// Whether somebody uses the value now.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self.mark.get(), Mark::Busy | Mark::Doomed)
    }

    /// Lends the value to `user`. None if it is not there or already lent. If `user` panics, or the slot
    /// was cleared meanwhile, the value is dropped in its place.
    #[inline]
    pub(crate) fn lend<R>(self: Pin<&Self>, user: impl FnOnce(Pin<&mut T>) -> R) -> Option<R> {
        if self.mark.get() != Mark::Full {
            return None;
        }
        self.mark.set(Mark::Busy);
        let back = Back { slot: self, poisoned: true };
        // SAFETY: the mark says busy, and every other access asks it first; one thread only, as the
        // slot is not Sync.
        let value = unsafe { &mut *self.value.get() }.as_mut()?;
        // SAFETY: the slot is pinned, and moves the value out only when it is Unpin (`take`).
        let result = user(unsafe { Pin::new_unchecked(value) });
        let mut back = back;
        back.poisoned = false;
        drop(back);
        Some(result)
    }

    /// Drops the value in its place; at once, or when its user is done.
    pub(crate) fn clear(self: Pin<&Self>) {
        match self.mark.get() {
            Mark::Full => {
                self.mark.set(Mark::Doomed);
                drop(Back { slot: self, poisoned: false });
            }
            Mark::Busy => self.mark.set(Mark::Doomed),
            Mark::Empty | Mark::Doomed => {}
        }
    }

    /// Takes the value out. None if it is not there or lent now.
    pub(crate) fn take(self: Pin<&Self>) -> Option<T>
    where
        T: Unpin,
    {
        if self.mark.get() != Mark::Full {
            return None;
        }
        self.mark.set(Mark::Empty);
        // SAFETY: not lent, by the mark; one thread only.
        unsafe { &mut *self.value.get() }.take()
    }
}

/// Ends a loan, also when it ends by a panic.
struct Back<'a, T> {
    slot: Pin<&'a PinSlot<T>>,
    poisoned: bool,
}

impl<T> Drop for Back<'_, T> {
    #[inline]
    fn drop(&mut self) {
        let mark = &self.slot.mark;
        if !self.poisoned && mark.get() == Mark::Busy {
            mark.set(Mark::Full);
            return;
        }
        self.clear();
    }
}

impl<T> Back<'_, T> {
    #[cold]
    fn clear(&self) {
        let mark = &self.slot.mark;
        // The destructor is foreign code: it must find the slot doomed, and afterwards empty, also if it
        // panics.
        mark.set(Mark::Doomed);
        struct Emptied<'a>(&'a Cell<Mark>);
        impl Drop for Emptied<'_> {
            fn drop(&mut self) {
                self.0.set(Mark::Empty);
            }
        }
        let _emptied = Emptied(mark);
        let value = self.slot.value.get();
        // SAFETY: doomed, so that nobody else gets at the value; the loan is over.
        if let Some(value) = unsafe { &mut *value } {
            // SAFETY: pinned, so dropped in place. It is not dropped again: see below.
            let dropped = super::contain(|| unsafe { std::ptr::drop_in_place(value) });
            // SAFETY: what stood there was dropped, and is not dropped again by this write.
            unsafe { self.slot.value.get().write(None) };
            if let Err(panic) = dropped {
                drop(_emptied);
                if std::thread::panicking() {
                    // The first one is on its way; a second would end the process.
                    super::dispose(panic);
                } else {
                    std::panic::resume_unwind(panic);
                }
            }
        }
    }
}

impl<T> std::fmt::Debug for PinSlot<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PinSlot").field(&self.mark.get()).finish()
    }
}

#[cfg(test)]
mod tests;
