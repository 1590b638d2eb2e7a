//! Who is who: identities that are never given twice in a process.

use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The identity of a job: never given twice in a process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(u64);

/// A thread takes so many ids at once, less one, and then gives them without asking anybody. There are 2^40
/// such blocks: threads may come and go a thousand times a second for thirty years.
const BLOCK: u64 = 1 << BLOCK_SHIFT;
const BLOCK_SHIFT: u32 = 24;

/// The first block that nobody has. It orders nothing and so is no loom atomic.
static BLOCKS: AtomicU64 = AtomicU64::new(1);

thread_local! {
    /// The next one of this thread; a multiple of [`BLOCK`] if there is none left.
    static NEXT: Cell<u64> = const { Cell::new(0) };
}

impl JobId {
    /// A new one, on any thread.
    #[inline]
    pub(crate) fn next() -> Self {
        let id = NEXT.get();
        if id.is_multiple_of(BLOCK) {
            return Self::first_of_a_block();
        }
        NEXT.set(id + 1);
        JobId(id)
    }

    #[cold]
    fn first_of_a_block() -> Self {
        let first = BLOCKS.fetch_add(1, Relaxed) << BLOCK_SHIFT | 1;
        NEXT.set(first + 1);
        JobId(first)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 / BLOCK, self.0 % BLOCK)
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobId({self})")
    }
}

#[cfg(test)]
mod tests;
