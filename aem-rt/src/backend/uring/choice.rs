//! Whether io_uring may be used here, and how much of it.
//!
//! What a kernel does not know it says by `EINVAL`, what somebody has forbidden by `EPERM` or `ENOSYS`, and
//! where too much memory would be locked, `ENOMEM`. The ring is first asked for in its best shape, then
//! without one thing after the other, then smaller; what is still refused has a reason that is told to the
//! user in a line. All other errors, a process out of descriptors above all, are errors on every keeper.

use std::io;
use std::sync::OnceLock;

use super::OPCODES;
use crate::sys::ring::{Ring, Shape, Sleep};

/// A ring with fewer entries than this is of no use.
const FEWEST: u32 = 8;

/// Parts of io_uring that are not to be used though the kernel may have them: what an older kernel is like,
/// for tests and for whoever suspects one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Without(u8);

impl Without {
    pub(super) const DEFER_TASKRUN: Without = Without(1);
    pub(super) const COOP_TASKRUN: Without = Without(2);
    pub(super) const SUBMIT_ALL: Without = Without(4);
    pub(super) const BUFFER_RING: Without = Without(8);
    pub(super) const MULTISHOT_RECEIVE: Without = Without(16);
    pub(super) const MULTISHOT_ACCEPT: Without = Without(32);
    pub(super) const FILES: Without = Without(64);

    const NAMES: [(Without, &str); 7] = [
        (Without::DEFER_TASKRUN, "defer_taskrun"),
        (Without::COOP_TASKRUN, "coop_taskrun"),
        (Without::SUBMIT_ALL, "submit_all"),
        (Without::BUFFER_RING, "buffer_ring"),
        (Without::MULTISHOT_RECEIVE, "multishot_receive"),
        (Without::MULTISHOT_ACCEPT, "multishot_accept"),
        (Without::FILES, "files"),
    ];

    pub(super) fn contains(self, part: Without) -> bool {
        self.0 & part.0 != 0
    }

    /// Reads names with commas between them.
    ///
    /// # Errors
    ///
    /// The first name that is none.
    pub(crate) fn parse(names: &str) -> Result<Without, &str> {
        let mut without = Without::default();
        for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let known = Without::NAMES.iter().find(|(_, known)| *known == name);
            without.0 |= known.ok_or(name)?.0.0;
        }
        Ok(without)
    }

    /// All the names, for whoever gave a wrong one.
    pub(crate) fn names() -> String {
        Without::NAMES.map(|(_, name)| name).join(", ")
    }
}

/// Makes a ring as close to `shape` as the kernel allows, on which all that we need can be asked.
///
/// # Errors
///
/// See [`why_not`].
pub(super) fn open(mut shape: Shape) -> io::Result<Ring> {
    let mut ring = loop {
        let error = match Ring::open(&shape) {
            Ok(ring) => break ring,
            Err(error) => error,
        };
        let smaller = match error.raw_os_error() {
            Some(libc::EINVAL) => with_less(shape),
            Some(libc::ENOMEM) => halved(shape),
            _ => None,
        };
        match smaller {
            Some(smaller) => shape = smaller,
            None => return Err(error),
        }
    };
    let unsupported = |what: String| io::Error::new(io::ErrorKind::Unsupported, what);
    if !ring.is_complete() {
        return Err(unsupported("the kernel's io_uring is older than Linux 5.13".to_owned()));
    }
    let codes: Vec<u8> = OPCODES.iter().map(|(code, _)| *code).collect();
    if let Some(missing) = ring.first_missing(&codes)? {
        let name = OPCODES.iter().find(|(code, _)| *code == missing).map_or("?", |(_, name)| name);
        return Err(unsupported(format!("the kernel's io_uring has no {name}")));
    }
    // A filter may grant the rest and deny this: better heard here than by the first turn.
    ring.enter(Sleep::No)?;
    Ok(ring)
}

/// The same shape without the newest thing in it.
fn with_less(shape: Shape) -> Option<Shape> {
    if shape.deferred {
        Some(Shape { deferred: false, ..shape })
    } else if shape.cooperative {
        Some(Shape { cooperative: false, ..shape })
    } else if shape.submit_all {
        Some(Shape { submit_all: false, ..shape })
    } else {
        None
    }
}

fn halved(shape: Shape) -> Option<Shape> {
    let (entries, completions) = (shape.entries / 2, shape.completions / 2);
    (entries >= FEWEST).then_some(Shape { entries, completions, ..shape })
}

/// Whether what was asked of a ring was granted; an error that is not the kernel's refusal remains one.
pub(super) fn is_granted(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) => match error.raw_os_error() {
            Some(libc::EINVAL | libc::EPERM | libc::EACCES | libc::ENOSYS | libc::ENOMEM) => {
                Ok(false)
            }
            _ => Err(error),
        },
    }
}

/// Why io_uring cannot be used here, if that is what an error says; else it is an error as any other.
pub(crate) fn why_not(error: &io::Error) -> Option<String> {
    let why = match error.raw_os_error() {
        Some(libc::EPERM) => {
            "it is forbidden here (EPERM), by kernel.io_uring_disabled or a filter of system calls"
        }
        Some(libc::ENOSYS) => {
            "there is none here (ENOSYS): the kernel was built without it, or a filter hides it"
        }
        Some(libc::ENOMEM) => "its memory may not be locked (ENOMEM): see `ulimit -l`",
        Some(libc::EINVAL) => "the kernel refuses every shape of it (EINVAL)",
        Some(libc::EACCES) => "it is restricted here (EACCES)",
        None if error.kind() == io::ErrorKind::Unsupported => return Some(error.to_string()),
        _ => return None,
    };
    Some(why.to_owned())
}

/// Why this process may not use it, once that is known for good: nobody needs to try again.
pub(crate) fn refused_for_good() -> Option<&'static String> {
    REFUSED.get()
}

/// Notes a reason that will be the same next time. Locked memory is none: others may give it back.
pub(crate) fn note_refusal(error: &io::Error, why: &str) {
    if error.raw_os_error() != Some(libc::ENOMEM) {
        let _ = REFUSED.set(why.to_owned());
    }
}

static REFUSED: OnceLock<String> = OnceLock::new();

#[cfg(test)]
mod tests;
