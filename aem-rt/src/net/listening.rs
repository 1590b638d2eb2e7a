//! What all who wait at one listener share: the connections that came, the op that accepts, and
//! what to do when there are no descriptors for more.
//!
//! One multishot accept is armed when somebody first wants a connection. Connections that nobody
//! takes wait here, up to a limit; then the op is cancelled and the kernel's backlog holds them.
//!
//! Out of descriptors or memory is a state, not an error: accepting pauses until the [`Bell`]
//! rings, for a descriptor of ours that was closed or for a back-off that is over, and the first
//! of an episode is reported.

mod bell;
mod verbs;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use socket2::{SockAddr, SockRef};

use crate::backend::{Attach, Descriptor, Op};
use crate::net::waiters::{ANYTHING, Asker, WaitId, WaitList, poll_or_wait};
use crate::reactor::{Answer, Completion, Reactor, Sink, TimerKey, Token, Wakes, home};
use crate::runtime::context;
use bell::Bell;
pub(super) use verbs::listener_verbs;

/// Connections that the kernel completes and keeps until they are accepted. The kernel's own limit,
/// 4096 unless `net.core.somaxconn` was changed, has the last word.
pub(super) const DEFAULT_BACKLOG: u32 = 1024;

/// Connections that wait here to be taken. A few turns' worth, so that taking them one by one
/// costs no system call each; the rest waits in the kernel, where it costs us no descriptor.
const MOST_ARRIVED: usize = 32;

/// The first pause when there are no descriptors: long enough that trying costs nothing, short
/// enough that a single failure goes unnoticed.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// Pauses double up to this: service is back within half a second even if somebody else's
/// descriptors were the cause, of which nobody tells us.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// After so long without a shortage the next one is a new episode, and reported.
const EPISODE_GAP: Duration = Duration::from_secs(10);

/// A connection as the kernel gave it.
type Arrival = (OwnedFd, Option<SocketAddr>);

/// The shared part of a listener.
#[derive(Debug)]
pub(super) struct Listening {
    reactor: Rc<Reactor>,
    socket: Rc<Descriptor>,
    this: Weak<Listening>,
    local: SockAddr,
    accept: Cell<Accept>,
    arrived: RefCell<VecDeque<Arrival>>,
    failed: RefCell<Option<io::Error>>,
    shortage: Cell<Shortage>,
    bell: Arc<Bell>,
    /// The bell's, made once, so that it is known for the same wherever it is registered again.
    waker: Waker,
}

/// The op that accepts.
#[derive(Clone, Copy, Debug)]
enum Accept {
    Idle,
    Armed(Token),
    /// Cancelled, and not over.
    Ending(Token),
    /// Not armed, as there are no descriptors. Ends when the bell rings.
    Paused(TimerKey),
}

/// How short of descriptors the listener has been.
#[derive(Clone, Copy, Debug)]
struct Shortage {
    count: u64,
    last: Option<Instant>,
    next_pause: Duration,
}

