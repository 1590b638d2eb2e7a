//! What a stream has received and nobody has read yet.
//!
//! Chunks wait here in order, the first inline, so that a stream with one unread chunk allocates
//! nothing and an idle one holds nothing at all. The bytes are bounded: at the limit the stream
//! stops receiving, and the kernel's buffer and TCP's window hold the peer back. Plain data; the
//! stream asks the kernel.
//!
//! It promises: every byte is given once, in order, to whoever takes it (KEPT); after the bytes
//! comes their end, or the error, again and again.

use std::collections::VecDeque;
use std::io;

use crate::chunk::Chunk;
use crate::net::kept::Kept;

/// What a stream holds unread, unless `set_inbox_limit` says otherwise: as much as the kernel's
/// own buffer for a fresh connection, so that a burst of one window fits.
pub(super) const DEFAULT_LIMIT: usize = 64 * 1024;

/// No limit is above this, so that what is counted against it fits with what comes beyond it.
const MOST_LIMIT: usize = 1 << 31;

/// A chunk counts for its bytes and this, for its place in the list and what the allocator adds.
/// A peer that sends single bytes could otherwise have us hold fifty times the limit.
const COST_OF_CHUNK: u32 = 64;

/// What a chunk counts for.
fn cost(chunk: &Chunk) -> u32 {
    u32::try_from(chunk.len()).map_or(u32::MAX, |bytes| bytes.saturating_add(COST_OF_CHUNK))
}

/// The unread chunks, and how the receiving side of the stream ended.
#[derive(Debug)]
pub(super) struct Inbox {
    /// Empty only if there is no `rest`.
    first: Chunk,
    /// What came behind it, if anything did: boxed, as an inbox rarely holds two chunks.
    #[expect(clippy::box_collection, reason = "one word instead of three while idle")]
    rest: Option<Box<VecDeque<Chunk>>>,
    /// What receiving failed with. Boxed: few streams fail, and all have this field.
    error: Option<Box<Kept>>,
    /// What all chunks count for.
    cost: u32,
    limit: u32,
    /// So many bytes of `first` have been read.
    offset: u32,
    end: End,
}

/// How receiving has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Not,
    OfFile,
    /// There is an error.
    Failed,
    /// By us; there is an error.
    Closed,
}

impl Default for Inbox {
    fn default() -> Inbox {
        Inbox {
            first: Chunk::default(),
            rest: None,
            error: None,
            cost: 0,
            limit: DEFAULT_LIMIT as u32,
            offset: 0,
            end: End::Not,
        }
    }
}

impl Inbox {
    /// Puts what was received at the end; `wanted` says that somebody waits for it.
    #[inline]
    pub(super) fn push(&mut self, mut chunk: Chunk, wanted: bool) {
        if chunk.is_empty() || self.end != End::Not {
            return;
        }
        if !wanted && !self.is_full() {
            // It may lie here for long, and must not keep a whole buffer from others. What comes beyond
            // the limit, as the kernel was quicker than our asking it to stop, stays in its buffers:
            // so all streams together hold no more beyond their limits than the pool.
            chunk.leave_pool();
        }
        self.cost = self.cost.saturating_add(cost(&chunk));
        if self.first.is_empty() {
            self.first = chunk;
        } else {
            self.rest.get_or_insert_default().push_back(chunk);
        }
    }

    /// Puts back what was taken last and not read.
    pub(super) fn put_back(&mut self, chunk: Chunk) {
        if chunk.is_empty() || self.end == End::Closed {
            return;
        }
        self.cost = self.cost.saturating_add(cost(&chunk));
        self.cut_first();
        let first = std::mem::replace(&mut self.first, chunk);
        if !first.is_empty() {
            self.rest.get_or_insert_default().push_front(first);
        }
    }

