//! The keeper over a kernel that a test plays: answers by a script, in virtual time.
//!
//! A [`Kernel`] holds what is to happen, socket by socket: bytes that come, connections, refusals, how much
//! a send takes, when a cancel takes effect. Each has a time, and the time is virtual: a wait passes it to
//! the next thing that concerns an op, or to the end of the wait, at once. So a test of late answers, lost
//! races and hours of timers sleeps never and says the same each time. What happens to a socket happens in
//! the order of its script; between sockets it is the time that decides, or a seeded generator
//! ([`Kernel::seeded`]), which also holds answers back and varies what the contract leaves open.
//!
//! No system call is made for an op. Descriptors are real numbers of real files, so that the public types
//! can be built upon them, and are registered and closed as by every keeper.
//!
//! It promises what each keeper does: one last completion an op (ONCE), ops kept until then (LENT). An
//! answer of the kernel's to an op that is over finds nobody, and is counted (FRESH).

mod kernel;
mod script;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;

use super::descriptor::{Descriptor, Hold, Port as PortId, Registry};
use super::direct::{is_of_the_connection, is_perhaps_of_the_connection};
use super::ledger::{Ledger, Token};
use super::op::{Answer, Completion, Op};
use super::{Attach, refusal};
use crate::chunk::Chunk;
use crate::payload::SendQueue;
use crate::queue::Unpark;
use crate::sys::clock::{Clock, Reading};
use kernel::{Bell, Stray};
pub(crate) use kernel::{Kernel, Random};
pub(crate) use script::Socket;
use script::{Lanes, What};

/// So many answers of one op are collected in a turn, as a real keeper has its limits (BOUND).
const ANSWERS_PER_TURN: usize = 16;

/// So many refusals in a row, each of which may be of one connection only, end an accept.
const REFUSALS_MOST: u8 = 16;

/// An op that is under way.
#[derive(Debug)]
struct Flight {
    op: Op,
    lanes: Rc<Lanes>,
    cancel: Option<Cancel>,
    /// Refusals in a row.
    refused: u8,
    /// How many changes of its descriptor it has been told of, or was too late for.
    seen: usize,
}

/// The end of an op that was asked for.
#[derive(Clone, Copy, Debug)]
struct Cancel {
    /// When it takes effect.
    at: Reading,
    /// Whether what happens until then still reaches the op.
    late: bool,
}

#[derive(Debug)]
struct Port {
    lanes: Rc<Lanes>,
    /// Whether an op accepts or receives.
    reading: bool,
    /// Whether an op sends or connects.
    writing: bool,
    /// How many ops poll.
    polling: usize,
    /// Whether it is in the table of what is registered.
    entered: bool,
}

/// What [`next`](SimulatedKeeper::next) is to look at.
#[derive(Debug)]
enum Draw {
    /// The next thing that happens to the socket of an op.
    Event(Token),
    /// The cancel of an op takes effect.
    End(Token),
    /// An answer that no op waits for.
    Stray(Stray),
}

/// One worker's simulated kernel and all that it does.
#[derive(Debug)]
pub(crate) struct SimulatedKeeper {
    kernel: Kernel,
    bell: Arc<Bell>,
    ledger: Ledger<Flight>,
    registry: Rc<Registry>,
    ports: Slab<Port>,
    drawn: VecDeque<Draw>,
    /// Descriptors that were closed since somebody asked.
    closed: usize,
    /// Sends that are under way.
    sends: usize,
}

impl SimulatedKeeper {
    pub(super) fn new(kernel: &Kernel) -> SimulatedKeeper {
        SimulatedKeeper {
            kernel: kernel.clone(),
            bell: Arc::default(),
            ledger: Ledger::new(),
            registry: Registry::new(None).expect("memory for a page"),
            ports: Slab::new(),
            drawn: VecDeque::new(),
            closed: 0,
            sends: 0,
        }
    }

    pub(super) fn clock(&self) -> Clock {
        Clock::Simulated(self.kernel.time().clone())
    }

    pub(super) fn unparker(&self) -> Arc<dyn Unpark> {
        self.bell.clone()
    }

    pub(super) fn pending(&self) -> usize {
        self.ledger.len()
    }

    pub(super) fn descriptors(&self) -> usize {
        self.ports.len()
    }

    pub(super) fn sends(&self) -> usize {
        self.sends
    }

