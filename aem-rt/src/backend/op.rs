//! Operations as values: what the kernel is asked, and what it answers.
//!
//! An [`Op`] owns everything that it needs until its last completion (LENT): the descriptor, which
//! therefore cannot be closed under it, the bytes to send, the address. Every op has exactly one
//! terminal [`Completion`], cancelled or not (ONCE); a multishot op has any number of others
//! before it. An [`Answer`] that nobody wants any more is simply dropped: a connection is closed
//! by it, a chunk goes back to the pool.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::{BitOr, BitOrAssign};
use std::os::fd::{OwnedFd, RawFd};
use std::rc::Rc;

use socket2::SockAddr;

use super::descriptor::Descriptor;
use super::file::{FileAnswer, FileOp};
use super::ledger::Token;
use crate::chunk::Chunk;
use crate::payload::SendQueue;
use crate::sys::epoll::flags;
use crate::sys::poll;

/// Something that the kernel is asked to do.
#[derive(Debug)]
pub(crate) enum Op {
    /// Accepts connections until it is cancelled or fails. Multishot.
    Accept { listener: Rc<Descriptor> },
    /// Receives chunks until the end of the stream, an error or a cancel. Multishot.
    Receive { socket: Rc<Descriptor> },
    /// Sends once, as much as one system call takes, when there is room for anything at all. The
    /// queue is boxed as it is far larger than what other ops need; most of what is sent is sent
    /// [at once](super::Backend::send_now) and needs no op.
    Send { socket: Rc<Descriptor>, queue: Box<SendQueue> },
    /// Connects. The address is boxed as it is far larger than any other op.
    Connect { socket: Rc<Descriptor>, address: Box<SockAddr> },
    /// Answers as soon as the descriptor is ready, which it may be already.
    Poll { descriptor: Rc<Descriptor>, interest: Interest },
    /// Answers each time that there is more to be read from the descriptor, and perhaps once for what there
    /// is already; it may answer to other changes too. Multishot; it ends by a cancel only.
    Changes { descriptor: Rc<Descriptor> },
    /// Does something about a file, which is nothing that a keeper waits for. See
    /// [`submit_file`](super::Backend::submit_file).
    File(Box<FileOp>),
}

impl Op {
    /// The descriptor that it is about.
    ///
    /// # Panics
    ///
    /// Of an op on a file, which is about none that is waited for.
    pub(crate) fn descriptor(&self) -> &Rc<Descriptor> {
        match self {
            Op::Accept { listener } => listener,
            Op::Receive { socket } | Op::Send { socket, .. } | Op::Connect { socket, .. } => socket,
            Op::Poll { descriptor, .. } | Op::Changes { descriptor } => descriptor,
            Op::File(op) => unreachable!("{op:?} is about no descriptor of a keeper's"),
        }
    }

    /// What a cancelled op gives back.
    pub(super) fn into_cancelled(self) -> Answer {
        match self {
            Op::Send { queue, .. } => Answer::Cancelled(Some(queue)),
            _ => Answer::Cancelled(None),
        }
    }
}

/// What the kernel answered.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A connection and its peer's address, if that is an internet one; others are to be asked for.
    Accepted(OwnedFd, Option<SocketAddr>),
    /// The next bytes of a stream; never none.
    Received(Chunk),
    /// The peer sends no more.
    EndOfFile,
    /// The queue comes back without the bytes that were sent, and with their number or the error.
    Sent { queue: Box<SendQueue>, result: io::Result<usize> },
    /// The connection is there.
    Connected,
    /// The descriptor is ready for this part of what was asked.
    Ready(Interest),
    /// What was to be done about a file is done.
    File(FileAnswer),
    /// The op failed and is over.
    Failed(io::Error),
    /// The op was cancelled and is over. A send gives its queue back.
    Cancelled(Option<Box<SendQueue>>),
}

/// One answer to one op.
#[derive(Debug)]
pub(crate) struct Completion {
    /// Which op.
    pub(crate) token: Token,
    /// What happened.
    pub(crate) answer: Answer,
    /// Whether more completions of this op follow; if not, its token is dead.
    pub(crate) more: bool,
}