    /// The next chunk, if there is one and it is the only one and whole, as nearly all are.
    #[inline]
    pub(super) fn take_only(&mut self) -> Option<Chunk> {
        if self.first.is_empty() || self.offset > 0 || self.rest.is_some() {
            return None;
        }
        self.cost = 0;
        Some(std::mem::take(&mut self.first))
    }

    /// The next chunk; an empty one at the end of the file. `None` if there is nothing yet.
    #[inline]
    pub(super) fn take(&mut self) -> Option<io::Result<Chunk>> {
        if self.first.is_empty() {
            return self.told_end().map(|end| end.map(|()| Chunk::default()));
        }
        if self.offset > 0 {
            self.cut_first();
        }
        let chunk = self.take_first();
        self.cost = self.cost.saturating_sub(cost(&chunk));
        Some(Ok(chunk))
    }

    /// The first chunk as it is; the next one takes its place.
    #[inline]
    fn take_first(&mut self) -> Chunk {
        let next = if self.rest.is_some() { self.next_of_rest() } else { Chunk::default() };
        std::mem::replace(&mut self.first, next)
    }

    #[cold]
    fn next_of_rest(&mut self) -> Chunk {
        let Some(rest) = &mut self.rest else { return Chunk::default() };
        let next = rest.pop_front().unwrap_or_default();
        if rest.is_empty() {
            self.rest = None;
        }
        next
    }

    /// How receiving ended, if it has.
    fn told_end(&self) -> Option<io::Result<()>> {
        match self.end {
            End::Not => None,
            End::OfFile => Some(Ok(())),
            End::Failed | End::Closed => self.error.as_ref().map(|error| Err(error.error())),
        }
    }

    /// Copies the next bytes into `buffer` and says how many; none at the end of the file.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Option<io::Result<usize>> {
        let mut copied = 0;
        while copied < buffer.len() && !self.first.is_empty() {
            let unread = &self.first[self.offset as usize..];
            let n = unread.len().min(buffer.len() - copied);
            buffer[copied..copied + n].copy_from_slice(&unread[..n]);
            copied += n;
            let all = n == unread.len();
            self.offset += n as u32;
            self.cost = self.cost.saturating_sub(n as u32);
            if all {
                self.offset = 0;
                self.cost = self.cost.saturating_sub(COST_OF_CHUNK);
                drop(self.take_first());
            }
        }
        if copied > 0 || buffer.is_empty() {
            return Some(Ok(copied));
        }
        self.told_end().map(|end| end.map(|()| 0))
    }

    /// Drops the bytes of the first chunk that were read. They count for nothing already.
    fn cut_first(&mut self) {
        if self.offset > 0 {
            drop(self.first.split_to(std::mem::take(&mut self.offset) as usize));
        }
    }

    /// Nothing is received any more.
    pub(super) fn end_of_file(&mut self) {
        if self.end == End::Not {
            self.end = End::OfFile;
        }
    }

    /// Receiving failed; the first error is the one that is told.
    pub(super) fn fail(&mut self, error: Kept) {
        if self.end == End::Not {
            self.end = End::Failed;
            self.error = Some(Box::new(error));
        }
    }

    /// The stream was closed here: what is unread is gone, and the only answer is the error.
    pub(super) fn close(&mut self, error: Kept) {
        self.first = Chunk::default();
        self.rest = None;
        (self.offset, self.cost) = (0, 0);
        self.end = End::Closed;
        self.error = Some(Box::new(error));
    }

    /// Whether it holds as much as it may.
    pub(super) fn is_full(&self) -> bool {
        self.cost >= self.limit
    }

    /// Whether it is as a new one.
    #[inline]
    pub(super) fn is_at_rest(&self) -> bool {
        self.first.is_empty() && self.end == End::Not && self.limit == DEFAULT_LIMIT as u32
    }

    /// Whether nothing is unread.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// At least one chunk always has room.
    pub(super) fn set_limit(&mut self, limit: usize) {
        self.limit = limit.clamp(1, MOST_LIMIT) as u32;
    }
}

#[cfg(test)]
mod tests;
