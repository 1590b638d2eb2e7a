//! Whether reads and writes of a descriptor wait.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::check;

/// Has them wait, or not. That is a property of what the descriptor stands for, and so the same for all its
/// duplicates, in other processes too.
///
/// # Errors
///
/// See fcntl(2).
pub(crate) fn set_waits(fd: BorrowedFd<'_>, waits: bool) -> io::Result<()> {
    // SAFETY: takes integers.
    let before = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    let flags = if waits { before & !libc::O_NONBLOCK } else { before | libc::O_NONBLOCK };
    if flags == before {
        return Ok(());
    }
    // SAFETY: takes integers.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags) }).map(drop)
}
