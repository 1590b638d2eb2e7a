//! Whether a source is polled where it belongs.
//!
//! A socket belongs to the reactor that it was made on: only that one's turns bring it answers.
//! Awaiting it under another runtime, or outside of any, would hang, so it is an error instead.

use std::io;
use std::rc::Rc;

use crate::reactor::Reactor;
use crate::runtime::context;

/// Whether `reactor` is the one of this thread's present runtime.
///
/// # Errors
///
/// If another runtime runs here, or none, or its own has ended.
pub(super) fn check(reactor: &Rc<Reactor>) -> io::Result<()> {
    reactor.check_open()?;
    match context::try_reactor() {
        Some(current) if Rc::ptr_eq(&current, reactor) => Ok(()),
        Some(_) => Err(elsewhere()),
        None => Err(io::Error::other(
            "this socket is used outside of a runtime: await it inside the block_on of the one \
             that made it",
        )),
    }
}

/// The same for what may be done between two `block_on`s, when no runtime is the present one.
///
/// # Errors
///
/// If another runtime runs here, or its own has ended.
pub(super) fn check_unless_outside(reactor: &Rc<Reactor>) -> io::Result<()> {
    reactor.check_open()?;
    match context::try_reactor() {
        Some(current) if !Rc::ptr_eq(&current, reactor) => Err(elsewhere()),
        _ => Ok(()),
    }
}

fn elsewhere() -> io::Error {
    io::Error::other(
        "this socket belongs to another runtime: use it inside the block_on of the one that made \
         it",
    )
}
