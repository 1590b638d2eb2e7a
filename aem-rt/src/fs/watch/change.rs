//! What has happened to a file.

use std::path::PathBuf;

/// What has happened to a file, an event of [`watch`](super::watch).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// What has happened.
    pub kind: ChangeKind,
    /// To what: the path that was given to watch, and the names below it.
    pub path: PathBuf,
    /// Whether that is a directory.
    pub is_dir: bool,
}

/// What may happen to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChangeKind {
    /// It was made, linked, or moved here from where nobody watches.
    Created,
    /// Its bytes were changed, or its length.
    Modified,
    /// Somebody who could have written to it closed it: mostly the moment to look at it.
    Closed,
    /// Its owner, permissions, times, or number of names were changed.
    Attributes,
    /// Its name was removed, or it was moved to where nobody watches.
    Removed,
    /// It was moved here, in place of what had that path.
    Renamed {
        /// The path that it had.
        from: PathBuf,
    },
    /// More has happened than was told: the path is that which was given to watch, and all below it has to be
    /// looked at anew. A change that follows may be seen by that look already.
    Overflow,
    /// That which was given to watch was itself removed, moved or unmounted. Nothing follows.
    Gone,
}
