//! From an op to an entry of the ring: the one place where the kernel is told where our memory is.
//!
//! What an entry names is a descriptor, which the op holds, and memory that the op owns and that does not
//! move with it: the bytes of payloads, a boxed address, a boxed message. The op lies in the keeper's
//! ledger until the last completion of the entry was reaped (LENT); the keeper's end leaks what has none.

#![allow(unsafe_code)]

use std::io::IoSlice;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use io_uring::{opcode, squeue, types};

use super::buffers::GROUP;
use super::{Flight, Stage};
use crate::backend::ledger::Token;
use crate::backend::op::Op;
use crate::payload::SendQueue;
use crate::sys::epoll::flags;
use crate::sys::ring::Ring;

/// What a `sendmsg` points to: a header, which points to the pieces beside it.
pub(super) struct Message {
    header: libc::msghdr,
    slices: [IoSlice<'static>; SendQueue::MAX_SLICES],
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Message({} pieces)", self.header.msg_iovlen)
    }
}

impl Message {
    /// The pieces that come next in a queue.
    fn new(queue: &SendQueue) -> Box<Message> {
        // SAFETY: all-zero is a valid `msghdr`: null pointers with lengths of zero.
        let header = unsafe { std::mem::zeroed::<libc::msghdr>() };
        let mut message = Box::new(Message { header, slices: [IoSlice::new(&[]); _] });
        let mut slices = [IoSlice::new(&[]); SendQueue::MAX_SLICES];
        let count = queue.io_slices(&mut slices);
        for (place, slice) in message.slices.iter_mut().zip(slices) {
            // SAFETY: the bytes are the queue's, which is boxed, lies in the same op as this message, and
            // is left alone until that is over.
            *place = unsafe { std::mem::transmute::<IoSlice<'_>, IoSlice<'static>>(slice) };
        }
        // `IoSlice` is promised to have the layout of `iovec`.
        message.header.msg_iov = message.slices.as_mut_ptr().cast::<libc::iovec>();
        message.header.msg_iovlen = count as _;
        message
    }
}

/// How [`push`] fared.
pub(super) enum Pushed {
    /// The entry is in the ring.
    Yes,
    /// The ring has no room.
    Full,
}

/// Puts the entry of a flight into the ring, in the form that `stage` says.
pub(super) fn push(ring: &mut Ring, token: Token, flight: &mut Flight, stage: Stage) -> Pushed {
    let Some(entry) = entry(flight, stage) else { return Pushed::Yes };
    let entry = entry.user_data(token.to_bits());
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

/// The entry; none for an op of which nothing is to be asked now.
fn entry(flight: &mut Flight, stage: Stage) -> Option<squeue::Entry> {
    let fd = types::Fd(flight.op.descriptor().as_raw_fd());
    Some(match (&mut flight.op, stage) {
        (Op::Accept { .. } | Op::Receive { .. }, Stage::Readiness) => {
            opcode::PollAdd::new(fd, flags::IN | flags::RDHUP).build()
        }
        (Op::Accept { .. }, _) => {
            opcode::AcceptMulti::new(fd).flags(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK).build()
        }
        (Op::Receive { .. }, _) => opcode::RecvMulti::new(fd, GROUP).build(),
        (Op::Send { .. }, Stage::Readiness) => opcode::PollAdd::new(fd, flags::OUT).build(),
        (Op::Send { queue, .. }, _) => match queue.front() {
            (front, true) => opcode::Send::new(fd, front.as_ptr(), length(front))
                .flags(libc::MSG_NOSIGNAL)
                .build(),
            _ => {
                let message = flight.message.insert(Message::new(queue));
                opcode::SendMsg::new(fd, &raw const message.header)
                    .flags(libc::MSG_NOSIGNAL as u32)
                    .build()
            }
        },
        (Op::Connect { address, .. }, _) => {
            opcode::Connect::new(fd, address.as_ptr().cast(), address.len()).build()
        }
        (Op::Poll { interest, .. }, _) => opcode::PollAdd::new(fd, interest.flags()).build(),
        (Op::Changes { .. }, _) => {
            let events = flags::IN | flags::RDHUP | flags::PRI;
            opcode::PollAdd::new(fd, events).multi(true).build()
        }
    })
}

/// The length of a piece; what is beyond the largest that one call takes is for the next one.
fn length(bytes: &[u8]) -> u32 {
    bytes.len().min(i32::MAX as usize) as u32
}

/// The descriptor that the kernel has just made for an entry that accepts.
pub(super) fn new_descriptor(result: i32) -> OwnedFd {
    // SAFETY: the result of an accept that is no error is a new descriptor, and nobody else knows of it.
    unsafe { OwnedFd::from_raw_fd(result) }
}
