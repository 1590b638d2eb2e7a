//! Memory for cells: what a worker frees it keeps for its next jobs.
//!
//! Most jobs are small and short, and a general allocator takes a fifth of the time of such a job. A worker
//! frees nearly all of its cells on its own thread, so a list for each size, without a lock or a header,
//! does for them. Each piece comes from the global allocator by itself and may go back to it by itself, on
//! any thread: a list is a cache, and the layout of a piece is all there is to know about it.
#![allow(unsafe_code)]

use std::alloc::{Layout, handle_alloc_error};
use std::ptr::NonNull;

use crate::sync::{Cell, alloc, dealloc};

/// Sizes are rounded up to a multiple of this and a word, so that jobs of different types share pieces. The
/// word is where glibc's allocator notes the size, and what it gives beyond a multiple costs nothing.
const GRAIN: usize = 16;
const WORD: usize = 8;

/// Alignment of every piece that is kept.
const ALIGN: usize = 16;

/// There are so many lists; larger cells are not kept. Half a kilobyte holds most futures, and what takes
/// longer to initialise than to allocate gains nothing.
const CLASSES: usize = 32;

/// So much memory is kept at most: enough for a burst of a thousand small tasks, and less than one
/// thread's stack touches.
const KEPT_MAX: usize = 128 << 10;

/// The beginning of a piece that is in a list.
struct Free {
    next: Option<NonNull<Free>>,
}

/// The lists of a worker. Owner only.
pub(super) struct Memory {
    lists: [Cell<Option<NonNull<Free>>>; CLASSES],
    /// Bytes that may still be kept.
    room: Cell<usize>,
}

/// What kind of memory a cell takes: settled once for each type of work.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    /// What is asked of the global allocator.
    layout: Layout,
    /// The list it is kept in; beyond the last one if it is not kept.
    class: usize,
}

impl Piece {
    /// For cells of that layout.
    pub(super) const fn new(layout: Layout) -> Self {
        let class = layout.size().saturating_sub(WORD).div_ceil(GRAIN);
        if layout.align() > ALIGN || class >= CLASSES {
            return Piece { layout, class: CLASSES };
        }
        match Layout::from_size_align(class * GRAIN + WORD, ALIGN) {
            Ok(layout) => Piece { layout, class },
            Err(_) => Piece { layout, class: CLASSES },
        }
    }

    /// Memory for a cell that another thread than the owner's makes.
    #[cold]
    pub(super) fn allocate(self) -> NonNull<u8> {
        // SAFETY: a cell has a header, so the size is not zero.
        let memory = unsafe { alloc(self.layout) };
        NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(self.layout))
    }

    /// Gives memory back on any thread.
    ///
    /// # Safety
    /// It was allocated for such a piece, and nobody uses it any more.
    #[cold]
    pub(super) unsafe fn release(self, memory: NonNull<u8>) {
        // SAFETY: passed on.
        unsafe { dealloc(memory.as_ptr(), self.layout) };
    }
}

impl Memory {
    pub(super) fn new() -> Self {
        Memory { lists: std::array::from_fn(|_| Cell::new(None)), room: Cell::new(KEPT_MAX) }
    }

    /// Memory for a cell.
    #[inline]
    pub(super) fn allocate(&self, piece: Piece) -> NonNull<u8> {
        let list = self.lists.get(piece.class);
        let Some((list, free)) = list.and_then(|list| Some((list, list.get()?))) else {
            return piece.allocate();
        };
        // SAFETY: what is in a list is ours, and begins with a `Free`; `release` wrote it.
        list.set(unsafe { free.read() }.next);
        self.room.set(self.room.get() + piece.layout.size());
        free.cast()
    }

    /// Takes memory back, on the owner's thread.
    ///
    /// # Safety
    /// As for [`Piece::release`].
    #[inline]
    pub(super) unsafe fn release(&self, memory: NonNull<u8>, piece: Piece) {
        let room = self.room.get();
        match self.lists.get(piece.class) {
            Some(list) if room >= piece.layout.size() => {
                self.room.set(room - piece.layout.size());
                let free = memory.cast::<Free>();
                // SAFETY: ours by the caller's word; every piece is large enough and aligned.
                unsafe { free.write(Free { next: list.get() }) };
                list.set(Some(free));
            }
            // SAFETY: passed on.
            _ => unsafe { piece.release(memory) },
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        for (class, list) in self.lists.iter().enumerate() {
            let layout = Layout::from_size_align(class * GRAIN + WORD, ALIGN);
            let piece = Piece { layout: layout.expect("a small one"), class };
            while let Some(free) = list.get() {
                // SAFETY: as in `allocate`.
                list.set(unsafe { free.read() }.next);
                // SAFETY: allocated for a piece of this class, and in no list any more.
                unsafe { piece.release(free.cast()) };
            }
        }
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").field("kept", &(KEPT_MAX - self.room.get())).finish()
    }
}

#[cfg(test)]
mod tests;
