//! An eventfd: the bell by which another thread, or a signal handler, wakes a worker.
//!
//! It is only ever written. Each write is a new edge for every epoll instance that watches it
//! edge-triggered, so nobody needs to read it, and many may listen to the same one. The counter
//! would be full after 2^64 writes.
//!
//! A forked child shares it with its parent, whom its rings would wake for nothing: there it is silent.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::fork::Process;
use super::{check, retry};

/// A bell that other threads ring.
#[derive(Debug)]
pub(crate) struct EventFd {
    fd: OwnedFd,
    process: Process,
}

impl EventFd {
    /// Makes one, non-blocking and close-on-exec.
    pub(crate) fn new() -> io::Result<EventFd> {
        let process = Process::current()?;
        // SAFETY: takes two integers and touches no memory of ours.
        let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: the kernel has just made this descriptor for us, and nobody else knows of it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(EventFd { fd, process })
    }

    /// Rings: everybody who watches it edge-triggered hears it.
    pub(crate) fn ring(&self) {
        if !self.process.is_current() {
            return;
        }
        // The one possible failure is a full counter (EAGAIN), and a counter that is full has rung.
        let _ = retry(|| ring_raw(self.fd.as_raw_fd()));
    }

    /// In a forked child of the process that made it, makes it the child's own, which keeps the number:
    /// whoever has read that number rings the child's from here on. Else does nothing.
    pub(super) fn make_own(&mut self) -> io::Result<()> {
        if self.process.is_current() {
            return Ok(());
        }
        let own = EventFd::new()?;
        let (from, to) = (own.fd.as_raw_fd(), self.fd.as_raw_fd());
        // SAFETY: both numbers are ours and open, and what is behind `to` is replaced, not closed, so that
        // it is never another's; sys/signal/tests.rs. No memory is touched.
        retry(|| check(unsafe { libc::dup3(from, to, libc::O_CLOEXEC) }))?;
        self.process = own.process;
        Ok(())
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Adds one to the eventfd of this number. Safe to call in a signal handler: it is one `write`.
pub(super) fn ring_raw(fd: libc::c_int) -> io::Result<()> {
    let one: u64 = 1;
    let bytes = (&raw const one).cast::<libc::c_void>();
    // SAFETY: `bytes` points at eight readable bytes that outlive the call. A number that is no
    // eventfd (any more) makes the kernel answer with an error; it writes to no memory of ours.
    let written = unsafe { libc::write(fd, bytes, size_of::<u64>()) };
    super::check_size(written).map(drop)
}
