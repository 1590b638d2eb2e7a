//! How a directory is made.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use super::c_path;
use super::doing::on_a_thread;
use super::names::name;
use crate::backend::file::Naming;

/// How a directory is made: as `std::fs::DirBuilder`, with what that has of Unix.
///
/// ```
/// # #[aem::main] async fn main() -> std::io::Result<()> {
/// use aem::fs::DirBuilder;
///
/// let place = std::env::temp_dir().join(format!("aem-builder-{}", std::process::id()));
/// DirBuilder::new().recursive(true).mode(0o700).create(place.join("mine/alone")).await?;
/// # std::fs::remove_dir_all(place) }
/// ```
#[derive(Clone, Debug)]
pub struct DirBuilder {
    recursive: bool,
    mode: u32,
}

impl Default for DirBuilder {
    fn default() -> DirBuilder {
        DirBuilder::new()
    }
}

impl DirBuilder {
    /// For one directory, for everybody, less the process's umask.
    #[must_use]
    pub fn new() -> DirBuilder {
        DirBuilder { recursive: false, mode: 0o777 }
    }

    /// With all those above it that are not there; and if it is there already, that is no error.
    pub fn recursive(&mut self, yes: bool) -> &mut DirBuilder {
        self.recursive = yes;
        self
    }

    /// Who may do what with it: 0777 unless set, less the process's umask.
    pub fn mode(&mut self, mode: u32) -> &mut DirBuilder {
        self.mode = mode;
        self
    }

    /// Makes it.
    ///
    /// # Errors
    ///
    /// Those of mkdir(2); `InvalidInput` for a path with a zero byte.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    ///
    /// # Cancel safety
    ///
    /// It may have been made.
    pub async fn create(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let (path, mode) = (path.as_ref(), self.mode);
        if !self.recursive {
            return name(Naming::MakeDirectory { path: c_path(path)?, mode }).await;
        }
        let path = path.to_owned();
        on_a_thread(move || std::fs::DirBuilder::new().recursive(true).mode(mode).create(path))
            .await
    }
}
