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
///
/// Nearly always all of them are in the normal list, and then the other two are not looked at. That is more
/// than a shorter way: a processor guesses a branch, but would have to wait for the number of a list that it
/// must compute from what the last push has written.
#[derive(Debug)]
pub(crate) struct Ready<N: Linked> {
    normal: List<N>,
    high: List<N>,
    low: List<N>,
    /// How many elements the high and the low list hold together.
    special: usize,
    /// Pops since the normal list was last served, while others were served before it.
    passed_over_normal: u32,
    /// The same of the low list.
    passed_over_low: u32,
    len: usize,
}

impl<N: Linked> Ready<N> {
    /// An empty queue.
    pub(crate) fn new() -> Self {
        Ready {
            normal: List::new(),
            high: List::new(),
            low: List::new(),
            special: 0,
            passed_over_normal: 0,
            passed_over_low: 0,
            len: 0,
        }
    }

    /// Whether none waits.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many elements wait.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Appends an element to the list of that priority.
    ///
    /// # Safety
    /// `node` is valid, stays so until it is popped, and is in no ready queue now.
    #[inline]
    pub(crate) unsafe fn push(&mut self, node: NonNull<N>, priority: Priority) {
        self.len += 1;
        if priority == Priority::Normal {
            // SAFETY: passed on from the caller; SINGLE is checked by the model tests of `job`.
            unsafe { self.normal.push(node) };
        } else {
            // SAFETY: as above.
            unsafe { self.push_special(node, priority) };
        }
    }

    /// # Safety
    /// As for [`push`](Self::push).
    #[cold]
    unsafe fn push_special(&mut self, node: NonNull<N>, priority: Priority) {
        self.special += 1;
        let list = if priority == Priority::High { &mut self.high } else { &mut self.low };
        // SAFETY: passed on.
        unsafe { list.push(node) };
    }

    /// Takes the next element: the first of the most urgent list, unless a lower one has waited too long.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<NonNull<N>> {
        let node = if self.special == 0 {
            self.passed_over_normal = 0;
            self.normal.pop()
        } else {
            self.pop_special()
        }?;
        self.len -= 1;
        Some(node)
    }

    /// The same when the high or the low list holds something: picks one, and counts who was passed over.
    /// Whoever is served, or has nothing, has not waited.
    #[cold]
    fn pop_special(&mut self) -> Option<NonNull<N>> {
        let [normal, low] = [!self.normal.is_empty(), !self.low.is_empty()];
        let chosen = if low && self.passed_over_low >= LOW_AGE {
            Priority::Low
        } else if normal && self.passed_over_normal >= NORMAL_AGE {
            Priority::Normal
        } else if !self.high.is_empty() {
            Priority::High
        } else if normal {
            Priority::Normal
        } else {
            Priority::Low
        };
        let ages = |waits: bool, own: Priority, age: u32| {
            if waits && own != chosen { age + 1 } else { 0 }
        };
        self.passed_over_normal = ages(normal, Priority::Normal, self.passed_over_normal);
        self.passed_over_low = ages(low, Priority::Low, self.passed_over_low);
        match chosen {
            Priority::Normal => return self.normal.pop(),
            Priority::High => self.special -= 1,
            Priority::Low => self.special -= 1,
        }
        if chosen == Priority::High { self.high.pop() } else { self.low.pop() }
    }
}

/// Both ends are there, or neither.
#[derive(Debug)]
struct List<N> {
    first: Option<NonNull<N>>,
    last: Option<NonNull<N>>,
}

impl<N: Linked> List<N> {
    fn new() -> Self {
        List { first: None, last: None }
    }

    fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// # Safety
    /// As for [`Ready::push`].
    #[inline]
    unsafe fn push(&mut self, node: NonNull<N>) {
        // SAFETY: valid by the caller's word.
        unsafe { node.as_ref() }.link().set(None);
        match self.last.replace(node) {
            // SAFETY: everything in the list is valid until it is popped.
            Some(before) => unsafe { before.as_ref() }.link().set(Some(node)),
            None => self.first = Some(node),
        }
    }

    #[inline]
    fn pop(&mut self) -> Option<NonNull<N>> {
        let first = self.first?;
        // SAFETY: everything in the list is valid until it is popped.
        self.first = unsafe { first.as_ref() }.link().get();
        if self.first.is_none() {
            self.last = None;
        }
        Some(first)
    }
}

#[cfg(test)]
mod tests;
