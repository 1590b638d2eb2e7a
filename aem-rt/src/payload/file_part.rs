//! A part of a file on its way out: the kernel sends it by itself, and no byte of it comes to us.

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::Placed;

/// So many bytes of a file, from some offset on.
#[derive(Debug)]
pub(crate) struct FilePart {
    file: OwnedFd,
    bytes: Range<u64>,
}

impl FilePart {
    /// These bytes of a file.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a range whose end is before its start or beyond what files can have.
    pub(crate) fn new(file: OwnedFd, bytes: Range<u64>) -> io::Result<FilePart> {
        if bytes.start > bytes.end || i64::try_from(bytes.end).is_err() {
            let text = format!("{}..{} is no part of a file", bytes.start, bytes.end);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Ok(FilePart { file, bytes })
    }

    pub(crate) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// The bytes that are still to go.
    pub(crate) fn bytes(&self) -> Range<u64> {
        self.bytes.clone()
    }

    /// How many these are.
    pub(crate) fn len(&self) -> u64 {
        self.bytes.end - self.bytes.start
    }
}

impl Placed for FilePart {
    fn len(&self) -> u64 {
        self.len()
    }

    fn advance(&mut self, n: u64) {
        self.bytes.start += n;
    }
}
