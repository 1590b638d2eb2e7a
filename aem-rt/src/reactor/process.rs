//! Whether this is the process that made the reactor, or a forked child of it.
//!
//! A child has a copy of the reactor, but what that has in the kernel is shared, and stays the parent's. So
//! in a child a turn panics, and so does whatever else would ask the kernel for something; what drops a
//! source or ends the reactor gives up the copy, and the kernel hears of nothing but closed descriptors.
//! There is no turn to come, so that happens at once.

use std::io;

use super::{Reactor, Token};
use crate::sys::fork::Process;

/// What a forked child is told.
const FORKED: &str = "this process was forked off the one that made this aem runtime, and shares \
                      its sockets and events: what it does with them happens to the parent. In a \
                      forked child call exec, or make a new Runtime, or leave by _exit";

impl Reactor {
    /// The process that made it.
    pub(crate) fn process(&self) -> Process {
        self.process
    }

    /// Whether this is that process.
    ///
    /// # Errors
    ///
    /// In a forked child.
    #[inline]
    pub(crate) fn check_process(&self) -> io::Result<()> {
        if self.process.is_current() { Ok(()) } else { Err(io::Error::other(FORKED)) }
    }

    /// The same for who must not go on.
    ///
    /// # Panics
    ///
    /// In a forked child.
    #[inline]
    #[track_caller]
    pub(crate) fn refuse_forked(&self) {
        if !self.process.is_current() {
            panic!("{FORKED}");
        }
    }

    /// In a forked child: lets an op go, and with it its hold on its descriptor.
    #[cold]
    pub(super) fn give_up(&self, token: Token) {
        let op = self.backend.borrow_mut().give_up(token);
        let sink = self.waits.borrow_mut().find(token, false);
        // Payloads are dropped when nothing is borrowed any more.
        drop((op, sink));
    }

    /// The same for all ops.
    #[cold]
    pub(super) fn give_up_all(&self) {
        let ops = self.backend.borrow_mut().give_up_all();
        let waits = self.waits.take();
        drop((ops, waits));
    }
}

#[cfg(test)]
mod tests;
