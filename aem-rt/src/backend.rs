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
//! The keepers are [`epoll`] and [`uring`]; tests play a third kernel (`backend/simulated.rs`).
//!
//! The small print, which `backend/conformance.rs` holds every keeper to:
//!
//! - An op is over when its last completion is drawn, and not before: until then its token names it, the
//!   direction of its descriptor is taken, and the gauges count it.
//! - A cancel may lose its race: what came before it took effect is told first, and the last completion is
//!   then the op's own or `Cancelled`. What is not told stays in the kernel for the next op (KEPT).
//! - A send that ends gives its queue back, cancelled, failed or done; what was taken is gone from it.
//! - `EAGAIN`, `EINTR` and the errors of a single connection that is gone end no op and reach no sink. An
//!   error that would come again for ever ends it.
//! - The end of a file is told again to whoever asks again. A poll is level; a watch may begin with the
//!   state as it is.
//! - A wait does not sleep while completions are undrawn, ops wait to be ended, the bell has rung, or a
//!   descriptor was closed of which [`take_closed`](Backend::take_closed) has not told yet.
//! - Time is that of [`clock`](Backend::clock): a wait ends at its deadline by it, never before.
//!
//! A forked child shares with its parent whatever the keeper has in the kernel. There nothing is asked of
//! it any more but to [give up](Backend::give_up) ops and to be [shut](Backend::shut), and neither may
//! reach the kernel but to close descriptors.

#[cfg(test)]
mod conformance;
pub(crate) mod descriptor;
mod direct;
mod epoll;
pub(crate) mod file;
pub(crate) mod ledger;
pub(crate) mod op;
pub(crate) mod pool;
#[cfg(test)]
pub(crate) mod simulated;
mod uring;

use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::payload::SendQueue;
use crate::queue::Unpark;
use crate::sys::clock::Clock;
use crate::sys::eventfd::EventFd;

pub(crate) use descriptor::Descriptor;
pub(crate) use file::{FileAnswer, FileOp};
pub(crate) use ledger::Token;
pub use op::Interest;
pub(crate) use op::{Answer, Completion, Op};
pub(crate) use pool::BUFFER_SIZE;
pub(crate) use uring::Without;

/// How many completions find room in a ring. Those that do not are kept by the kernel, which then has to
/// be entered for them: room for a burst of every connection of a busy server costs 64 KiB.
pub(crate) const COMPLETIONS: u32 = 4096;

/// Which keeper is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// io_uring, or epoll where the kernel refuses that.
    Best,
    /// This one, or an error. The text says who wants it.
    Only(BackendKind, &'static str),
}

/// What a worker's lower floors are to be like.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Which keeper is to run.
    pub(crate) wanted: Wanted,
    /// Parts of io_uring that are not to be used.
    pub(crate) without: Without,
    /// The memory of the buffer pool, in bytes.
    pub(crate) pool_bytes: usize,
    /// The size of one of its buffers.
    pub(crate) buffer_size: usize,
    /// How many completions find room in a ring.
    pub(crate) completions: u32,
    /// How much later than asked a timer may fire, so that timers share wake-ups.
    pub(crate) timer_slack: Duration,
}

#[cfg(test)]
impl Default for Config {
    /// Whichever keeper the environment wants, so that all tests run on each of them.
    fn default() -> Config {
        let wanted = match std::env::var("AEM_BACKEND").as_deref() {
            Ok("epoll") => Wanted::Only(BackendKind::Epoll, "the test"),
            Ok("io_uring") => Wanted::Only(BackendKind::IoUring, "the test"),
            _ => Wanted::Best,
        };
        let without = std::env::var("AEM_IO_URING_WITHOUT").unwrap_or_default();
        let without = Without::parse(&without).unwrap();
        let timer_slack = Duration::from_micros(50);
        let (pool_bytes, buffer_size, completions) = (1 << 20, BUFFER_SIZE, COMPLETIONS);
        Config { wanted, without, pool_bytes, buffer_size, completions, timer_slack }
    }
}

/// Which interface of the kernel's is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BackendKind {
    /// Readiness by `epoll`, system calls by ourselves.
    Epoll,
    /// Completions by `io_uring`, which waits and receives for us.
    IoUring,
    /// A kernel that a test plays.
    #[cfg(test)]
    Simulated,
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BackendKind::Epoll => f.write_str("epoll"),
            BackendKind::IoUring => f.write_str("io_uring"),
            #[cfg(test)]
            BackendKind::Simulated => f.write_str("simulated"),
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
#[expect(clippy::large_enum_variant, reason = "there is one a worker, and it never moves")]
pub(crate) enum Backend {
    /// See [`epoll`].
    Epoll(epoll::EpollKeeper),
    /// See [`uring`].
    Uring(uring::UringKeeper),
    /// See [`simulated`].
    #[cfg(test)]
    Simulated(simulated::SimulatedKeeper),
}

