//! The end of a pipe that bytes go into, with the queue of those that it has no room for.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures::future::FusedFuture;
use futures::io::AsyncWrite;

use crate::fd::{AsyncFd, Interest};
use crate::payload::{Payload, SendQueue};
use crate::reactor::{Reactor, Waiters, Wakes, ended, home};
use crate::runtime::{context, spawn, yield_now};
use crate::sys::pipe::set_waits;

/// So often a queue is written from before other jobs get their turn: a megabyte, if the reader is as fast.
const WRITES_AT_ONCE: usize = 16;

/// The end of a pipe that bytes go into.
///
/// Writing to a pipe that nobody reads is [`BrokenPipe`](io::ErrorKind::BrokenPipe). (Rust programs ignore
/// SIGPIPE from their start; one whose `main` is not Rust's has to do so itself.)
pub struct PipeWriter {
    shared: Rc<Shared>,
    /// Of the poll functions.
    wait: Option<usize>,
}

/// What the writer shares with its sends, and with the job that writes the rest.
struct Shared {
    reactor: Rc<Reactor>,
    fd: RefCell<Option<AsyncFd<io::PipeWriter>>>,
    queue: RefCell<SendQueue>,
    /// Behind the last byte that was sent, and behind the last that the pipe took.
    accepted: Cell<u64>,
    handed: Cell<u64>,
    failed: Cell<Option<Failure>>,
    /// Whether somebody writes what is queued, and whoever sends need only add to it.
    writing: Cell<bool>,
    /// Whether the writer is gone: then the pipe is closed behind the last byte.
    abandoned: Cell<bool>,
    waiters: Waiters,
}

/// Why nothing can be sent any more.
#[derive(Clone, Copy, Debug)]
enum Failure {
    /// A number of the system's.
    System(i32),
    /// It was closed here.
    Closed,
    /// The runtime has ended, or was asked to.
    Ended,
}

impl Failure {
    fn error(self) -> io::Error {
        match self {
            Failure::System(number) => io::Error::from_raw_os_error(number),
            Failure::Closed => io::Error::new(io::ErrorKind::NotConnected, "the pipe was closed"),
            Failure::Ended => ended(),
        }
    }
}

impl PipeWriter {
    /// Takes over whatever can be written to and waited for: the end of a pipe, a FIFO, a terminal. It is put
    /// into non-blocking mode, and so is each duplicate of it.
    ///
    /// # Errors
    /// As for [`AsyncFd::new`].
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn from_fd(fd: OwnedFd) -> io::Result<PipeWriter> {
        let reactor = context::reactor();
        set_waits(fd.as_fd(), false)?;
        let fd = AsyncFd::new(fd.into())?;
        let shared = Shared {
            reactor,
            fd: RefCell::new(Some(fd)),
            queue: RefCell::default(),
            accepted: Cell::new(0),
            handed: Cell::new(0),
            failed: Cell::new(None),
            writing: Cell::new(false),
            abandoned: Cell::new(false),
            waiters: Waiters::default(),
        };
        Ok(PipeWriter { shared: Rc::new(shared), wait: None })
    }

    /// Sends bytes behind all that was sent before: as many as there is room for at once, the others as room
    /// comes.
    ///
    /// The future resolves when the pipe has them. Awaiting it is optional, a way to keep pace with the
    /// reader; dropping it takes nothing back, and neither does dropping the writer: the pipe is then closed
    /// behind the last byte. At the end of the runtime, what the pipe has no room for is lost.
    ///
    /// # Errors
    /// Of the future: the first error of this pipe, `BrokenPipe` where nobody reads; `NotConnected` after
    /// [`close`](Self::close).
    ///
    /// # Cancel safety
    /// The bytes are sent whether or not the future is awaited to its end.
    // Not must_use: the bytes are on their way, and `pipe.send(chunk);` is how handlers send.
    #[track_caller]
    pub fn send(&self, payload: impl Into<Payload>) -> Sending {
        let refused = self.shared.push(payload.into()).err();
        Sending {
            shared: Rc::clone(&self.shared),
            position: self.shared.accepted.get(),
            wait: None,
            refused,
            done: false,
        }
    }

    /// How many bytes the pipe has not taken yet.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.shared.queued()
    }

    /// Waits until the pipe has everything that was sent before this is called.
    ///
    /// # Errors
    /// The first error of the pipe.
    ///
    /// # Cancel safety
    /// It only waits.
    pub async fn flush(&self) -> io::Result<()> {
        self.shared.reached(self.shared.accepted.get()).await
    }

    /// Waits until the pipe has everything that was sent before this is called, then closes this end.
    ///
    /// # Errors
    /// The first error of the pipe. It is closed all the same.
    ///
    /// # Cancel safety
    /// Dropped while it waits, it closes nothing, and what is queued is still written.
    pub async fn close(&self) -> io::Result<()> {
        let flushed = self.flush().await;
        self.shared.fail(Failure::Closed);
        flushed
    }
}

impl Shared {
    fn queued(&self) -> usize {
        usize::try_from(self.accepted.get() - self.handed.get()).unwrap_or(usize::MAX)
    }

    fn check(&self) -> io::Result<()> {
        home::check(&self.reactor)?;
        match self.failed.get() {
            Some(failure) => Err(failure.error()),
            None => Ok(()),
        }
    }

    #[track_caller]
    fn push(self: &Rc<Self>, payload: Payload) -> io::Result<()> {
        self.check()?;
        self.accepted.set(self.accepted.get() + payload.len() as u64);
        self.queue.borrow_mut().push(payload);
        if !self.writing.replace(true) && !self.write() {
            let writing = Writing { shared: Rc::clone(self), done: false };
            drop(spawn(writing.write_all()));
        }
        Ok(())
    }

