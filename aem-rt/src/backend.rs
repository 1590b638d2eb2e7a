//! What the kernel is asked, and by whom: the contract of the keepers.
//!
//! A keeper takes ops ([`op`]), asks the kernel, and answers with completions. Every op has
//! exactly one terminal completion, cancelled or not (ONCE); what it needs is owned by the keeper's
//! [`ledger`] until then (LENT). Which keeper runs is chosen once, at the start, and nothing
//! above this file can tell the difference (BLIND).
//!
//! Two verbs make a turn: [`start`](Backend::start) begins whatever needs no waiting,
//! [`wait`](Backend::wait) asks the kernel for news and sleeps if told to. After each of them
//! [`next`](Backend::next) gives out the completions one by one, so that each goes straight to whom
//! it is for. None of them runs user code.
//! Today's one keeper is [`epoll`]; one that speaks io_uring and one that simulates a kernel will
//! stand beside it in this enum.

pub(crate) mod descriptor;
mod epoll;
pub(crate) mod ledger;
pub(crate) mod op;
pub(crate) mod pool;

use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::payload::SendQueue;
use crate::queue::Unpark;
use crate::sys::eventfd::EventFd;

pub(crate) use descriptor::Descriptor;
pub(crate) use ledger::Token;
pub use op::Interest;
pub(crate) use op::{Answer, Completion, Op};

/// What a worker's lower floors are to be like.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The memory of the buffer pool, in bytes.
    pub(crate) pool_bytes: usize,
    /// How much later than asked a timer may fire, so that timers share wake-ups.
    pub(crate) timer_slack: Duration,
}

/// Which interface of the kernel's is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BackendKind {
    /// Readiness by `epoll`, system calls by ourselves.
    Epoll,
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BackendKind::Epoll => f.write_str("epoll"),
        }
    }
}

/// When a descriptor is made known to the kernel's event mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attach {
    /// At once, so that a descriptor which cannot be waited for is refused at once.
    Now,
    /// When something first has to be waited for. For sockets, which never refuse.
    OnFirstUse,
}

/// One worker's keeper.
#[derive(Debug)]
pub(crate) enum Backend {
    /// See [`epoll`].
    Epoll(epoll::EpollKeeper),
}

impl Backend {
    /// Opens what the keeper needs.
    ///
    /// # Errors
    ///
    /// When the process is out of descriptors or memory.
    pub(crate) fn new(config: &Config) -> io::Result<Backend> {
        Ok(Backend::Epoll(epoll::EpollKeeper::new(config)?))
    }

    /// Which interface it speaks.
    pub(crate) fn kind(&self) -> BackendKind {
        match self {
            Backend::Epoll(_) => BackendKind::Epoll,
        }
    }

    /// What ends its sleep from another thread.
    pub(crate) fn unparker(&self) -> Arc<dyn Unpark> {
        match self {
            Backend::Epoll(keeper) => keeper.unparker(),
        }
    }

    /// Takes over a descriptor.
    ///
    /// # Errors
    ///
    /// See [`refusal`]; the descriptor comes back with the error.
    pub(crate) fn adopt(
        &mut self,
        fd: OwnedFd,
        attach: Attach,
    ) -> Result<Rc<Descriptor>, (io::Error, OwnedFd)> {
        match self {
            Backend::Epoll(keeper) => keeper.adopt(fd, attach),
        }
    }

    /// Makes a descriptor known that remains its owner's, to be polled only. It must be
    /// [released](Descriptor::release) before its owner closes it.
    ///
    /// # Errors
    ///
    /// See [`refusal`].
    pub(crate) fn adopt_borrowed(&mut self, fd: BorrowedFd<'_>) -> io::Result<Rc<Descriptor>> {
        match self {
            Backend::Epoll(keeper) => keeper.adopt_borrowed(fd),
        }
    }

    /// Takes an op. The work is done in the next turn.
    ///
    /// A descriptor takes one op a direction at a time (any number that poll); a second one is a
    /// mistake of the caller's and panics.
    pub(crate) fn submit(&mut self, op: Op) -> Token {
        match self {
            Backend::Epoll(keeper) => keeper.submit(op),
        }
    }

