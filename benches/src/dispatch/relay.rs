//! The pairs and the bytes that go through them.
//!
//! The pairs are divided into as many shares as there are bytes on their way, and each byte goes round in a
//! share of its own: from a pair to the next one, from the last to the first. So no pair ever has two, in
//! whatever order events are handled: each event is one byte, however much its reader takes at once.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::task::{Poll, Waker};

use super::Load;
use crate::kernel;

/// The ends that are read, in the order of the pairs.
pub type Readers = Vec<UnixStream>;

/// More than there ever is, so that a short read has taken all.
pub const ROOM: usize = 64;

/// The other ends, and how far the lap is.
pub struct Relay {
    writers: RefCell<Vec<UnixStream>>,
    load: Load,
    writes: Cell<usize>,
    written: Cell<usize>,
    read: Cell<usize>,
    failure: Cell<Option<io::Error>>,
    /// Whoever waits for the end of the lap.
    waiter: Cell<Option<Waker>>,
}

impl Relay {
    /// All pairs, and nothing in them.
    ///
    /// # Errors
    ///
    /// Out of descriptors.
    pub fn new(load: Load) -> io::Result<(Readers, Relay)> {
        assert_eq!(load.pairs % load.active, 0, "shares of the same size");
        let (mut readers, mut writers) = (Vec::new(), Vec::new());
        for _ in 0..load.pairs {
            let (reader, writer) = UnixStream::pair()?;
            reader.set_nonblocking(true)?;
            readers.push(reader);
            writers.push(writer);
        }
        let relay = Relay {
            writers: writers.into(),
            load,
            writes: Cell::default(),
            written: Cell::default(),
            read: Cell::default(),
            failure: Cell::default(),
            waiter: Cell::default(),
        };
        Ok((readers, relay))
    }

    /// What it was made for.
    pub fn load(&self) -> Load {
        self.load
    }

    /// Begins a lap of so many writes, by one into the first pair of each share.
    pub fn begin(&self, writes: usize) {
        self.writes.set(writes);
        self.written.set(0);
        self.read.set(0);
        let share = self.load.pairs / self.load.active;
        for first in (0..self.load.pairs).step_by(share) {
            self.write(first);
        }
    }

    fn write(&self, at: usize) {
        self.written.set(self.written.get() + 1);
        match kernel::send(self.writers.borrow()[at].as_raw_fd(), b"e") {
            Ok(1) => {}
            Ok(_) => unreachable!("a byte is sent or is not"),
            Err(error) => self.fail(error),
        }
    }

    /// What everyone does who is called for a pair: reads what is there, and passes it on. Whether there
    /// may come more.
    pub fn ready(&self, at: usize, reader: &UnixStream) -> bool {
        let read = kernel::recv(reader.as_raw_fd(), &mut [0; ROOM]);
        match &read {
            Ok(0) => return false,
            // It was called for nothing.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            _ => self.pass_on(at, read),
        }
        true
    }

    /// The same for what was read already: writes to the next pair, unless enough is written.
    pub fn pass_on(&self, at: usize, read: io::Result<usize>) {
        match read {
            Ok(1) => {}
            Ok(count) => return self.fail(io::Error::other(format!("{count} bytes at once"))),
            Err(error) => return self.fail(error),
        }
        self.read.set(self.read.get() + 1);
        if self.written.get() < self.writes.get() {
            let share = self.load.pairs / self.load.active;
            let next = at + 1;
            self.write(if next.is_multiple_of(share) { next - share } else { next });
        } else if self.is_over() {
            self.wake();
        }
    }

    /// The lap cannot be run to its end.
    pub fn fail(&self, error: io::Error) {
        self.failure.set(Some(error));
        self.read.set(usize::MAX);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waiter) = self.waiter.take() {
            waiter.wake();
        }
    }

    /// Whether all that was to be written is read, or never will be.
    pub fn is_over(&self) -> bool {
        self.read.get() >= self.writes.get()
    }

    /// Waits until it is.
    pub async fn over(&self) {
        poll_fn(|context| {
            if self.is_over() {
                return Poll::Ready(());
            }
            self.waiter.set(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    /// Whether exactly what was to be written was written and read.
    ///
    /// # Errors
    ///
    /// It was not, or something failed on the way.
    pub fn check(&self) -> io::Result<()> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let (writes, written, read) = (self.writes.get(), self.written.get(), self.read.get());
        if (written, read) == (writes, writes) {
            return Ok(());
        }
        Err(io::Error::other(format!("of {writes} bytes {written} were written, {read} read")))
    }

    /// Ends all pairs: readers find the end of the stream.
    pub fn close(&self) {
        self.writers.borrow_mut().clear();
    }
}