    pub(super) fn cancel_all(&mut self, which: impl Fn(&Op) -> bool) {
        let ledger = &self.ledger;
        let is_one = |token: &Token| ledger.get(*token).is_some_and(|flight| which(&flight.op));
        let tokens: Vec<Token> = ledger.tokens().filter(is_one).collect();
        tokens.into_iter().for_each(|token| self.cancel(token));
    }

    pub(super) fn tokens(&self) -> impl Iterator<Item = Token> + '_ {
        self.ledger.tokens()
    }

    pub(super) fn shut(&mut self) {
        self.close_descriptors();
        self.registry.shut();
    }

    pub(super) fn take_closed(&mut self) -> usize {
        std::mem::take(&mut self.closed)
    }

    pub(super) fn adopt(
        &mut self,
        fd: OwnedFd,
        attach: Attach,
    ) -> Result<Rc<Descriptor>, (io::Error, OwnedFd)> {
        match self.new_port(fd.as_raw_fd(), attach == Attach::Now) {
            Ok(port) => Ok(Descriptor::new(Hold::Owned(fd), port, &self.registry)),
            Err(error) => Err((error, fd)),
        }
    }

    pub(super) fn adopt_borrowed(&mut self, fd: BorrowedFd<'_>) -> io::Result<Rc<Descriptor>> {
        let port = self.new_port(fd.as_raw_fd(), true)?;
        Ok(Descriptor::new(Hold::Borrowed(fd.as_raw_fd()), port, &self.registry))
    }

    fn new_port(&mut self, fd: i32, entered: bool) -> io::Result<PortId> {
        let lanes = self.kernel.lanes(fd);
        let (reading, writing, polling) = Default::default();
        let index = self.ports.insert(Port { lanes, reading, writing, polling, entered });
        let port = PortId(index as u32);
        if entered && let Err(error) = self.registry.enter(fd, port, 0, 0) {
            self.ports.remove(index);
            return Err(refusal(error));
        }
        Ok(port)
    }

    /// Closes what was dropped. Its number may come again, and then has nothing of this script.
    fn close_descriptors(&mut self) {
        while let Some((hold, id)) = self.registry.next_closing() {
            let port = self.ports.remove(id.0 as usize);
            let idle = !port.reading && !port.writing && port.polling == 0;
            assert!(idle, "a descriptor was closed under an op");
            if port.entered {
                self.registry.forget(hold.as_raw_fd(), id);
            }
            self.kernel.forget(hold.as_raw_fd(), &port.lanes);
            if let Hold::Owned(fd) = hold {
                drop(fd);
                self.closed += 1;
            }
        }
    }
}

// Ops.
impl SimulatedKeeper {
    pub(super) fn submit(&mut self, op: Op) -> Token {
        let port = &mut self.ports[op.descriptor().port().0 as usize];
        let place = match &op {
            Op::Accept { .. } | Op::Receive { .. } => Some(&mut port.reading),
            Op::Send { .. } | Op::Connect { .. } => Some(&mut port.writing),
            Op::File(op) => unreachable!("{op:?} comes back"),
            Op::Poll { .. } | Op::Changes { .. } => {
                port.polling += 1;
                None
            }
        };
        if let Some(place) = place {
            let taken = std::mem::replace(place, true);
            assert!(!taken, "two ops on one direction of a descriptor");
        }
        if let Op::Connect { address, .. } = &op {
            port.lanes = self.kernel.connect(address).unwrap_or_else(|| port.lanes.clone());
        }
        self.sends += usize::from(matches!(op, Op::Send { .. }));
        let lanes = port.lanes.clone();
        let (_, seen) = lanes.state(self.kernel.now());
        self.ledger.insert(Flight { op, lanes, cancel: None, refused: 0, seen })
    }

    pub(super) fn send_now(
        &mut self,
        socket: &Descriptor,
        queue: &mut SendQueue,
    ) -> Option<io::Result<usize>> {
        let port = &self.ports[socket.port().0 as usize];
        if port.writing || self.kernel.takes_ops_only() {
            return None;
        }
        match port.lanes.send(queue, self.kernel.now())? {
            Err(error) if is_of_the_moment(&error) => None,
            result => Some(result),
        }
    }

    pub(super) fn cancel(&mut self, token: Token) {
        if !self.ledger.cancel(token) {
            return;
        }
        let Some(flight) = self.ledger.get_mut(token) else { return };
        let delay = self.kernel.cancel_delay(&flight.lanes);
        flight.cancel = Some(Cancel { at: self.kernel.now().after(delay), late: !delay.is_zero() });
    }

    pub(super) fn start(&mut self) -> bool {
        let events = self.kernel.answers_at_once();
        self.collect(events);
        self.has_next()
    }

