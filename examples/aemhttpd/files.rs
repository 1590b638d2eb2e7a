//! Files below a root, and nothing else.
//!
//! The kernel keeps the border: every path is opened with `openat2` and `RESOLVE_BENEATH`, so
//! that neither `..` nor a symbolic link nor a rename at the wrong moment leads out of the root.
//! A small page is read whole, and kept for others; a big one is never in our memory.

use crate::answers::{Answers, Part};
use crate::limits::{MAX_OPEN_TRIES, MAX_SMALL};
use crate::page::Whole;
use crate::shelf::Shelf;
use aem_examples::http::conditions::Tag;
use aem_examples::http::status::Status;
use aem_examples::http::target;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2};
use rustix::io::Errno;
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The last second of the year 9999, beyond which HTTP has no dates.
const LAST_DATE: u64 = 253_402_300_799;

/// A directory that is served.
#[derive(Debug)]
pub(crate) struct Site {
    root: File,
    shelf: Shelf,
}

/// What a target leads to.
#[derive(Debug)]
pub(crate) enum Found {
    Page(Rc<Page>),
    /// A directory, asked for without its last `/`.
    Directory,
}

/// A file, and what is to be said about it.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) tag: Tag,
    pub(crate) media_type: &'static str,
    /// The fields of every answer about it.
    pub(crate) fields: String,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// In the answer that most requests for it get.
    Small(RefCell<Whole>),
    Big(OwnedFd),
}

impl Page {
    /// The whole answer with a small page.
    pub(crate) fn whole(&self, now: Instant) -> Option<Part> {
        let Content::Small(whole) = &self.content else { return None };
        Some(Part::Kept(whole.borrow_mut().at(now)))
    }

    /// Appends a part of it to an answer.
    ///
    /// # Errors
    ///
    /// When there are no descriptors left.
    pub(crate) fn put(&self, bytes: Range<u64>, out: &mut Answers) -> io::Result<()> {
        match &self.content {
            Content::Small(whole) => {
                let bytes = bytes.start as usize..bytes.end as usize;
                out.bytes().extend_from_slice(&whole.borrow().content()[bytes]);
            }
            Content::Big(file) => {
                out.push(Part::File(file.try_clone()?, bytes));
            }
        }
        Ok(())
    }
}

impl Site {
    /// Opens the root.
    ///
    /// # Errors
    ///
    /// What the system says of a root that is no directory or may not be read.
    pub(crate) fn open(root: &Path) -> io::Result<Site> {
        let site = Site { root: File::open(root)?, shelf: Shelf::default() };
        if !site.root.metadata()?.is_dir() {
            return Err(Errno::NOTDIR.into());
        }
        site.open_beneath(b".")?;
        Ok(site)
    }

    /// Looks up what the path of a target names; a directory stands for its `index.html`.
    pub(crate) fn find(&self, target: &[u8], now: Instant) -> Result<Found, Status> {
        if let Some(page) = self.shelf.find(&self.root, target, now) {
            return Ok(Found::Page(page));
        }
        let mut path = target::path(target)?;
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
        let page = Rc::new(page(file, &facts, media_type(&path), now)?);
        if let Content::Small(_) = page.content {
            self.shelf.keep(target, path, &facts, &page, now);
        }
        Ok(Found::Page(page))
    }

    fn open_beneath(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        // Without NONBLOCK, opening a FIFO would stop the whole server.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let mut tries = 0;
        loop {
            tries += 1;
            match openat2(&self.root, path, flags, Mode::empty(), ResolveFlags::BENEATH) {
                Err(Errno::AGAIN | Errno::INTR) if tries < MAX_OPEN_TRIES => {}
                Err(Errno::NOSYS) => return open_step_by_step(&self.root, path, flags),
                result => return result,
            }
        }
    }
}

/// Opens a path, which has no `..`, where `openat2` is not to be had: before Linux 5.6, in some sandboxes.
/// Then no symbolic link is followed, whether it leads out of the root or not.
fn open_step_by_step(root: &File, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    const STEP: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
    let mut place = root.try_clone().map(OwnedFd::from).map_err(|_| Errno::MFILE)?;
    let mut steps = path.split(|&byte| byte == b'/').peekable();
    while let Some(step) = steps.next() {
        let flags = if steps.peek().is_some() { STEP } else { flags };
        place = openat(&place, step, flags | OFlags::NOFOLLOW, Mode::empty())?;
    }
    Ok(place)
}

/// An open file as a page: a small one is read, and blocks on the disk meanwhile.
fn page(
    file: OwnedFd,
    facts: &Stat,
    media_type: &'static str,
    now: Instant,
) -> Result<Page, Status> {
    let mut length = u64::try_from(facts.st_size).unwrap_or(0);
    let (small, big) = if length <= MAX_SMALL {
        let mut content = Vec::with_capacity(length as usize);
        let read = File::from(file).take(length).read_to_end(&mut content);
        // It may be shorter by now.
        length = read.map_err(|_| Status::INTERNAL_SERVER_ERROR)? as u64;
        (content, None)
    } else {
        (Vec::new(), Some(file))
    };
    // A time that HTTP has no date for is none, and one in the future must not be told.
    let second = u64::try_from(facts.st_mtime).unwrap_or(0).min(LAST_DATE);
    let time = UNIX_EPOCH + Duration::new(second, facts.st_mtime_nsec as u32);
    let tag = Tag { modified: time.min(SystemTime::now()), length };
    let modified = httpdate::fmt_http_date(tag.modified);
    let fields = format!("Last-Modified: {modified}\r\nETag: {tag}\r\nAccept-Ranges: bytes\r\n");
    let content = match big {
        Some(file) => Content::Big(file),
        None => Content::Small(Whole::new(&fields, media_type, &small, now).into()),
    };
    Ok(Page { tag, media_type, fields, content })
}

/// What a client is told when a file cannot be opened.
fn status_of(error: Errno) -> Status {
    match error {
        // XDEV: the path led out of the root. LOOP: too many symbolic links. NXIO, NODEV: a socket, or a
        // device that is not there.
        Errno::NOENT
        | Errno::NOTDIR
        | Errno::XDEV
        | Errno::LOOP
        | Errno::NAMETOOLONG
        | Errno::NXIO
        | Errno::NODEV => Status::NOT_FOUND,
        Errno::ACCESS | Errno::PERM => Status::FORBIDDEN,
        Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN => Status::SERVICE_UNAVAILABLE,
        _ => Status::INTERNAL_SERVER_ERROR,
    }
}

/// Media types, and the endings of names that promise them.
const MEDIA_TYPES: &str = include_str!("media_types.txt");

/// The media type that a file's name promises.
fn media_type(path: &[u8]) -> &'static str {
    const UNKNOWN: &str = "application/octet-stream";
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    let Some(dot) = name.iter().rposition(|&byte| byte == b'.') else { return UNKNOWN };
    let is_it = |ending: &str| ending.as_bytes().eq_ignore_ascii_case(&name[dot + 1..]);
    let mut types = MEDIA_TYPES.lines().filter_map(|line| line.split_once('\t'));
    let promised = types.find(|(_, endings)| endings.split(' ').any(is_it));
    promised.map_or(UNKNOWN, |(media_type, _)| media_type)
}

#[cfg(test)]
mod tests;
