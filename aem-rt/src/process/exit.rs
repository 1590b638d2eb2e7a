//! The end of a child, as the reactor brings it.
//!
//! From its start on a child is watched by its pidfd. The turn that hears of its end takes its status, so
//! that no zombie outlives that turn, whether or not anybody waits; the status stays here for all who ask.
//! Where nobody is left to hear of it, as the runtime has ended, the child goes to the [`leftovers`].

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::process::ExitStatus;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, ready};

use futures::stream::{FusedStream, Stream};

use super::leftovers;
use crate::backend::{Attach, Descriptor, Interest, Op};
use crate::reactor::{Completion, Reactor, Sink, Token, Waiters, Wakes, home};
use crate::sys::process::{Which, reap, send_signal};

/// How it ended, or the number of the error that hides it: somebody else took the status.
type Outcome = Result<ExitStatus, i32>;

/// What is known of a child, shared by all who ask.
pub(super) struct Exit {
    reactor: Rc<Reactor>,
    pid: u32,
    /// Until the outcome is known.
    pidfd: RefCell<Option<Rc<Descriptor>>>,
    token: Cell<Option<Token>>,
    outcome: Cell<Option<Outcome>>,
    killed: Cell<bool>,
    waiters: Waiters,
}

impl Exit {
    /// Watches a child.
    ///
    /// # Errors
    ///
    /// If the reactor cannot; then nobody watches it.
    pub(super) fn watch(reactor: Rc<Reactor>, pid: u32, pidfd: OwnedFd) -> io::Result<Rc<Exit>> {
        let pidfd = RefCell::new(Some(reactor.adopt(pidfd, Attach::OnFirstUse)?));
        let exit = Rc::new(Exit {
            reactor,
            pid,
            pidfd,
            token: Cell::new(None),
            outcome: Cell::new(None),
            killed: Cell::new(false),
            waiters: Waiters::default(),
        });
        exit.arm()?;
        Ok(exit)
    }

    /// The number that the child has, or had.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn reactor(&self) -> &Reactor {
        &self.reactor
    }

    /// Whether the outcome is known.
    pub(super) fn is_over(&self) -> bool {
        self.outcome.get().is_some()
    }

    /// How the child ended; none if it runs.
    pub(super) fn look(&self) -> io::Result<Option<ExitStatus>> {
        if self.outcome.get().is_none() {
            self.reactor.check_process()?;
            self.take();
        }
        match self.outcome.get() {
            Some(Ok(status)) => Ok(Some(status)),
            Some(Err(number)) => Err(io::Error::from_raw_os_error(number)),
            None => Ok(None),
        }
    }

    /// Takes the status, if there is one. The descriptor has served then.
    fn take(&self) {
        let mut pidfd = self.pidfd.borrow_mut();
        let Some(known) = &*pidfd else { return };
        let outcome = match reap(Which::Descriptor(known.as_fd())) {
            Ok(None) => return,
            Ok(Some(status)) => Ok(status),
            Err(error) => Err(error.raw_os_error().expect("the kernel says what is wrong")),
        };
        *pidfd = None;
        self.outcome.set(Some(outcome));
    }

    fn arm(self: &Rc<Self>) -> io::Result<()> {
        let pidfd = self.pidfd.borrow().clone();
        if let (Some(descriptor), None) = (pidfd, self.token.get()) {
            let sink: Weak<Exit> = Rc::downgrade(self);
            let op = Op::Poll { descriptor, interest: Interest::READABLE };
            self.token.set(Some(self.reactor.submit(op, sink)?));
        }
        Ok(())
    }

    /// How it ended, at last. `key` is the waiter's place, and must be [given back](Self::forget).
    fn poll(
        self: &Rc<Self>,
        cx: &Context<'_>,
        key: &mut Option<usize>,
    ) -> Poll<io::Result<ExitStatus>> {
        if !self.is_over() {
            home::check(&self.reactor)?;
            self.waiters.register(key, cx.waker());
            self.arm()?;
        }
        match self.outcome.get() {
            Some(outcome) => Poll::Ready(outcome.map_err(io::Error::from_raw_os_error)),
            None => Poll::Pending,
        }
    }

    fn forget(&self, key: &mut Option<usize>) {
        self.waiters.remove(key);
    }

    /// Sends a signal.
    ///
    /// # Errors
    ///
    /// `ESRCH` if the child has ended and been reaped.
    pub(super) fn signal(&self, signal: i32) -> io::Result<()> {
        self.reactor.check_process()?;
        match &*self.pidfd.borrow() {
            Some(pidfd) => send_signal(pidfd.as_fd(), signal),
            None => Err(io::Error::from_raw_os_error(libc::ESRCH)),
        }
    }

    /// Kills it, if it runs.
    pub(super) fn kill(&self) -> io::Result<()> {
        match self.signal(libc::SIGKILL) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            result => {
                self.killed.set(result.is_ok());
                result
            }
        }
    }
}

impl Sink for Exit {
    fn complete(self: Rc<Self>, completion: Completion, wakes: &mut Wakes) {
        if !completion.more {
            self.token.set(None);
        }
        // Whatever the answer is: the kernel itself is asked, and so are those who wait.
        self.take();
        self.waiters.take_all(wakes);
    }
}

impl Drop for Exit {
    fn drop(&mut self) {
        if let Some(token) = self.token.take() {
            self.reactor.cancel(token);
        }
        // In a forked child it is the parent's.
        if let Some(pidfd) = self.pidfd.take()
            && self.reactor.check_process().is_ok()
        {
            leftovers::leave(self.pid, pidfd.as_fd(), self.killed.get());
        }
    }
}

impl fmt::Debug for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Exit");
        text.field("pid", &self.pid).field("outcome", &self.outcome.get()).finish_non_exhaustive()
    }
}

/// The end of a child as a source: one event, its exit status. See [`Child::exited`](super::Child::exited).
///
/// It does not keep the child alive, and hears of its end also when the [`Child`](super::Child) is gone.
#[derive(Debug)]
#[must_use = "the end of a child is heard only by those who wait for it"]
pub struct Exited {
    exit: Rc<Exit>,
    key: Option<usize>,
    ended: bool,
}

impl Exited {
    pub(super) fn new(exit: Rc<Exit>) -> Exited {
        Exited { exit, key: None, ended: false }
    }
}

impl Stream for Exited {
    /// Its status, or why that cannot be had.
    type Item = io::Result<ExitStatus>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        let outcome = ready!(this.exit.poll(cx, &mut this.key));
        this.ended = true;
        Poll::Ready(Some(outcome))
    }
}

impl FusedStream for Exited {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

impl Drop for Exited {
    fn drop(&mut self) {
        self.exit.forget(&mut self.key);
    }
}
