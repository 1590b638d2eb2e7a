//! What is done to the names of files, as values.

use std::ffi::CString;
use std::io;

use crate::sys::names;

/// Something to be done to a name. It owns the paths, which therefore stay where they are (LENT).
#[derive(Debug)]
pub(crate) enum Naming {
    /// Makes a directory.
    MakeDirectory { path: CString, mode: u32 },
    /// Gives a file another name, in place of whatever had it.
    Rename { from: CString, to: CString },
    /// Removes the name of an empty directory, or of what is none.
    Remove { path: CString, directory: bool },
    /// Gives a file one more name.
    Link { original: CString, name: CString },
    /// Makes a symbolic link.
    Symlink { target: CString, name: CString },
}

impl Naming {
    /// Does it on this thread, which may block.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub(super) fn call(&self) -> io::Result<()> {
        match self {
            Naming::MakeDirectory { path, mode } => names::make_directory(path, *mode),
            Naming::Rename { from, to } => names::rename(from, to),
            Naming::Remove { path, directory } => names::remove(path, *directory),
            Naming::Link { original, name } => names::link(original, name),
            Naming::Symlink { target, name } => names::symlink(target, name),
        }
    }
}
