//! The ready queue: three lists by priority, each first in first out, with ageing.
//!
//! Intrusive and singly linked: pushing and popping touch the element, the list's two ends and nothing
//! else. One thread only; there is no atomic here. Elements are never taken out of the middle: who wants
//! to cancel a job marks it and lets its turn come.
//!
//! Promises: SINGLE is its user's duty (an element must not be pushed while it is in a list); BOUND: an
//! element of a lower priority waits behind at most [`NORMAL_AGE`] or [`LOW_AGE`] pops of higher ones.
#![allow(unsafe_code)]

use std::ptr::NonNull;

use super::Priority;
use crate::sync::Cell;

/// After so many pops of High in a row while Normal waits, Normal gets one. Small enough that a storm of
/// urgent work costs Normal a factor of 33 at worst.
pub const NORMAL_AGE: u32 = 32;

/// After so many pops of High or Normal in a row while Low waits, Low gets one: twice as patient, so that
/// the two rules seldom fall on the same pop.
pub const LOW_AGE: u32 = 64;

/// An element with a link of its own.
///
/// # Safety
/// `link` must give the same cell each time for the same element, and nobody else may write that cell
/// while the element is in a list.
pub(crate) unsafe trait Linked: Sized {
    /// The link to the next element.
    fn link(&self) -> &Cell<Option<NonNull<Self>>>;
}

/// Jobs that want to run.
#[derive(Debug)]
pub(crate) struct Ready<N: Linked> {
    lists: [List<N>; Priority::COUNT],
    /// A bit for each list that holds something.
    present: u8,
    /// Pops since Normal and Low were last served, while they held something.
    passed_over: [u32; Priority::COUNT],
    len: usize,
}

impl<N: Linked> Ready<N> {
    /// An empty queue.
    pub(crate) fn new() -> Self {
        Ready {
            lists: [List::new(), List::new(), List::new()],
            present: 0,
            passed_over: [0; Priority::COUNT],
            len: 0,
        }
    }

    /// Whether none waits.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.present == 0
    }

    /// How many elements wait.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Appends an element to the list of that [`Priority`].
    ///
    /// # Safety
    /// `node` is valid, stays so until it is popped, and is in no ready queue now.
    #[inline]
    pub(crate) unsafe fn push(&mut self, node: NonNull<N>, priority: usize) {
        // SAFETY: passed on from the caller; SINGLE is checked by the model tests of `job`.
        unsafe { self.lists[priority].push(node) };
        self.present |= 1 << priority;
        self.len += 1;
    }

    /// Takes the next element: the first of the most urgent list, unless a lower one has waited too long.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<NonNull<N>> {
        if self.present == 0 {
            return None;
        }
        let index = if self.present.is_power_of_two() {
            self.present.trailing_zeros() as usize
        } else {
            self.choose()
        };
        let (node, emptied) = self.lists[index].pop()?;
        if emptied {
            self.present &= !(1 << index);
        }
        // Also when no other list held anything: it has not waited since.
        self.passed_over[index] = 0;
        self.len -= 1;
        Some(node)
    }

    /// Picks among several lists and counts who was passed over.
    #[cold]
    fn choose(&mut self) -> usize {
        const NORMAL: usize = Priority::Normal as usize;
        const LOW: usize = Priority::Low as usize;
        let present = self.present;
        let waits = |index: usize| present & (1 << index) != 0;
        let chosen = if waits(LOW) && self.passed_over[LOW] >= LOW_AGE {
            LOW
        } else if waits(NORMAL) && self.passed_over[NORMAL] >= NORMAL_AGE {
            NORMAL
        } else {
            present.trailing_zeros() as usize
        };
        for index in [NORMAL, LOW] {
            if index != chosen && waits(index) {
                self.passed_over[index] += 1;
            }
        }
        chosen
    }
}

#[derive(Debug)]
struct List<N> {
    first: Option<NonNull<N>>,
    /// Means something only while there is a first.
    last: Option<NonNull<N>>,
}

impl<N: Linked> List<N> {
    fn new() -> Self {
        List { first: None, last: None }
    }

    /// # Safety
    /// As for [`Ready::push`].
    #[inline]
    unsafe fn push(&mut self, node: NonNull<N>) {
        // SAFETY: valid by the caller's word.
        unsafe { node.as_ref() }.link().set(None);
        let before = self.last.replace(node);
        match (self.first, before) {
            // SAFETY: everything in the list is valid until it is popped.
            (Some(_), Some(before)) => unsafe { before.as_ref() }.link().set(Some(node)),
            _ => self.first = Some(node),
        }
    }

    /// The first element, and whether the list is empty now.
    #[inline]
    fn pop(&mut self) -> Option<(NonNull<N>, bool)> {
        let first = self.first?;
        // SAFETY: everything in the list is valid until it is popped.
        self.first = unsafe { first.as_ref() }.link().get();
        Some((first, self.first.is_none()))
    }
}

#[cfg(test)]
mod tests;