    pub(super) fn wait(&mut self, wait: Option<Duration>) -> io::Result<()> {
        // What was dropped since the last turn must not stay open while we sleep.
        self.close_descriptors();
        self.kernel.take_wait_failure()?;
        self.collect(true);
        let busy = self.has_next() || self.closed > 0 || self.bell.take();
        if busy || wait == Some(Duration::ZERO) {
            return Ok(());
        }
        let end = wait.map_or(Reading::NEVER, |wait| self.kernel.now().after(wait));
        let next = self.next_time().unwrap_or(Reading::NEVER);
        match end.min(next) {
            Reading::NEVER => self.bell.wait(),
            then => self.kernel.time().advance_to(then),
        }
        self.collect(true);
        Ok(())
    }

    pub(super) fn has_next(&self) -> bool {
        !self.drawn.is_empty()
    }

    pub(super) fn next(&mut self) -> Option<Completion> {
        while let Some(draw) = self.drawn.pop_front() {
            let completion = match draw {
                Draw::Event(token) => self.take_event(token),
                Draw::End(token) => self.end(token),
                Draw::Stray(stray) => {
                    let Some(completion) = self.take_stray(stray) else { continue };
                    return Some(completion);
                }
            };
            let Some(completion) = completion else { continue };
            if !completion.more {
                let again = self.kernel.answer_again(completion.token);
                self.drawn.extend(again.map(Draw::Stray));
            }
            return Some(completion);
        }
        None
    }
}

// What the kernel has to say.
impl SimulatedKeeper {
    /// Notes what is to be looked at now. Nothing is answered before it is drawn, and what is asked for
    /// meanwhile waits for the next turn (BOUND).
    fn collect(&mut self, events: bool) {
        if self.has_next() {
            return;
        }
        let now = self.kernel.now();
        let mut due: Vec<((Reading, u64), Draw)> = Vec::new();
        for token in self.ledger.tokens() {
            let Some(flight) = self.ledger.get(token) else { continue };
            if let Some(cancel) = flight.cancel
                && cancel.at <= now
            {
                due.push(((cancel.at, u64::MAX), Draw::End(token)));
            }
            if events {
                let times = flight.times().take_while(|(at, _)| *at <= now);
                due.extend(times.map(|time| (time, Draw::Event(token))));
            }
        }
        let due = self.kernel.in_order(due);
        self.drawn.extend(due);
        self.drawn.extend(self.kernel.take_strays().into_iter().map(Draw::Stray));
    }

    /// When the next thing happens that concerns an op.
    fn next_time(&self) -> Option<Reading> {
        let flights = self.ledger.tokens().filter_map(|token| self.ledger.get(token));
        let times = flights.flat_map(|flight| {
            let event = flight.times().next().map(|(at, _)| at);
            let end = flight.cancel.map(|cancel| cancel.at);
            event.into_iter().chain(end)
        });
        times.min()
    }

    /// The next thing that happened to the socket of an op.
    fn take_event(&mut self, token: Token) -> Option<Completion> {
        let now = self.kernel.now();
        let flight = self.ledger.get_mut(token)?;
        let what = match &mut flight.op {
            Op::Send { queue, .. } => {
                return match flight.lanes.send(queue, now)? {
                    Err(error) if is_of_the_moment(&error) => None,
                    result => {
                        let queue = std::mem::take(queue);
                        self.finish(token, Answer::Sent { queue, result })
                    }
                };
            }
            Op::Accept { .. } | Op::Receive { .. } => flight.lanes.read(now)?,
            Op::Connect { .. } => flight.lanes.connect(now)?,
            Op::File(op) => unreachable!("{op:?} comes back"),
            Op::Poll { .. } | Op::Changes { .. } => return self.take_state(token),
        };
        match (&flight.op, what) {
            (_, What::Fails(code)) => self.fail(token, io::Error::from_raw_os_error(code)),
            (Op::Receive { .. }, What::Brings(bytes)) => {
                self.gain(token, Answer::Received(Chunk::from(bytes)))
            }
            (Op::Receive { .. }, What::Ends) => self.finish(token, Answer::EndOfFile),
            (Op::Accept { .. }, What::Calls(fd, peer)) => {
                self.gain(token, Answer::Accepted(fd, Some(peer)))
            }
            (Op::Connect { .. }, What::Connects) => self.finish(token, Answer::Connected),
            (op, what) => panic!("the script has {what:?} for {op:?}"),
        }
    }

