//! Copying a file without its bytes passing through this program, where the kernel can do that.

use std::fs::{self as blocking};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, Weak};

use super::doing::on_a_thread;

/// So many bytes are copied before somebody looks whether that is still wanted: some milliseconds' work.
const PIECE: u64 = 16 * 1024 * 1024;

/// Copies the bytes of a file and who may do what with it, in place of what is there, and says how many
/// bytes. A thread does that, as `std::fs::copy`: by copy_file_range(2), or else sendfile(2), or else
/// through its memory. A file that is copied onto itself is empty then.
///
/// ```
/// # #[aem::main] async fn main() -> std::io::Result<()> {
/// let place = std::env::temp_dir();
/// let (from, to) = (place.join("aem-copy-from"), place.join("aem-copy-to"));
/// aem::fs::write(&from, "twice").await?;
/// assert_eq!(aem::fs::copy(&from, &to).await?, 5);
/// assert_eq!(aem::fs::read_to_string(&to).await?, "twice");
/// # std::fs::remove_file(from)?; std::fs::remove_file(to) }
/// ```
///
/// # Errors
///
/// Those of open(2), read(2) and write(2). `InvalidInput` if `from` is no regular file. A first part may have
/// been copied.
///
/// # Panics
///
/// Outside of a runtime.
///
/// # Cancel safety
///
/// It stops soon, and a first part has been copied.
pub async fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<u64> {
    let (from, to) = (from.as_ref().to_owned(), to.as_ref().to_owned());
    let wanted = Arc::new(());
    let is_wanted = Arc::downgrade(&wanted);
    let copied = on_a_thread(move || copy_here(&from, &to, &is_wanted)).await;
    drop(wanted);
    copied
}

fn copy_here(from: &Path, to: &Path, is_wanted: &Weak<()>) -> io::Result<u64> {
    let from = blocking::File::open(from)?;
    let known = from.metadata()?;
    if !known.is_file() {
        let text = "what is copied must be a regular file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let mut options = blocking::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(known.permissions().mode());
    let to = options.open(to)?;
    if to.metadata()?.is_file() {
        to.set_permissions(known.permissions())?;
    }
    let mut copied = 0;
    while is_wanted.strong_count() > 0 {
        match io::copy(&mut (&from).take(PIECE), &mut &to)? {
            0 => break,
            n => copied += n,
        }
    }
    Ok(copied)
}
