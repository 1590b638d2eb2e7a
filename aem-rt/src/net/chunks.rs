//! The chunks of a stream as a source, and as a buffered reader.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures::io::{AsyncBufRead, AsyncRead};
use futures::stream::{FusedStream, Stream};

use super::connection::Connection;
use super::waiters::{Asker, WaitId, WaitList};
use crate::chunk::Chunk;
use crate::runtime::context;

/// The source of a stream's bytes, made by `chunks()` of a stream.
///
/// It ends at the end of the file, or with the first error. Several of one stream share its bytes:
/// each chunk goes to one of them.
#[derive(Debug)]
#[must_use = "chunks come only while somebody takes them"]
pub struct Chunks {
    stream: Rc<Connection>,
    /// For bytes.
    reading: WaitId,
    /// For room in our own queue; [`WaitId::OVER`] when all has come, as an idle connection has one of these.
    held_back: WaitId,
}

impl Chunks {
    pub(super) fn new(stream: Rc<Connection>) -> Chunks {
        let (reading, held_back) = Default::default();
        Chunks { stream, reading, held_back }
    }

    fn has_ended(&self) -> bool {
        self.held_back == WaitId::OVER
    }

    #[cold]
    fn end(&mut self) {
        self.stream.writers().forget(&self.held_back);
        self.held_back = WaitId::OVER;
    }

    /// The same bytes as a buffered reader, whose `lines()`, for one, is a source again.
    ///
    /// ```
    /// # #[aem::main] async fn main() -> std::io::Result<()> {
    /// use aem::net::{TcpListener, TcpStream};
    /// use futures::{AsyncBufReadExt, TryStreamExt};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let client = TcpStream::connect(listener.local_addr()?).await?;
    /// client.send("first\nsecond\n").await?;
    /// drop(client);
    ///
    /// let (stream, _) = listener.accept().await?;
    /// let lines: Vec<String> = stream.chunks().into_async_read().lines().try_collect().await?;
    /// assert_eq!(lines, ["first", "second"]);
    /// # Ok(()) }
    /// ```
    pub fn into_async_read(self) -> ChunkReader {
        ChunkReader { chunks: self, current: Chunk::default(), read: 0 }
    }

    #[inline]
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Chunk>>> {
        if self.has_ended() {
            return Poll::Ready(None);
        }
        // A handler that answers more than the peer takes would fill our memory.
        if !self.stream.has_room() && context::draining() {
            let room = ready!(self.stream.poll_room(cx, Asker::Future(&mut self.held_back)));
            if let Err(error) = room {
                self.end();
                return Poll::Ready(Some(Err(error)));
            }
        }
        let chunk = ready!(self.stream.poll_chunk(cx, &mut self.reading));
        match chunk {
            Ok(chunk) if !chunk.is_empty() => Poll::Ready(Some(Ok(chunk))),
            end => {
                self.end();
                Poll::Ready(end.err().map(Err))
            }
        }
    }
}

impl Stream for Chunks {
    type Item = io::Result<Chunk>;

    #[inline]
    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Chunk>>> {
        self.poll_chunk(cx)
    }
}

impl FusedStream for Chunks {
    fn is_terminated(&self) -> bool {
        self.has_ended()
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        self.stream.forget_reader(&self.reading);
        if !self.has_ended() {
            self.stream.writers().forget(&self.held_back);
        }
    }
}

/// A buffered reader of a stream's bytes, made by [`Chunks::into_async_read`].
///
/// Its buffer is the present chunk. Dropped before that is read to its end, it gives the rest back
/// to the stream.
#[derive(Debug)]
pub struct ChunkReader {
    chunks: Chunks,
    current: Chunk,
    read: usize,
}

impl AsyncBufRead for ChunkReader {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        if this.read == this.current.len() {
            this.read = 0;
            // Given back first, so that the next bytes find its buffer free.
            this.current = Chunk::default();
            this.current = match ready!(this.chunks.poll_chunk(cx)) {
                Some(chunk) => chunk?,
                None => Chunk::default(),
            };
        }
        Poll::Ready(Ok(&this.current[this.read..]))
    }

    fn consume(mut self: Pin<&mut Self>, amount: usize) {
        self.read = self.current.len().min(self.read + amount);
    }
}

impl AsyncRead for ChunkReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let ready = ready!(self.as_mut().poll_fill_buf(cx))?;
        let n = ready.len().min(buffer.len());
        buffer[..n].copy_from_slice(&ready[..n]);
        self.consume(n);
        Poll::Ready(Ok(n))
    }
}

impl Drop for ChunkReader {
    fn drop(&mut self) {
        let mut rest = std::mem::take(&mut self.current);
        drop(rest.split_to(self.read));
        if !rest.is_empty() {
            self.chunks.stream.put_back(rest);
        }
    }
}
