//! `poll(2)` without waiting: how a descriptor is right now.
//!
//! Edges tell of changes. Whoever wants to know a state has to ask for it, and this is the question.

use std::io;
use std::os::fd::RawFd;

use super::{check, retry};

/// Something to read.
pub(crate) const IN: i16 = libc::POLLIN;
/// Room to write.
pub(crate) const OUT: i16 = libc::POLLOUT;
/// Urgent data, or whatever else a file calls exceptional.
pub(crate) const PRI: i16 = libc::POLLPRI;
/// The peer will send no more.
pub(crate) const RDHUP: i16 = libc::POLLRDHUP;
/// Both directions are over.
pub(crate) const HUP: i16 = libc::POLLHUP;
/// An error waits to be fetched.
pub(crate) const ERR: i16 = libc::POLLERR;

/// Which of `events` hold now, or HUP or ERR, which are told unasked; zero if none does.
///
/// A number that is no open descriptor is `EBADF`, as everywhere else.
pub(crate) fn now(fd: RawFd, events: i16) -> io::Result<i16> {
    let mut entry = libc::pollfd { fd, events, revents: 0 };
    // SAFETY: `entry` is one live `pollfd` for the length of the call, and the count says one.
    retry(|| check(unsafe { libc::poll(&raw mut entry, 1, 0) }))?;
    if entry.revents & libc::POLLNVAL != 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    Ok(entry.revents)
}

/// A number as a descriptor, whatever it stands for now: what a careless owner of raw numbers hands in.
#[cfg(test)]
pub(crate) fn careless(fd: RawFd) -> std::os::fd::BorrowedFd<'static> {
    // SAFETY: a lie on purpose. The tests only have the kernel asked about the number.
    unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) }
}
