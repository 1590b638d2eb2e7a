//! Files below a root, and nothing else.
//!
//! The kernel keeps the border: every path is opened with `openat2` and `RESOLVE_BENEATH`, so
//! that neither `..` nor a symbolic link nor a rename at the wrong moment leads out of the root.
//! A page is read in pieces, so that a big file is never in memory whole.

use crate::conditions::Tag;
use crate::limits::MAX_OPEN_TRIES;
use crate::response::Status;
use rustix::buffer::spare_capacity;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last second of the year 9999, beyond which HTTP has no dates.
const LAST_DATE: u64 = 253_402_300_799;

/// A directory that is served.
#[derive(Debug)]
pub(crate) struct Site {
    root: File,
}

/// What a path leads to.
#[derive(Debug)]
pub(crate) enum Found {
    Page(Page),
    /// A directory, asked for without its last `/`.
    Directory,
}

/// A file that is open, and what is to be said about it.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) tag: Tag,
    pub(crate) media_type: &'static str,
    pub(crate) rest: Rest,
}

/// The part of a file that was not read yet.
#[derive(Debug)]
pub(crate) struct Rest {
    file: OwnedFd,
    /// The bytes that come next.
    bytes: Range<u64>,
    /// What comes then, the last first.
    more: Vec<Part>,
}

/// A part of a file, and what is sent before it.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) head: Vec<u8>,
    pub(crate) bytes: Range<u64>,
}

impl Part {
    pub(crate) fn len(&self) -> u64 {
        self.head.len() as u64 + self.bytes.end - self.bytes.start
    }
}

impl Site {
    /// Opens the root.
    ///
    /// # Errors
    ///
    /// What the system says of a root that is no directory or may not be read, and `Unsupported`
    /// on a kernel without `openat2`.
    pub(crate) fn open(root: &Path) -> io::Result<Site> {
        let site = Site { root: File::open(root)? };
        if !site.root.metadata()?.is_dir() {
            return Err(Errno::NOTDIR.into());
        }
        match site.open_beneath(b".") {
            Err(Errno::NOSYS) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "this kernel has no openat2 (Linux 5.6), which keeps paths below the root",
            )),
            Err(error) => Err(error.into()),
            Ok(_) => Ok(site),
        }
    }

    /// Looks a path up that `target::path` made; a directory stands for its `index.html`.
    pub(crate) fn find(&self, mut path: Vec<u8>) -> Result<Found, Status> {
        let names_a_directory = path.is_empty() || path.ends_with(b"/");
        if names_a_directory {
            path.extend_from_slice(b"index.html");
        }
        let file = self.open_beneath(&path).map_err(status_of)?;
        let facts = fstat(&file).map_err(status_of)?;
        match FileType::from_raw_mode(facts.st_mode) {
            FileType::RegularFile => {}
            FileType::Directory if !names_a_directory => return Ok(Found::Directory),
            _ => return Err(Status::NOT_FOUND),
        }
        let length = u64::try_from(facts.st_size).unwrap_or(0);
        // A time that HTTP has no date for is none, and one in the future must not be told.
        let second = u64::try_from(facts.st_mtime).unwrap_or(0).min(LAST_DATE);
        let time = UNIX_EPOCH + Duration::new(second, facts.st_mtime_nsec as u32);
        let tag = Tag { modified: time.min(SystemTime::now()), length };
        let media_type = media_type(&path);
        let rest = Rest { file, bytes: 0..length, more: Vec::new() };
        Ok(Found::Page(Page { tag, media_type, rest }))
    }

    fn open_beneath(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        // Without NONBLOCK, opening a FIFO would stop the whole server.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let mut tries = 0;
        loop {
            tries += 1;
            match openat2(&self.root, path, flags, Mode::empty(), ResolveFlags::BENEATH) {
                Err(Errno::AGAIN | Errno::INTR) if tries < MAX_OPEN_TRIES => {}
                result => return result,
            }
        }
    }
}

impl Rest {
    /// This part only.
    pub(crate) fn only(self, bytes: Range<u64>) -> Rest {
        Rest { bytes, ..self }
    }

    /// These parts only.
    pub(crate) fn only_parts(self, mut more: Vec<Part>) -> Rest {
        more.reverse();
        Rest { bytes: 0..0, more, ..self }
    }

    /// Whether all has been read.
    pub(crate) fn is_over(&self) -> bool {
        self.bytes.is_empty() && self.more.is_empty()
    }

    /// Appends the next piece to `out`, at most `limit` bytes and the heads of parts, and blocks on the disk
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the file has become shorter than what was promised in the head. (If it
    /// has grown, the promise is kept and no more.)
    pub(crate) fn read(&mut self, out: &mut Vec<u8>, limit: usize) -> io::Result<()> {
        let mut room = limit;
        while room > 0 && !self.is_over() {
            if self.bytes.is_empty()
                && let Some(part) = self.more.pop()
            {
                out.extend_from_slice(&part.head);
                self.bytes = part.bytes;
                continue;
            }
            let left = self.bytes.end - self.bytes.start;
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(room);
            out.reserve(wanted);
            let start = out.len();
            let read = match rustix::io::pread(&self.file, spare_capacity(out), self.bytes.start) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => read.min(wanted),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            out.truncate(start + read);
            room -= read;
            self.bytes.start += read as u64;
        }
        Ok(())
    }
}

/// What a client is told when a file cannot be opened.
fn status_of(error: Errno) -> Status {
    match error {
        // XDEV: the path led out of the root. LOOP: too many symbolic links.
        Errno::NOENT | Errno::NOTDIR | Errno::XDEV | Errno::LOOP | Errno::NAMETOOLONG => {
            Status::NOT_FOUND
        }
        Errno::ACCESS | Errno::PERM => Status::FORBIDDEN,
        Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN => Status::SERVICE_UNAVAILABLE,
        // A device that is not there, a socket.
        Errno::NXIO | Errno::NODEV => Status::NOT_FOUND,
        _ => Status::INTERNAL_SERVER_ERROR,
    }
}

/// Media types, and the endings of names that promise them.
const MEDIA_TYPES: &str = include_str!("media_types.txt");

/// The media type that a file's name promises.
fn media_type(path: &[u8]) -> &'static str {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    let Some(dot) = name.iter().rposition(|&byte| byte == b'.') else { return UNKNOWN };
    let promised =
        MEDIA_TYPES.lines().filter_map(|line| line.split_once('\t')).find(|(_, endings)| {
            endings
                .split(' ')
                .any(|ending| ending.as_bytes().eq_ignore_ascii_case(&name[dot + 1..]))
        });
    promised.map_or(UNKNOWN, |(media_type, _)| media_type)
}

/// The type of what may be anything.
const UNKNOWN: &str = "application/octet-stream";

#[cfg(test)]
mod tests;
