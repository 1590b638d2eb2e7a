//! What all kinds of streams can do, written once: receiving, sending, closing, and the traits of `futures`.
//!
//! A stream is a handle of a [`Connection`], whatever its address family. A macro writes its verbs, so that
//! each kind has them as its own methods, with their documentation.

use super::connection::Connection;
use super::waiters::{WaitId, WaitList};

/// What one `poll_write` takes over at most. It copies, so a piece of this size is enough to make
/// the system call cheap, and the queue stays close to the high-water mark.
pub(super) const MOST_PER_WRITE: usize = 64 * 1024;

/// The wait of a `recv`.
pub(super) struct ReadWait<'a> {
    pub(super) stream: &'a Connection,
    pub(super) id: WaitId,
}

impl Drop for ReadWait<'_> {
    fn drop(&mut self) {
        self.stream.forget_reader(&self.id);
    }
}

/// The wait of a `flush`.
pub(super) struct WriteWait<'a> {
    pub(super) stream: &'a Connection,
    pub(super) id: WaitId,
}

impl Drop for WriteWait<'_> {
    fn drop(&mut self) {
        self.stream.writers().forget(&self.id);
    }
}

/// Writes the verbs of a stream, which is a tuple of an `Rc<Connection>`.
macro_rules! stream_verbs {
    ($stream:ident) => {
        const _: () = {
            use std::fmt;
            use std::future::poll_fn;
            use std::io::{self, IoSlice};
            use std::net::Shutdown;
            use std::ops::Range;
            use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
            use std::pin::Pin;
            use std::rc::Rc;
            use std::task::{Context, Poll, ready};

            use futures::io::{AsyncRead, AsyncWrite};
            use socket2::SockRef;

            use $crate::backend::Descriptor;
            use $crate::chunk::Chunk;
            use $crate::net::chunks::Chunks;
            use $crate::net::connection::Connection;
            use $crate::net::sending::Sending;
            use $crate::net::verbs::{MOST_PER_WRITE, ReadWait, WriteWait};
            use $crate::net::waiters::{Asker, WaitId};
            use $crate::payload::{FilePart, Payload};
            use $crate::reactor::Reactor;

            impl $stream {
                pub(super) fn new(reactor: Rc<Reactor>, socket: Rc<Descriptor>) -> $stream {
                    $stream(Connection::new(reactor, socket))
                }

                /// The next bytes, as they came; an empty chunk at the end of the file.
                ///
                /// It never waits for our own queue, however much is in there.
                ///
                /// # Errors
                ///
                /// What receiving failed with, after all bytes that came before; the same at each further
                /// call. `NotConnected` after [`close`](Self::close).
                ///
                /// # Cancel safety
                ///
                /// Bytes that arrive too late stay in the stream for the next call (KEPT).
                pub async fn recv(&self) -> io::Result<Chunk> {
                    let mut wait = ReadWait { stream: &self.0, id: WaitId::default() };
                    poll_fn(|cx| self.0.poll_chunk(cx, &mut wait.id)).await
                }

                /// The bytes as a source that ends at the end of the file, or with the first error.
                ///
                /// Drained by a handler, it is not read while more is [queued](Self::queued) than the
                /// [high-water mark](Self::set_high_water), so that an answer to a slow reader never fills
                /// our memory. Awaited, it never waits for our own queue. Two of one stream share its
                /// bytes.
                pub fn chunks(&self) -> Chunks {
                    Chunks::new(self.0.clone())
                }

                /// Queues bytes behind all that was sent before, and returns at once.
                ///
                /// The future resolves when they are with the kernel. Awaiting it is optional, a way to keep
                /// pace with the peer; dropping it takes nothing back.
                ///
                /// # Errors
                ///
                /// Of the future: the first error of this stream, from then on at every send, flush and
                /// close; `BrokenPipe` after [`shutdown`](Self::shutdown), `NotConnected` after
                /// [`close`](Self::close).
                ///
                /// # Cancel safety
                ///
                /// The bytes are sent whether or not the future is awaited to its end.
                // Not must_use: the bytes are on their way, and `stream.send(chunk);` is how handlers send.
                pub fn send(&self, payload: impl Into<Payload>) -> Sending {
                    Sending::new(&self.0, self.0.push(payload.into()))
                }

                /// Queues bytes of a file behind all that was sent before, and returns at once.
                ///
                /// The kernel sends them from its own pages (sendfile(2)), so that they are copied nowhere
                /// and cost no memory, however many there are; what is sent before them goes into the same
                /// packet. What has no such pages, a pipe say, cannot be sent so. Where the file lies on a
                /// disk that is slow, this thread waits for it, 2 MiB at a time: read such a one by
                /// [`fs`](crate::fs) instead. The file's own position is neither used nor moved, and what is
                /// written to it meanwhile may be sent.
                ///
                /// (To a peer that has gone the kernel raises SIGPIPE here. Rust programs ignore it from
                /// their start; one whose `main` is not Rust's has to do so itself.)
                ///
                /// # Errors
                ///
                /// Of the future: as of [`send`](Self::send). What reading the file failed with is an error
                /// of the stream, as its bytes were promised: `UnexpectedEof` if it ends before the range
                /// does. A range that is none is `InvalidInput`, and of that nothing is sent.
                ///
                /// # Cancel safety
                ///
                /// The bytes are sent whether or not the future is awaited to its end.
                pub fn send_file(&self, file: impl Into<OwnedFd>, bytes: Range<u64>) -> Sending {
                    let part = FilePart::new(file.into(), bytes);
                    Sending::new(&self.0, part.and_then(|part| self.0.push_file(part)))
                }

                /// How many bytes are queued here and not with the kernel yet.
                #[must_use]
                pub fn queued(&self) -> usize {
                    self.0.queued()
                }

                /// Sets how much may be queued before [`chunks`](Self::chunks) that a handler drains are held
                /// back and `poll_write` waits: 256 KiB unless set, `None` for any amount. So is a mark of
                /// 4 GiB.
                pub fn set_high_water(&self, bytes: impl Into<Option<usize>>) {
                    self.0.set_high_water(bytes.into());
                }

                /// Sets how many bytes may lie here unread before the stream stops receiving: 64 KiB unless
                /// set, and never more than 2 GiB. Each chunk counts for its length and 64 bytes, and one
                /// is always received.
                pub fn set_inbox_limit(&self, bytes: usize) {
                    self.0.set_inbox_limit(bytes);
                }

                /// Ends one or both directions. The end of ours follows what is queued; nothing can be sent
                /// after it.
                ///
                /// # Errors
                ///
                /// The first error of the stream, or that the peer has ended the connection already.
                pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
                    self.0.shutdown(how)
                }

                /// Waits until everything that was queued when this is called is with the kernel.
                ///
                /// # Errors
                ///
                /// The first error of the stream.
                ///
                /// # Cancel safety
                ///
                /// It only waits.
                pub async fn flush(&self) -> io::Result<()> {
                    let position = self.0.accepted();
                    let mut wait = WriteWait { stream: &self.0, id: WaitId::default() };
                    poll_fn(|cx| self.0.poll_flushed(cx, Asker::Future(&mut wait.id), position))
                        .await
                }

                /// Waits until everything that was queued when this is called is with the kernel, then ends
                /// the connection for all handles.
                ///
                /// Whoever waits in another call of this stream is told `NotConnected`, and so is every later
                /// call. The descriptor's number is free when the last handle is dropped.
                ///
                /// # Errors
                ///
                /// The first error of the stream. The connection has ended all the same.
                ///
                /// # Cancel safety
                ///
                /// Dropped while it waits, it ends nothing, and what is queued is still sent.
                pub async fn close(&self) -> io::Result<()> {
                    let flushed = self.flush().await;
                    self.0.close();
                    flushed
                }

                fn socket(&self) -> SockRef<'_> {
                    SockRef::from(self.0.socket())
                }
            }

            impl AsyncRead for &$stream {
                fn poll_read(
                    self: Pin<&mut Self>,
                    cx: &mut Context<'_>,
                    buffer: &mut [u8],
                ) -> Poll<io::Result<usize>> {
                    self.0.poll_read(cx, buffer)
                }
            }

            impl AsyncWrite for &$stream {
                fn poll_write(
                    self: Pin<&mut Self>,
                    cx: &mut Context<'_>,
                    bytes: &[u8],
                ) -> Poll<io::Result<usize>> {
                    self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
                }

                fn poll_write_vectored(
                    self: Pin<&mut Self>,
                    cx: &mut Context<'_>,
                    slices: &[IoSlice<'_>],
                ) -> Poll<io::Result<usize>> {
                    ready!(self.0.poll_room(cx, Asker::PollFunction))?;
                    let bytes: usize = slices.iter().map(|slice| slice.len()).sum();
                    let mut payload = Vec::with_capacity(bytes.min(MOST_PER_WRITE));
                    for slice in slices {
                        let room = MOST_PER_WRITE - payload.len();
                        payload.extend_from_slice(&slice[..slice.len().min(room)]);
                    }
                    let taken = payload.len();
                    Poll::Ready(self.0.push(payload.into()).map(|_position| taken))
                }

                fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                    let position = self.0.accepted();
                    self.0.poll_flushed(cx, Asker::PollFunction, position)
                }

                /// Flushes, then ends our direction only, as `shutdown(Write)` does.
                fn poll_close(
                    mut self: Pin<&mut Self>,
                    cx: &mut Context<'_>,
                ) -> Poll<io::Result<()>> {
                    ready!(self.as_mut().poll_flush(cx))?;
                    Poll::Ready(self.0.shutdown(Shutdown::Write))
                }
            }

            impl AsyncRead for $stream {
                fn poll_read(
                    self: Pin<&mut Self>,
                    cx: &mut Context<'_>,
                    buffer: &mut [u8],
                ) -> Poll<io::Result<usize>> {
                    Pin::new(&mut &*self).poll_read(cx, buffer)
                }
            }

            impl AsyncWrite for $stream {
                fn poll_write(
                    self: Pin<&mut Self>,
                    cx: &mut Context<'_>,
                    bytes: &[u8],
                ) -> Poll<io::Result<usize>> {
                    Pin::new(&mut &*self).poll_write(cx, bytes)
                }

                fn poll_write_vectored(
                    self: Pin<&mut Self>,
                    cx: &mut Context<'_>,
                    slices: &[IoSlice<'_>],
                ) -> Poll<io::Result<usize>> {
                    Pin::new(&mut &*self).poll_write_vectored(cx, slices)
                }

                fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                    Pin::new(&mut &*self).poll_flush(cx)
                }

                fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                    Pin::new(&mut &*self).poll_close(cx)
                }
            }

            impl AsFd for $stream {
                fn as_fd(&self) -> BorrowedFd<'_> {
                    self.0.socket().as_fd()
                }
            }

            impl fmt::Debug for $stream {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    let mut text = f.debug_struct(stringify!($stream));
                    text.field("fd", &self.0.socket().as_raw_fd());
                    text.field("queued", &self.queued()).finish_non_exhaustive()
                }
            }
        };
    };
}

pub(super) use stream_verbs;