/// What one wants to know of a descriptor: readable, writable, or both.
///
/// An error or a hang-up counts as each of them: whoever then reads or writes is told.
///
/// ```
/// use aem::fd::Interest;
///
/// let both = Interest::READABLE | Interest::WRITABLE;
/// assert!(both.is_readable() && both.contains(Interest::WRITABLE));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Interest(u8);

impl Interest {
    /// There is something to read, a connection to accept, or the end of a stream.
    pub const READABLE: Interest = Interest(1);
    /// There is room to write.
    pub const WRITABLE: Interest = Interest(2);
    /// There is something exceptional: urgent data on a socket, a changed attribute in sysfs.
    pub const PRIORITY: Interest = Interest(4);

    pub(crate) const NONE: Interest = Interest(0);

    /// Whether reading is a part of it.
    #[must_use]
    pub const fn is_readable(self) -> bool {
        self.0 & Interest::READABLE.0 != 0
    }

    /// Whether writing is a part of it.
    #[must_use]
    pub const fn is_writable(self) -> bool {
        self.0 & Interest::WRITABLE.0 != 0
    }

    /// Whether the exceptional is a part of it.
    #[must_use]
    pub const fn is_priority(self) -> bool {
        self.0 & Interest::PRIORITY.0 != 0
    }

    /// Whether all of `other` is a part of it.
    #[must_use]
    pub const fn contains(self, other: Interest) -> bool {
        self.0 & other.0 == other.0
    }

    pub(crate) const fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for Interest {
    type Output = Interest;

    fn bitor(self, other: Interest) -> Interest {
        Interest(self.0 | other.0)
    }
}

impl BitOrAssign for Interest {
    fn bitor_assign(&mut self, other: Interest) {
        *self = *self | other;
    }
}

/// The flags of `poll(2)` and of epoll are the same numbers.
const _: () = {
    assert!(flags::IN == poll::IN as u32 && flags::OUT == poll::OUT as u32);
    assert!(flags::PRI == poll::PRI as u32 && flags::RDHUP == poll::RDHUP as u32);
    assert!(flags::HUP == poll::HUP as u32 && flags::ERR == poll::ERR as u32);
};

// Not public: the common part of two interests may be none at all, which no user should hold.
impl Interest {
    /// What flags mean to one who waits: an error or a hang-up ends every wait.
    pub(crate) fn told(flags: u32) -> Interest {
        let mut ready = Interest::NONE;
        if flags & (flags::IN | flags::RDHUP | flags::HUP | flags::ERR) != 0 {
            ready |= Interest::READABLE;
        }
        if flags & (flags::OUT | flags::HUP | flags::ERR) != 0 {
            ready |= Interest::WRITABLE;
        }
        if flags & (flags::PRI | flags::HUP | flags::ERR) != 0 {
            ready |= Interest::PRIORITY;
        }
        ready
    }

    /// What of it holds for a descriptor now, by `poll(2)`.
    ///
    /// # Errors
    ///
    /// `EBADF` if the number is no open descriptor.
    pub(crate) fn holds_now(self, fd: RawFd) -> io::Result<Option<Interest>> {
        let told = poll::now(fd, self.flags() as i16)?;
        let ready = Interest::told(told as u16 as u32).and(self);
        Ok((!ready.is_none()).then_some(ready))
    }

    /// What the kernel is asked for on its behalf.
    pub(crate) fn flags(self) -> u32 {
        let mut events = 0;
        if self.is_readable() {
            events |= flags::IN | flags::RDHUP;
        }
        if self.is_writable() {
            events |= flags::OUT;
        }
        if self.is_priority() {
            events |= flags::PRI;
        }
        events
    }

    pub(crate) const fn and(self, other: Interest) -> Interest {
        Interest(self.0 & other.0)
    }
}

impl fmt::Debug for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Interest::READABLE, "READABLE"),
            (Interest::WRITABLE, "WRITABLE"),
            (Interest::PRIORITY, "PRIORITY"),
        ];
        let mut between = "";
        for (_, name) in names.into_iter().filter(|(part, _)| self.contains(*part)) {
            write!(f, "{between}{name}")?;
            between = " | ";
        }
        if between.is_empty() { f.write_str("NONE") } else { Ok(()) }
    }
}
