//! From an op to an entry of the ring: the one place where the kernel is told where our memory is.
//!
//! What an entry names is a descriptor, which the op holds, and memory that the op owns and that does not
//! move with it: a boxed address. The op lies in the keeper's ledger until the last completion of the entry
//! was reaped (LENT); the keeper's end leaks what has none.

#![allow(unsafe_code)]

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use io_uring::{opcode, squeue, types};

use super::buffers::GROUP;
use super::{Flight, Stage};
use crate::backend::ledger::Token;
use crate::backend::op::Op;
use crate::sys::epoll::flags;
use crate::sys::ring::Ring;

/// How [`push`] fared.
pub(super) enum Pushed {
    /// The entry is in the ring.
    Yes,
    /// The ring has no room.
    Full,
}

/// Puts the entry of a flight into the ring, in the form that `stage` says.
pub(super) fn push(ring: &mut Ring, token: Token, flight: &Flight, stage: Stage) -> Pushed {
    let entry = entry(flight, stage).user_data(token.to_bits());
    // SAFETY: the descriptor is open, as the op holds it (a borrowed one is its owner's, who has promised
    // to have it released first); `entry` names no memory but what the flight owns at a fixed place, and
    // the flight stays in the ledger, untouched, until its last completion was reaped.
    if unsafe { ring.push(&entry) } { Pushed::Yes } else { Pushed::Full }
}

/// Asks for the end of the entry of this token.
pub(super) fn push_cancel(ring: &mut Ring, token: Token) -> Pushed {
    let entry = opcode::AsyncCancel::new(token.to_bits()).build();
    let entry = entry.user_data(token.to_bits() | Token::FREE_BIT);
    // SAFETY: it names no memory and no descriptor.
    if unsafe { ring.push(&entry) } { Pushed::Yes } else { Pushed::Full }
}

/// Asks to be told each time that this descriptor has something to read, with `key`.
pub(super) fn push_bell(ring: &mut Ring, fd: RawFd, key: u64) -> Pushed {
    let entry = opcode::PollAdd::new(types::Fd(fd), flags::IN).multi(true).build().user_data(key);
    // SAFETY: it names no memory, and the kernel holds the file itself.
    if unsafe { ring.push(&entry) } { Pushed::Yes } else { Pushed::Full }
}

/// The entry.
fn entry(flight: &Flight, stage: Stage) -> squeue::Entry {
    let fd = types::Fd(flight.op.descriptor().as_raw_fd());
    match (&flight.op, stage) {
        (Op::Accept { .. } | Op::Receive { .. }, Stage::Readiness) => {
            opcode::PollAdd::new(fd, flags::IN | flags::RDHUP).build()
        }
        (Op::Accept { .. }, _) => {
            opcode::AcceptMulti::new(fd).flags(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK).build()
        }
        (Op::Receive { .. }, _) => opcode::RecvMulti::new(fd, GROUP).build(),
        (Op::Send { .. }, _) => opcode::PollAdd::new(fd, flags::OUT).build(),
        (Op::Connect { address, .. }, _) => {
            opcode::Connect::new(fd, address.as_ptr().cast(), address.len()).build()
        }
        (Op::Poll { interest, .. }, _) => opcode::PollAdd::new(fd, interest.flags()).build(),
        (Op::Changes { .. }, _) => {
            let events = flags::IN | flags::RDHUP | flags::PRI;
            opcode::PollAdd::new(fd, events).multi(true).build()
        }
    }
}

/// The descriptor that the kernel has just made for an entry that accepts.
pub(super) fn new_descriptor(result: i32) -> OwnedFd {
    // SAFETY: the result of an accept that is no error is a new descriptor, and nobody else knows of it.
    unsafe { OwnedFd::from_raw_fd(result) }
}
