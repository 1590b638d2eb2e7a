//! Any pollable descriptor as a source of readiness: the way to bring in what the runtime has no type for.
//!
//! [`AsyncFd`] wraps a value that has a descriptor, and tells when it can be read or written; reading and
//! writing stay the value's own. It is *level* to its user: before it waits it asks `poll(2)` how things
//! are, so nothing that was there already is waited for, whoever saw the edge.
//!
//! What is read by `read` and written by `write` (a [`pipe()`], a FIFO, a terminal) has the verbs of a stream
//! besides: [`PipeReader`] and [`PipeWriter`].
//!
//! ```
//! use std::io::{Read, Write};
//! use std::os::unix::net::UnixStream;
//! use aem::fd::{AsyncFd, Interest};
//!
//! # aem::block_on(async {
//! let (ours, mut theirs) = UnixStream::pair()?;
//! ours.set_nonblocking(true)?;
//! let ours = AsyncFd::new(ours)?;
//! theirs.write_all(b"hello")?;
//! let mut buffer = [0; 8];
//! let count = ours.io(Interest::READABLE, |mut socket| socket.read(&mut buffer)).await?;
//! assert_eq!(&buffer[..count], b"hello");
//! # Ok::<(), std::io::Error>(())
//! # }).unwrap();
//! ```

mod pipe;
mod readiness;

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use futures::io::{AsyncRead, AsyncWrite};

pub use self::pipe::{PipeChunks, PipeReader, PipeWriter, Sending, pipe};
pub use self::readiness::Readiness;
pub use crate::backend::Interest;
use crate::backend::{Descriptor, Op};
use crate::reactor::{Callers, Completion, Reactor, Sink, Token, Waiters, Wakes, home};
use crate::runtime::{context, yield_now};

/// A value with a descriptor, and its readiness. Clones share both.
///
/// Any number of futures may wait for the same descriptor, in either direction.
pub struct AsyncFd<T: AsFd> {
    inner: Rc<Inner<T>>,
}

struct Inner<T: AsFd> {
    /// Before the value, so that the kernel's entry goes before the descriptor is closed.
    watch: Watch,
    value: T,
}

/// The descriptor as the reactor knows it.
struct Watch {
    reactor: Rc<Reactor>,
    descriptor: Rc<Descriptor>,
    core: Rc<Core>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        for side in &self.core.sides {
            if let Some(token) = side.token.take() {
                self.reactor.cancel(token);
            }
        }
        self.descriptor.release();
    }
}

/// Those who wait, by what for.
#[derive(Default)]
struct Core {
    sides: [Side; 3],
}

#[derive(Default)]
struct Side {
    /// The op that waits for all of them.
    token: Cell<Option<Token>>,
    waiters: Waiters,
    /// Of `poll_io`.
    callers: Callers,
}

impl Side {
    fn wake_all(&self, wakes: &mut Wakes) {
        self.waiters.take_all(wakes);
        self.callers.take_all(wakes);
    }
}

const SIDES: [Interest; 3] = [Interest::READABLE, Interest::WRITABLE, Interest::PRIORITY];

impl Sink for Core {
    fn complete(self: Rc<Self>, completion: Completion, wakes: &mut Wakes) {
        let Completion { token, more, .. } = completion;
        // Whatever the answer is: who is woken asks again, and is told of an error by the kernel itself.
        for side in self.sides.iter().filter(|side| side.token.get() == Some(token)) {
            if !more {
                side.token.set(None);
            }
            side.wake_all(wakes);
        }
    }
}

