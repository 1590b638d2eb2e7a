//! What happens to one socket, and when.
//!
//! A test writes it with a [`Socket`], a line each thing: `socket.after(ms(3)).brings(b"hello")`. Each
//! line has the time of the call and the delay before it; the lines of one lane happen in the order in
//! which they were written. What no op asks for waits, as it would in the kernel.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;
use std::{fmt, io};

use socket2::{Domain, Type};

use super::kernel::Kernel;
use crate::backend::Interest;
use crate::payload::SendQueue;
use crate::sys::clock::Reading;

/// Something that happens to a socket.
pub(super) enum What {
    /// Bytes come.
    Brings(Vec<u8>),
    /// The peer sends no more. It stays so.
    Ends,
    /// Somebody connects.
    Calls(OwnedFd, SocketAddr),
    /// The next call that sends takes so many bytes at most.
    Takes(usize),
    /// The connection is made.
    Connects,
    /// The descriptor is ready for this from now on, and for nothing else.
    Shows(Interest),
    /// The next attempt fails; of a poll all do from now on.
    Fails(i32),
}

impl fmt::Debug for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Brings(bytes) => write!(f, "{} bytes", bytes.len()),
            What::Ends => f.write_str("the end of the file"),
            What::Calls(_, peer) => write!(f, "a connection from {peer}"),
            What::Takes(n) => write!(f, "room for {n} bytes"),
            What::Connects => f.write_str("an answer to a connect"),
            What::Shows(interest) => write!(f, "readiness for {interest:?}"),
            What::Fails(code) => write!(f, "{}", io::Error::from_raw_os_error(*code)),
        }
    }
}

#[derive(Debug)]
struct Event {
    at: Reading,
    /// Tells which of two things of one time was written first.
    order: u64,
    what: What,
}

/// What happens to one direction of a socket, in order.
#[derive(Debug, Default)]
struct Lane(RefCell<VecDeque<Event>>);

impl Lane {
    fn push(&self, at: Reading, order: u64, what: What) {
        let mut events = self.0.borrow_mut();
        // Nothing overtakes what was written before it.
        let at = events.back().map_or(at, |last| last.at.max(at));
        events.push_back(Event { at, order, what });
    }

    /// The next thing that has happened by now.
    fn pop(&self, now: Reading) -> Option<What> {
        let mut events = self.0.borrow_mut();
        if let Some(Event { at, what: What::Ends, .. }) = events.front() {
            return (*at <= now).then_some(What::Ends);
        }
        events.pop_front_if(|event| event.at <= now).map(|event| event.what)
    }

    fn times(&self) -> Vec<(Reading, u64)> {
        self.0.borrow().iter().map(|event| (event.at, event.order)).collect()
    }

    fn first_time(&self) -> Option<(Reading, u64)> {
        self.0.borrow().front().map(|event| (event.at, event.order))
    }

    fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }
}

/// All that happens to one socket, and what it took.
#[derive(Debug)]
pub(super) struct Lanes {
    reads: Lane,
    sends: Lane,
    connects: Lane,
    states: Lane,
    state: Cell<Result<Interest, i32>>,
    /// How often the state was told anew.
    changes: Cell<usize>,
    sent: RefCell<Vec<u8>>,
    pub(super) cancel_delay: Cell<Option<Duration>>,
}

impl Lanes {
    pub(super) fn new() -> Rc<Lanes> {
        let (reads, sends, connects, states) = Default::default();
        Rc::new(Lanes {
            reads,
            sends,
            connects,
            states,
            state: Cell::new(Ok(Interest::NONE)),
            changes: Cell::new(0),
            sent: RefCell::default(),
            cancel_delay: Cell::new(None),
        })
    }

    pub(super) fn read(&self, now: Reading) -> Option<What> {
        self.reads.pop(now)
    }

    pub(super) fn connect(&self, now: Reading) -> Option<What> {
        if self.connects.is_empty() { Some(What::Connects) } else { self.connects.pop(now) }
    }

    /// Takes what there is room for: everything, if nothing else is written. `None` is no room.
    pub(super) fn send(&self, queue: &mut SendQueue, now: Reading) -> Option<io::Result<usize>> {
        let mut room = usize::MAX;
        if !self.sends.is_empty() {
            match self.sends.pop(now)? {
                What::Takes(n) => room = n,
                What::Fails(code) => return Some(Err(io::Error::from_raw_os_error(code))),
                other => unreachable!("{other:?} among the sends"),
            }
        }
        let before = room;
        while room > 0 && !queue.is_empty() {
            assert!(queue.file_part().is_none(), "no script sends files");
            let (front, _) = queue.front();
            let n = front.len().min(room);
            self.sent.borrow_mut().extend_from_slice(&front[..n]);
            queue.advance(n);
            room -= n;
        }
        Some(Ok(before - room))
    }

    /// What the descriptor is like, and how often that was told.
    pub(super) fn state(&self, now: Reading) -> (Result<Interest, i32>, usize) {
        while let Some(what) = self.states.pop(now) {
            self.changes.set(self.changes.get() + 1);
            self.state.set(match what {
                What::Shows(interest) => Ok(interest),
                What::Fails(code) => Err(code),
                other => unreachable!("{other:?} among the states"),
            });
        }
        (self.state.get(), self.changes.get())
    }

    pub(super) fn times_of_reads(&self) -> Vec<(Reading, u64)> {
        self.reads.times()
    }

    pub(super) fn time_of_send(&self) -> Vec<(Reading, u64)> {
        vec![self.sends.first_time().unwrap_or((Reading::START, 0))]
    }

