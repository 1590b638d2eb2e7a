//! The buffers that the kernel receives into.
//!
//! Free buffers of the pool lie in a ring that the kernel takes them from, one for each piece of data,
//! whoever it is for. What it has filled leaves as a chunk; what chunks give back when they are dropped,
//! on whatever thread, is put into the ring again before the next look at the kernel.
//!
//! The ring may run dry, and may not be there at all: a receive then waits for readiness, and gets its
//! bytes by a call of ours, in a spare buffer (`backend/pool.rs`: a cache, never a gate).
//!
//! It promises: a buffer is in the hands of the kernel or of a chunk, never both (LENT).

#![allow(unsafe_code)]

use std::io;
use std::ptr::NonNull;

use crate::backend::pool::{Pool, Reception};
use crate::chunk::Chunk;
use crate::sys::ring::Ring;

/// The one ring of buffers that there is.
pub(super) const GROUP: u16 = 0;

/// No more buffers than this lie in the ring at once.
///
/// The kernel makes some twenty receives ready each time it is entered, and up to 32 for a socket that has so
/// much, so a larger ring would hardly ever be used up; and what a peer can press on us before a
/// cancel arrives is what lies in it. The other buffers of the pool fill it up again.
const MOST: usize = 64;

/// With fewer buffers in the ring than this, small pieces are copied out of theirs.
const FEW: usize = 8;

/// The buffers of one worker.
#[derive(Debug)]
pub(super) struct Buffers {
    pool: Pool,
    /// What lies in the ring, by the number that the kernel knows it by.
    lent: Vec<Option<Chunk>>,
    /// The numbers that are not in use.
    numbers: Vec<u16>,
}

impl Buffers {
    /// Buffers that the kernel does not know of.
    pub(super) fn new(pool: Pool) -> Buffers {
        Buffers { pool, lent: Vec::new(), numbers: Vec::new() }
    }

    /// Makes the ring for the pool's buffers, or for half of them and so on where the kernel has no
    /// memory for more, and fills it.
    ///
    /// # Errors
    ///
    /// What [`Ring::register_buffer_ring`] fails with.
    pub(super) fn register(&mut self, ring: &mut Ring) -> io::Result<()> {
        let mut count = self.pool.count().min(MOST);
        while count > 0 {
            let entries = count.next_power_of_two() as u16;
            match ring.register_buffer_ring(entries, GROUP) {
                Ok(()) => break,
                Err(error) if error.raw_os_error() == Some(libc::ENOMEM) && count > FEW => {
                    count /= 2
                }
                Err(error) => return Err(error),
            }
        }
        self.numbers = (0..count as u16).rev().collect();
        self.lent.resize_with(count, || None);
        self.refill(ring);
        Ok(())
    }

    /// Whether the kernel finds a buffer for a receive.
    #[inline]
    pub(super) fn are_there(&self) -> bool {
        self.numbers.len() < self.lent.len()
    }

    /// Puts what has come back into the ring.
    #[inline]
    pub(super) fn refill(&mut self, ring: &mut Ring) {
        if self.numbers.is_empty() {
            return;
        }
        let Some(first) = self.pool.lend() else { return };
        self.provide_all(ring, first);
    }

    fn provide_all(&mut self, ring: &mut Ring, first: Chunk) {
        let mut next = Some(first);
        while let Some(chunk) = next {
            self.provide(ring, chunk);
            next = if self.numbers.is_empty() { None } else { self.pool.lend() };
        }
        if let Some(buffers) = ring.buffers() {
            buffers.publish();
        }
    }

    /// Puts a buffer into the ring, to be published.
    fn provide(&mut self, ring: &mut Ring, mut chunk: Chunk) {
        let (Some(buffers), Some(number)) = (ring.buffers(), self.numbers.pop()) else { return };
        let start = NonNull::from(&mut chunk[..]);
        let length = start.len() as u32;
        self.lent[usize::from(number)] = Some(chunk);
        // SAFETY: the memory is that of a chunk which lies in `lent`, untouched, until `take` is told that
        // the kernel is through with it; `Uring`'s end leaks what the kernel has not given back.
        unsafe { buffers.provide(start.cast(), length, number) };
    }

    /// The buffer of this number, which the kernel has filled with `n` bytes.
    #[inline]
    pub(super) fn take(&mut self, ring: &mut Ring, number: u16, n: usize) -> Chunk {
        let lent = self.lent[usize::from(number)].take();
        let chunk = lent.expect("the kernel gives back what it was lent");
        self.numbers.push(number);
        let few = self.lent.len() - self.numbers.len() < FEW;
        let (piece, back) = self.pool.filled(chunk, n, few);
        if let Some(back) = back {
            self.provide_all(ring, back);
        }
        piece
    }

    /// Leaves to the kernel what it may still write to.
    pub(super) fn leave(&mut self) {
        std::mem::forget(std::mem::take(&mut self.lent));
    }

    /// Receives by a call of ours.
    pub(super) fn receive(
        &mut self,
        receive: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<Reception> {
        self.pool.receive(receive)
    }
}