impl Listening {
    /// Takes over a socket that listens.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    pub(super) fn adopt(socket: OwnedFd) -> io::Result<Rc<Listening>> {
        let reactor = context::reactor();
        let socket = reactor.adopt(socket, Attach::Now)?;
        let local = SockRef::from(&*socket).local_addr()?;
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(Arc::clone(&bell));
        let shortage = Shortage { count: 0, last: None, next_pause: FIRST_PAUSE };
        Ok(Rc::new_cyclic(|this| Listening {
            reactor,
            socket,
            this: this.clone(),
            local,
            accept: Cell::new(Accept::Idle),
            arrived: RefCell::default(),
            failed: RefCell::default(),
            shortage: Cell::new(shortage),
            bell,
            waker,
        }))
    }

    pub(super) fn socket(&self) -> &Descriptor {
        &self.socket
    }

    pub(super) fn local_addr(&self) -> &SockAddr {
        &self.local
    }

    /// How many connections wait here.
    #[cfg(test)]
    pub(super) fn arrived_len(&self) -> usize {
        self.arrived.borrow().len()
    }

    /// How often accepting paused.
    pub(super) fn shortages(&self) -> u64 {
        self.shortage.get().count
    }

    /// The next connection, and its peer's address if that is an internet one.
    fn poll_accept(
        &self,
        cx: &Context<'_>,
        wait: &mut WaitId,
    ) -> Poll<io::Result<(Rc<Descriptor>, Option<SocketAddr>)>> {
        home::check(&self.reactor)?;
        let asker = Asker::Future(wait);
        let arrival = poll_or_wait(&self.bell.waiters, asker, cx, || {
            if let Some(arrival) = self.arrived.borrow_mut().pop_front() {
                return ControlFlow::Break(Ok(arrival));
            }
            if let Some(error) = self.failed.take() {
                return ControlFlow::Break(Err(error));
            }
            match self.arm() {
                Ok(()) => ControlFlow::Continue(ANYTHING),
                Err(error) => ControlFlow::Break(Err(error)),
            }
        });
        arrival.map(|arrival| {
            let (fd, peer) = arrival?;
            let socket = self.reactor.adopt(fd, Attach::OnFirstUse)?;
            Ok((socket, peer))
        })
    }

    /// Takes a wait out whose future or source is dropped.
    fn forget(&self, wait: &WaitId) {
        self.bell.waiters.forget(wait);
    }

    /// Starts accepting, unless that is going on or has to pause.
    fn arm(&self) -> io::Result<()> {
        match self.accept.get() {
            Accept::Armed(_) | Accept::Ending(_) => return Ok(()),
            Accept::Paused(_) if !self.bell.take_rung() => return Ok(()),
            // It may have been a descriptor that rang; then the timer still runs.
            Accept::Paused(timer) => drop(self.reactor.remove_timer(timer)),
            Accept::Idle => {}
        }
        self.accept.set(Accept::Idle);
        let op = Op::Accept { listener: Rc::clone(&self.socket) };
        let token = self.reactor.submit(op, self.this.clone())?;
        self.accept.set(Accept::Armed(token));
        Ok(())
    }

    /// A connection came.
    fn keep(&self, arrival: Arrival) {
        let mut arrived = self.arrived.borrow_mut();
        arrived.push_back(arrival);
        if arrived.len() >= MOST_ARRIVED
            && let Accept::Armed(token) = self.accept.get()
        {
            self.accept.set(Accept::Ending(token));
            self.reactor.cancel(token);
        }
        let next_pause = FIRST_PAUSE;
        self.shortage.set(Shortage { next_pause, ..self.shortage.get() });
    }

    /// There is no descriptor, or no memory, for another connection.
    fn pause(&self, error: &io::Error) {
        let Shortage { count, last, next_pause } = self.shortage.get();
        let now = self.reactor.turn_time();
        if last.is_none_or(|last| now.saturating_duration_since(last) > EPISODE_GAP) {
            context::report(format_args!(
                "accepting on {} pauses: {error}; it goes on when a descriptor is free",
                Shown(&self.local)
            ));
        }
        self.shortage.set(Shortage {
            count: count + 1,
            last: Some(now),
            next_pause: LONGEST_PAUSE.min(next_pause * 2),
        });
        self.bell.take_rung();
        // Cloning and dropping the bell's waker runs nobody's code but ours.
        let timer = self.reactor.insert_timer(now + next_pause, self.waker.clone());
        self.reactor.on_descriptor_freed(self.waker.clone());
        self.accept.set(Accept::Paused(timer));
    }
}

impl Sink for Listening {
    fn complete(self: Rc<Self>, completion: Completion, wakes: &mut Wakes) {
        let Completion { answer, more, .. } = completion;
        if !more {
            self.accept.set(Accept::Idle);
        }
        match answer {
            Answer::Accepted(fd, peer) => self.keep((fd, peer)),
            Answer::Failed(error) if is_shortage(&error) => return self.pause(&error),
            Answer::Failed(error) => *self.failed.borrow_mut() = Some(error),
            // Cancelled as enough had arrived. Whoever waits by now has to arm it again.
            _ => {}
        }
        self.bell.waiters.with(|waiters| waiters.wake_all(wakes));
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        match self.accept.get() {
            Accept::Idle => {}
            Accept::Armed(token) | Accept::Ending(token) => self.reactor.cancel(token),
            Accept::Paused(timer) => drop(self.reactor.remove_timer(timer)),
        }
    }
}

/// A connection that was accepted.
pub(super) struct Accepted {
    pub(super) reactor: Rc<Reactor>,
    pub(super) socket: Rc<Descriptor>,
    /// If that is an internet address.
    pub(super) peer: Option<SocketAddr>,
}

/// A wait for connections.
pub(super) struct AcceptWait {
    listening: Rc<Listening>,
    id: WaitId,
}

impl AcceptWait {
    pub(super) fn new(listening: &Rc<Listening>) -> AcceptWait {
        AcceptWait { listening: Rc::clone(listening), id: WaitId::default() }
    }

    pub(super) fn listening(&self) -> &Listening {
        &self.listening
    }

    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Poll<io::Result<Accepted>> {
        let accepted = ready!(self.listening.poll_accept(cx, &mut self.id));
        Poll::Ready(accepted.map(|(socket, peer)| Accepted {
            reactor: Rc::clone(&self.listening.reactor),
            socket,
            peer,
        }))
    }
}

impl Drop for AcceptWait {
    fn drop(&mut self) {
        self.listening.forget(&self.id);
    }
}

/// An address as users write it.
pub(super) struct Shown<'a>(pub(super) &'a SockAddr);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(address) = self.0.as_socket() {
            return address.fmt(f);
        }
        if let Some(path) = self.0.as_pathname() {
            return path.display().fmt(f);
        }
        match self.0.as_abstract_namespace() {
            Some(name) => write!(f, "@{}", name.escape_ascii()),
            None => f.write_str("a socket without a name"),
        }
    }
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether an error of accept says that the process or the system has no room for another socket.
fn is_shortage(error: &io::Error) -> bool {
    let number = error.raw_os_error();
    matches!(number, Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}
