//! Processes made in advance, which wait for their work.
//!
//! A job keeps so many of them ready. Who has work takes one, which costs a message to it and no start, and
//! the job makes another, one a turn. One that ends before it had work is replaced, and so is one that could
//! not be started, each time after a longer pause.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitStatus;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::StreamExt;

use super::exit::Exited;
use super::{Child, Command};
use crate::job::join::JoinHandle;
use crate::reactor::{Waiters, ended};
use crate::runtime::{spawn, yield_now};
use crate::sys::handing::{hand, pair};
use crate::time::{now, sleep};

/// The pauses after failures: short enough for a mishap, long enough for a program that cannot run.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A failure so long after the last one is another mishap, and not the same.
const CALM: Duration = Duration::from_secs(10);

/// A pool of warm processes: AEM's capsules.
///
/// Dropping it kills those that have no work.
///
/// ```no_run
/// use aem::process::{Capsules, Command};
///
/// #[aem::main]
/// async fn main() -> aem::Result {
///     let capsules = Capsules::new(4, || Ok(Command::new("./worker")));
///     let listener = aem::net::TcpListener::bind("127.0.0.1:7000")?;
///     // The worker takes the connection by `aem::process::Work`.
///     aem::on_each(listener.incoming(), 100, async move |connection| -> aem::Result {
///         let (stream, _peer) = connection?;
///         let mut child = capsules.start(&stream).await?;
///         drop(stream);
///         child.wait().await?;
///         Ok(())
///     })
///     .await?;
///     Ok(())
/// }
/// ```
pub struct Capsules {
    shared: Rc<Shared>,
    keeping: JoinHandle<()>,
}

/// A process without work.
struct Capsule {
    /// Killed, if it is dropped as it is.
    child: Child,
    kill_on_drop: bool,
    exited: Exited,
    socket: OwnedFd,
}

/// What the job that keeps them shares with those who take them.
struct Shared {
    size: usize,
    ready: RefCell<VecDeque<Capsule>>,
    takers: Waiters,
    /// The job's.
    keeper: Cell<Option<Waker>>,
    /// How often it has failed to make one, and why the last time.
    failures: Cell<u64>,
    reason: RefCell<Option<(io::ErrorKind, String)>>,
    closed: Cell<bool>,
}

impl Capsules {
    /// Keeps `size` processes ready from the next turn on. `make` says what to start; the standard input is
    /// set here, as it brings the [`Work`](super::Work).
    ///
    /// # Panics
    /// Outside of a runtime, and if `size` is zero.
    #[track_caller]
    pub fn new(size: usize, make: impl FnMut() -> io::Result<Command> + 'static) -> Capsules {
        assert!(size > 0, "capsules of a number of zero would never do any work");
        let shared = Rc::new(Shared {
            size,
            ready: RefCell::default(),
            takers: Waiters::default(),
            keeper: Cell::new(None),
            failures: Cell::new(0),
            reason: RefCell::new(None),
            closed: Cell::new(false),
        });
        let keeping = spawn(keep(Keeper(Rc::clone(&shared)), make));
        Capsules { shared, keeping }
    }

    /// Hands a descriptor to a process that is ready, or to the next that will be, and gives the process,
    /// which gets no other work. The caller's own descriptor stays his.
    ///
    /// # Errors
    /// Why no process can be made ready, once an attempt to make one has failed while this waits. A process
    /// that ends before it looks at its work has had it: [`Child::wait`] tells.
    ///
    /// # Cancel safety
    /// No process is lost; the descriptor was not handed over.
    pub async fn start(&self, descriptor: impl AsFd) -> io::Result<Child> {
        loop {
            let capsule = self.shared.take().await?;
            match hand(capsule.socket.as_fd(), descriptor.as_fd()) {
                Ok(()) => {
                    let Capsule { mut child, kill_on_drop, .. } = capsule;
                    child.kill_on_drop = kill_on_drop;
                    return Ok(child);
                }
                // It has ended, and the turn that tells is yet to come.
                Err(error) if is_loss(&error) => {}
                Err(error) => {
                    self.shared.put(capsule);
                    return Err(error);
                }
            }
        }
    }

