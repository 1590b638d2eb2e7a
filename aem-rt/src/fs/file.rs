//! An open file.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::Arc;

use super::doing::perform;
use super::{Metadata, OpenOptions, status};
use crate::backend::file::{Named, OpenFile};
use crate::backend::{FileAnswer, FileOp};
use crate::payload::Payload;

/// An open file, read and written at positions.
///
/// Dropped, it is closed at once by this thread, or when the last op that was under way is over. To hear what
/// the disk says to that, [`close`](Self::close) it.
pub struct File(Arc<OpenFile>);

impl File {
    /// Opens a file to be read.
    ///
    /// # Errors
    ///
    /// Those of open(2); `InvalidInput` for a path with a zero byte.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    ///
    /// # Cancel safety
    ///
    /// A file that was opened too late is closed.
    pub async fn open(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().read(true).open(path).await
    }

    /// Makes a file to be written; what it had before is gone.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    ///
    /// # Cancel safety
    ///
    /// It may have been made, or truncated.
    pub async fn create(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(true).open(path).await
    }

    /// The ways to open one.
    #[must_use]
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// The bytes from `offset` on, `len` of them or as many as there are: fewer only at the end of the file.
    ///
    /// # Errors
    ///
    /// Those of pread(2), `ESPIPE` for what has no positions among them; bytes that were read before an
    /// error are not told. `OutOfMemory` if there is no room for `len` bytes.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    ///
    /// # Cancel safety
    ///
    /// There is no position that could have moved: read again.
    pub async fn read_at(&self, len: usize, offset: u64) -> io::Result<Vec<u8>> {
        self.check_position(offset)?;
        self.read_into(Vec::new(), len, offset).await
    }

    /// Reads on from where `bytes` end, until there are `full` of them.
    pub(super) async fn read_on(&self, bytes: Vec<u8>, full: usize) -> io::Result<Vec<u8>> {
        let offset = bytes.len() as u64;
        self.read_into(bytes, full, offset).await
    }

    async fn read_into(
        &self,
        mut buffer: Vec<u8>,
        full: usize,
        offset: u64,
    ) -> io::Result<Vec<u8>> {
        buffer.try_reserve_exact(full - buffer.len()).map_err(|_| io::ErrorKind::OutOfMemory)?;
        if full == 0 {
            return Ok(buffer);
        }
        let file = Arc::clone(&self.0);
        match perform(FileOp::Read { file, buffer, full, offset }).await? {
            FileAnswer::Read(bytes) => Ok(bytes),
            other => unreachable!("{other:?} in place of bytes"),
        }
    }

    /// Writes all of `bytes` at `offset`. A gap before them reads as zeros.
    ///
    /// # Errors
    ///
    /// Those of pwrite(2), `ESPIPE` for what has no positions among them; a first part may have been
    /// written.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    ///
    /// # Cancel safety
    ///
    /// All of it, nothing or a first part is written; what has begun may go on for a while.
    pub async fn write_at(&self, bytes: impl Into<Payload>, offset: u64) -> io::Result<()> {
        self.check_position(offset)?;
        let (file, payload) = (Arc::clone(&self.0), bytes.into());
        if payload.is_empty() {
            return Ok(());
        }
        perform(FileOp::Write { file, payload, written: 0, offset }).await.map(drop)
    }

    /// What the kernel knows of it.
    ///
    /// # Errors
    ///
    /// Those of fstat(2).
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        status(Named::Open(Arc::clone(&self.0))).await
    }

    /// Waits until the disk has all that was written, and all that is known of the file.
    ///
    /// # Errors
    ///
    /// Those of fsync(2). What could not be written then may be lost for good.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    ///
    /// # Cancel safety
    ///
    /// The disk may have it or not.
    pub async fn sync_all(&self) -> io::Result<()> {
        self.sync(false).await
    }

    /// Waits until the disk has all that was written and what is needed to read it again.
    ///
    /// # Errors
    ///
    /// As for [`sync_all`](Self::sync_all).
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    ///
    /// # Cancel safety
    ///
    /// The disk may have it or not.
    pub async fn sync_data(&self) -> io::Result<()> {
        self.sync(true).await
    }

    async fn sync(&self, data_only: bool) -> io::Result<()> {
        perform(FileOp::Sync { file: Arc::clone(&self.0), data_only }).await.map(drop)
    }

    /// Closes it. What is still under way, though nobody awaits it any more, keeps the open file until it is
    /// over.
    ///
    /// # Errors
    ///
    /// Those of close(2): what could not be written until now. It is closed all the same.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    ///
    /// # Cancel safety
    ///
    /// It is closed all the same.
    pub async fn close(self) -> io::Result<()> {
        perform(FileOp::Close { fd: Some(self.0.take()?) }).await.map(drop)
    }

    /// The same as a file of the standard library's.
    ///
    /// # Errors
    ///
    /// If ops are still under way, though nobody awaits them any more, and the process is out of
    /// descriptors: one more is needed then.
    pub fn into_std(self) -> io::Result<std::fs::File> {
        Ok(self.0.take()?.into())
    }

    /// Whether there are positions in it.
    pub(super) fn has_positions(&self) -> bool {
        self.0.has_positions()
    }

    /// What a call says of a position that cannot be; to an entry of io_uring the last one means none.
    fn check_position(&self, offset: u64) -> io::Result<()> {
        let number = match i64::try_from(offset) {
            Err(_) => libc::EINVAL,
            Ok(_) if !self.has_positions() => libc::ESPIPE,
            Ok(_) => return Ok(()),
        };
        Err(io::Error::from_raw_os_error(number))
    }
}

impl From<OwnedFd> for File {
    fn from(fd: OwnedFd) -> File {
        File(OpenFile::new(fd))
    }
}

impl From<std::fs::File> for File {
    fn from(file: std::fs::File) -> File {
        OwnedFd::from(file).into()
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("File").field(&self.as_raw_fd()).finish()
    }
}
