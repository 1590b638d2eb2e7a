//! System calls as safe functions.
//!
//! Each function here is one call of the kernel's, or two that belong together, with its errors
//! turned into [`std::io::Error`]. Nothing in here decides anything: what to do about an `EAGAIN`
//! is the business of the floors above. `EINTR` is retried wherever a retry is right; where it is
//! not, the function says what it does.
//!
//! All descriptors that are made here are non-blocking and close-on-exec.

#![allow(unsafe_code)]

pub(crate) mod buffer_ring;
#[cfg(test)]
pub(crate) mod child;
pub(crate) mod clock;
pub(crate) mod epoll;
pub(crate) mod eventfd;
pub(crate) mod file;
pub(crate) mod fork;
pub(crate) mod handing;
pub(crate) mod inherited;
pub(crate) mod inotify;
pub(crate) mod memory;
pub(crate) mod message;
pub(crate) mod names;
pub(crate) mod pipe;
pub(crate) mod poll;
pub(crate) mod process;
pub(crate) mod ring;
pub(crate) mod signal;
pub(crate) mod socket;

use std::io;

/// Turns the kernel's `-1` into the error that `errno` holds.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The same for calls that answer with a count of bytes.
#[inline]
fn check_size(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Repeats a call as long as a signal cuts it short.
#[inline]
fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
