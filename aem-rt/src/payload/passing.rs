//! Descriptors that go with certain bytes of a queue.
//!
//! The kernel takes descriptors beside the bytes of one call, and the receiver gets them with the first of
//! these. So a call ends before a byte that has descriptors, and begins with it.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

/// Descriptors, and the places they go with.
#[derive(Debug, Default)]
pub(super) struct Passing(VecDeque<Pass>);

#[derive(Debug)]
struct Pass {
    /// How many bytes are before its place: after that of the one before it, or the front of the queue.
    /// Only the first may have none.
    before: usize,
    descriptors: Vec<OwnedFd>,
}

impl Passing {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds descriptors to go with the byte at this place of the queue, behind all others.
    pub(super) fn add(&mut self, place: usize, descriptors: Vec<OwnedFd>) {
        let before = place - self.0.iter().map(|pass| pass.before).sum::<usize>();
        self.0.push_back(Pass { before, descriptors });
    }

    /// Adds all of another queue, whose front is at this place of ours.
    pub(super) fn append(&mut self, place: usize, other: Passing) {
        let mut place = place;
        for Pass { before, descriptors } in other.0 {
            place += before;
            self.add(place, descriptors);
        }
    }

    /// Those that go with the byte at the front of the queue.
    pub(super) fn due(&self) -> &[OwnedFd] {
        match self.0.front() {
            Some(Pass { before: 0, descriptors }) => descriptors,
            _ => &[],
        }
    }

    /// How many bytes may go in one call, if there is a limit.
    pub(super) fn limit(&self) -> Option<usize> {
        self.0.iter().map(|pass| pass.before).find(|before| *before > 0)
    }

    /// The next `n` bytes of the queue are gone, and with them what was due.
    pub(super) fn advance(&mut self, n: usize) {
        if n == 0 {
            return;
        }
        if !self.due().is_empty() {
            self.0.pop_front();
        }
        if let Some(next) = self.0.front_mut() {
            next.before = next.before.checked_sub(n).expect("a call ends before the next place");
        }
    }
}
