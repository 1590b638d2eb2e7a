//! The end of a pipe that bytes come out of, and the source of them.

use std::fmt;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::io::AsyncRead;
use futures::stream::{FusedStream, Stream};

use crate::chunk::Chunk;
use crate::fd::{AsyncFd, Interest};
use crate::sys::pipe::set_waits;

/// So much is read at once. A pipe holds four times as much unless somebody has set that.
const MOST_PER_READ: usize = 16 * 1024;

/// The end of a pipe that bytes come out of: a source of chunks.
pub struct PipeReader {
    fd: AsyncFd<io::PipeReader>,
}

impl PipeReader {
    /// Takes over whatever can be read and waited for: the end of a pipe, a FIFO, a terminal. It is put into
    /// non-blocking mode, and so is each duplicate of it.
    ///
    /// # Errors
    /// As for [`AsyncFd::new`].
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn from_fd(fd: OwnedFd) -> io::Result<PipeReader> {
        set_waits(fd.as_fd(), false)?;
        Ok(PipeReader { fd: AsyncFd::new(fd.into())? })
    }

    /// The next bytes; an empty chunk at the end of the file, when all writers are gone.
    ///
    /// # Errors
    /// What reading failed with, and as for every source on another runtime.
    ///
    /// # Cancel safety
    /// Bytes stay in the pipe until this gives them out (KEPT).
    pub async fn recv(&self) -> io::Result<Chunk> {
        self.fd.check()?;
        self.fd.io(Interest::READABLE, read_chunk).await
    }

    /// The bytes as a source that ends at the end of the file, or with the first error. Two of one pipe share
    /// its bytes.
    pub fn chunks(&self) -> PipeChunks {
        PipeChunks { fd: self.fd.clone(), ended: false }
    }
}

fn read_chunk(mut pipe: &io::PipeReader) -> io::Result<Chunk> {
    let mut buffer = [0; MOST_PER_READ];
    let count = pipe.read(&mut buffer)?;
    Ok(Chunk::from(buffer[..count].to_vec()))
}

impl AsyncRead for PipeReader {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.fd.check()?;
        self.fd.poll_io(cx, Interest::READABLE, |mut pipe| pipe.read(buffer))
    }
}

impl AsFd for PipeReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.get_ref().as_fd()
    }
}

impl fmt::Debug for PipeReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PipeReader").field(self.fd.get_ref()).finish()
    }
}

/// The source of a pipe's bytes, made by [`PipeReader::chunks`].
#[must_use = "chunks come only while somebody takes them"]
pub struct PipeChunks {
    fd: AsyncFd<io::PipeReader>,
    ended: bool,
}

impl Stream for PipeChunks {
    type Item = io::Result<Chunk>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let read = match self.fd.check() {
            Ok(()) => ready!(self.fd.poll_io(cx, Interest::READABLE, read_chunk)),
            Err(error) => Err(error),
        };
        let is_end = read.as_ref().is_ok_and(|chunk| chunk.is_empty());
        self.ended = is_end || read.is_err();
        Poll::Ready(if is_end { None } else { Some(read) })
    }
}

impl FusedStream for PipeChunks {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

impl fmt::Debug for PipeChunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PipeChunks").field(self.fd.get_ref()).finish()
    }
}
