//! inotify: how the kernel tells what happens to files.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::check;

/// The number of one watch. It is not used again before all others were.
pub(crate) type Number = libc::c_int;

/// Makes an instance, non-blocking and close-on-exec.
///
/// # Errors
///
/// See inotify_init1(2).
pub(crate) fn new() -> io::Result<OwnedFd> {
    // SAFETY: it touches no memory.
    let fd = check(unsafe { libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC) })?;
    // SAFETY: the kernel has just made the descriptor, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Watches what `path` names. Of a file that is watched already it gives the same number again.
///
/// # Errors
///
/// See inotify_add_watch(2).
pub(crate) fn add(inotify: BorrowedFd<'_>, path: &CStr, mask: u32) -> io::Result<Number> {
    // SAFETY: the path ends in a zero byte and is borrowed until the call returns
    // (`what_is_watched_is_told`).
    check(unsafe { libc::inotify_add_watch(inotify.as_raw_fd(), path.as_ptr(), mask) })
}

/// Ends a watch.
///
/// # Errors
///
/// `EINVAL` if there is none of that number, as after the end of its file.
pub(crate) fn remove(inotify: BorrowedFd<'_>, number: Number) -> io::Result<()> {
    // SAFETY: it touches no memory.
    check(unsafe { libc::inotify_rm_watch(inotify.as_raw_fd(), number) }).map(drop)
}

#[cfg(test)]
mod tests;