    /// Asks for the end of an op. Its terminal completion follows in a later turn; what it had
    /// achieved until then may come before that.
    pub(crate) fn cancel(&mut self, token: Token) {
        match self {
            Backend::Epoll(keeper) => keeper.cancel(token),
        }
    }

    /// Sends what one call takes of `queue`, if that can be done at once: what was sent is gone from
    /// it. `None` says that nothing was, for want of room or since this keeper only takes ops; for
    /// that, and for what is left, an op is submitted.
    pub(crate) fn send_now(
        &mut self,
        socket: &Descriptor,
        queue: &mut SendQueue,
    ) -> Option<io::Result<usize>> {
        match self {
            Backend::Epoll(keeper) => keeper.send_now(socket, queue),
        }
    }

    /// Begins a turn: lets [`next`](Self::next) end what was cancelled and try what may succeed at
    /// once. False if there is nothing of the kind.
    pub(crate) fn start(&mut self) -> bool {
        match self {
            Backend::Epoll(keeper) => keeper.start(),
        }
    }

    /// Closes what is to be closed, asks the kernel for news, and sleeps for them up to `wait` (for
    /// ever without one), unless more work is at hand. [`next`](Self::next) tells the news.
    ///
    /// # Errors
    ///
    /// What the kernel's wait fails with, which is never an everyday thing.
    pub(crate) fn wait(&mut self, wait: Option<Duration>) -> io::Result<()> {
        match self {
            Backend::Epoll(keeper) => keeper.wait(wait),
        }
    }

    /// Whether [`next`](Self::next) has anything to look at.
    #[inline]
    pub(crate) fn has_next(&self) -> bool {
        match self {
            Backend::Epoll(keeper) => keeper.has_next(),
        }
    }

    /// The next completion, until there are no more for now. Anything may be asked of the keeper
    /// between two of them; what is submitted or cancelled then is for the next turn.
    pub(crate) fn next(&mut self) -> Option<Completion> {
        match self {
            Backend::Epoll(keeper) => keeper.next(),
        }
    }

    /// How many ops have not had their terminal completion.
    pub(crate) fn pending(&self) -> usize {
        match self {
            Backend::Epoll(keeper) => keeper.ledger().len(),
        }
    }

    /// How many descriptors it knows.
    pub(crate) fn descriptors(&self) -> usize {
        match self {
            Backend::Epoll(keeper) => keeper.descriptors(),
        }
    }

    /// How many of these are sends.
    pub(crate) fn sends(&self) -> usize {
        match self {
            Backend::Epoll(keeper) => keeper.sends(),
        }
    }

    /// Asks for the end of all ops for which `which` is true.
    pub(crate) fn cancel_all(&mut self, which: impl Fn(&Op) -> bool) {
        match self {
            Backend::Epoll(keeper) => {
                let ledger = keeper.ledger();
                let is_one = |token: &Token| ledger.get(*token).is_some_and(&which);
                let tokens: Vec<Token> = ledger.tokens().filter(is_one).collect();
                tokens.into_iter().for_each(|token| keeper.cancel(token));
            }
        }
    }

    /// Ends: closes what was dropped until now; a descriptor that is dropped later closes at once.
    pub(crate) fn shut(&mut self) {
        match self {
            Backend::Epoll(keeper) => keeper.shut(),
        }
    }

    /// How many descriptors were closed since this was last asked.
    pub(crate) fn take_closed(&mut self) -> usize {
        match self {
            Backend::Epoll(keeper) => keeper.take_closed(),
        }
    }
}

/// Says what is wrong with a descriptor that the kernel refuses to watch: one text for all keepers.
///
/// A regular file is always ready, so there is nothing to wait for; a number can be watched once.
fn refusal(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::EPERM) => io::Error::new(
            io::ErrorKind::InvalidInput,
            "this descriptor cannot be waited for: a regular file or a directory is always ready",
        ),
        Some(libc::EEXIST) => io::Error::new(
            io::ErrorKind::AlreadyExists,
            "this descriptor is registered with the runtime already: share the one registration",
        ),
        _ => error,
    }
}

impl Unpark for EventFd {
    fn unpark(&self) {
        self.ring();
    }
}