impl<T: AsFd> AsyncFd<T> {
    /// Registers a descriptor with this thread's runtime. It should be in non-blocking mode.
    ///
    /// # Errors
    /// `EBADF` if it is closed, `EPERM` if it cannot be waited for (a regular file or a directory is always
    /// ready: read it by [`spawn_blocking`](crate::spawn_blocking)), `EEXIST` if this runtime has an
    /// `AsyncFd` of the same descriptor, and what the kernel says when it is out of memory.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn new(value: T) -> io::Result<Self> {
        AsyncFd::try_new(value).map_err(|(error, _value)| error)
    }

    /// As [`new`](Self::new), but that the value comes back with the error.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn try_new(value: T) -> Result<Self, (io::Error, T)> {
        let reactor = context::reactor();
        let descriptor = match reactor.adopt_borrowed(value.as_fd()) {
            Ok(descriptor) => descriptor,
            Err(error) => return Err((error, value)),
        };
        let watch = Watch { reactor, descriptor, core: Rc::default() };
        Ok(AsyncFd { inner: Rc::new(Inner { watch, value }) })
    }

    /// The value, no longer registered.
    ///
    /// # Errors
    /// While there are clones or [`Readiness`] sources of it, it comes back as it is.
    pub fn into_inner(self) -> Result<T, Self> {
        match Rc::try_unwrap(self.inner) {
            Ok(Inner { watch, value }) => {
                drop(watch);
                Ok(value)
            }
            Err(inner) => Err(AsyncFd { inner }),
        }
    }

    /// The value.
    pub fn get_ref(&self) -> &T {
        &self.inner.value
    }

    /// Waits until there is something to read, a connection to accept, or the end of the stream.
    ///
    /// # Errors
    /// If the descriptor was closed, or belongs to another runtime or to one that has ended.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub fn readable(&self) -> Ready<'_, T> {
        self.wait_for(Interest::READABLE)
    }

    /// Waits until there is room to write.
    ///
    /// # Errors
    /// As [`readable`](Self::readable).
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub fn writable(&self) -> Ready<'_, T> {
        self.wait_for(Interest::WRITABLE)
    }

    /// Waits until any of this holds, and says what does.
    ///
    /// # Errors
    /// As [`readable`](Self::readable).
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub async fn ready(&self, interest: Interest) -> io::Result<Interest> {
        loop {
            self.wait_for(interest).await?;
            // It may have been somebody else's meanwhile.
            if let Some(ready) = self.state(interest)? {
                return Ok(ready);
            }
        }
    }

    fn wait_for(&self, interest: Interest) -> Ready<'_, T> {
        Ready { fd: self, interest, keys: [None; 3] }
    }

    /// Tries `attempt`, and again each time that the descriptor becomes ready for `interest`, until it says
    /// something else than `WouldBlock`.
    ///
    /// # Errors
    /// Those of `attempt`, and those of [`readable`](Self::readable).
    ///
    /// # Cancel safety
    /// As safe as `attempt`: it is not under way while the future waits.
    pub async fn io<R>(
        &self,
        interest: Interest,
        mut attempt: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        let mut told = false;
        loop {
            match attempt(self.get_ref()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => return result,
            }
            if told {
                // Ready and yet it would block: somebody else was faster, or the attempt wants more than
                // there is. Others get their turn before the next try.
                yield_now().await;
            }
            self.wait_for(interest).await?;
            told = true;
        }
    }

    /// [`io`](Self::io) for hand-written futures: with `Pending`, the context's waker will be woken.
    ///
    /// # Errors
    /// As [`io`](Self::io).
    pub fn poll_io<R>(
        &self,
        context: &mut Context<'_>,
        interest: Interest,
        mut attempt: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            match attempt(self.get_ref()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => return Poll::Ready(result),
            }
            match self.state(interest) {
                Ok(None) => {}
                Ok(Some(_)) => {
                    // Ready and yet it would block: somebody else was faster, or the attempt wants more
                    // than there is. Others get their turn before the next try.
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
            for side in self.sides(interest) {
                side.callers.add(context.waker(), &self.inner.watch.reactor);
            }
            return match self.wait(interest) {
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(Err(error)),
            };
        }
    }

    /// The descriptor's readiness as a source: an event a turn while it is ready.
    pub fn readiness(&self, interest: Interest) -> Readiness<T> {
        Readiness::new(self.clone(), interest)
    }

    fn sides(&self, interest: Interest) -> impl Iterator<Item = &Side> {
        let wanted = SIDES.map(|side| interest.contains(side));
        self.inner.watch.core.sides.iter().zip(wanted).filter(|(_, wanted)| *wanted).map(|(s, _)| s)
    }

    /// Has all who wait to read try again: there is something that the kernel does not tell of.
    pub(crate) fn wake_readers(&self) {
        let (mut wakes, [side, ..]) = (Wakes::default(), &self.inner.watch.core.sides);
        side.wake_all(&mut wakes);
        self.inner.watch.reactor.wake_all(wakes);
    }

    /// Whether it is used where it belongs.
    pub(crate) fn check(&self) -> io::Result<()> {
        home::check(&self.inner.watch.reactor)
    }

    /// What of `interest` holds now; none if nothing does.
    fn state(&self, interest: Interest) -> io::Result<Option<Interest>> {
        home::check(&self.inner.watch.reactor)?;
        interest.holds_now(self.inner.value.as_fd().as_raw_fd())
    }

    /// Sees to it that somebody waits for each part of `interest`.
    fn wait(&self, interest: Interest) -> io::Result<()> {
        let Watch { reactor, descriptor, core } = &self.inner.watch;
        for (side, interest) in core.sides.iter().zip(SIDES).filter(|(_, i)| interest.contains(*i))
        {
            if side.token.get().is_none() {
                let op = Op::Poll { descriptor: Rc::clone(descriptor), interest };
                side.token.set(Some(reactor.submit(op, sink(core))?));
            }
        }
        Ok(())
    }
}

