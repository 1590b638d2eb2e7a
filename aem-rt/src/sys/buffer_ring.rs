//! A ring of buffers that the kernel takes one from for each receive that has data.
//!
//! We write entries and move the tail; the kernel reads them and keeps the head to itself. Each buffer has
//! a number, by which the completion that filled it names it.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

use super::memory::Pages;

/// The part of it that we write.
#[derive(Debug)]
pub(crate) struct BufferRing {
    pages: Pages,
    /// How many entries there are, less one: a power of two, so this masks an index.
    mask: u16,
    /// Where the next entry goes. It counts on and is masked when used.
    tail: u16,
}

impl BufferRing {
    /// Memory for `entries` entries, a power of two.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(entries: u16) -> io::Result<BufferRing> {
        assert!(entries.is_power_of_two(), "{entries} buffers in a ring");
        let pages = Pages::map(usize::from(entries) * size_of::<BufRingEntry>())?;
        Ok(BufferRing { pages, mask: entries - 1, tail: 0 })
    }

    /// Where it begins.
    pub(super) fn address(&self) -> u64 {
        self.pages.start().as_ptr().addr() as u64
    }

    /// Puts a buffer into the ring; the kernel sees it after [`publish`](Self::publish). There must be room:
    /// no more buffers are in the ring than it has entries.
    ///
    /// # Safety
    ///
    /// The `length` bytes from `start` on stay valid, and nobody else touches them, until a completion
    /// has named `number` or the instance is closed with no receive under way.
    #[inline]
    pub(crate) unsafe fn provide(&mut self, start: NonNull<u8>, length: u32, number: u16) {
        let index = usize::from(self.tail & self.mask);
        // SAFETY: masked, so inside the pages, which have room for so many entries.
        let mut entry = unsafe { self.pages.start().cast::<BufRingEntry>().add(index) };
        // SAFETY: the pages are aligned for anything, an entry may hold any bytes, and the kernel only reads
        // it.
        let entry = unsafe { entry.as_mut() };
        entry.set_addr(start.as_ptr().addr() as u64);
        entry.set_len(length);
        entry.set_bid(number);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows the kernel what was provided.
    #[inline]
    pub(crate) fn publish(&mut self) {
        // SAFETY: the pages begin with an entry.
        let tail = unsafe { BufRingEntry::tail(self.pages.start().as_ptr().cast()) };
        // SAFETY: aligned, inside the pages, and read by the kernel only, which does so atomically.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        // Release: the kernel reads the tail first, and then entries that must be whole.
        tail.store(self.tail, Ordering::Release);
    }
}
