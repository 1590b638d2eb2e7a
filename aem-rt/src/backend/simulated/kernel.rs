//! The kernel that a test plays: its time, its sockets, its manners.
//!
//! Where the contract leaves something open, a plain kernel does what real ones nearly always do, and a
//! [seeded](Kernel::seeded) one anything that is allowed: it answers in another order than things
//! happened, later than it could, at the start of a turn or at its end; it leaves to an op what could be
//! sent at once; it grants a cancel late.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use socket2::SockAddr;

use super::Draw;
use super::script::{Lanes, Socket};
use crate::backend::ledger::Token;
use crate::backend::op::{Answer, Completion};
use crate::queue::Unpark;
use crate::sys::clock::Reading;
use crate::sys::clock::simulated::Time;

/// A simulated kernel. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Kernel(Rc<World>);

#[derive(Debug)]
struct World {
    time: Time,
    start: Reading,
    sockets: RefCell<HashMap<RawFd, Rc<Lanes>>>,
    /// What those are like who will connect to an address, in order.
    peers: RefCell<HashMap<SocketAddr, VecDeque<Rc<Lanes>>>>,
    order: Cell<u64>,
    random: Option<Random>,
    ops_only: Cell<bool>,
    at_once: Cell<bool>,
    answers_twice: Cell<bool>,
    wait_failure: Cell<Option<i32>>,
    strays: RefCell<VecDeque<Stray>>,
    noticed: Cell<usize>,
}

/// An answer to an op that is over: what no kernel gives that is not broken.
#[derive(Debug)]
pub(super) struct Stray {
    pub(super) completion: Completion,
    /// Whether the keeper is to look at it, as they do, or to hand it on and be as broken.
    pub(super) checked: bool,
}

impl Kernel {
    /// A kernel that does what is written, when it is written.
    pub(crate) fn new() -> Kernel {
        Kernel::with(None)
    }

    /// A kernel that does what is written in an order of its own. The same seed has the same order.
    pub(crate) fn seeded(seed: u64) -> Kernel {
        Kernel::with(Some(Random::new(seed)))
    }

    fn with(random: Option<Random>) -> Kernel {
        let time = Time::new();
        Kernel(Rc::new(World {
            start: time.now(),
            time,
            sockets: RefCell::default(),
            peers: RefCell::default(),
            order: Cell::new(1),
            random,
            ops_only: Cell::new(false),
            at_once: Cell::new(false),
            answers_twice: Cell::new(false),
            wait_failure: Cell::new(None),
            strays: RefCell::default(),
            noticed: Cell::new(0),
        }))
    }

    /// The script of a descriptor, before or after it is given to a reactor.
    pub(crate) fn socket(&self, fd: &impl AsRawFd) -> Socket {
        Socket::new(self, self.lanes(fd.as_raw_fd()))
    }

    /// The script of a descriptor that nothing was written for: its number may have been another's.
    pub(crate) fn fresh_socket(&self, fd: &impl AsRawFd) -> Socket {
        self.0.sockets.borrow_mut().remove(&fd.as_raw_fd());
        self.socket(fd)
    }

    /// The script of the next socket that connects to an address; each call is for one more.
    pub(crate) fn peer(&self, address: SocketAddr) -> Socket {
        let lanes = Lanes::new();
        self.0.peers.borrow_mut().entry(address).or_default().push_back(lanes.clone());
        Socket::new(self, lanes)
    }

    /// How much time has passed since it was made.
    pub(crate) fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.now().since(self.0.start))
    }

    /// Has it leave everything to ops: nothing is sent at once.
    pub(crate) fn take_ops_only(&self) {
        self.0.ops_only.set(true);
    }

    /// Has it answer before the wait of a turn, where it can, and not after it.
    pub(crate) fn answer_at_once(&self) {
        self.0.at_once.set(true);
    }

    /// Has the next wait fail.
    pub(crate) fn fail_wait(&self, code: i32) {
        self.0.wait_failure.set(Some(code));
    }

    /// Breaks it: it answers to an op that is over. The keeper may notice.
    pub(crate) fn answer_stray(&self, token: Token, answer: Answer, more: bool) {
        let completion = Completion { token, answer, more };
        self.0.strays.borrow_mut().push_back(Stray { completion, checked: true });
    }

    /// Breaks the keeper too: it hands on whatever there is.
    pub(crate) fn answer_stray_unchecked(&self, token: Token, answer: Answer, more: bool) {
        let completion = Completion { token, answer, more };
        self.0.strays.borrow_mut().push_back(Stray { completion, checked: false });
    }

    /// Breaks both: every last answer is followed by another one to the same op, an error.
    pub(crate) fn answer_twice(&self) {
        self.0.answers_twice.set(true);
    }

    /// How many answers to ops that were over the keeper has noticed.
    pub(crate) fn strays_noticed(&self) -> usize {
        self.0.noticed.get()
    }
}

// For the keeper.
impl Kernel {
    pub(super) fn time(&self) -> &Time {
        &self.0.time
    }

