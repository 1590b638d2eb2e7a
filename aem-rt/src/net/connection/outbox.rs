//! What a stream has to send and the kernel has not taken yet.
//!
//! Payloads wait in a queue, and go out as one. Where everybody
//! stands is counted in positions of the stream of bytes: `accepted` is behind the last byte that
//! was queued, `handed` behind the last one that the kernel took. A `send` has been handed over
//! when `handed` reaches the position behind its bytes, so any number of them can wait without a
//! list of their own. Plain data; the stream asks the kernel.
//!
//! It promises: bytes leave in the order in which they were queued, each once; the first error is
//! kept, and ends it; what is queued stays queued when those who wait for it go away (KEPT).

use std::io;
use std::ops::ControlFlow;

use crate::net::kept::Kept;
use crate::payload::SendQueue;

/// How much may be queued before a handler's source is held back and `poll_write` waits: enough
/// for a megabit's worth of round trip, and 100,000 slow readers still fit into memory.
pub(super) const DEFAULT_HIGH_WATER: usize = 256 * 1024;

/// The queue of a stream, and how the sending side of it ended.
#[derive(Debug)]
pub(super) struct Outbox {
    queue: SendQueue,
    accepted: u64,
    handed: u64,
    /// Boxed: few streams fail, and all have this field.
    failed: Option<Box<Kept>>,
    /// The greatest there is for none.
    high_water: u32,
    fin: Fin,
}

/// How far the end of our sending is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fin {
    NotAsked,
    /// It follows what is queued.
    Asked,
    Sent,
}

impl Default for Outbox {
    fn default() -> Outbox {
        Outbox {
            queue: SendQueue::default(),
            accepted: 0,
            handed: 0,
            failed: None,
            high_water: DEFAULT_HIGH_WATER as u32,
            fin: Fin::NotAsked,
        }
    }
}

impl Outbox {
    /// Has `len` bytes put at the end of the queue, and gives the position behind them. With an error what
    /// would have put them comes back, to be dropped where nothing is borrowed.
    #[inline]
    pub(super) fn push_by<P>(&mut self, len: u64, put: P) -> Result<u64, (P, io::Error)>
    where
        P: FnOnce(&mut SendQueue),
    {
        if let Err(error) = self.check_open() {
            return Err((put, error));
        }
        self.accepted += len;
        put(&mut self.queue);
        Ok(self.accepted)
    }

    /// Whether anything can still be sent.
    #[inline]
    fn check_open(&self) -> io::Result<()> {
        match &self.failed {
            Some(error) => Err(error.error()),
            None if self.fin != Fin::NotAsked => Err(Kept::ShutDown.error()),
            None => Ok(()),
        }
    }

    /// Where a new one begins.
    #[inline]
    pub(super) fn begin_at(&mut self, position: u64) {
        debug_assert!(self.is_at_rest(), "{self:?} is not new");
        (self.accepted, self.handed) = (position, position);
    }

    /// Whether it is as a new one that began here.
    #[inline]
    pub(super) fn is_at_rest(&self) -> bool {
        self.handed == self.accepted
            && self.queue.is_new()
            && self.fin == Fin::NotAsked
            && self.failed.is_none()
            && self.high_water == DEFAULT_HIGH_WATER as u32
    }

    /// The position behind everything that was queued so far.
    pub(super) fn accepted(&self) -> u64 {
        self.accepted
    }

    /// How many bytes the kernel has not taken yet.
    #[inline]
    pub(super) fn queued(&self) -> usize {
        if self.failed.is_some() {
            return 0;
        }
        usize::try_from(self.accepted - self.handed).unwrap_or(usize::MAX)
    }

    /// Whether there is something that no op has taken along.
    #[inline]
    pub(super) fn has_more(&self) -> bool {
        !self.queue.is_empty()
    }

    /// What the next op takes along.
    pub(super) fn take_queue(&mut self) -> SendQueue {
        std::mem::take(&mut self.queue)
    }

    /// What is queued, to be sent from.
    #[inline]
    pub(super) fn queue(&mut self) -> &mut SendQueue {
        &mut self.queue
    }

    /// The kernel took `n` bytes more. True if that was all, and no end is to follow.
    #[inline]
    pub(super) fn hand_over(&mut self, n: usize) -> bool {
        self.handed += n as u64;
        self.handed == self.accepted && self.fin == Fin::NotAsked
    }

    /// An op is over, and `left` is what the kernel did not take. It comes back again if sending
    /// is over, to be dropped where nothing is borrowed.
    #[must_use = "payloads are dropped by the caller, after the borrow"]
    pub(super) fn take_back(&mut self, mut left: SendQueue) -> SendQueue {
        // What was queued meanwhile stands alone if nothing is left, and the places that `left`
        // keeps are freed: an idle stream holds no memory.
        if left.is_empty() || self.failed.is_some() {
            return left;
        }
        left.append(std::mem::take(&mut self.queue));
        std::mem::replace(&mut self.queue, left)
    }

    /// Sending is over. What is still queued comes back, to be dropped where nothing is borrowed.
    #[must_use = "payloads are dropped by the caller, after the borrow"]
    pub(super) fn fail(&mut self, error: Kept) -> SendQueue {
        self.failed.get_or_insert_with(|| Box::new(error));
        self.take_queue()
    }

    /// Whether sending has failed or was closed.
    pub(super) fn error(&self) -> Option<io::Error> {
        self.failed.as_ref().map(|error| error.error())
    }

    /// Whether everything before `position` is with the kernel; else the position to wait for. It
    /// may have been before an error came.
    pub(super) fn check_handed(&self, position: u64) -> ControlFlow<io::Result<()>, u64> {
        match &self.failed {
            _ if self.handed >= position => ControlFlow::Break(Ok(())),
            Some(error) => ControlFlow::Break(Err(error.error())),
            None => ControlFlow::Continue(position),
        }
    }

    /// The same for one who asks about the stream and not about his own bytes: an error is told
    /// first.
    pub(super) fn check_flushed(&self, position: u64) -> ControlFlow<io::Result<()>, u64> {
        match &self.failed {
            Some(error) => ControlFlow::Break(Err(error.error())),
            None => self.check_handed(position),
        }
    }

    /// Whether no more is queued than the high-water mark; else the position to wait for. After an
    /// error nothing is held back: whoever asks is told by what he does next.
    #[inline]
    pub(super) fn check_room(&self) -> ControlFlow<(), u64> {
        let queued = self.accepted - self.handed;
        let mark = u64::from(self.high_water);
        if queued <= mark || self.high_water == u32::MAX || self.failed.is_some() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(self.accepted - mark)
    }

    pub(super) fn set_high_water(&mut self, mark: Option<usize>) {
        // What is above four gigabytes holds nobody back.
        self.high_water = mark.map_or(u32::MAX, |mark| u32::try_from(mark).unwrap_or(u32::MAX));
    }

    /// Asks for the end of our sending.
    pub(super) fn ask_fin(&mut self) {
        if self.fin == Fin::NotAsked {
            self.fin = Fin::Asked;
        }
    }

    /// Whether the end is asked for and nothing is left before it; it is taken for sent then.
    #[inline]
    pub(super) fn take_fin(&mut self) -> bool {
        let due = self.fin == Fin::Asked && self.handed == self.accepted && self.failed.is_none();
        if due {
            self.fin = Fin::Sent;
        }
        due
    }

    /// The position that all have reached by now: the end of time after an error.
    #[inline]
    pub(super) fn reached(&self) -> u64 {
        if self.failed.is_some() { u64::MAX } else { self.handed }
    }
}

#[cfg(test)]
mod tests;
