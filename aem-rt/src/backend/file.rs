//! Operations on files, as values.
//!
//! A [`FileOp`] owns all that it needs until it is over (LENT): the path, the bytes, room for what is read,
//! and a share of the [`OpenFile`], whose descriptor therefore cannot be closed under it. One that sits in a
//! box has all of these at fixed places, so that a kernel may be told where they are.
//!
//! Nothing of a file is ever *ready*: an op on it is asked of the kernel whole, and does not care for other
//! ops on the same file. A keeper that can have the kernel do it without a thread of ours takes it
//! ([`Backend::submit_file`](super::Backend::submit_file)); else it comes back, and is to be
//! [performed](FileOp::perform) on a thread that may block.

mod naming;

use std::ffi::CString;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock};

use crate::payload::Payload;
use crate::sys::file::{self, Status};
pub(crate) use naming::Naming;

/// So often in a row a call may say that it would block, on a thread that may, before that is an error. Of a
/// file that has positions none does.
const FRUITLESS_MOST: u32 = 16;

/// The offset of a read or write of what has no positions, as a pipe. Such a read is over with the first
/// bytes.
pub(crate) const NO_POSITION: u64 = u64::MAX;

/// Something to be done about a file.
pub(crate) enum FileOp {
    /// Opens what a path names, with the flags and the mode of open(2).
    Open { path: CString, flags: i32, mode: u32 },
    /// Reads from `offset` on, to the end of `buffer`, until that has `full` bytes or the file has no more.
    /// The buffer has the capacity for it.
    Read { file: Arc<OpenFile>, buffer: Vec<u8>, full: usize, offset: u64 },
    /// Writes all of `payload`, of which the first bytes are `written` already. `offset` is that of the
    /// next one.
    Write { file: Arc<OpenFile>, payload: Payload, written: usize, offset: u64 },
    /// Tells the status of a file.
    Status { of: Named, status: Box<Status> },
    /// Waits until the disk has what was written.
    Sync { file: Arc<OpenFile>, data_only: bool },
    /// Closes a descriptor that no other op uses.
    Close { fd: Option<OwnedFd> },
    /// Does something to a name.
    Name(Naming),
}

/// Which file a status is asked of.
#[derive(Debug)]
pub(crate) enum Named {
    /// That which a path names.
    Path(CString),
    /// The same, but of a symbolic link the link itself.
    Link(CString),
    /// One that is open.
    Open(Arc<OpenFile>),
}

/// What came of an op that did not fail.
pub(crate) enum FileAnswer {
    /// A descriptor, which nobody else has.
    Opened(OwnedFd),
    /// The buffer, with what was read at its end.
    Read(Vec<u8>),
    /// The status.
    Status(Box<Status>),
    /// Written, synced, closed or named.
    Done,
}

