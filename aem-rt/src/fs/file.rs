//! An open file.

use std::fmt;
use std::fs::Permissions;
use std::future::poll_fn;
use std::io;
use std::ops::RangeBounds;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::Arc;

use futures::lock::Mutex;

use super::cursor::Cursor;
use super::doing::{on_a_thread, perform};
use super::{Chunks, Metadata, OpenOptions, status};
use crate::backend::file::{Named, OpenFile};
use crate::backend::{FileAnswer, FileOp};
use crate::payload::Payload;

/// An open file, read and written at positions, and as a stream.
///
/// Reads and writes at positions may be under way in any number. The stream is futures' `AsyncRead`,
/// `AsyncWrite` and `AsyncSeek`: it has a position of its own, which begins at zero and which the others do
/// not move, and does one thing at a time. What has no positions, as a pipe or a terminal, is a stream only.
///
/// ```
/// # #[aem::main] async fn main() -> std::io::Result<()> {
/// use aem::fs::File;
/// use futures::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
///
/// let path = std::env::temp_dir().join(format!("aem-file-{}", std::process::id()));
/// let mut file = File::options().read(true).write(true).create(true).open(&path).await?;
/// file.write_all(b"one two three").await?;
/// file.seek(std::io::SeekFrom::Start(4)).await?;
/// let mut word = [0; 3];
/// file.read_exact(&mut word).await?;
/// assert_eq!(&word, b"two");
/// file.close().await?;
/// # std::fs::remove_file(path) }
/// ```
///
/// Dropped, it is closed at once by this thread, or when the last op that was under way is over. To hear what
/// the disk says to that, [`close`](Self::close) it.
pub struct File {
    pub(super) open: Arc<OpenFile>,
    /// Of those who read or write it as a stream.
    pub(super) cursor: Mutex<Cursor>,
}

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
        let file = Arc::clone(&self.open);
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
        let (file, payload) = (Arc::clone(&self.open), bytes.into());
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
        status(Named::Open(Arc::clone(&self.open))).await
    }

    /// Waits until the disk has all that was written, and all that is known of the file.
    ///
    /// # Errors
    ///
    /// Those of fsync(2), and that of a write of the stream's. What could not be written then may be lost for
    /// good.
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
        self.written().await?;
        perform(FileOp::Sync { file: Arc::clone(&self.open), data_only }).await.map(drop)
    }

    /// All that is in a part of the file, piece by piece, as a source: `file.chunks(..)`,
    /// `file.chunks(100..)`.
    ///
    /// It shares the open file, moves no position, and ends at the end of the file.
    pub fn chunks(&self, range: impl RangeBounds<u64>) -> Chunks {
        Chunks::new(Arc::clone(&self.open), range)
    }

    /// Makes it shorter, or longer by zeros. The position of the stream stays where it is.
    ///
    /// # Errors
    ///
    /// Those of ftruncate(2), and that of a write of the stream's.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    ///
    /// # Cancel safety
    ///
    /// It may have that length.
    pub async fn set_len(&self, len: u64) -> io::Result<()> {
        self.written().await?;
        let file = self.again()?;
        on_a_thread(move || file.set_len(len)).await
    }

    /// Says who may do what with it.
    ///
    /// # Errors
    ///
    /// Those of fchmod(2).
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    ///
    /// # Cancel safety
    ///
    /// They may have been changed.
    pub async fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        let file = self.again()?;
        on_a_thread(move || file.set_permissions(permissions)).await
    }

    /// Another `File` of the same open file, with a descriptor of its own, whose stream begins at zero.
    ///
    /// # Errors
    ///
    /// Those of dup(2): out of descriptors.
    pub fn try_clone(&self) -> io::Result<File> {
        Ok(self.again()?.into())
    }

    /// The same open file by another descriptor, for a thread that may block.
    fn again(&self) -> io::Result<std::fs::File> {
        Ok(self.as_fd().try_clone_to_owned()?.into())
    }

    /// Waits for the write that the stream has accepted.
    async fn written(&self) -> io::Result<()> {
        let mut cursor = self.cursor.lock().await;
        poll_fn(|cx| cursor.poll_written(cx)).await
    }

    /// Closes it. What is still under way, though nobody awaits it any more, keeps the open file until it is
    /// over.
    ///
    /// # Errors
    ///
    /// Those of close(2), and that of a write of the stream's: what could not be written until now. It is
    /// closed all the same.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    ///
    /// # Cancel safety
    ///
    /// It is closed all the same.
    pub async fn close(self) -> io::Result<()> {
        let written = self.written().await;
        let File { open, cursor } = self;
        drop(cursor);
        let closed = perform(FileOp::Close { fd: Some(open.take()?) }).await;
        written.and(closed.map(drop))
    }

    /// The same as a file of the standard library's. The position of the stream is not taken along; what the
    /// stream has accepted should be flushed before.
    ///
    /// # Errors
    ///
    /// If ops are still under way, though nobody awaits them any more, and the process is out of
    /// descriptors: one more is needed then.
    pub fn into_std(self) -> io::Result<std::fs::File> {
        let File { open, cursor } = self;
        drop(cursor);
        Ok(open.take()?.into())
    }

    /// Whether there are positions in it.
    pub(super) fn has_positions(&self) -> bool {
        self.open.has_positions()
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
        File { open: OpenFile::new(fd), cursor: Mutex::default() }
    }
}

impl From<std::fs::File> for File {
    fn from(file: std::fs::File) -> File {
        OwnedFd::from(file).into()
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.open.as_fd()
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
