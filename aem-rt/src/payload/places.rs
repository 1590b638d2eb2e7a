//! What stands at certain places of a queue of bytes: descriptors that go with a byte, and parts of files
//! that go between two.
//!
//! The kernel takes each of them by a call of its own kind. So a call ends before a place, and begins with
//! it.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

/// Things at their places, in order.
#[derive(Debug)]
pub(super) struct Places<T>(VecDeque<Place<T>>);

#[derive(Debug)]
struct Place<T> {
    /// How many bytes are before it: behind the one before it, or behind the front of the queue.
    before: u64,
    it: T,
}

/// What can stand at a place.
pub(super) trait Placed {
    /// How many bytes of the queue it is itself.
    fn len(&self) -> u64;

    /// The first `n` of these are gone.
    fn advance(&mut self, n: u64);
}

/// They go with the byte behind their place.
impl Placed for Vec<OwnedFd> {
    fn len(&self) -> u64 {
        0
    }

    fn advance(&mut self, _n: u64) {}
}

impl<T> Default for Places<T> {
    fn default() -> Places<T> {
        Places(VecDeque::new())
    }
}

impl<T: Placed> Places<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes of the queue stand here themselves.
    pub(super) fn bytes(&self) -> u64 {
        self.0.iter().map(|place| place.it.len()).sum()
    }

    /// Adds something at this place of the queue, behind all others.
    pub(super) fn add(&mut self, place: u64, it: T) {
        let before = place - self.0.iter().map(|one| one.before + one.it.len()).sum::<u64>();
        self.0.push_back(Place { before, it });
    }

    /// Adds all of another queue, whose front is at this place of ours.
    pub(super) fn append(&mut self, place: u64, other: Places<T>) {
        let mut place = place;
        for Place { before, it } in other.0 {
            place += before;
            let len = it.len();
            self.add(place, it);
            place += len;
        }
    }

    /// What stands at the front of the queue.
    pub(super) fn due(&self) -> Option<&T> {
        self.0.front().filter(|place| place.before == 0).map(|place| &place.it)
    }

    /// How many bytes there are from the front of the queue to the next place behind it, if there is one.
    pub(super) fn limit(&self) -> Option<u64> {
        let mut bytes = 0;
        for place in &self.0 {
            bytes += place.before;
            if bytes > 0 {
                return Some(bytes);
            }
            bytes += place.it.len();
        }
        None
    }

    /// The next `n` bytes of the queue are gone, and with them what was due.
    ///
    /// # Panics
    ///
    /// If that reaches beyond the next place.
    pub(super) fn advance(&mut self, mut n: u64) {
        while n > 0
            && let Some(place) = self.0.front_mut()
        {
            if place.before > 0 {
                place.before = place.before.checked_sub(n).expect("a call ends before a place");
                return;
            }
            let of_it = n.min(place.it.len());
            place.it.advance(of_it);
            n -= of_it;
            if place.it.len() == 0 {
                self.0.pop_front();
            }
        }
    }
}