    pub(super) fn time_of_connect(&self) -> Vec<(Reading, u64)> {
        vec![self.connects.first_time().unwrap_or((Reading::START, 0))]
    }

    /// When the descriptor may be ready for a part of `interest`.
    pub(super) fn time_of_state(&self, interest: Interest) -> Vec<(Reading, u64)> {
        match self.state.get() {
            Ok(ready) if interest.and(ready).is_none() => {
                self.states.first_time().into_iter().collect()
            }
            _ => vec![(Reading::START, 0)],
        }
    }

    /// When it changes for one who has seen so many changes.
    pub(super) fn time_of_change(&self, seen: usize) -> Vec<(Reading, u64)> {
        if self.changes.get() > seen {
            return vec![(Reading::START, 0)];
        }
        self.states.first_time().into_iter().collect()
    }
}

/// A test's hand on one socket.
#[derive(Clone, Debug)]
pub(crate) struct Socket {
    kernel: Kernel,
    lanes: Rc<Lanes>,
    delay: Duration,
}

impl Socket {
    pub(super) fn new(kernel: &Kernel, lanes: Rc<Lanes>) -> Socket {
        Socket { kernel: kernel.clone(), lanes, delay: Duration::ZERO }
    }

    /// The same socket, so much later.
    pub(crate) fn after(&self, delay: Duration) -> Socket {
        Socket { delay: self.delay.saturating_add(delay), ..self.clone() }
    }

    /// The same socket when nothing happens any more: what is written for then never comes.
    pub(crate) fn never(&self) -> Socket {
        self.after(Duration::MAX)
    }

    /// These bytes come, as one piece.
    pub(crate) fn brings(&self, bytes: impl AsRef<[u8]>) -> &Socket {
        let bytes = bytes.as_ref().to_vec();
        assert!(!bytes.is_empty(), "nothing comes: that is the end of the file");
        self.write(&self.lanes.reads, What::Brings(bytes))
    }

    /// The peer sends no more.
    pub(crate) fn ends(&self) -> &Socket {
        self.write(&self.lanes.reads, What::Ends)
    }

    /// The next attempt to receive or to accept fails.
    pub(crate) fn refuses(&self, code: i32) -> &Socket {
        self.write(&self.lanes.reads, What::Fails(code))
    }

    /// Somebody connects. What happens to his connection is written with the socket that comes back.
    pub(crate) fn calls(&self, peer: SocketAddr) -> Socket {
        let domain = Domain::for_address(peer);
        let fd = socket2::Socket::new(domain, Type::STREAM.nonblocking(), None).unwrap();
        self.calls_over(fd.into(), peer)
    }

    /// The same with a descriptor of the test's own.
    pub(crate) fn calls_over(&self, fd: OwnedFd, peer: SocketAddr) -> Socket {
        let connection = self.kernel.fresh_socket(&fd);
        self.write(&self.lanes.reads, What::Calls(fd, peer));
        Socket { delay: self.delay, ..connection }
    }

    /// The next call that sends takes so many bytes at most. Until then there is no room; what is sent after
    /// all that is written finds room for everything.
    pub(crate) fn takes(&self, n: usize) -> &Socket {
        assert!(n > 0, "no room is said by a delay");
        self.write(&self.lanes.sends, What::Takes(n))
    }

    /// The next call that sends fails.
    pub(crate) fn refuses_a_send(&self, code: i32) -> &Socket {
        self.write(&self.lanes.sends, What::Fails(code))
    }

    /// A connect succeeds. One of which nothing is written does so at once.
    pub(crate) fn connects(&self) -> &Socket {
        self.write(&self.lanes.connects, What::Connects)
    }

    /// A connect fails.
    pub(crate) fn refuses_a_connect(&self, code: i32) -> &Socket {
        self.write(&self.lanes.connects, What::Fails(code))
    }

    /// The descriptor is ready for this, and for nothing else.
    pub(crate) fn shows(&self, interest: Interest) -> &Socket {
        self.write(&self.lanes.states, What::Shows(interest))
    }

    /// Whoever polls the descriptor is told this error.
    pub(crate) fn refuses_a_poll(&self, code: i32) -> &Socket {
        self.write(&self.lanes.states, What::Fails(code))
    }

    /// A cancel of an op of this socket takes effect so much later than it is asked for, and what happens
    /// until then still reaches the op: the race is lost. At once, nothing more reaches it.
    pub(crate) fn cancels_after(&self, delay: Duration) -> &Socket {
        self.lanes.cancel_delay.set(Some(delay));
        self
    }

    /// All bytes that were taken from us, in order.
    pub(crate) fn sent(&self) -> Vec<u8> {
        self.lanes.sent.borrow().clone()
    }

    /// The bytes that have come, or will, and that no op was given.
    pub(crate) fn left(&self) -> Vec<u8> {
        let events = self.lanes.reads.0.borrow();
        let pieces = events.iter().filter_map(|event| match &event.what {
            What::Brings(bytes) => Some(&bytes[..]),
            _ => None,
        });
        pieces.collect::<Vec<_>>().concat()
    }

    /// How many have connected, or will, whom no op was given.
    pub(crate) fn callers_left(&self) -> usize {
        let events = self.lanes.reads.0.borrow();
        events.iter().filter(|event| matches!(event.what, What::Calls(..))).count()
    }

    fn write(&self, lane: &Lane, what: What) -> &Socket {
        let at = self.kernel.now().after(self.delay);
        lane.push(at, self.kernel.next_order(), what);
        self
    }
}
