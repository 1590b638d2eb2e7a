//! Files and directories: read, written, listed and changed without a call that blocks.
//!
//! On io_uring the kernel does what it has an operation for on the runtime's behalf, and no thread of the
//! program's is in it; the rest, which is listing, copying, whole trees, permissions, and resolving of links,
//! and all of it with epoll, which knows nothing of files, is done by the threads of
//! [`spawn_blocking`](crate::spawn_blocking). Nothing else tells the difference.
//!
//! A [`File`] is read and written at positions: any number of these may be under way at once, and
//! one that is dropped leaves nothing behind: a read has read nothing, a write has written all, nothing or a
//! first part. It is a stream as well, as futures' `AsyncRead`, `AsyncWrite` and `AsyncSeek`, and
//! [its chunks](File::chunks) are a source. A `File` belongs to no runtime and may be sent to other threads.
//!
//! ```
//! # #[aem::main] async fn main() -> std::io::Result<()> {
//! use aem::fs::{self, File};
//!
//! let path = std::env::temp_dir().join(format!("aem-fs-{}", std::process::id()));
//! fs::write(&path, "to be read").await?;
//!
//! let file = File::open(&path).await?;
//! assert_eq!(file.read_at(100, 6).await?, b"read");
//! assert_eq!(file.metadata().await?.len(), 10);
//! file.close().await?;
//! # std::fs::remove_file(path) }
//! ```

mod chunks;
mod copy;
mod cursor;
mod dir_builder;
mod doing;
mod file;
mod metadata;
mod names;
mod open_options;
mod read_dir;
mod watch;

use std::ffi::CString;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub use chunks::Chunks;
pub use copy::copy;
pub use dir_builder::DirBuilder;
pub use file::File;
pub use metadata::Metadata;
pub use names::{
    canonicalize, create_dir, create_dir_all, exists, hard_link, read_link, remove_dir,
    remove_dir_all, remove_file, rename, set_permissions, symlink, symlink_metadata,
};
pub use open_options::OpenOptions;
pub use read_dir::{DirEntry, FileType, ReadDir, read_dir};
pub use watch::{Change, ChangeKind, Changes, Watch, watch};

use crate::backend::file::Named;
use crate::backend::{FileAnswer, FileOp};
use crate::payload::Payload;
use crate::sys::file::no_status;
use doing::{on_a_thread, perform};

/// All bytes of a file.
///
/// What has no positions, as a pipe or a terminal, is read to its end by a thread that may block.
///
/// # Errors
///
/// Those of open(2) and read(2); `OutOfMemory`.
///
/// # Panics
///
/// Outside of a runtime.
///
/// # Cancel safety
///
/// Nothing is lost but what was read of a pipe.
pub async fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let file = File::open(path).await?;
    if !file.has_positions() {
        let mut file = file.into_std()?;
        return on_a_thread(move || {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map(|_| bytes)
        })
        .await;
    }
    // One more than there should be, as only a read that brings nothing tells of the end.
    let size = file.metadata().await?.len().saturating_add(1);
    let mut full = usize::try_from(size).map_err(|_| io::ErrorKind::OutOfMemory)?;
    let mut bytes = Vec::new();
    loop {
        bytes = file.read_on(bytes, full).await?;
        if bytes.len() < full {
            return Ok(bytes);
        }
        // It has grown, or is of those whose size nobody knows before.
        full = full.saturating_mul(2).max(SMALLEST_GUESS);
    }
}

/// So much is read at once of a file that says it is empty and is not, as those of `/proc`.
const SMALLEST_GUESS: usize = 8 * 1024;

/// Makes a file of these bytes; what it had before is gone.
///
/// # Errors
///
/// Those of open(2), write(2) and close(2).
///
/// # Panics
///
/// Outside of a runtime.
///
/// # Cancel safety
///
/// A first part of it may have been written.
pub async fn write(path: impl AsRef<Path>, bytes: impl Into<Payload>) -> io::Result<()> {
    let bytes = bytes.into();
    write_all(File::create(path).await?, bytes).await
}

/// All of a file, as text.
///
/// # Errors
///
/// As for [`read`]; `InvalidData` if it is not UTF-8.
///
/// # Panics
///
/// Outside of a runtime.
///
/// # Cancel safety
///
/// As for [`read`].
pub async fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    let bytes = read(path).await?;
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Adds these bytes to the end of a file, which is made if it is not there.
///
/// # Errors
///
/// Those of open(2), write(2) and close(2).
///
/// # Panics
///
/// Outside of a runtime.
///
/// # Cancel safety
///
/// A first part of it may have been written.
pub async fn append(path: impl AsRef<Path>, bytes: impl Into<Payload>) -> io::Result<()> {
    let bytes = bytes.into();
    let file = OpenOptions::new().append(true).create(true).open(path).await?;
    write_all(file, bytes).await
}

/// Writes to a file that was opened for just that, and closes it.
async fn write_all(file: File, bytes: Payload) -> io::Result<()> {
    if !file.has_positions() {
        let mut file = file.into_std()?;
        return on_a_thread(move || file.write_all(bytes.as_slice())).await;
    }
    file.write_at(bytes, 0).await?;
    file.close().await
}

/// What the kernel knows of a file; of a symbolic link, of the file that it leads to.
///
/// # Errors
///
/// Those of stat(2).
///
/// # Panics
///
/// Outside of a runtime.
pub async fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    status(Named::Path(c_path(path.as_ref())?)).await
}

async fn status(of: Named) -> io::Result<Metadata> {
    match perform(FileOp::Status { of, status: no_status() }).await? {
        FileAnswer::Status(status) => Ok(Metadata::new(status)),
        other => unreachable!("{other:?} in place of a status"),
    }
}

/// A path as the kernel takes it.
fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidInput, "a path cannot have a zero byte in it")
    })
}
