//! Whether a source is polled where it belongs.
//!
//! A source belongs to the reactor that it was made on: only that one's turns bring it answers.
//! Awaiting it under another runtime, or outside of any, would hang, so it is an error instead.
//! Each poll asks, so the answer is a compare; why it is a no is found out only then.

use std::io;

use super::Reactor;
use crate::sync;

/// Whether `reactor` is the one of this thread's present runtime.
///
/// # Errors
///
/// If another runtime runs here, or none, or its own has ended, or if it is that of a process which forked
/// this one.
#[inline]
pub(crate) fn check(reactor: &Reactor) -> io::Result<()> {
    if reactor.is_here() { Ok(()) } else { Err(refusal(reactor)) }
}

/// The same for what may be done between two `block_on`s, when no runtime is the present one.
///
/// # Errors
///
/// If another runtime runs here, or its own has ended; in a forked child.
#[inline]
pub(crate) fn check_unless_outside(reactor: &Reactor) -> io::Result<()> {
    if reactor.is_here() {
        return Ok(());
    }
    reactor.check_open()?;
    reactor.check_process()?;
    if is_outside() { Ok(()) } else { Err(refusal(reactor)) }
}

fn is_outside() -> bool {
    sync::current() == 0
}

#[cold]
fn refusal(reactor: &Reactor) -> io::Error {
    if let Err(ended) = reactor.check_open() {
        return ended;
    }
    if let Err(forked) = reactor.check_process() {
        return forked;
    }
    io::Error::other(if is_outside() {
        "this source is used outside of a runtime: await it inside the block_on of the one that \
         made it"
    } else {
        "this source belongs to another runtime: use it inside the block_on of the one that made \
         it"
    })
}
