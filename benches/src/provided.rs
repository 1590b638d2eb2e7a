//! Buffers provided to a ring: the kernel takes one when there is something to put in it.
//!
//! They are taken in turn, so the fewer there are, the more of them the caches hold. It begins with
//! a few, and grows when the kernel has found none left: there are as many as were needed at once.

use std::collections::VecDeque;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

/// The bytes of one: the bigger of the two messages.
pub const BYTES: usize = 16 << 10;

/// So much farther than its end the next one begins: a cache line, as the first lines of all buffers
/// would fall into the same few sets of the caches otherwise.
const APART: usize = 64;

/// As many as there can be at most: a power of two, and more than connections.
pub const MOST: u16 = 1_024;

/// How many there are in the beginning.
const FIRST: u16 = 8;

/// The group's name in requests.
pub const GROUP: u16 = 0;

/// The buffers, and the ring through which the kernel is given them.
pub struct Provided {
    entries: Mapping,
    memory: Mapping,
    /// Of each.
    bytes: usize,
    tail: u16,
    /// How many there are. Those beyond have never been touched.
    count: u16,
    /// How many of them are with us.
    held: u16,
    /// Connections whose receive ended because there was no buffer.
    starved: VecDeque<u32>,
}

impl Provided {
    /// Makes them known to a ring, of [`BYTES`] each.
    ///
    /// # Errors
    ///
    /// Out of memory, or the kernel is older than 5.19.
    pub fn register(submitter: &Submitter<'_>) -> io::Result<Provided> {
        Provided::register_sized(submitter, BYTES)
    }

    /// The same, with so many bytes each.
    ///
    /// # Errors
    ///
    /// As of [`register`](Provided::register).
    pub fn register_sized(submitter: &Submitter<'_>, bytes: usize) -> io::Result<Provided> {
        let entries = Mapping::new(MOST as usize * size_of::<BufRingEntry>())?;
        let memory = Mapping::new(MOST as usize * (bytes + APART))?;
        let address = entries.start.as_ptr() as u64;
        // SAFETY: the entries are mapped, aligned to pages, and stay until the ring is gone: the
        // server drops it first.
        unsafe { submitter.register_buf_ring_with_flags(address, MOST, GROUP, 0)? };
        let mut provided = Provided {
            entries,
            memory,
            bytes,
            tail: 0,
            count: 0,
            held: 0,
            starved: VecDeque::with_capacity(usize::from(MOST)),
        };
        provided.grow(FIRST);
        Ok(provided)
    }

    /// Adds so many, or as many as there may be.
    pub fn grow(&mut self, by: u16) {
        let count = self.count.saturating_add(by).min(MOST);
        for id in self.count..count {
            self.held += 1;
            self.give(id);
        }
        self.count = count;
    }

    /// How many there are.
    pub fn count(&self) -> u16 {
        self.count
    }

    /// Takes what an answer says the kernel has put into one.
    pub fn take(&mut self) {
        self.held += 1;
    }

    /// Gives one back.
    pub fn give(&mut self, id: u16) {
        self.held -= 1;
        let start = self.entries.start.cast::<BufRingEntry>();
        let at = usize::from(self.tail & (MOST - 1));
        // SAFETY: within the entries. The kernel does not look at it before the tail is past it.
        let entry = unsafe { &mut *start.add(at).as_ptr() };
        entry.set_addr(self.start_of(id) as u64);
        entry.set_len(self.bytes as u32);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the entries are those of a buffer ring.
        let tail = unsafe { BufRingEntry::tail(start.as_ptr()) };
        // SAFETY: aligned, mapped, and shared with the kernel as an atomic.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        // Release: pairs with the kernel's acquire, which then sees the entry.
        tail.store(self.tail, Ordering::Release);
    }

    /// Remembers a connection whose receive ended because there was no buffer.
    pub fn starve(&mut self, connection: u32) {
        self.starved.push_back(connection);
    }

    /// Makes as many more as there are connections that found none.
    pub fn feed(&mut self) {
        if !self.starved.is_empty() {
            self.grow(self.starved.len().min(usize::from(MOST)) as u16);
        }
    }

    /// A connection that found none and may try again, as the kernel has some now, as far as we know.
    pub fn fed(&mut self) -> Option<u32> {
        if self.held < self.count { self.starved.pop_front() } else { None }
    }

    /// Where one begins.
    pub fn start_of(&self, id: u16) -> *const u8 {
        // SAFETY: the kernel names buffers that it was given, and these are within the memory.
        unsafe { self.memory.start.add(usize::from(id) * (self.bytes + APART)).as_ptr() }
    }
}

/// Memory of the kernel's, zero and untouched.
struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

impl Mapping {
    fn new(length: usize) -> io::Result<Mapping> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: new memory at a place of the kernel's choice touches nobody else's.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).expect("the kernel maps nothing at 0 unasked");
        Ok(Mapping { start, length })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by this, and not used any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}
