//! What has names: directories are made and removed, files renamed, linked and found.

use std::fs::Permissions;
use std::io;
use std::path::{Path, PathBuf};

use super::doing::{on_a_thread, perform};
use super::{DirBuilder, Metadata, c_path, metadata, status};
use crate::backend::FileOp;
use crate::backend::file::{Named, Naming};

pub(super) async fn name(naming: Naming) -> io::Result<()> {
    perform(FileOp::Name(naming)).await.map(drop)
}

/// Makes an empty directory.
///
/// ```
/// # #[aem::main] async fn main() -> std::io::Result<()> {
/// use aem::fs;
/// use futures::TryStreamExt;
///
/// let place = std::env::temp_dir().join(format!("aem-dir-{}", std::process::id()));
/// fs::create_dir(&place).await?;
/// fs::write(place.join("a"), "text").await?;
/// fs::rename(place.join("a"), place.join("b")).await?;
/// let entries: Vec<_> = fs::read_dir(&place).await?.try_collect().await?;
/// assert_eq!(entries[0].file_name(), "b");
/// fs::remove_dir_all(&place).await?;
/// assert!(!fs::exists(&place).await?);
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// Those of mkdir(2).
///
/// # Panics
///
/// Outside of a runtime.
///
/// # Cancel safety
///
/// It may have been made.
pub async fn create_dir(path: impl AsRef<Path>) -> io::Result<()> {
    DirBuilder::new().create(path).await
}

/// Makes a directory and those above it, as far as they are not there.
///
/// # Errors
///
/// Those of mkdir(2), but that it is there already.
///
/// # Panics
///
/// Outside of a runtime.
///
/// # Cancel safety
///
/// Some or all may have been made.
pub async fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    DirBuilder::new().recursive(true).create(path).await
}

/// Gives a file or directory another name on the same file system. What had that name before is replaced, at
/// once for all who look.
///
/// # Errors
///
/// Those of rename(2).
///
/// # Panics
///
/// Outside of a runtime.
///
/// # Cancel safety
///
/// It may have been renamed.
pub async fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    let (from, to) = (c_path(from.as_ref())?, c_path(to.as_ref())?);
    name(Naming::Rename { from, to }).await
}

/// Removes the name of a file. The file goes with its last name and the last who has it open.
///
/// # Errors
///
/// Those of unlink(2), `EISDIR` for a directory among them.
///
/// # Panics
///
/// Outside of a runtime.
///
/// # Cancel safety
///
/// It may have been removed.
pub async fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    name(Naming::Remove { path: c_path(path.as_ref())?, directory: false }).await
}

/// Removes an empty directory.
///
/// # Errors
///
/// Those of rmdir(2).
///
/// # Panics
///
/// Outside of a runtime.
///
/// # Cancel safety
///
/// It may have been removed.
pub async fn remove_dir(path: impl AsRef<Path>) -> io::Result<()> {
    name(Naming::Remove { path: c_path(path.as_ref())?, directory: true }).await
}

/// Removes a directory and all that is in it; symbolic links are not followed. A thread does that, as
/// `std::fs::remove_dir_all`.
///
/// # Errors
///
/// The first one; what was removed before it stays so.
///
/// # Panics
///
/// Outside of a runtime.
///
/// # Cancel safety
///
/// A removal that has begun goes on.
pub async fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    on_a_thread(move || std::fs::remove_dir_all(path)).await
}

/// Gives a file one more name on the same file system.
///
/// # Errors
///
/// Those of link(2).
///
/// # Panics
///
/// Outside of a runtime.
///
/// # Cancel safety
///
/// It may have been made.
pub async fn hard_link(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let (original, link) = (c_path(original.as_ref())?, c_path(link.as_ref())?);
    name(Naming::Link { original, name: link }).await
}

/// Makes a symbolic link that says `target`, whatever is there.
///
/// # Errors
///
/// Those of symlink(2).
///
/// # Panics
///
/// Outside of a runtime.
///
/// # Cancel safety
///
/// It may have been made.
pub async fn symlink(target: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let (target, link) = (c_path(target.as_ref())?, c_path(link.as_ref())?);
    name(Naming::Symlink { target, name: link }).await
}

/// What a symbolic link says.
///
/// # Errors
///
/// Those of readlink(2), `EINVAL` for what is no symbolic link among them.
///
/// # Panics
///
/// Outside of a runtime.
pub async fn read_link(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let path = path.as_ref().to_owned();
    on_a_thread(move || std::fs::read_link(path)).await
}

/// The path from the root, with no symbolic link in it.
///
/// # Errors
///
/// Those of realpath(3).
///
/// # Panics
///
/// Outside of a runtime.
pub async fn canonicalize(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let path = path.as_ref().to_owned();
    on_a_thread(move || std::fs::canonicalize(path)).await
}

/// Says who may do what with a file; with a symbolic link, with that which it leads to.
///
/// # Errors
///
/// Those of chmod(2).
///
/// # Panics
///
/// Outside of a runtime.
///
/// # Cancel safety
///
/// They may have been changed.
pub async fn set_permissions(path: impl AsRef<Path>, permissions: Permissions) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    on_a_thread(move || std::fs::set_permissions(path, permissions)).await
}

/// What the kernel knows of a file; of a symbolic link, of the link itself.
///
/// # Errors
///
/// Those of lstat(2).
///
/// # Panics
///
/// Outside of a runtime.
pub async fn symlink_metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    status(Named::Link(c_path(path.as_ref())?)).await
}

/// Whether there is such a file; with a symbolic link, one that it leads to.
///
/// # Errors
///
/// Those of stat(2) but `ENOENT`: then nobody knows.
///
/// # Panics
///
/// Outside of a runtime.
pub async fn exists(path: impl AsRef<Path>) -> io::Result<bool> {
    match metadata(path).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
