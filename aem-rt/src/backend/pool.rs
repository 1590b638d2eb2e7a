//! The buffers that data is received into.
//!
//! The pool is a cache and never a gate (DESIGN decision 7). A receive gets a buffer of the pool;
//! if all are lent, it gets a spare one and the bytes then move to memory of their own size, so
//! that a program which holds on to its chunks starves nobody. When the pool runs low, small pieces move
//! out likewise: a few bytes that may lie unread for long are not worth a large buffer.
//!
//! No connection holds a buffer while it waits: one is in hand for all of them.

use std::io;

use crate::chunk::Chunk;
use crate::chunk::arena::Arena;

/// The size of a buffer, and so the most that one receive brings.
///
/// Large enough that a bulk transfer spends its time copying and not calling, small enough that a
/// megabyte of pool serves dozens of connections with unread data. And somewhat larger than 16 KiB, the
/// size that many programs write in and that a TLS record carries: a message of that size does not fill
/// it, so that nobody need ask whether there is more.
pub(crate) const BUFFER_SIZE: usize = 16 * 1024 + 512;

/// The buffers of one worker.
#[derive(Debug)]
pub(crate) struct Pool {
    arena: Arena,
    buffer_size: usize,
    /// A buffer that the last receive did not need.
    in_hand: Option<Chunk>,
    /// What is received into while the pool is dry; made when that first happens.
    spare: Vec<u8>,
}

/// What a receive brought.
#[derive(Debug)]
pub(crate) enum Reception {
    /// Bytes, and whether they filled the buffer, so that there may be more.
    Data { chunk: Chunk, full: bool },
    /// The end of the stream.
    End,
}

impl Pool {
    /// A pool of at most `bytes` bytes, in buffers of this size. No buffer at all is allowed: then
    /// everything is copied.
    ///
    /// # Errors
    ///
    /// `OutOfMemory`.
    pub(crate) fn new(bytes: usize, buffer_size: usize) -> io::Result<Pool> {
        let arena = Arena::new(bytes / buffer_size, buffer_size)?;
        Ok(Pool { arena, buffer_size, in_hand: None, spare: Vec::new() })
    }

    /// Pieces up to this size are copied out when the pool is low: copying them costs less than a call.
    #[inline]
    fn is_small(&self, n: usize) -> bool {
        n <= self.buffer_size / 4
    }

    /// How many buffers it has.
    pub(crate) fn count(&self) -> usize {
        self.arena.count()
    }

    /// Calls `receive` with a buffer and makes a chunk of what it says it put there.
    #[inline(always)]
    pub(crate) fn receive(
        &mut self,
        receive: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<Reception> {
        let Some(mut chunk) = self.in_hand.take().or_else(|| self.arena.take()) else {
            return self.receive_dry(receive);
        };
        let result = receive(&mut chunk);
        let full = chunk.len();
        match result {
            Ok(n @ 1..) if !self.is_small(n) || !self.arena.is_low() => {
                chunk.truncate(n);
                Ok(Reception::Data { chunk, full: n == full })
            }
            Ok(n @ 1..) => {
                let copy = Chunk::from(chunk[..n].to_vec());
                self.in_hand = Some(chunk);
                Ok(Reception::Data { chunk: copy, full: false })
            }
            Ok(0) => {
                self.in_hand = Some(chunk);
                Ok(Reception::End)
            }
            Err(error) => {
                self.in_hand = Some(chunk);
                Err(error)
            }
        }
    }

    /// A buffer of its whole size for the kernel to fill, if there is one left.
    #[inline]
    pub(crate) fn lend(&mut self) -> Option<Chunk> {
        self.in_hand.take().or_else(|| self.arena.take())
    }

    /// What becomes of a buffer that the kernel has filled with `n` bytes. If there are `few` more, a
    /// small piece is copied out, and the buffer comes back too.
    #[inline]
    pub(crate) fn filled(&self, mut chunk: Chunk, n: usize, few: bool) -> (Chunk, Option<Chunk>) {
        if few && self.is_small(n) {
            return (Chunk::from(chunk[..n].to_vec()), Some(chunk));
        }
        chunk.truncate(n);
        (chunk, None)
    }

    #[cold]
    fn receive_dry(
        &mut self,
        receive: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<Reception> {
        self.spare.resize(self.buffer_size, 0);
        let n = receive(&mut self.spare)?;
        if n == 0 {
            return Ok(Reception::End);
        }
        let chunk = Chunk::from(self.spare[..n].to_vec());
        Ok(Reception::Data { chunk, full: n == self.buffer_size })
    }
}

#[cfg(test)]
mod tests;