    /// How many are ready now.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.shared.ready.borrow().len()
    }
}

fn is_loss(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionReset | ConnectionRefused)
}

impl Shared {
    /// One that is ready, at last.
    async fn take(&self) -> io::Result<Capsule> {
        struct Wait<'a>(&'a Waiters, Option<usize>);
        impl Drop for Wait<'_> {
            fn drop(&mut self) {
                self.0.remove(&mut self.1);
            }
        }
        let (before, mut wait) = (self.failures.get(), Wait(&self.takers, None));
        let capsule = poll_fn(|cx| {
            let first = self.ready.borrow_mut().pop_front();
            if let Some(capsule) = first {
                return Poll::Ready(Ok(capsule));
            }
            if self.closed.get() {
                return Poll::Ready(Err(ended()));
            }
            if self.failures.get() != before {
                let reason = self.reason.borrow().clone();
                let (kind, text) = reason.expect("a failure has a reason");
                return Poll::Ready(Err(io::Error::new(kind, text)));
            }
            self.takers.register(&mut wait.1, cx.waker());
            Poll::Pending
        });
        let capsule = capsule.await?;
        self.wake_keeper();
        Ok(capsule)
    }

    fn put(&self, capsule: Capsule) {
        self.ready.borrow_mut().push_back(capsule);
        self.wake_takers();
    }

    fn fail(&self, error: &io::Error) {
        self.failures.set(self.failures.get() + 1);
        self.reason.replace(Some((error.kind(), error.to_string())));
        self.wake_takers();
    }

    fn wake_takers(&self) {
        let mut wakers = Vec::new();
        self.takers.take_all(&mut wakers);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn wake_keeper(&self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.wake();
        }
    }

    /// Waits until one is missing. If it has ended by itself, tells how.
    fn poll_missing(&self, cx: &mut Context<'_>) -> Poll<Option<io::Result<ExitStatus>>> {
        let before = self.keeper.replace(Some(cx.waker().clone()));
        drop(before);
        let mut ready = self.ready.borrow_mut();
        for at in 0..ready.len() {
            if let Poll::Ready(end) = ready[at].exited.poll_next_unpin(cx) {
                let dead = ready.remove(at);
                drop(ready);
                drop(dead);
                return Poll::Ready(end);
            }
        }
        if ready.len() < self.size { Poll::Ready(None) } else { Poll::Pending }
    }
}

/// The job's hold: when it goes, nobody makes any more.
struct Keeper(Rc<Shared>);

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.closed.set(true);
        self.0.wake_takers();
    }
}

/// The job.
async fn keep(keeper: Keeper, mut make: impl FnMut() -> io::Result<Command>) {
    let shared = &keeper.0;
    let (mut pause, mut last) = (PAUSE_MIN, now());
    loop {
        let failed = match poll_fn(|cx| shared.poll_missing(cx)).await {
            None => make_one(&mut make).map(|capsule| shared.put(capsule)).err(),
            Some(Ok(status)) => {
                Some(io::Error::other(format!("a process ended before it had work: {status}")))
            }
            Some(Err(error)) => Some(error),
        };
        let Some(error) = failed else {
            yield_now().await;
            continue;
        };
        shared.fail(&error);
        if now().saturating_duration_since(last) > CALM {
            pause = PAUSE_MIN;
        }
        sleep(pause).await;
        (pause, last) = (PAUSE_MAX.min(2 * pause), now());
    }
}

fn make_one(make: &mut impl FnMut() -> io::Result<Command>) -> io::Result<Capsule> {
    let mut command = make()?;
    let (socket, theirs) = pair()?;
    let mut child = command.stdin(theirs).spawn()?;
    let exited = child.exited();
    let kill_on_drop = std::mem::replace(&mut child.kill_on_drop, true);
    Ok(Capsule { child, kill_on_drop, exited, socket })
}

impl Drop for Capsules {
    fn drop(&mut self) {
        self.keeping.abort();
        drop(self.shared.ready.take());
    }
}

impl fmt::Debug for Capsules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capsules").field("ready", &self.ready()).finish_non_exhaustive()
    }
}
