//! How a file is opened.

use std::io;
use std::path::Path;

use super::doing::perform;
use super::{File, c_path};
use crate::backend::{FileAnswer, FileOp};

/// How a file is opened: as `std::fs::OpenOptions`, with what that has of Unix.
///
/// ```
/// # #[aem::main] async fn main() -> std::io::Result<()> {
/// use aem::fs::OpenOptions;
///
/// let path = std::env::temp_dir().join(format!("aem-options-{}", std::process::id()));
/// let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).await?;
/// file.write_at("mine alone", 0).await?;
/// # std::fs::remove_file(path) }
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions {
    read: bool,
    write: bool,
    append: bool,
    truncate: bool,
    create: bool,
    create_new: bool,
    custom: i32,
    mode: u32,
}

impl Default for OpenOptions {
    fn default() -> OpenOptions {
        OpenOptions::new()
    }
}

impl OpenOptions {
    /// For nothing yet.
    #[must_use]
    pub fn new() -> OpenOptions {
        let (read, write, append, truncate, create, create_new) = Default::default();
        OpenOptions { read, write, append, truncate, create, create_new, custom: 0, mode: 0o666 }
    }

    /// To be read.
    pub fn read(&mut self, yes: bool) -> &mut OpenOptions {
        self.read = yes;
        self
    }

    /// To be written.
    pub fn write(&mut self, yes: bool) -> &mut OpenOptions {
        self.write = yes;
        self
    }

    /// To be written at its end only: the offsets of writes mean nothing then.
    pub fn append(&mut self, yes: bool) -> &mut OpenOptions {
        self.append = yes;
        self
    }

    /// What it had before is to go. It must be opened to be written.
    pub fn truncate(&mut self, yes: bool) -> &mut OpenOptions {
        self.truncate = yes;
        self
    }

    /// To be made if it is not there. It must be opened to be written.
    pub fn create(&mut self, yes: bool) -> &mut OpenOptions {
        self.create = yes;
        self
    }

    /// To be made, and an error if it is there already. It must be opened to be written.
    pub fn create_new(&mut self, yes: bool) -> &mut OpenOptions {
        self.create_new = yes;
        self
    }

    /// Who may do what with a file that is made: 0666 unless set, less the process's umask.
    pub fn mode(&mut self, mode: u32) -> &mut OpenOptions {
        self.mode = mode;
        self
    }

    /// More flags of open(2), but for those of the access mode.
    pub fn custom_flags(&mut self, flags: i32) -> &mut OpenOptions {
        self.custom = flags;
        self
    }

    /// Opens it. Another program that this one starts does not inherit it.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for options that make no sense together, and for a path with a zero byte; those of
    /// open(2).
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    ///
    /// # Cancel safety
    ///
    /// A file that was opened too late is closed; one that was to be made may have been.
    pub async fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let (flags, path) = (self.flags()?, c_path(path.as_ref())?);
        match perform(FileOp::Open { path, flags, mode: self.mode }).await? {
            FileAnswer::Opened(fd) => Ok(File::from(fd)),
            other => unreachable!("{other:?} in place of a descriptor"),
        }
    }

    fn flags(&self) -> io::Result<i32> {
        let access = match (self.read, self.write, self.append) {
            (true, false, false) => libc::O_RDONLY,
            (false, true, false) => libc::O_WRONLY,
            (true, true, false) => libc::O_RDWR,
            (false, _, true) => libc::O_WRONLY | libc::O_APPEND,
            (true, _, true) => libc::O_RDWR | libc::O_APPEND,
            (false, false, false) => {
                return Err(invalid("a file is opened to be read, written or appended to"));
            }
        };
        let makes = self.create || self.create_new;
        if !self.write && !self.append && (makes || self.truncate) {
            return Err(invalid("a file that is made or truncated must be opened to be written"));
        }
        if self.append && self.truncate && !self.create_new {
            return Err(invalid("a file is appended to or truncated, not both"));
        }
        let making = match (self.create, self.truncate, self.create_new) {
            (_, _, true) => libc::O_CREAT | libc::O_EXCL,
            (true, true, false) => libc::O_CREAT | libc::O_TRUNC,
            (true, false, false) => libc::O_CREAT,
            (false, true, false) => libc::O_TRUNC,
            (false, false, false) => 0,
        };
        Ok(access | making | (self.custom & !libc::O_ACCMODE) | libc::O_CLOEXEC)
    }
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

#[cfg(test)]
mod tests;