impl FileOp {
    /// Does all of it on this thread, which may block.
    ///
    /// # Errors
    ///
    /// What the kernel says. Bytes that were read or written before that are not told of.
    pub(crate) fn perform(mut self) -> io::Result<FileAnswer> {
        let mut fruitless = 0;
        loop {
            match self.call() {
                Ok(Step::Over(answer)) => return Ok(answer),
                Ok(Step::Bytes(n)) => {
                    fruitless = 0;
                    if let Some(result) = self.advance(n) {
                        return result;
                    }
                }
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock && fruitless < FRUITLESS_MOST =>
                {
                    fruitless += 1;
                    std::thread::yield_now();
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes one call.
    fn call(&mut self) -> io::Result<Step> {
        let answer = match self {
            FileOp::Open { path, flags, mode } => {
                FileAnswer::Opened(file::open(path, *flags, *mode)?)
            }
            FileOp::Read { file, buffer, full, offset } => {
                let most = *full - buffer.len();
                return Ok(Step::Bytes(match *offset {
                    NO_POSITION => file::read(file.as_fd(), buffer, most)?,
                    offset => file::read_at(file.as_fd(), buffer, most, offset)?,
                }));
            }
            FileOp::Write { file, payload, written, offset } => {
                let rest = &payload.as_slice()[*written..];
                return Ok(Step::Bytes(match *offset {
                    NO_POSITION => file::write(file.as_fd(), rest)?,
                    offset => file::write_at(file.as_fd(), rest, offset)?,
                }));
            }
            FileOp::Status { of, status } => {
                **status = match of {
                    Named::Path(path) => file::status(None, path)?,
                    Named::Link(path) => file::status_of_link(path)?,
                    Named::Open(file) => file::status(Some(file.as_fd()), c"")?,
                };
                FileAnswer::Status(std::mem::replace(status, file::no_status()))
            }
            FileOp::Sync { file, data_only } => {
                file::sync(file.as_fd(), *data_only)?;
                FileAnswer::Done
            }
            FileOp::Close { fd } => {
                fd.take().map_or(Ok(()), file::close)?;
                FileAnswer::Done
            }
            FileOp::Name(naming) => {
                naming.call()?;
                FileAnswer::Done
            }
        };
        Ok(Step::Over(answer))
    }

    /// Notes that a call has read `n` bytes, which are in the buffer, or written them. If that is not the
    /// end of it, another call must follow.
    ///
    /// A read is over when a call brings nothing: fewer bytes than were asked for may have another reason
    /// than the end of the file.
    pub(super) fn advance(&mut self, n: usize) -> Option<io::Result<FileAnswer>> {
        match self {
            FileOp::Read { buffer, full, offset, .. } => {
                let is_stream = *offset == NO_POSITION;
                *offset = offset.saturating_add(n as u64);
                (n == 0 || is_stream || buffer.len() >= *full)
                    .then(|| Ok(FileAnswer::Read(std::mem::take(buffer))))
            }
            FileOp::Write { payload, written, offset, .. } => {
                *written += n;
                *offset = offset.saturating_add(n as u64);
                if *written == payload.len() {
                    return Some(Ok(FileAnswer::Done));
                }
                (n == 0).then(|| Err(io::ErrorKind::WriteZero.into()))
            }
            _ => unreachable!("only bytes are counted"),
        }
    }
}

/// What one call comes to.
enum Step {
    /// So many bytes.
    Bytes(usize),
    /// All of the op.
    Over(FileAnswer),
}

/// A descriptor that is shared by all ops under way that use it, on whatever thread, and closed by the last.
#[derive(Debug)]
pub(crate) struct OpenFile {
    fd: OwnedFd,
    /// Known once somebody has asked.
    has_positions: OnceLock<bool>,
}

impl OpenFile {
    /// Takes over a descriptor.
    pub(crate) fn new(fd: OwnedFd) -> Arc<OpenFile> {
        Arc::new(OpenFile { fd, has_positions: OnceLock::new() })
    }

    /// The descriptor, or if it has other users another one of the same open file.
    pub(crate) fn take(self: Arc<Self>) -> io::Result<OwnedFd> {
        match Arc::try_unwrap(self) {
            Ok(last) => Ok(last.fd),
            Err(shared) => shared.as_fd().try_clone_to_owned(),
        }
    }

    /// Whether there are positions in it, as reads and writes at one need.
    pub(crate) fn has_positions(&self) -> bool {
        *self.has_positions.get_or_init(|| file::has_positions(self.as_fd()))
    }
}

impl AsFd for OpenFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl fmt::Debug for FileOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileOp::Open { path, .. } => write!(f, "Open({path:?})"),
            FileOp::Read { offset, .. } => write!(f, "Read(at {offset})"),
            FileOp::Write { offset, .. } => write!(f, "Write(at {offset})"),
            FileOp::Status { of, .. } => write!(f, "Status({of:?})"),
            FileOp::Sync { .. } => f.write_str("Sync"),
            FileOp::Close { .. } => f.write_str("Close"),
            FileOp::Name(naming) => naming.fmt(f),
        }
    }
}

impl fmt::Debug for FileAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileAnswer::Opened(fd) => write!(f, "Opened({fd:?})"),
            FileAnswer::Read(bytes) => write!(f, "Read({} bytes)", bytes.len()),
            FileAnswer::Status(status) => write!(f, "Status({} bytes)", status.stx_size),
            FileAnswer::Done => f.write_str("Done"),
        }
    }
}

#[cfg(test)]
mod tests;
