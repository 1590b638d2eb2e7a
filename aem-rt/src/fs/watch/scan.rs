//! Looking at a directory and all below it: each gets a watch, and then is listed.
//!
//! In this order nothing is missed: what is made before the list is in it, and what is made after the watch
//! has its record. What is made between the two is in both, and told by the [tree](super::tree) once.

use std::ffi::OsString;
use std::fs::{FileType, read_dir};
use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use crate::fs::c_path;
use crate::sys::inotify::{self, Number};

/// What is asked of every watch.
pub(super) const MASK: u32 = libc::IN_CREATE
    | libc::IN_MODIFY
    | libc::IN_CLOSE_WRITE
    | libc::IN_ATTRIB
    | libc::IN_DELETE
    | libc::IN_MOVED_FROM
    | libc::IN_MOVED_TO
    | libc::IN_DELETE_SELF
    | libc::IN_MOVE_SELF;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    /// Each watch, those of directories before those below them.
    pub(super) watched: Vec<(Number, PathBuf)>,
    /// What is in the directories.
    pub(super) found: Vec<Found>,
    /// What was no directory any more.
    pub(super) missed: Vec<PathBuf>,
    /// Why directories could not be watched or listed.
    pub(super) refused: Vec<io::Error>,
}

#[derive(Debug)]
pub(super) struct Found {
    /// The directory it is in.
    pub(super) number: Number,
    pub(super) name: OsString,
    pub(super) path: PathBuf,
    pub(super) is_dir: bool,
}

/// Watches `top`, and if it is `recursive`, all directories below it as well. The root of all may be a file
/// or a symbolic link.
///
/// # Errors
///
/// None; those of single directories are in what comes back.
pub(super) fn scan(
    inotify: BorrowedFd<'_>,
    top: PathBuf,
    is_root: bool,
    recursive: bool,
) -> io::Result<Scanned> {
    let mut scanned = Scanned::default();
    let mut flags = if is_root { 0 } else { libc::IN_ONLYDIR | libc::IN_DONT_FOLLOW };
    let mut above = vec![top];
    while let Some(path) = above.pop() {
        let number = c_path(&path).and_then(|path| inotify::add(inotify, &path, MASK | flags));
        flags = libc::IN_ONLYDIR | libc::IN_DONT_FOLLOW;
        match number {
            Ok(number) => {
                if recursive && !list(number, &path, &mut above, &mut scanned) {
                    scanned.missed.push(path);
                } else {
                    scanned.watched.push((number, path));
                }
            }
            Err(error) if is_gone(&error) => scanned.missed.push(path),
            Err(error) => scanned.refused.push(explained(error, &path)),
        }
    }
    Ok(scanned)
}

/// False if there is no such directory any more.
fn list(number: Number, path: &Path, above: &mut Vec<PathBuf>, scanned: &mut Scanned) -> bool {
    let entries = match read_dir(path) {
        Ok(entries) => entries,
        Err(error) if is_gone(&error) => return false,
        Err(error) => {
            scanned.refused.push(explained(error, path));
            return true;
        }
    };
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                scanned.refused.push(explained(error, path));
                break;
            }
        };
        let is_dir = entry.file_type().as_ref().is_ok_and(FileType::is_dir);
        let (name, path) = (entry.file_name(), entry.path());
        if is_dir {
            above.push(path.clone());
        }
        scanned.found.push(Found { number, name, path, is_dir });
    }
    true
}

/// Whether an error says that there is no such directory any more.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// An error with the path in it, and with the limit that was met.
pub(super) fn explained(error: io::Error, path: &Path) -> io::Error {
    let path = path.display();
    match error.raw_os_error() {
        Some(libc::ENOSPC) => io::Error::new(
            error.kind(),
            format!(
                "{path} cannot be watched, as the user has as many watches as he may have: \
                 fs.inotify.max_user_watches is the limit"
            ),
        ),
        _ => io::Error::new(error.kind(), format!("{path} cannot be watched: {error}")),
    }
}
