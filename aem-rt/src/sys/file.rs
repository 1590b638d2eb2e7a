//! Calls on files: open, read, write, status, sync, close.
//!
//! All of these may block, for as long as a disk or a server takes: they are for threads that may. `EINTR` is
//! retried, but for `close`.

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use super::{check, check_size, retry};

/// What the kernel tells of a file.
pub(crate) type Status = libc::statx;

/// What it is asked for: all that has a name in `stat(2)`, and the time of birth.
pub(crate) const STATUS_MASK: u32 = libc::STATX_BASIC_STATS | libc::STATX_BTIME;

/// Opens a file, for this process alone.
///
/// # Errors
///
/// See open(2).
pub(crate) fn open(path: &CStr, flags: i32, mode: u32) -> io::Result<OwnedFd> {
    let flags = flags | libc::O_CLOEXEC;
    // SAFETY: the path ends in a zero byte and is borrowed until the call returns
    // (`a_file_is_opened_written_and_read_back`).
    let open = || check(unsafe { libc::openat(libc::AT_FDCWD, path.as_ptr(), flags, mode) });
    let fd = retry(open)?;
    // SAFETY: the kernel has just made the descriptor, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Reads once, at most `most` bytes from `offset` on, to the end of `buffer`, whose capacity is that much
/// larger than its length.
///
/// # Errors
///
/// See pread(2).
pub(crate) fn read_at(
    file: BorrowedFd<'_>,
    buffer: &mut Vec<u8>,
    most: usize,
    offset: u64,
) -> io::Result<usize> {
    read_from(file, buffer, most, Some(position(offset)?))
}

/// The same where the file itself is, or what it brings next if it has no positions.
///
/// # Errors
///
/// See read(2).
pub(crate) fn read(file: BorrowedFd<'_>, buffer: &mut Vec<u8>, most: usize) -> io::Result<usize> {
    read_from(file, buffer, most, None)
}

fn read_from(
    file: BorrowedFd<'_>,
    buffer: &mut Vec<u8>,
    most: usize,
    offset: Option<libc::off_t>,
) -> io::Result<usize> {
    let n = retry(|| {
        let room = buffer.spare_capacity_mut();
        let most = most.min(room.len());
        let (fd, start) = (file.as_raw_fd(), room.as_mut_ptr().cast());
        check_size(match offset {
            // SAFETY: there is room for `most` bytes from `start` on, and the borrow of the buffer lasts
            // until the call returns (`a_read_appends_and_stays_within_its_room`).
            Some(offset) => unsafe { libc::pread(fd, start, most, offset) },
            // SAFETY: the same.
            None => unsafe { libc::read(fd, start, most) },
        })
    })?;
    let length = buffer.len() + n;
    // SAFETY: the kernel has written `n` bytes behind the old length, within the capacity.
    unsafe { buffer.set_len(length) };
    Ok(n)
}

/// Writes once, at `offset`, and says how much of it.
///
/// # Errors
///
/// See pwrite(2).
pub(crate) fn write_at(file: BorrowedFd<'_>, bytes: &[u8], offset: u64) -> io::Result<usize> {
    let offset = position(offset)?;
    let (fd, start, length) = (file.as_raw_fd(), bytes.as_ptr().cast(), bytes.len());
    // SAFETY: the bytes are borrowed until the call returns
    // (`a_file_is_opened_written_and_read_back`).
    retry(|| check_size(unsafe { libc::pwrite(fd, start, length, offset) }))
}

/// The same where the file itself is, or at the end of what has no positions.
///
/// # Errors
///
/// See write(2).
pub(crate) fn write(file: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let (fd, start, length) = (file.as_raw_fd(), bytes.as_ptr().cast(), bytes.len());
    // SAFETY: the bytes are borrowed until the call returns (`what_has_no_positions_is_read_as_it_comes`).
    retry(|| check_size(unsafe { libc::write(fd, start, length) }))
}

/// Sends bytes of a file to a socket, at most `most` from `offset` on, without their coming to us; zero is
/// the end of the file. The socket decides whether that waits for room; the file may wait for its disk.
///
/// # Errors
///
/// See sendfile(2).
pub(crate) fn send_to(
    socket: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    offset: u64,
    most: usize,
) -> io::Result<usize> {
    let mut position = position(offset)?;
    let (to, from, place) = (socket.as_raw_fd(), file.as_raw_fd(), &raw mut position);
    // SAFETY: `place` is a local that lives longer than the call.
    retry(|| check_size(unsafe { libc::sendfile(to, from, place, most) }))
}

/// An offset as the kernel takes it. Beyond its range it would be a negative number, which pread(2) calls
/// invalid.
fn position(offset: u64) -> io::Result<libc::off_t> {
    libc::off_t::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

/// The status of what `path` names, symbolic links followed, or with an empty path of the directory itself,
/// which may be any file.
///
/// # Errors
///
/// See statx(2).
pub(crate) fn status(directory: Option<BorrowedFd<'_>>, path: &CStr) -> io::Result<Status> {
    match directory {
        Some(fd) => statx(fd.as_raw_fd(), path, libc::AT_EMPTY_PATH),
        None => statx(libc::AT_FDCWD, path, 0),
    }
}

/// The status of what `path` names, which may be a symbolic link itself.
///
/// # Errors
///
/// See statx(2).
pub(crate) fn status_of_link(path: &CStr) -> io::Result<Status> {
    statx(libc::AT_FDCWD, path, libc::AT_SYMLINK_NOFOLLOW)
}

fn statx(fd: RawFd, path: &CStr, flags: i32) -> io::Result<Status> {
    let mut status = MaybeUninit::<Status>::zeroed();
    let (path, into) = (path.as_ptr(), status.as_mut_ptr());
    // SAFETY: the path ends in a zero byte, `into` has room for a status, and both outlive the call
    // (`the_status_of_a_file_is_that_of_its_path`).
    retry(|| check(unsafe { libc::statx(fd, path, flags, STATUS_MASK, into) }))?;
    // SAFETY: it is made of integers, for which zeros do, and what the kernel has written.
    Ok(unsafe { status.assume_init() })
}

/// Room for the kernel to write a status to.
pub(crate) fn no_status() -> Box<Status> {
    // SAFETY: it is made of integers, and zero is one.
    unsafe { Box::<Status>::new_zeroed().assume_init() }
}

/// Has the disk take what was written: all of it, or with `data_only` what is needed to read it again.
///
/// # Errors
///
/// See fsync(2).
pub(crate) fn sync(file: BorrowedFd<'_>, data_only: bool) -> io::Result<()> {
    let fd = file.as_raw_fd();
    let sync = || {
        // SAFETY: neither touches memory.
        check(if data_only { unsafe { libc::fdatasync(fd) } } else { unsafe { libc::fsync(fd) } })
    };
    retry(sync).map(drop)
}

/// Whether there are positions in it, which a pipe or a terminal does not have.
pub(crate) fn has_positions(file: BorrowedFd<'_>) -> bool {
    // SAFETY: it touches no memory.
    unsafe { libc::lseek(file.as_raw_fd(), 0, libc::SEEK_CUR) >= 0 }
}

/// Closes it. It is closed whatever comes back, an interrupted call included: never again.
///
/// # Errors
///
/// See close(2): what could not be written until now.
pub(crate) fn close(file: OwnedFd) -> io::Result<()> {
    // SAFETY: it was ours alone, and its number is forgotten by this.
    check(unsafe { libc::close(file.into_raw_fd()) }).map(drop)
}

#[cfg(test)]
mod tests;