/// Does the same with whichever keeper it is.
macro_rules! keeper {
    ($backend:expr, $keeper:ident => $act:expr) => {
        match $backend {
            Backend::Epoll($keeper) => $act,
            Backend::Uring($keeper) => $act,
            #[cfg(test)]
            Backend::Simulated($keeper) => $act,
        }
    };
}

impl Backend {
    /// Opens what the wanted keeper needs, and says in a line why it is that one.
    ///
    /// # Errors
    ///
    /// When the process is out of descriptors or memory, and when the kernel refuses the only one that
    /// is wanted.
    pub(crate) fn new(config: &Config) -> io::Result<(Backend, String)> {
        match config.wanted {
            Wanted::Only(BackendKind::Epoll, by) => {
                Ok((Backend::epoll(config)?, format!("epoll: asked for by {by}")))
            }
            Wanted::Only(BackendKind::IoUring, by) => match uring::UringKeeper::new(config) {
                Ok(keeper) => Ok((Backend::Uring(keeper), format!("io_uring: asked for by {by}"))),
                Err(error) => Err(match uring::why_not(&error) {
                    Some(why) => {
                        let text = format!("io_uring, which {by} asks for, is refused: {why}");
                        io::Error::new(error.kind(), text)
                    }
                    None => error,
                }),
            },
            #[cfg(test)]
            Wanted::Only(BackendKind::Simulated, by) => {
                let kernel = simulated::Kernel::new();
                Ok((Backend::simulated(&kernel), format!("simulated: asked for by {by}")))
            }
            Wanted::Best => Backend::best(config),
        }
    }

    fn best(config: &Config) -> io::Result<(Backend, String)> {
        let instead =
            |why: &str| Ok((Backend::epoll(config)?, format!("epoll: io_uring is refused: {why}")));
        if let Some(why) = uring::refused_for_good() {
            return instead(why);
        }
        match uring::UringKeeper::new(config) {
            Ok(keeper) => {
                let reason = "io_uring: the kernel has all that is needed".to_owned();
                Ok((Backend::Uring(keeper), reason))
            }
            Err(error) => {
                let Some(why) = uring::why_not(&error) else { return Err(error) };
                uring::note_refusal(&error, &why);
                instead(&why)
            }
        }
    }

    fn epoll(config: &Config) -> io::Result<Backend> {
        Ok(Backend::Epoll(epoll::EpollKeeper::new(config)?))
    }

    /// A keeper over a kernel that a test plays.
    #[cfg(test)]
    pub(crate) fn simulated(kernel: &simulated::Kernel) -> Backend {
        Backend::Simulated(simulated::SimulatedKeeper::new(kernel))
    }

    /// Which interface it speaks.
    pub(crate) fn kind(&self) -> BackendKind {
        match self {
            Backend::Epoll(_) => BackendKind::Epoll,
            Backend::Uring(_) => BackendKind::IoUring,
            #[cfg(test)]
            Backend::Simulated(_) => BackendKind::Simulated,
        }
    }

    /// The clock that its waits are counted by.
    pub(crate) fn clock(&self) -> Clock {
        match self {
            Backend::Epoll(_) | Backend::Uring(_) => Clock::Monotonic,
            #[cfg(test)]
            Backend::Simulated(keeper) => keeper.clock(),
        }
    }

    /// What ends its sleep from another thread.
    pub(crate) fn unparker(&self) -> Arc<dyn Unpark> {
        keeper!(self, keeper => keeper.unparker())
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
        keeper!(self, keeper => keeper.adopt(fd, attach))
    }

    /// Makes a descriptor known that remains its owner's, to be polled only. It must be
    /// [released](Descriptor::release) before its owner closes it.
    ///
    /// # Errors
    ///
    /// See [`refusal`].
    pub(crate) fn adopt_borrowed(&mut self, fd: BorrowedFd<'_>) -> io::Result<Rc<Descriptor>> {
        keeper!(self, keeper => keeper.adopt_borrowed(fd))
    }

