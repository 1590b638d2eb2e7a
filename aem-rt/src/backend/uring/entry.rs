//! From an op to an entry of the ring: the one place where the kernel is told where our memory is.
//!
//! What an entry names is a descriptor, which the op holds, and memory that the op owns and that does not
//! move with it: a boxed address. The op lies in the keeper's ledger until the last completion of the entry
//! was reaped (LENT); the keeper's end leaks what has none.

#![allow(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use io_uring::{opcode, squeue, types};

use super::buffers::GROUP;
use super::{Flight, Stage};
use crate::backend::file::{FileOp, Named, Naming, OpenFile};
use crate::backend::ledger::Token;
use crate::backend::op::Op;
use crate::sys::epoll::flags;
use crate::sys::file::{STATUS_MASK, Status};
use crate::sys::ring::Ring;

/// How [`push`] fared.
pub(super) enum Pushed {
    /// The entry is in the ring.
    Yes,
    /// The ring has no room.
    Full,
}

/// Puts the entry of a flight into the ring, in the form that `stage` says.
pub(super) fn push(ring: &mut Ring, token: Token, flight: &mut Flight, stage: Stage) -> Pushed {
    let entry = match &mut flight.op {
        Op::File(op) => file_entry(op),
        _ => entry(flight, stage),
    };
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
        (Op::File(op), _) => unreachable!("{op:?} has an entry of another kind"),
        (Op::Changes { .. }, _) => {
            let events = flags::IN | flags::RDHUP | flags::PRI;
            opcode::PollAdd::new(fd, events).multi(true).build()
        }
    }
}

/// One entry takes no more bytes of a file than this; the kernel itself takes a little less than twice as
/// many.
const MOST_BYTES: usize = 1 << 30;

/// The entry of an op on a file. What it names lies in the box that the flight holds the op in, or is owned
/// from there, so that it stays where it is.
fn file_entry(op: &mut FileOp) -> squeue::Entry {
    let raw = |file: &OpenFile| types::Fd(file.as_fd().as_raw_fd());
    let here = types::Fd(libc::AT_FDCWD);
    match op {
        FileOp::Open { path, flags, mode } => {
            let flags = *flags | libc::O_CLOEXEC;
            let entry = opcode::OpenAt::new(here, path.as_ptr()).flags(flags).mode(*mode).build();
            // The kernel would first try with O_NONBLOCK, with which the open of a FIFO is another call.
            entry.flags(squeue::Flags::ASYNC)
        }
        FileOp::Read { file, buffer, full, offset } => {
            let room = (*full - buffer.len()).min(MOST_BYTES);
            let start = buffer.spare_capacity_mut()[..room].as_mut_ptr().cast();
            opcode::Read::new(raw(file), start, room as u32).offset(*offset).build()
        }
        FileOp::Write { file, payload, written, offset } => {
            let rest = &payload.as_slice()[*written..];
            let length = rest.len().min(MOST_BYTES) as u32;
            opcode::Write::new(raw(file), rest.as_ptr(), length).offset(*offset).build()
        }
        FileOp::Status { of, status } => {
            let (at, path, flags) = match of {
                Named::Path(path) => (here, path.as_c_str(), 0),
                Named::Link(path) => (here, path.as_c_str(), libc::AT_SYMLINK_NOFOLLOW),
                Named::Open(file) => (raw(file), c"", libc::AT_EMPTY_PATH),
            };
            let into = std::ptr::from_mut::<Status>(status).cast();
            let entry = opcode::Statx::new(at, path.as_ptr(), into);
            entry.flags(flags).mask(STATUS_MASK).build()
        }
        FileOp::Sync { file, data_only } => {
            let data_only =
                if *data_only { types::FsyncFlags::DATASYNC } else { types::FsyncFlags::empty() };
            opcode::Fsync::new(raw(file)).flags(data_only).build()
        }
        FileOp::Close { fd } => {
            let fd = fd.as_ref().expect("only the end takes it");
            opcode::Close::new(types::Fd(fd.as_raw_fd())).build()
        }
        FileOp::Name(naming) => name_entry(naming),
    }
}

fn name_entry(naming: &Naming) -> squeue::Entry {
    let here = types::Fd(libc::AT_FDCWD);
    match naming {
        Naming::MakeDirectory { path, mode } => {
            opcode::MkDirAt::new(here, path.as_ptr()).mode(*mode).build()
        }
        Naming::Rename { from, to } => {
            opcode::RenameAt::new(here, from.as_ptr(), here, to.as_ptr()).build()
        }
        Naming::Remove { path, directory } => {
            let flags = if *directory { libc::AT_REMOVEDIR } else { 0 };
            opcode::UnlinkAt::new(here, path.as_ptr()).flags(flags).build()
        }
        Naming::Link { original, name } => {
            opcode::LinkAt::new(here, original.as_ptr(), here, name.as_ptr()).build()
        }
        Naming::Symlink { target, name } => {
            opcode::SymlinkAt::new(here, target.as_ptr(), name.as_ptr()).build()
        }
    }
}

/// Notes that the kernel has written `n` bytes behind those of a buffer, for an entry that reads.
///
/// # Panics
///
/// If there was no room for them.
pub(super) fn extend(buffer: &mut Vec<u8>, n: usize) {
    let length = buffer.len() + n;
    assert!(length <= buffer.capacity(), "the kernel was lent room for fewer bytes");
    // SAFETY: an entry that names the room behind the bytes has just brought `n`; tests/tests/fs.rs.
    unsafe { buffer.set_len(length) };
}

/// The descriptor that the kernel has just made for an entry that accepts or opens.
pub(super) fn new_descriptor(result: i32) -> OwnedFd {
    // SAFETY: the result of such an entry that is no error is a new descriptor, and nobody else knows of it.
    unsafe { OwnedFd::from_raw_fd(result) }
}
