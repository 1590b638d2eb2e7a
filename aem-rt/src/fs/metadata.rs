//! What the kernel knows of a file.

use std::fmt;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::FileType;
use crate::sys::file::Status;

/// What the kernel knows of a file, as it was when it was asked.
#[derive(Clone)]
pub struct Metadata(Box<Status>);

impl Metadata {
    pub(super) fn new(status: Box<Status>) -> Metadata {
        Metadata(status)
    }

    /// How many bytes there are in it.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "as std's, of which nobody asks that either")]
    pub fn len(&self) -> u64 {
        self.0.stx_size
    }

    /// Whether it is a regular file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.file_type().is_file()
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.file_type().is_dir()
    }

    /// Whether it is a symbolic link; see [`symlink_metadata`](super::symlink_metadata).
    #[must_use]
    pub fn is_symlink(&self) -> bool {
        self.file_type().is_symlink()
    }

    /// What it is.
    #[must_use]
    pub fn file_type(&self) -> FileType {
        FileType::new(self.mode())
    }

    /// Who may do what with it.
    #[must_use]
    pub fn permissions(&self) -> Permissions {
        Permissions::from_mode(self.mode())
    }

    /// Its kind and who may do what with it: `st_mode` of stat(2).
    #[must_use]
    pub fn mode(&self) -> u32 {
        self.0.stx_mode.into()
    }

    /// The user whose it is.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.0.stx_uid
    }

    /// The group whose it is.
    #[must_use]
    pub fn gid(&self) -> u32 {
        self.0.stx_gid
    }

    /// Its number on its device.
    #[must_use]
    pub fn ino(&self) -> u64 {
        self.0.stx_ino
    }

    /// The number of the device that it is on.
    #[must_use]
    pub fn dev(&self) -> u64 {
        libc::makedev(self.0.stx_dev_major, self.0.stx_dev_minor)
    }

    /// How many names it has.
    #[must_use]
    pub fn nlink(&self) -> u64 {
        self.0.stx_nlink.into()
    }

    /// When its bytes were last changed.
    #[must_use]
    pub fn modified(&self) -> SystemTime {
        time(&self.0.stx_mtime)
    }

    /// When its bytes were last read, as far as the file system keeps count.
    #[must_use]
    pub fn accessed(&self) -> SystemTime {
        time(&self.0.stx_atime)
    }

    /// When it was made.
    ///
    /// # Errors
    ///
    /// `Unsupported` where the file system does not know.
    pub fn created(&self) -> io::Result<SystemTime> {
        if self.0.stx_mask & libc::STATX_BTIME == 0 {
            let text = "the file system does not know when its files were made";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        Ok(time(&self.0.stx_btime))
    }
}

/// The kernel's time, which may be before 1970; the nanoseconds count forward all the same.
fn time(stamp: &libc::statx_timestamp) -> SystemTime {
    let seconds = Duration::from_secs(stamp.tv_sec.unsigned_abs());
    let whole = if stamp.tv_sec < 0 { UNIX_EPOCH - seconds } else { UNIX_EPOCH + seconds };
    whole + Duration::from_nanos(stamp.tv_nsec.into())
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metadata")
            .field("len", &self.len())
            .field("mode", &format_args!("{:o}", self.mode()))
            .field("modified", &self.modified())
            .finish_non_exhaustive()
    }
}
