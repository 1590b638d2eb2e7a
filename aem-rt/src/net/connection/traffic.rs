//! What is under way on a stream, in both directions, and who waits for what.
//!
//! Most streams are idle most of the time: nothing is unread, nothing is unsent, and at most one job waits
//! for bytes. Such a stream keeps its reader and a position, and nothing else. The inbox and the outbox come
//! when something does, in a box that another stream has left, and go when the stream has come to rest.
//!
//! It promises: whoever looks cannot tell whether they are there (what a stream at rest has forgotten is
//! what they begin with).

use std::cell::RefCell;

use super::inbox::Inbox;
use super::outbox::Outbox;
use crate::chunk::Chunk;
use crate::net::waiters::Waiters;
use crate::reactor::Wakes;

/// Boxes that a thread keeps for the next stream. More than this have become idle at once only where some
/// thousands are busy, and then the allocator is not what they wait for.
const SPARES: usize = 64;

type Spare = RefCell<Vec<Box<Traffic>>>;

thread_local!(static SPARE: Spare = const { RefCell::new(Vec::new()) });

/// Both directions of a stream, and who waits for them.
#[derive(Debug, Default)]
pub(super) struct Directions {
    /// Those who wait for bytes.
    pub(super) readers: Waiters,
    traffic: Option<Box<Traffic>>,
    /// The position behind everything that was queued, while there is no traffic.
    accepted: u64,
}

/// What a stream at rest does not have.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    pub(super) inbox: Inbox,
    pub(super) outbox: Outbox,
    /// Those who wait for bytes of ours to leave. It is rare that anybody does.
    pub(super) writers: Option<Box<Waiters>>,
}

impl Traffic {
    /// Whether there is nothing in it that a new one would not have, but for a position.
    #[inline]
    fn is_at_rest(&self) -> bool {
        self.outbox.is_at_rest() && self.inbox.is_at_rest() && self.writers.is_none()
    }

    /// Lets those on the list be looked at or changed, who wait for bytes of ours to leave.
    pub(super) fn with_writers<R>(&mut self, act: impl FnOnce(&mut Waiters) -> R) -> R {
        let writers = self.writers.get_or_insert_default();
        let result = act(writers);
        if writers.is_empty() {
            self.writers = None;
        }
        result
    }
}

impl Directions {
    /// What is under way, if anything is.
    #[inline]
    pub(super) fn traffic(&self) -> Option<&Traffic> {
        self.traffic.as_deref()
    }

    /// What is under way: from now on something is, until [`settle`](Self::settle).
    #[inline]
    pub(super) fn stir(&mut self) -> &mut Traffic {
        self.traffic.get_or_insert_with(|| {
            let spare = SPARE.try_with(|spare| spare.borrow_mut().pop());
            let mut traffic = spare.ok().flatten().unwrap_or_default();
            traffic.outbox.begin_at(self.accepted);
            traffic
        })
    }

    /// The next chunk, if there is one and it is the only one and whole, as nearly all are.
    #[inline]
    pub(super) fn take_only(&mut self) -> Option<Chunk> {
        self.traffic.as_mut()?.inbox.take_only()
    }

    /// Gives the box to others, if the stream has come to rest.
    #[inline]
    pub(super) fn settle(&mut self) {
        if let Some(traffic) = self.traffic.take_if(|traffic| traffic.is_at_rest()) {
            self.accepted = traffic.outbox.accepted();
            leave(traffic);
        }
    }

    /// The position behind everything that was queued so far.
    pub(super) fn accepted(&self) -> u64 {
        self.traffic().map_or(self.accepted, |traffic| traffic.outbox.accepted())
    }

    /// How many bytes the kernel has not taken yet.
    pub(super) fn queued(&self) -> usize {
        self.traffic().map_or(0, |traffic| traffic.outbox.queued())
    }

    /// Whether there is something to send that no op has taken along.
    #[inline]
    pub(super) fn has_more(&self) -> bool {
        self.traffic().is_some_and(|traffic| traffic.outbox.has_more())
    }

    /// Whether no more is queued than the high-water mark.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.traffic().is_none_or(|traffic| traffic.outbox.check_room().is_break())
    }

    /// Whether nothing is unread, and receiving has not ended.
    #[inline]
    pub(super) fn has_nothing_to_read(&self) -> bool {
        self.traffic().is_none_or(|traffic| traffic.inbox.is_empty())
    }

    /// Moves the wakers of those who wait for bytes before `position` to leave into `wakes`.
    pub(super) fn wake_writers(&mut self, position: u64, wakes: &mut Wakes) {
        if let Some(traffic) = &mut self.traffic
            && traffic.writers.is_some()
        {
            traffic.with_writers(|writers| writers.wake_reached(position, wakes));
        }
    }
}

/// Keeps a box for the next stream.
fn leave(traffic: Box<Traffic>) {
    // While the thread ends there is no list any more, and no next stream.
    let _ = SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        if spare.len() < SPARES {
            spare.push(traffic);
        }
    });
}

#[cfg(test)]
mod tests;