    pub(super) fn now(&self) -> Reading {
        self.0.time.now()
    }

    pub(super) fn next_order(&self) -> u64 {
        let order = self.0.order.get();
        self.0.order.set(order + 1);
        order
    }

    pub(super) fn lanes(&self, fd: RawFd) -> Rc<Lanes> {
        self.0.sockets.borrow_mut().entry(fd).or_insert_with(Lanes::new).clone()
    }

    /// A number was given back.
    pub(super) fn forget(&self, fd: RawFd, lanes: &Rc<Lanes>) {
        let mut sockets = self.0.sockets.borrow_mut();
        if sockets.get(&fd).is_some_and(|held| Rc::ptr_eq(held, lanes)) {
            sockets.remove(&fd);
        }
    }

    /// The script of one who connects to an address, if there is one.
    pub(super) fn connect(&self, address: &SockAddr) -> Option<Rc<Lanes>> {
        self.0.peers.borrow_mut().get_mut(&address.as_socket()?)?.pop_front()
    }

    pub(super) fn takes_ops_only(&self) -> bool {
        self.0.ops_only.get() || self.one_in(3)
    }

    pub(super) fn answers_at_once(&self) -> bool {
        self.0.at_once.get() || self.one_in(3)
    }

    pub(super) fn cancel_delay(&self, lanes: &Lanes) -> Duration {
        let Some(random) = &self.0.random else {
            return lanes.cancel_delay.get().unwrap_or_default();
        };
        lanes.cancel_delay.get().unwrap_or_else(|| match random.below(3) {
            0 => Duration::ZERO,
            _ => Duration::from_micros(random.below(2000) as u64),
        })
    }

    pub(super) fn take_wait_failure(&self) -> io::Result<()> {
        let failure = self.0.wait_failure.take();
        failure.map_or(Ok(()), |code| Err(io::Error::from_raw_os_error(code)))
    }

    pub(super) fn take_strays(&self) -> VecDeque<Stray> {
        self.0.strays.take()
    }

    /// The second last answer to an op.
    pub(super) fn answer_again(&self, token: Token) -> Option<Stray> {
        let answer = Answer::Failed(io::Error::from_raw_os_error(libc::EIO));
        let completion = Completion { token, answer, more: false };
        self.0.answers_twice.get().then_some(Stray { completion, checked: false })
    }

    pub(super) fn note_stray(&self) {
        self.0.noticed.set(self.0.noticed.get() + 1);
    }

    /// What is due in the order in which it is told: that of time, or a random one of a part of it.
    pub(super) fn in_order(
        &self,
        mut due: Vec<((Reading, u64), Draw)>,
    ) -> impl Iterator<Item = Draw> + use<> {
        match &self.0.random {
            None => due.sort_by_key(|(time, _)| *time),
            Some(random) => {
                for at in (1..due.len()).rev() {
                    due.swap(at, random.below(at + 1));
                }
                // One at least, so that there is an end.
                let told = due.len().min(1 + random.below(due.len() + 1));
                due.truncate(told);
            }
        }
        due.into_iter().map(|(_, draw)| draw)
    }

    fn one_in(&self, n: usize) -> bool {
        self.0.random.as_ref().is_some_and(|random| random.below(n) == 0)
    }
}

/// A small generator of numbers (xorshift64*), so that a failure can be repeated by its seed.
#[derive(Debug)]
pub(crate) struct Random(Cell<u64>);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        // Neighbouring seeds are to have nothing in common, and zero would stay zero.
        Random(Cell::new((seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)))
    }

    /// A number below `limit`.
    pub(crate) fn below(&self, limit: usize) -> usize {
        let mut state = self.0.get();
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        self.0.set(state);
        (state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % limit
    }
}

/// So long, in real time, a wait without end waits for another thread.
const PATIENCE: Duration = Duration::from_secs(10);

/// What other threads ring.
#[derive(Debug, Default)]
pub(super) struct Bell {
    rung: Mutex<bool>,
    ringing: Condvar,
}

impl Bell {
    /// Whether it rang since this was last asked.
    pub(super) fn take(&self) -> bool {
        std::mem::take(&mut *self.rung.lock().unwrap())
    }

    /// Waits until it rings.
    ///
    /// # Panics
    ///
    /// If it does not: the test would hang.
    pub(super) fn wait(&self) {
        self.wait_for(PATIENCE);
    }

    pub(super) fn wait_for(&self, patience: Duration) {
        let rung = self.rung.lock().unwrap();
        let (mut rung, result) =
            self.ringing.wait_timeout_while(rung, patience, |rung| !*rung).unwrap();
        *rung = false;
        drop(rung);
        assert!(
            !result.timed_out(),
            "the simulated kernel has nothing to say, no deadline comes, and nobody rings"
        );
    }
}

impl Unpark for Bell {
    fn unpark(&self) {
        *self.rung.lock().unwrap() = true;
        self.ringing.notify_one();
    }
}
