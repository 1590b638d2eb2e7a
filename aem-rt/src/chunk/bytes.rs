//! Bytes that are only read, whoever they belong to.
//!
//! [`Bytes`] is a chunk that may also be something static or shared, in the same three words: of those, the
//! owner is null, or a word that is no header's address. Nobody writes to bytes that may be others' as well:
//! there is no way back to a [`Chunk`].

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use super::Chunk;
use super::arena::Header;

/// See the head of this file.
pub(crate) struct Bytes {
    start: NonNull<u8>,
    len: usize,
    /// Null: nobody, the bytes stay for ever. [`SHARED`]: an `Arc<[u8]>` of just these bytes, of which
    /// this is one reference. Else: as in a chunk.
    owner: *mut Header,
}

/// Even, as vectors' words are odd, and below the alignment of any header.
const SHARED: usize = 2;
const _: () = assert!(align_of::<Header>() > SHARED);

// SAFETY: static bytes and those of an `Arc<[u8]>` may be read and given up from any thread; for all
// others this is a chunk, which is Send.
unsafe impl Send for Bytes {}
// SAFETY: through `&Bytes` bytes can only be read.
unsafe impl Sync for Bytes {}

/// What sort of owner bytes have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Static,
    Shared,
    Vector,
    Chunk,
}

impl Bytes {
    /// Whose they are.
    pub(crate) fn origin(&self) -> Origin {
        match self.owner.addr() {
            0 => Origin::Static,
            SHARED => Origin::Shared,
            word if word & 1 == 1 => Origin::Vector,
            _ => Origin::Chunk,
        }
    }

    #[cold]
    fn give_back(&mut self) {
        if self.owner.addr() == SHARED {
            let bytes = ptr::slice_from_raw_parts(self.start.as_ptr(), self.len);
            // SAFETY: what `From<Arc<[u8]>>` made a pointer of, given up once.
            drop(unsafe { Arc::from_raw(bytes) });
        }
    }
}

impl Drop for Bytes {
    #[inline]
    fn drop(&mut self) {
        let Bytes { start, len, owner } = *self;
        if owner.addr() <= SHARED {
            return self.give_back();
        }
        // What `From<Chunk>` took apart, put together again once.
        drop(Chunk { start, len, owner });
    }
}

impl Deref for Bytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: `len` bytes from `start` are initialized, belong to the owner or stay for ever, and
        // nobody writes to them.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl From<Chunk> for Bytes {
    #[inline]
    fn from(chunk: Chunk) -> Bytes {
        let chunk = ManuallyDrop::new(chunk);
        Bytes { start: chunk.start, len: chunk.len, owner: chunk.owner }
    }
}

impl From<&'static [u8]> for Bytes {
    fn from(bytes: &'static [u8]) -> Bytes {
        Bytes { start: NonNull::from(bytes).cast(), len: bytes.len(), owner: ptr::null_mut() }
    }
}

impl From<Arc<[u8]>> for Bytes {
    fn from(bytes: Arc<[u8]>) -> Bytes {
        let len = bytes.len();
        let start = NonNull::new(Arc::into_raw(bytes).cast_mut().cast());
        let start = start.expect("the address of a reference");
        Bytes { start, len, owner: ptr::without_provenance_mut(SHARED) }
    }
}

#[cfg(test)]
mod tests;
