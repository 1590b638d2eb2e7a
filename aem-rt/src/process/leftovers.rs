//! Children that outlived their runtime: nobody is told of their end, and somebody must take it.
//!
//! A list of the process. Whoever starts a child or leaves one looks through it, so the zombies in
//! it are never more than the children that ran when their runtimes ended, and go with the next start.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::sys::process::{Which, ends_within, reap};

/// How long a child that was killed may take to end before it is left here: that is the kernel's work
/// alone, unless the child waits for a disk.
const KILLED_WAIT: Duration = Duration::from_millis(500);

struct Leftover {
    pid: u32,
    /// None if there was none to be had.
    pidfd: Option<OwnedFd>,
}

static LEFTOVERS: Mutex<Vec<Leftover>> = Mutex::new(Vec::new());

fn leftovers() -> MutexGuard<'static, Vec<Leftover>> {
    // Nothing foreign runs under the lock, so a poisoned one is whole.
    LEFTOVERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Leaves a child that runs to whoever comes next. One that was killed is waited for, a moment.
pub(super) fn leave(pid: u32, pidfd: BorrowedFd<'_>, killed: bool) {
    if killed {
        // It is only a wait: what cannot be waited for is left.
        let _ = ends_within(pidfd, KILLED_WAIT);
    }
    if !is_gone(Which::Descriptor(pidfd)) {
        // Without a descriptor to be had the number will do: it stays the child's until it is reaped.
        let pidfd = pidfd.try_clone_to_owned().ok();
        leftovers().push(Leftover { pid, pidfd });
    }
    sweep();
}

/// Leaves a child that could not be watched from the beginning, and was killed for that.
pub(super) fn leave_unwatched(pid: u32) {
    if !is_gone(Which::Number(pid)) {
        leftovers().push(Leftover { pid, pidfd: None });
    }
}

/// Takes the ends that have come.
pub(super) fn sweep() {
    leftovers().retain(|left| match &left.pidfd {
        Some(pidfd) => !is_gone(Which::Descriptor(pidfd.as_fd())),
        None => !is_gone(Which::Number(left.pid)),
    });
}

/// Whether it has ended, and nothing is left of it. An error says that it is not ours to reap: somebody else
/// has, or it is a child of the process that forked this one.
fn is_gone(child: Which<'_>) -> bool {
    !matches!(reap(child), Ok(None))
}