    /// Says of a socket that its receives may end where the data does not: after bytes that descriptors came
    /// with, as a Unix stream's do. Whether there is more only another call can say then.
    pub(crate) fn expect_cut_receives(&mut self, socket: &Descriptor) {
        match self {
            Backend::Epoll(keeper) => keeper.expect_cut_receives(socket),
            // The kernel looks for itself.
            Backend::Uring(_) => {}
            #[cfg(test)]
            Backend::Simulated(_) => {}
        }
    }

    /// Takes an op. The work is done in the next turn.
    ///
    /// A descriptor takes one op a direction at a time (any number that poll); a second one is a
    /// mistake of the caller's and panics.
    pub(crate) fn submit(&mut self, op: Op) -> Token {
        keeper!(self, keeper => keeper.submit(op))
    }

    /// Takes an op on a file, if this keeper can have the kernel do it without a thread of ours. Else it
    /// comes back, to be performed on a thread that may block.
    pub(crate) fn submit_file(&mut self, op: FileOp) -> Result<Token, FileOp> {
        match self {
            Backend::Uring(keeper) => keeper.submit_file(op),
            _ => Err(op),
        }
    }

    /// Asks for the end of an op. Its terminal completion follows in a later turn; what it had
    /// achieved until then may come before that.
    pub(crate) fn cancel(&mut self, token: Token) {
        keeper!(self, keeper => keeper.cancel(token))
    }

    /// Sends what one call takes of `queue`, if that can be done at once: what was sent is gone from
    /// it. `None` says that nothing was, for want of room or since this keeper only takes ops; for
    /// that, and for what is left, an op is submitted.
    pub(crate) fn send_now(
        &mut self,
        socket: &Descriptor,
        queue: &mut SendQueue,
    ) -> Option<io::Result<usize>> {
        keeper!(self, keeper => keeper.send_now(socket, queue))
    }

    /// Begins a turn: lets [`next`](Self::next) end what was cancelled and try what may succeed at
    /// once. False if there is nothing of the kind.
    pub(crate) fn start(&mut self) -> bool {
        keeper!(self, keeper => keeper.start())
    }

    /// Closes what is to be closed, asks the kernel for news, and sleeps for them up to `wait` (for
    /// ever without one), unless more work is at hand. [`next`](Self::next) tells the news.
    ///
    /// # Errors
    ///
    /// What the kernel's wait fails with, which is never an everyday thing.
    pub(crate) fn wait(&mut self, wait: Option<Duration>) -> io::Result<()> {
        keeper!(self, keeper => keeper.wait(wait))
    }

    /// Whether [`next`](Self::next) has anything to look at.
    #[inline]
    pub(crate) fn has_next(&self) -> bool {
        keeper!(self, keeper => keeper.has_next())
    }

    /// The next completion, until there are no more for now. Anything may be asked of the keeper
    /// between two of them; what is submitted or cancelled then is for the next turn.
    pub(crate) fn next(&mut self) -> Option<Completion> {
        keeper!(self, keeper => keeper.next())
    }

    /// How many ops have not had their terminal completion.
    pub(crate) fn pending(&self) -> usize {
        keeper!(self, keeper => keeper.pending())
    }

    /// How many descriptors it knows.
    pub(crate) fn descriptors(&self) -> usize {
        keeper!(self, keeper => keeper.descriptors())
    }

    /// How many of these are sends.
    pub(crate) fn sends(&self) -> usize {
        keeper!(self, keeper => keeper.sends())
    }

    /// Asks for the end of all ops for which `which` is true.
    pub(crate) fn cancel_all(&mut self, which: impl Fn(&Op) -> bool) {
        keeper!(self, keeper => keeper.cancel_all(which))
    }

    /// In a forked child: takes an op back without a word to the kernel, which has it from the parent and
    /// answers there. The op comes back, to be dropped where nothing is borrowed; none if it is over.
    pub(crate) fn give_up(&mut self, token: Token) -> Option<Op> {
        keeper!(self, keeper => keeper.give_up(token))
    }

    /// The same for all ops.
    pub(crate) fn give_up_all(&mut self) -> Vec<Op> {
        let tokens: Vec<Token> = keeper!(self, keeper => keeper.tokens().collect());
        tokens.into_iter().filter_map(|token| self.give_up(token)).collect()
    }

    /// Ends: closes what was dropped until now; a descriptor that is dropped later closes at once.
    pub(crate) fn shut(&mut self) {
        keeper!(self, keeper => keeper.shut())
    }

    /// How many descriptors were closed since this was last asked.
    pub(crate) fn take_closed(&mut self) -> usize {
        keeper!(self, keeper => keeper.take_closed())
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
