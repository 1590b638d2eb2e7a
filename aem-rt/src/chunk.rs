//! A piece of received data, owned by whoever holds it.
//!
//! A [`Chunk`] is three words: where its bytes start, how many there are, and who owns the memory.
//! The owner is one of: nobody (no bytes), a vector that belongs to this chunk alone, or a counted
//! [`Header`] that several chunks may share after a [`split_to`](Chunk::split_to). A header belongs
//! either to a vector or to a buffer of a worker's pool ([`arena`]); when the last chunk of it is
//! dropped, on whatever thread, a vector is freed and a pooled buffer goes back to its pool.
//!
//! Chunks that share memory never share a byte: `split_to` divides a range in two, and so each of
//! them may be written to. The memory of a pool outlives every chunk of it.

#![allow(unsafe_code)]

pub(crate) mod arena;
pub(crate) mod bytes;

use std::borrow::Borrow;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use arena::Header;

/// A piece of received data.
///
/// It is a `[u8]` that can be read, changed in place, cut in two without copying and sent away
/// again. It may be carried to other threads and kept for as long as one likes: the runtime's pool
/// of buffers is a cache that grows dry without harm. Dropping a chunk gives its buffer back.
///
/// ```
/// use aem::Chunk;
///
/// let mut line = Chunk::from(b"GET /\r\nHost: x".to_vec());
/// let first = line.split_to(5);
/// assert_eq!(&first[..], b"GET /");
/// line[2] = b'h';
/// assert_eq!(&line[..], b"\r\nhost: x");
/// ```
pub struct Chunk {
    start: NonNull<u8>,
    len: usize,
    /// Null: no memory. Odd: the capacity, shifted left by one, of a vector that starts at `start`
    /// and is this chunk's own. Else: a counted `Header`.
    owner: *mut Header,
}

// SAFETY: a chunk is the only one that reaches its bytes. What chunks share, the header, is
// reached through its atomic count only, and a buffer goes back to its pool through an atomic
// stack (`chunks_go_home_from_other_threads`).
unsafe impl Send for Chunk {}
// SAFETY: through `&Chunk` bytes can only be read.
unsafe impl Sync for Chunk {}

impl Chunk {
    /// Cuts off the first `n` bytes and returns them; `self` keeps the rest. Nothing is copied.
    ///
    /// # Panics
    ///
    /// If `n` is more than the length.
    #[must_use = "the bytes that are cut off are dropped otherwise"]
    pub fn split_to(&mut self, n: usize) -> Chunk {
        assert!(n <= self.len, "cannot cut {n} bytes off a chunk of {}", self.len);
        if n == 0 {
            return Chunk::default();
        }
        if n == self.len {
            return std::mem::take(self);
        }
        let header = self.share();
        // SAFETY: this chunk holds a reference, so the header is alive.
        unsafe { header.as_ref() }.acquire();
        let head = Chunk { start: self.start, len: n, owner: header.as_ptr() };
        // SAFETY: `n` is less than the length, so the sum stays inside the chunk's memory.
        self.start = unsafe { self.start.add(n) };
        self.len -= n;
        head
    }

    /// The bytes as a vector: without copying where the chunk came from one and was never cut.
    ///
    /// ```
    /// let chunk = aem::Chunk::from(vec![1, 2, 3]);
    /// assert_eq!(chunk.into_vec(), [1, 2, 3]);
    /// ```
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        match self.own_capacity() {
            Some(capacity) => {
                let this = ManuallyDrop::new(self);
                // SAFETY: an odd owner says that `start` is the start of a vector of this
                // capacity, whose first `len` bytes are initialized, and that it is ours alone.
                // `ManuallyDrop` keeps this chunk from freeing it as well.
                unsafe { Vec::from_raw_parts(this.start.as_ptr(), this.len, capacity) }
            }
            None => self.to_vec(),
        }
    }

    /// Forgets all bytes but the first `n`.
    pub(crate) fn truncate(&mut self, n: usize) {
        self.len = self.len.min(n);
    }

    /// Moves the bytes out of a pool's buffer into memory of their own size.
    ///
    /// For what will lie unread for a while: it must not keep a large buffer from others.
    pub(crate) fn leave_pool(&mut self) {
        if !self.owner.is_null() && self.own_capacity().is_none() {
            *self = Chunk::from(self.to_vec());
        }
    }

    /// The capacity, if this chunk is a vector of its own.
    fn own_capacity(&self) -> Option<usize> {
        let word = self.owner.addr();
        (word & 1 == 1).then_some(word >> 1)
    }

    /// The header that counts the sharers; a vector of its own gets one here.
    fn share(&mut self) -> NonNull<Header> {
        if let Some(capacity) = self.own_capacity() {
            let header = Box::new(Header::of_vector(self.start, capacity));
            self.owner = Box::into_raw(header);
        }
        NonNull::new(self.owner).expect("a chunk with bytes has an owner")
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if self.owner.is_null() {
            return;
        }
        if let Some(capacity) = self.own_capacity() {
            // SAFETY: as in `into_vec`; a length of zero, as bytes need no drop.
            drop(unsafe { Vec::from_raw_parts(self.start.as_ptr(), 0, capacity) });
            return;
        }
        // SAFETY: the owner is neither null nor odd, so it is a header, and the reference that this
        // chunk holds, and gives up here, keeps it alive.
        unsafe { Header::release(self.owner) };
    }
}