    /// Writes what the pipe takes, up to a limit. Whether that was all, or nothing can be written any more.
    fn write(&self) -> bool {
        for _ in 0..WRITES_AT_ONCE {
            // Out of its cell, as payloads are dropped here, which may send: that goes behind.
            let mut queue = self.queue.take();
            let fd = self.fd.borrow().clone();
            let Some(fd) = fd.filter(|_| !queue.is_empty()) else {
                self.writing.set(false);
                self.close_if_abandoned();
                return true;
            };
            let written = write_some(&fd, &queue);
            if let Ok(count) = written {
                self.handed.set(self.handed.get() + count as u64);
                queue.advance(count);
            }
            let behind = self.queue.replace(queue);
            self.queue.borrow_mut().append(behind);
            match written {
                Ok(_) => self.wake(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) => {
                    let number = error.raw_os_error().expect("the kernel says what is wrong");
                    self.fail(Failure::System(number));
                }
            }
        }
        false
    }

    fn close_if_abandoned(&self) {
        if self.abandoned.get() && !self.writing.get() {
            drop(self.fd.take());
        }
    }

    /// The first failure stands. The pipe is closed by it.
    fn fail(&self, failure: Failure) {
        if self.failed.get().is_none() {
            self.failed.set(Some(failure));
        }
        let (fd, queue) = (self.fd.take(), self.queue.take());
        drop((fd, queue));
        self.wake();
    }

    fn wake(&self) {
        let mut wakes = Wakes::default();
        self.waiters.take_all(&mut wakes);
        self.reactor.wake_all(wakes);
    }

    fn poll_reached(
        &self,
        cx: &Context<'_>,
        wait: &mut Option<usize>,
        position: u64,
    ) -> Poll<io::Result<()>> {
        if self.handed.get() >= position {
            return Poll::Ready(Ok(()));
        }
        self.check()?;
        self.waiters.register(wait, cx.waker());
        // Asked again after the clone of a waker, which may have run anything.
        if self.handed.get() >= position {
            return Poll::Ready(Ok(()));
        }
        self.check()?;
        Poll::Pending
    }

    async fn reached(&self, position: u64) -> io::Result<()> {
        if let Some(failure) = self.failed.get() {
            return Err(failure.error());
        }
        let mut wait = Wait { list: &self.waiters, key: None };
        poll_fn(|cx| self.poll_reached(cx, &mut wait.key, position)).await
    }
}

/// A place among those who wait.
struct Wait<'a> {
    list: &'a Waiters,
    key: Option<usize>,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.list.remove(&mut self.key);
    }
}

fn write_some(fd: &AsyncFd<io::PipeWriter>, queue: &SendQueue) -> io::Result<usize> {
    let mut slices = [IoSlice::new(&[]); SendQueue::MAX_SLICES];
    let count = queue.io_slices(&mut slices);
    let mut pipe = fd.get_ref();
    pipe.write_vectored(&slices[..count])
}

/// What the job that writes the rest holds.
struct Writing {
    shared: Rc<Shared>,
    done: bool,
}

impl Writing {
    async fn write_all(mut self) {
        loop {
            let fd = self.shared.fd.borrow().clone();
            let Some(fd) = fd else { break };
            if let Err(error) = fd.writable().await {
                let failure = error.raw_os_error().map_or(Failure::Ended, Failure::System);
                self.shared.fail(failure);
            }
            if self.shared.write() {
                break;
            }
            yield_now().await;
        }
        self.done = true;
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if !self.done {
            // Cancelled: nobody will write the rest.
            self.shared.fail(Failure::Ended);
        }
    }
}

/// Resolves when the bytes of one [`send`](PipeWriter::send) are in the pipe.
///
/// The bytes are on their way before it is polled. Awaiting it is a way to keep pace with the reader and to
/// hear of errors; dropping it takes nothing back.
pub struct Sending {
    shared: Rc<Shared>,
    /// Behind the last of its bytes.
    position: u64,
    wait: Option<usize>,
    refused: Option<io::Error>,
    done: bool,
}

impl Future for Sending {
    /// The first error of the pipe, if the bytes were not taken before it.
    type Output = io::Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.done {
            return Poll::Ready(Ok(()));
        }
        let result = match this.refused.take() {
            Some(error) => Err(error),
            None => ready!(this.shared.poll_reached(cx, &mut this.wait, this.position)),
        };
        this.done = true;
        Poll::Ready(result)
    }
}

impl FusedFuture for Sending {
    fn is_terminated(&self) -> bool {
        self.done
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.shared.waiters.remove(&mut self.wait);
    }
}

impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").field("done", &self.done).finish_non_exhaustive()
    }
}

impl AsyncWrite for PipeWriter {
    /// Writes what there is room for, behind all that was sent.
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.as_mut().poll_flush(cx))?;
        self.shared.check()?;
        let fd = self.shared.fd.borrow().clone();
        let Some(fd) = fd else { return Poll::Ready(Err(Failure::Closed.error())) };
        fd.poll_io(cx, Interest::WRITABLE, |mut pipe| pipe.write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let PipeWriter { shared, wait } = self.get_mut();
        shared.poll_reached(cx, wait, shared.accepted.get())
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        self.shared.fail(Failure::Closed);
        Poll::Ready(Ok(()))
    }
}

impl Drop for PipeWriter {
    fn drop(&mut self) {
        self.shared.waiters.remove(&mut self.wait);
        self.shared.abandoned.set(true);
        self.shared.close_if_abandoned();
    }
}

impl fmt::Debug for PipeWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipeWriter").field("queued", &self.queued()).finish_non_exhaustive()
    }
}
