//! What is in a directory, as a source.
//!
//! A thread reads it by batches, each when the one before has been taken: a directory of a million files
//! takes the memory of a few hundred. The kernel has no other way to be asked.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self as blocking};
use std::io;
use std::os::unix::fs::{DirEntryExt, FileTypeExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::FutureExt;
use futures::stream::{FusedStream, Stream};

use super::doing::on_a_thread;
use super::{Metadata, symlink_metadata};
use crate::job::join::JoinHandle;
use crate::runtime::{context, spawn_blocking};

/// So many entries are read at once.
const BATCH: usize = 256;

/// What is in a directory, in no order, without `.` and `..`.
///
/// # Errors
///
/// Those of opendir(3).
///
/// # Panics
///
/// Outside of a runtime.
pub async fn read_dir(path: impl AsRef<Path>) -> io::Result<ReadDir> {
    let path: Arc<Path> = path.as_ref().into();
    let named = Arc::clone(&path);
    let list = on_a_thread(move || blocking::read_dir(&named)).await?;
    Ok(ReadDir { path, batch: VecDeque::new(), list: List::Here(list) })
}

/// The source of a directory's entries, made by [`read_dir`].
///
/// It ends with the last one, or with the first error. What is added or removed meanwhile may be in it or
/// not. An await that is given up loses nothing (KEPT).
#[must_use = "entries come only while somebody takes them"]
pub struct ReadDir {
    path: Arc<Path>,
    batch: VecDeque<io::Result<DirEntry>>,
    list: List,
}

/// Where the rest is to be read from.
enum List {
    /// It waits for a thread.
    Here(blocking::ReadDir),
    /// A thread has it.
    Away(JoinHandle<Batch>),
    /// There is no more.
    Over,
}

struct Batch {
    entries: VecDeque<io::Result<DirEntry>>,
    rest: Option<blocking::ReadDir>,
}

impl Batch {
    fn read(path: &Arc<Path>, mut list: blocking::ReadDir) -> Batch {
        let mut entries = VecDeque::with_capacity(BATCH);
        while entries.len() < BATCH {
            match list.next() {
                Some(Ok(entry)) => entries.push_back(Ok(DirEntry::new(path, &entry))),
                Some(Err(error)) => {
                    entries.push_back(Err(error));
                    return Batch { entries, rest: None };
                }
                None => return Batch { entries, rest: None },
            }
        }
        Batch { entries, rest: Some(list) }
    }
}

impl ReadDir {
    fn poll_entry(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<DirEntry>>> {
        loop {
            if let Some(entry) = self.batch.pop_front() {
                return Poll::Ready(Some(entry));
            }
            match &mut self.list {
                List::Over => return Poll::Ready(None),
                List::Away(job) => {
                    let batch = ready!(job.poll_unpin(cx));
                    self.list = List::Over;
                    let Batch { entries, rest } = batch.map_err(io::Error::from)?;
                    self.batch = entries;
                    if let Some(rest) = rest {
                        self.list = List::Here(rest);
                    }
                }
                List::Here(_) => {
                    if context::try_current().is_none() {
                        self.list = List::Over;
                        let text = "a directory is read outside of a runtime: await it inside of a \
                                    block_on";
                        return Poll::Ready(Some(Err(io::Error::other(text))));
                    }
                    let List::Here(list) = std::mem::replace(&mut self.list, List::Over) else {
                        unreachable!("looked at before")
                    };
                    let path = Arc::clone(&self.path);
                    let job = spawn_blocking(move || Batch::read(&path, list));
                    self.list = List::Away(job.abort_on_drop());
                }
            }
        }
    }
}

impl Stream for ReadDir {
    type Item = io::Result<DirEntry>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_entry(cx)
    }
}

impl FusedStream for ReadDir {
    fn is_terminated(&self) -> bool {
        self.batch.is_empty() && matches!(self.list, List::Over)
    }
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadDir").field(&self.path).finish()
    }
}

/// One name in a directory.
#[derive(Clone)]
pub struct DirEntry {
    directory: Arc<Path>,
    name: OsString,
    number: u64,
    kind: Option<FileType>,
}

impl DirEntry {
    fn new(directory: &Arc<Path>, entry: &blocking::DirEntry) -> DirEntry {
        DirEntry {
            directory: Arc::clone(directory),
            name: entry.file_name(),
            number: entry.ino(),
            // It may be gone already.
            kind: entry.file_type().ok().map(FileType::from_std),
        }
    }

    /// Its name, without the directory.
    #[must_use]
    pub fn file_name(&self) -> &OsStr {
        &self.name
    }

    /// The path of the directory, as it was given, and the name.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.directory.join(&self.name)
    }

    /// Its number on its device.
    #[must_use]
    pub fn ino(&self) -> u64 {
        self.number
    }

    /// What it is; of a symbolic link, that it is one. Mostly that is known without asking again.
    ///
    /// # Errors
    ///
    /// Those of lstat(2).
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    pub async fn file_type(&self) -> io::Result<FileType> {
        match self.kind {
            Some(kind) => Ok(kind),
            None => Ok(self.metadata().await?.file_type()),
        }
    }

    /// What the kernel knows of it; of a symbolic link, of the link itself.
    ///
    /// # Errors
    ///
    /// Those of lstat(2).
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        symlink_metadata(self.path()).await
    }
}

impl fmt::Debug for DirEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DirEntry").field(&self.path()).finish()
    }
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileType(u32);

impl FileType {
    /// Of the mode of stat(2).
    pub(super) fn new(mode: u32) -> FileType {
        FileType(mode & libc::S_IFMT)
    }

    fn from_std(kind: blocking::FileType) -> FileType {
        FileType(match () {
            () if kind.is_file() => libc::S_IFREG,
            () if kind.is_dir() => libc::S_IFDIR,
            () if kind.is_symlink() => libc::S_IFLNK,
            () if kind.is_fifo() => libc::S_IFIFO,
            () if kind.is_socket() => libc::S_IFSOCK,
            () if kind.is_block_device() => libc::S_IFBLK,
            () => libc::S_IFCHR,
        })
    }

    /// Whether it is a regular file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.0 == libc::S_IFREG
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.0 == libc::S_IFDIR
    }

    /// Whether it is a symbolic link.
    #[must_use]
    pub fn is_symlink(&self) -> bool {
        self.0 == libc::S_IFLNK
    }

    /// Whether it is a pipe with a name.
    #[must_use]
    pub fn is_fifo(&self) -> bool {
        self.0 == libc::S_IFIFO
    }

    /// Whether it is a socket.
    #[must_use]
    pub fn is_socket(&self) -> bool {
        self.0 == libc::S_IFSOCK
    }

    /// Whether it is a device that is read by blocks.
    #[must_use]
    pub fn is_block_device(&self) -> bool {
        self.0 == libc::S_IFBLK
    }

    /// Whether it is a device that is read by bytes.
    #[must_use]
    pub fn is_char_device(&self) -> bool {
        self.0 == libc::S_IFCHR
    }
}