    /// What a descriptor is like now, for one who polls or watches it.
    fn take_state(&mut self, token: Token) -> Option<Completion> {
        let now = self.kernel.now();
        let flight = self.ledger.get_mut(token)?;
        let (state, changes) = flight.lanes.state(now);
        let ready = match state {
            Err(code) => return self.fail(token, io::Error::from_raw_os_error(code)),
            Ok(ready) => ready,
        };
        match flight.op {
            Op::Poll { interest, .. } if interest.and(ready).is_none() => None,
            Op::Poll { interest, .. } => self.finish(token, Answer::Ready(interest.and(ready))),
            _ if changes == flight.seen => None,
            _ => {
                flight.seen = changes;
                self.gain(token, Answer::Ready(ready))
            }
        }
    }

    /// An answer that is not the last.
    fn gain(&mut self, token: Token, answer: Answer) -> Option<Completion> {
        self.ledger.get_mut(token)?.refused = 0;
        Some(Completion { token, answer, more: true })
    }

    /// Ends an op with its last answer, which is being drawn.
    fn finish(&mut self, token: Token, answer: Answer) -> Option<Completion> {
        self.give_up(token)?;
        Some(Completion { token, answer, more: false })
    }

    /// In a forked child: takes an op back, which the parent's kernel will end.
    pub(super) fn give_up(&mut self, token: Token) -> Option<Op> {
        let flight = self.ledger.remove(token)?;
        let port = &mut self.ports[flight.op.descriptor().port().0 as usize];
        match flight.op {
            Op::Accept { .. } | Op::Receive { .. } => port.reading = false,
            Op::Send { .. } | Op::Connect { .. } => port.writing = false,
            Op::Poll { .. } | Op::Changes { .. } => port.polling -= 1,
            Op::File(op) => unreachable!("{op:?} comes back"),
        }
        self.sends -= usize::from(matches!(flight.op, Op::Send { .. }));
        Some(flight.op)
    }

    /// An error: of the moment, of a connection that is gone by it, or of the op.
    fn fail(&mut self, token: Token, error: io::Error) -> Option<Completion> {
        let flight = self.ledger.get_mut(token)?;
        if is_of_the_moment(&error) {
            return None;
        }
        if let Op::Accept { .. } = flight.op {
            if is_of_the_connection(&error) {
                return None;
            }
            flight.refused += 1;
            if is_perhaps_of_the_connection(&error) && flight.refused < REFUSALS_MOST {
                return None;
            }
        }
        self.finish(token, Answer::Failed(error))
    }

    /// A cancel takes effect, unless the op has ended before it.
    fn end(&mut self, token: Token) -> Option<Completion> {
        let answer = match &mut self.ledger.get_mut(token)?.op {
            Op::Send { queue, .. } => Answer::Cancelled(Some(std::mem::take(queue))),
            _ => Answer::Cancelled(None),
        };
        self.finish(token, answer)
    }

    /// An answer that nobody waits for. The ledger knows, as far as it is asked (FRESH).
    fn take_stray(&mut self, stray: Stray) -> Option<Completion> {
        let Stray { completion, checked } = stray;
        let alive = self.ledger.get(completion.token).is_some();
        assert!(!alive, "a stray answer is one to an op that is over");
        if checked {
            self.kernel.note_stray();
            return None;
        }
        Some(completion)
    }
}

impl Flight {
    /// When things happen that this op is told of, with what orders those of one time.
    fn times(&self) -> impl Iterator<Item = (Reading, u64)> + '_ {
        let limit = match self.cancel {
            Some(Cancel { late: false, .. }) => None,
            Some(Cancel { at, late: true }) => Some(at),
            None => Some(Reading::NEVER),
        };
        let most = match self.op {
            Op::Accept { .. } | Op::Receive { .. } => ANSWERS_PER_TURN,
            _ => 1,
        };
        let times = match self.op {
            Op::Accept { .. } | Op::Receive { .. } => self.lanes.times_of_reads(),
            Op::Send { .. } => self.lanes.time_of_send(),
            Op::Connect { .. } => self.lanes.time_of_connect(),
            Op::Poll { interest, .. } => self.lanes.time_of_state(interest),
            Op::Changes { .. } => self.lanes.time_of_change(self.seen),
            Op::File(ref op) => unreachable!("{op:?} comes back"),
        };
        times
            .into_iter()
            .take(most)
            .take_while(move |(at, _)| limit.is_some_and(|limit| *at <= limit))
    }
}

/// Whether an error only says that the attempt came to nothing, and the op goes on.
fn is_of_the_moment(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

mod tests;