fn sink(core: &Rc<impl Sink + 'static>) -> Weak<dyn Sink> {
    let sink: Rc<dyn Sink> = Rc::clone(core) as Rc<dyn Sink>;
    Rc::downgrade(&sink)
}

impl<T: AsFd> AsyncRead for &AsyncFd<T>
where
    for<'a> &'a T: io::Read,
{
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_io(context, Interest::READABLE, |mut value| io::Read::read(&mut value, buffer))
    }
}

impl<T: AsFd> AsyncWrite for &AsyncFd<T>
where
    for<'a> &'a T: io::Write,
{
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_io(context, Interest::WRITABLE, |mut value| io::Write::write(&mut value, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_io(context, Interest::WRITABLE, |mut value| io::Write::flush(&mut value))
    }

    /// Flushes. What ends with its descriptor, as a pipe does, ends when the last clone is dropped.
    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }
}

impl<T: AsFd> AsyncRead for AsyncFd<T>
where
    for<'a> &'a T: io::Read,
{
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_read(context, buffer)
    }
}

impl<T: AsFd> AsyncWrite for AsyncFd<T>
where
    for<'a> &'a T: io::Write,
{
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self).poll_flush(context)
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self).poll_close(context)
    }
}

impl<T: AsFd> Clone for AsyncFd<T> {
    fn clone(&self) -> Self {
        AsyncFd { inner: Rc::clone(&self.inner) }
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for AsyncFd<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AsyncFd").field(self.get_ref()).finish()
    }
}

/// The future of [`AsyncFd::readable`] and [`AsyncFd::writable`].
#[must_use = "futures do nothing unless awaited"]
pub struct Ready<'a, T: AsFd> {
    fd: &'a AsyncFd<T>,
    interest: Interest,
    keys: [Option<usize>; 3],
}

impl<T: AsFd> Future for Ready<'_, T> {
    type Output = io::Result<()>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Level: the state is asked for, not remembered, so that nothing can be missed by waiting.
        if this.fd.state(this.interest)?.is_some() {
            return Poll::Ready(Ok(()));
        }
        for ((side, key), interest) in
            this.fd.inner.watch.core.sides.iter().zip(&mut this.keys).zip(SIDES)
        {
            if this.interest.contains(interest) {
                side.waiters.register(key, context.waker());
            }
        }
        this.fd.wait(this.interest)?;
        Poll::Pending
    }
}

impl<T: AsFd> Drop for Ready<'_, T> {
    fn drop(&mut self) {
        for (side, key) in self.fd.inner.watch.core.sides.iter().zip(&mut self.keys) {
            side.waiters.remove(key);
        }
    }
}

impl<T: AsFd> fmt::Debug for Ready<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ready").field(&self.interest).finish()
    }
}

#[cfg(test)]
mod tests;