impl From<Vec<u8>> for Chunk {
    fn from(bytes: Vec<u8>) -> Chunk {
        if bytes.capacity() == 0 {
            return Chunk::default();
        }
        let mut bytes = ManuallyDrop::new(bytes);
        let start = NonNull::from(bytes.as_mut_slice()).cast();
        // A capacity is at most `isize::MAX`, so no bit is lost.
        let owner = ptr::without_provenance_mut(bytes.capacity() << 1 | 1);
        Chunk { start, len: bytes.len(), owner }
    }
}

impl Default for Chunk {
    /// An empty chunk. It allocates nothing.
    fn default() -> Chunk {
        Chunk { start: NonNull::dangling(), len: 0, owner: ptr::null_mut() }
    }
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `len` bytes from `start` are initialized and no other chunk's; while this
        // chunk is borrowed nobody writes to them.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Chunk {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and this chunk is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl AsMut<[u8]> for Chunk {
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}

impl Borrow<[u8]> for Chunk {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Chunk {
    fn eq(&self, other: &Chunk) -> bool {
        self[..] == other[..]
    }
}

impl Eq for Chunk {}

// `Borrow` promises that a chunk and its bytes hash alike.
impl std::hash::Hash for Chunk {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self[..].hash(state);
    }
}

impl PartialEq<[u8]> for Chunk {
    fn eq(&self, other: &[u8]) -> bool {
        self[..] == *other
    }
}

impl PartialEq<&[u8]> for Chunk {
    fn eq(&self, other: &&[u8]) -> bool {
        self[..] == **other
    }
}

impl<const N: usize> PartialEq<[u8; N]> for Chunk {
    fn eq(&self, other: &[u8; N]) -> bool {
        self[..] == other[..]
    }
}

impl<const N: usize> PartialEq<&[u8; N]> for Chunk {
    fn eq(&self, other: &&[u8; N]) -> bool {
        self[..] == other[..]
    }
}

impl From<Chunk> for Vec<u8> {
    fn from(chunk: Chunk) -> Vec<u8> {
        chunk.into_vec()
    }
}

impl fmt::Debug for Chunk {
    /// As a byte string: `b"GET / HTTP/1.1\r\n"`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.escape_ascii())
    }
}

/// A count of references, as in `Arc`.
struct Count(AtomicU32);

impl Count {
    fn one() -> Count {
        Count(AtomicU32::new(1))
    }

    fn up(&self) {
        // Relaxed: whoever adds a reference holds one, so nothing has to be seen by it.
        let before = self.0.fetch_add(1, Relaxed);
        // Each reference is a live chunk of 24 bytes, so only leaked ones could come this far.
        if before > u32::MAX / 2 {
            std::process::abort();
        }
    }

    /// Gives one up; true for the last.
    fn down(&self) -> bool {
        // Acquire: pairs with the AcqRel below. A count of one is ours alone, nobody can add to it
        // meanwhile, and so the common case pays no read-modify-write.
        if self.0.load(Acquire) == 1 {
            return true;
        }
        // AcqRel: what this thread did to the bytes happens before whoever gives up the last one
        // hands the memory on.
        self.0.fetch_sub(1, AcqRel) == 1
    }

    /// Makes it one again, for a buffer that nobody refers to.
    fn reset(&self) {
        self.0.store(1, Relaxed);
    }
}

#[cfg(test)]
mod tests;
