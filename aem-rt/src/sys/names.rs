//! Calls on names: directories are made, names are changed, removed and added.
//!
//! As those on files these may block. None of them is retried: a signal does not cut them short.

use std::ffi::CStr;
use std::io;

use super::check;

/// Makes a directory; the process's umask is taken from `mode`.
///
/// # Errors
///
/// See mkdir(2).
pub(crate) fn make_directory(path: &CStr, mode: u32) -> io::Result<()> {
    // SAFETY: the path ends in a zero byte and is borrowed until the call returns (`names_come_and_go`).
    check(unsafe { libc::mkdir(path.as_ptr(), mode) }).map(drop)
}

/// Gives a file another name, in place of whatever had it.
///
/// # Errors
///
/// See rename(2).
pub(crate) fn rename(from: &CStr, to: &CStr) -> io::Result<()> {
    // SAFETY: both paths end in a zero byte and are borrowed until the call returns (`names_come_and_go`).
    check(unsafe { libc::rename(from.as_ptr(), to.as_ptr()) }).map(drop)
}

/// Removes a name, of an empty directory or of what is none.
///
/// # Errors
///
/// See unlinkat(2).
pub(crate) fn remove(path: &CStr, directory: bool) -> io::Result<()> {
    let flags = if directory { libc::AT_REMOVEDIR } else { 0 };
    // SAFETY: the path ends in a zero byte and is borrowed until the call returns (`names_come_and_go`).
    check(unsafe { libc::unlinkat(libc::AT_FDCWD, path.as_ptr(), flags) }).map(drop)
}

/// Gives a file one more name. A symbolic link gets one itself.
///
/// # Errors
///
/// See linkat(2).
pub(crate) fn link(original: &CStr, name: &CStr) -> io::Result<()> {
    let (here, original, name) = (libc::AT_FDCWD, original.as_ptr(), name.as_ptr());
    // SAFETY: both paths end in a zero byte and are borrowed until the call returns (`names_come_and_go`).
    check(unsafe { libc::linkat(here, original, here, name, 0) }).map(drop)
}

/// Makes a symbolic link that says `target`.
///
/// # Errors
///
/// See symlink(2).
pub(crate) fn symlink(target: &CStr, name: &CStr) -> io::Result<()> {
    // SAFETY: both paths end in a zero byte and are borrowed until the call returns (`names_come_and_go`).
    check(unsafe { libc::symlink(target.as_ptr(), name.as_ptr()) }).map(drop)
}

#[cfg(test)]
mod tests;
