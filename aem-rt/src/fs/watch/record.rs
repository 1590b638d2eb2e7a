//! What inotify writes: records, one behind the other.
//!
//! Nothing here trusts the bytes: a record that is cut short, or says more than there is, is the last one.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::sys::inotify::Number;

/// The head of a record: number, mask, cookie, length of the name.
const HEAD: usize = 16;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Which watch it is of; `-1` is none.
    pub(super) number: Number,
    pub(super) mask: u32,
    /// What both halves of a move have in common.
    pub(super) cookie: u32,
    /// The name in the directory that is watched; empty for what is watched itself.
    pub(super) name: OsString,
}

impl Record {
    pub(super) fn says(&self, flag: u32) -> bool {
        self.mask & flag != 0
    }

    /// Cuts the next one off `bytes`.
    pub(super) fn take(bytes: &mut &[u8]) -> Option<Record> {
        let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
        let word = |at: usize| [head[at], head[at + 1], head[at + 2], head[at + 3]];
        let length = usize::try_from(u32::from_ne_bytes(word(12))).ok()?;
        let (name, rest) = rest.split_at_checked(length)?;
        *bytes = rest;
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(length);
        Some(Record {
            number: Number::from_ne_bytes(word(0)),
            mask: u32::from_ne_bytes(word(4)),
            cookie: u32::from_ne_bytes(word(8)),
            name: OsStr::from_bytes(&name[..end]).to_owned(),
        })
    }
}

#[cfg(test)]
mod tests;
