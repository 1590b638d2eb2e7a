//! The keeper that speaks epoll: completions out of readiness.
//!
//! Each descriptor has a *port*. It is entered into epoll once, for the edges of reading, and those of
//! writing are added, for good, when something first waits for room: a Unix socket tells of room whenever
//! its peer has read, and would wake us for each message that we send. The port keeps what the last edge
//! and the last system call said of each direction: unknown, ready, or drained. An op on a direction that
//! is not drained is tried at once; one on a drained direction waits for an edge. A receive that brings
//! less than it asked for has drained the socket, and the call that would only say so is saved, *unless*
//! the edges told of more than data: data and FIN come as one edge, and an urgent mark cuts a receive
//! short ([`Marks::TAIL`]).
//!
//! Completions are drawn one at a time ([`next`](EpollKeeper::next)), each event being looked at
//! when its turn comes, so that none has to be stored between the kernel and its sink.
//!
//! Work is bounded (BOUND): a turn makes one receive or send a port and a few accepts a listener;
//! a port that may have more stays on the work list, and while that list is not empty the keeper
//! does not sleep. Events cost no allocation.

mod watchers;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;

use super::descriptor::{Descriptor, Hold, Port as PortId, Registry};
use super::direct::{self, Accepted, Patience, send};
use super::ledger::{Ledger, Token};
use super::op::{Answer, Completion, Interest, Op};
use super::pool::{Pool, Reception};
use super::{Attach, Config, refusal};
use crate::payload::SendQueue;
use crate::queue::Unpark;
use crate::sys::epoll::{Epoll, Events, flags};
use crate::sys::eventfd::EventFd;
use crate::sys::{poll, socket};
use watchers::Watchers;

/// How many events one wait takes. More than this are ready at once only when thousands of
/// connections are busy, and then the next wait brings them.
const EVENTS_PER_WAIT: usize = 1024;

/// A turn that has received so many bytes leaves the other events to the next one: what it received is then
/// still in the processor's cache when the jobs run that it is for. Hundreds of sockets with 16 KiB each, all
/// received before the first is looked at, cost each of them a third more.
const RECEIVED_PER_TURN: usize = 256 * 1024;

/// The key of the bell; all others are ports.
const BELL: u64 = u64::MAX;

/// What each port is entered for, and what those are that have waited for room.
const READ_EDGES: u32 = flags::IN | flags::RDHUP | flags::PRI | flags::EDGE;
const ALL_EDGES: u32 = READ_EDGES | flags::OUT;

/// Flags that say that there is more to come than the data a short receive ended with.
const TAIL: u32 = flags::RDHUP | flags::HUP | flags::ERR | flags::PRI;

/// What is true of a port or not, eight at most, in one byte: there are as many ports as connections.
#[derive(Clone, Copy, Debug, Default)]
struct Marks(u8);

impl Marks {
    /// It is in epoll's table, for edges of reading.
    const ATTACHED: Marks = Marks(1);
    /// And for those of writing.
    const TELLS_OF_ROOM: Marks = Marks(1 << 6);
    /// It is on the work list.
    const QUEUED: Marks = Marks(1 << 1);
    /// `poll(2)` must be asked for ops that have just come.
    const ASK: Marks = Marks(1 << 2);
    /// The connect of the writer was begun.
    const CONNECTING: Marks = Marks(1 << 3);
    /// An edge told of more than data since the last `EAGAIN`.
    const TAIL_EDGE: Marks = Marks(1 << 4);
    /// A Unix stream, where a receive may end behind bytes that descriptors came with.
    const MAY_BE_CUT: Marks = Marks(1 << 5);
    /// A short receive alone does not say that there is no more.
    const TAIL: Marks = Marks(Marks::TAIL_EDGE.0 | Marks::MAY_BE_CUT.0);

    /// Whether any of these is set.
    #[inline]
    fn has(self, marks: Marks) -> bool {
        self.0 & marks.0 != 0
    }

    /// Sets these, and says whether any was set before.
    #[inline]
    fn set(&mut self, marks: Marks) -> bool {
        let had = self.has(marks);
        self.0 |= marks.0;
        had
    }

    /// Clears these, and says whether any was set.
    #[inline]
    fn take(&mut self, marks: Marks) -> bool {
        let had = self.has(marks);
        self.0 &= !marks.0;
        had
    }
}

/// What is known of one direction of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Readiness {
    /// Nothing: a call will tell.
    Unknown,
    /// An edge came, or the last call left something.
    Ready,
    /// The last call left nothing, and an edge will tell when that changes.
    Drained,
}

/// What the keeper knows of one descriptor.
#[derive(Debug)]
struct Port {
    /// Part of the key, so that an edge of an earlier bearer of this index is known as stale.
    generation: u32,
    marks: Marks,
    read: Readiness,
    write: Readiness,
    /// The op that accepts or receives.
    reader: Option<Token>,
    /// The op that sends or connects.
    writer: Option<Token>,
    /// The ops that poll or watch for changes.
    watchers: Watchers,
}

/// One of the two things that a port is asked for.
#[derive(Clone, Copy, Debug)]
enum Direction {
    Read,
    Write,
}

impl Port {
    /// Whether edges tell of changes. Only then may a direction be called drained.
    #[inline]
    fn has_edges(&self, direction: Direction) -> bool {
        self.marks.has(match direction {
            Direction::Read => Marks::ATTACHED,
            Direction::Write => Marks::TELLS_OF_ROOM,
        })
    }

    fn set(&mut self, direction: Direction, readiness: Readiness) {
        match direction {
            Direction::Read => self.read = readiness,
            Direction::Write => self.write = readiness,
        }
    }
}

/// One worker's epoll instance and all that it watches.
#[derive(Debug)]
pub(crate) struct EpollKeeper {
    registry: Rc<Registry>,
    bell: Arc<EventFd>,
    ports: Slab<Port>,
    generation: u32,
    ledger: Ledger<Op>,
    work: VecDeque<u32>,
    cancelled: VecDeque<Token>,
    /// How many of `cancelled` and of `work` were there when the turn began, and are still to be
    /// looked at in it. What comes later waits for the next turn (BOUND).
    to_end: usize,
    to_try: usize,
    events: Events,
    /// How many of `events` have been looked at.
    seen: usize,
    /// How many bytes have been received in this turn.
    received: usize,
    /// What was answered beside the completion that was drawn last.
    done: VecDeque<Completion>,
    pool: Pool,
    /// Descriptors that were closed since somebody asked.
    closed: usize,
    /// Sends that are under way.
    sends: usize,
    patience: Patience,
}

impl EpollKeeper {
    pub(super) fn new(config: &Config) -> io::Result<EpollKeeper> {
        let epoll = Epoll::new()?;
        let bell = EventFd::new()?;
        epoll.add(bell.as_fd().as_raw_fd(), flags::IN | flags::EDGE, BELL)?;
        Ok(EpollKeeper {
            registry: Registry::new(Some(epoll))?,
            bell: Arc::new(bell),
            ports: Slab::new(),
            generation: 0,
            ledger: Ledger::new(),
            work: VecDeque::new(),
            cancelled: VecDeque::new(),
            to_end: 0,
            to_try: 0,
            events: Events::new(EVENTS_PER_WAIT),
            seen: 0,
            received: 0,
            done: VecDeque::new(),
            pool: Pool::new(config.pool_bytes, config.buffer_size)?,
            closed: 0,
            sends: 0,
            patience: Patience::default(),
        })
    }

    pub(super) fn unparker(&self) -> Arc<dyn Unpark> {
        self.bell.clone()
    }

    pub(super) fn pending(&self) -> usize {
        self.ledger.len()
    }

    pub(super) fn cancel_all(&mut self, which: impl Fn(&Op) -> bool) {
        let ledger = &self.ledger;
        let is_one = |token: &Token| ledger.get(*token).is_some_and(&which);
        let tokens: Vec<Token> = ledger.tokens().filter(is_one).collect();
        tokens.into_iter().for_each(|token| self.cancel(token));
    }

    pub(super) fn descriptors(&self) -> usize {
        self.ports.len()
    }

    pub(super) fn sends(&self) -> usize {
        self.sends
    }

    /// Has its last look at the closing list; whoever is dropped later closes for himself.
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
        let index = self.new_port();
        if attach == Attach::Now
            && let Err(error) = self.attach(index, fd.as_raw_fd(), Direction::Read)
        {
            self.ports.remove(index);
            return Err((refusal(error), fd));
        }
        Ok(Descriptor::new(Hold::Owned(fd), PortId(index as u32), &self.registry))
    }

    pub(super) fn adopt_borrowed(&mut self, fd: BorrowedFd<'_>) -> io::Result<Rc<Descriptor>> {
        let index = self.new_port();
        // Whoever lends a descriptor may ask for anything.
        if let Err(error) = self.attach(index, fd.as_raw_fd(), Direction::Write) {
            self.ports.remove(index);
            return Err(refusal(error));
        }
        let hold = Hold::Borrowed(fd.as_raw_fd());
        Ok(Descriptor::new(hold, PortId(index as u32), &self.registry))
    }

    pub(super) fn submit(&mut self, op: Op) -> Token {
        let index = op.descriptor().port().0 as usize;
        let port = &mut self.ports[index];
        let (place, try_now) = match &op {
            Op::Accept { .. } | Op::Receive { .. } => {
                (Some(&mut port.reader), port.read != Readiness::Drained)
            }
            Op::Send { .. } => {
                self.sends += 1;
                (Some(&mut port.writer), port.write != Readiness::Drained)
            }
            Op::Connect { .. } => {
                port.marks.take(Marks::CONNECTING);
                port.write = Readiness::Unknown;
                (Some(&mut port.writer), true)
            }
            Op::Poll { .. } => {
                port.marks.set(Marks::ASK);
                (None, true)
            }
            Op::Changes { .. } | Op::File(_) => (None, false),
        };
        let token;
        match place {
            Some(place) => {
                assert!(place.is_none(), "two ops on one direction of a descriptor");
                token = self.ledger.insert(op);
                *place = Some(token);
            }
            None => {
                token = self.ledger.insert(op);
                port.watchers.push(token);
            }
        }
        if try_now {
            self.enqueue(index);
        }
        token
    }

    /// Sends at once, unless a send is under way or the socket is known to have no room.
    #[inline]
    pub(super) fn send_now(
        &mut self,
        socket: &Descriptor,
        queue: &mut SendQueue,
    ) -> Option<io::Result<usize>> {
        let port = &mut self.ports[socket.port().0 as usize];
        if port.writer.is_some() || port.write == Readiness::Drained {
            return None;
        }
        match send(socket, queue) {
            Ok((n, short)) => {
                if short && port.has_edges(Direction::Write) {
                    port.write = Readiness::Drained;
                }
                Some(Ok(n))
            }
            // The op that follows waits, and has edges tell of room before.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => Some(Err(error)),
        }
    }

    pub(super) fn cancel(&mut self, token: Token) {
        if self.ledger.cancel(token) {
            // From here on no attempt and no edge reaches the op; the next turn ends it.
            self.unlink(token);
            self.cancelled.push_back(token);
        }
    }

    /// See [`Backend::expect_cut_receives`](super::Backend::expect_cut_receives).
    pub(super) fn expect_cut_receives(&mut self, socket: &Descriptor) {
        self.ports[socket.port().0 as usize].marks.set(Marks::MAY_BE_CUT);
    }

    pub(super) fn tokens(&self) -> impl Iterator<Item = Token> + '_ {
        self.ledger.tokens()
    }

    /// In a forked child: takes an op back.
    pub(super) fn give_up(&mut self, token: Token) -> Option<Op> {
        self.unlink(token);
        self.remove(token)
    }

    #[inline]
    pub(super) fn start(&mut self) -> bool {
        (self.to_end, self.to_try) = (self.cancelled.len(), self.work.len());
        self.to_end + self.to_try > 0
    }

    pub(super) fn wait(&mut self, wait: Option<Duration>) -> io::Result<()> {
        // What was dropped since the last turn must not stay open while we sleep.
        if self.registry.has_closing() {
            self.close_descriptors();
        }
        let idle = self.work.is_empty() && self.cancelled.is_empty() && self.done.is_empty();
        let busy = !idle || self.closed > 0;
        let wait = if busy { Some(Duration::ZERO) } else { wait };
        self.received = 0;
        if self.seen < self.events.len() {
            return Ok(());
        }
        self.seen = 0;
        match self.registry.epoll().wait(&mut self.events, wait) {
            Ok(()) => self.patience.restore(),
            Err(error) => return self.patience.after(error, busy),
        }
        Ok(())
    }

    #[inline]
    pub(super) fn has_next(&self) -> bool {
        self.may_see_more() || self.to_try + self.to_end > 0 || !self.done.is_empty()
    }

    /// Whether there is an event that is to be looked at in this turn.
    #[inline]
    fn may_see_more(&self) -> bool {
        self.seen < self.events.len() && self.received < RECEIVED_PER_TURN
    }

    #[inline]
    pub(super) fn next(&mut self) -> Option<Completion> {
        loop {
            let completion = if let Some(completion) = self.done.pop_front() {
                Some(completion)
            } else if self.may_see_more() {
                self.seen += 1;
                let (key, edge) = self.events.get(self.seen - 1);
                self.take_edge(key, edge)
            } else if self.to_try + self.to_end > 0 {
                self.take_work()
            } else {
                return None;
            };
            if let Some(completion) = completion {
                if !completion.more {
                    // Now, and not when it was put into `done`: its token must not be given to another op
                    // before this has reached its sink. Drops the op's hold on its descriptor, which may
                    // put that on the closing list.
                    self.remove(completion.token);
                }
                return Some(completion);
            }
        }
    }

    /// Ends what was cancelled, then tries what is on the work list: one of them a call.
    #[inline(never)]
    fn take_work(&mut self) -> Option<Completion> {
        if self.to_end > 0 {
            self.to_end -= 1;
            let token = self.cancelled.pop_front()?;
            // It may have ended otherwise: its last completion was in `done` when it was cancelled.
            let op = self.remove(token)?;
            return Some(Completion { token, answer: op.into_cancelled(), more: false });
        }
        self.to_try -= 1;
        let index = self.work.pop_front()? as usize;
        // A port that was closed, and its index perhaps taken again, may have left a trace.
        let port = self.ports.get_mut(index)?;
        if port.marks.take(Marks::QUEUED) { self.attempt(index) } else { None }
    }
}

// Ports.
impl EpollKeeper {
    fn new_port(&mut self) -> usize {
        self.generation = self.generation.wrapping_add(1);
        self.ports.insert(Port {
            generation: self.generation,
            marks: Marks::default(),
            read: Readiness::Unknown,
            write: Readiness::Unknown,
            reader: None,
            writer: None,
            watchers: Watchers::default(),
        })
    }

    /// Has edges tell of a direction. Those of reading are always told.
    fn attach(&mut self, index: usize, fd: i32, direction: Direction) -> io::Result<()> {
        let port = &mut self.ports[index];
        let key = u64::from(port.generation) << 32 | index as u64;
        let edges = match direction {
            Direction::Read => READ_EDGES,
            Direction::Write => ALL_EDGES,
        };
        if port.marks.has(Marks::ATTACHED) {
            self.registry.change(fd, edges, key)?;
        } else {
            self.registry.enter(fd, PortId(index as u32), edges, key)?;
        }
        port.marks.set(Marks::ATTACHED);
        if let Direction::Write = direction {
            port.marks.set(Marks::TELLS_OF_ROOM);
        }
        Ok(())
    }

    /// Closes what was dropped: first out of epoll's table, then out of the process.
    fn close_descriptors(&mut self) {
        while let Some((hold, id)) = self.registry.next_closing() {
            let port = self.ports.remove(id.0 as usize);
            let idle = port.reader.is_none() && port.writer.is_none() && port.watchers.is_empty();
            assert!(idle, "a descriptor was closed under an op");
            if port.marks.has(Marks::ATTACHED) {
                self.registry.forget(hold.as_raw_fd(), id);
            }
            if let Hold::Owned(fd) = hold {
                drop(fd);
                self.closed += 1;
            }
        }
    }

    /// Puts a port on the work list.
    fn enqueue(&mut self, index: usize) {
        let port = &mut self.ports[index];
        if !port.marks.set(Marks::QUEUED) {
            self.work.push_back(index as u32);
        }
    }

    /// Takes an op off its port.
    fn unlink(&mut self, token: Token) {
        let Some(op) = self.ledger.get(token) else { return };
        let port = &mut self.ports[op.descriptor().port().0 as usize];
        if port.reader == Some(token) {
            port.reader = None;
        } else if port.writer == Some(token) {
            port.writer = None;
        } else {
            port.watchers.remove(token);
        }
    }

    fn remove(&mut self, token: Token) -> Option<Op> {
        let op = self.ledger.remove(token);
        self.sends -= usize::from(matches!(op, Some(Op::Send { .. })));
        op
    }

    /// Ends an op with its last answer; it stays in the ledger until that is drawn.
    fn finish(&mut self, token: Token, answer: Answer) -> Completion {
        self.unlink(token);
        Completion { token, answer, more: false }
    }
}

// Edges and attempts.
impl EpollKeeper {
    /// Notes an edge and does what waited for it.
    #[inline]
    fn take_edge(&mut self, key: u64, edge: u32) -> Option<Completion> {
        // The bell's is no port's: its key is beyond any.
        let index = key as u32 as usize;
        let port = self.ports.get_mut(index)?;
        if port.generation != (key >> 32) as u32 {
            return None;
        }
        if edge & (flags::IN | TAIL) != 0 {
            port.read = Readiness::Ready;
            if edge & TAIL != 0 {
                port.marks.set(Marks::TAIL_EDGE);
            }
        }
        if edge & (flags::OUT | flags::HUP | flags::ERR) != 0 {
            port.write = Readiness::Ready;
        }
        if !port.watchers.is_empty() {
            self.answer_watchers(index, Interest::told(edge), true);
        }
        self.attempt(index)
    }

    /// Tries the ops of a port that may succeed. Of two answers the second is left in `done`.
    #[inline]
    fn attempt(&mut self, index: usize) -> Option<Completion> {
        let port = &mut self.ports[index];
        if port.marks.has(Marks::ASK) || port.writer.is_some() {
            return self.attempt_all(index);
        }
        let token = port.reader?;
        if port.read == Readiness::Drained {
            return None;
        }
        let Some(Op::Receive { socket }) = self.ledger.get(token) else {
            return self.read(token, index);
        };
        if port.marks.has(Marks::MAY_BE_CUT) {
            return self.read(token, index);
        }
        // What nearly every edge leads to: data that empty the socket, and no more to do about it.
        let received = self.pool.receive(|buffer| socket::receive(socket.as_fd(), buffer));
        match received {
            Ok(Reception::Data { chunk, full: false })
                if port.marks.has(Marks::ATTACHED) && !port.marks.has(Marks::TAIL) =>
            {
                port.read = Readiness::Drained;
                self.received += chunk.len();
                Some(Completion { token, answer: Answer::Received(chunk), more: true })
            }
            received => self.received(token, index, received, false),
        }
    }

    #[inline(never)]
    fn attempt_all(&mut self, index: usize) -> Option<Completion> {
        if self.ports[index].marks.take(Marks::ASK) {
            self.ask(index);
        }
        let port = &self.ports[index];
        let read = match port.reader {
            Some(token) if port.read != Readiness::Drained => self.read(token, index),
            _ => None,
        };
        let port = &self.ports[index];
        let write = match port.writer {
            Some(token) if port.write != Readiness::Drained => self.write(token, index),
            _ => return read,
        };
        if read.is_none() {
            return write;
        }
        if let Some(write) = write {
            self.done.push_back(write);
        }
        read
    }

    /// Tries the op that accepts or receives.
    fn read(&mut self, token: Token, index: usize) -> Option<Completion> {
        match self.ledger.get(token) {
            Some(Op::Receive { socket }) => {
                let mut is_cut = false;
                let may_be_cut = self.ports[index].marks.has(Marks::MAY_BE_CUT);
                let received = self.pool.receive(|buffer| match may_be_cut {
                    true => socket::receive_unix(socket.as_fd(), buffer).map(|(n, cut)| {
                        is_cut = cut;
                        n
                    }),
                    false => socket::receive(socket.as_fd(), buffer),
                });
                self.received(token, index, received, is_cut)
            }
            Some(Op::Accept { .. }) => self.accept(token, index),
            other => unreachable!("{other:?} does not read"),
        }
    }

    #[inline(never)]
    fn received(
        &mut self,
        token: Token,
        index: usize,
        received: io::Result<Reception>,
        is_cut: bool,
    ) -> Option<Completion> {
        let port = &mut self.ports[index];
        match received {
            Ok(Reception::Data { chunk, full }) => {
                self.received += chunk.len();
                if full || is_cut || port.marks.has(Marks::TAIL_EDGE) {
                    self.keep_trying(index, Direction::Read);
                } else {
                    // Its own failure, if there is one, comes after the data.
                    if let Some(failed) = self.await_edge(token, index, Direction::Read) {
                        self.done.push_back(failed);
                    }
                }
                Some(Completion { token, answer: Answer::Received(chunk), more: true })
            }
            Ok(Reception::End) => {
                port.read = Readiness::Ready;
                Some(self.finish(token, Answer::EndOfFile))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                port.marks.take(Marks::TAIL_EDGE);
                self.await_edge(token, index, Direction::Read)
            }
            Err(error) => {
                port.read = Readiness::Unknown;
                Some(self.finish(token, Answer::Failed(error)))
            }
        }
    }

    /// Accepts a few connections.
    fn accept(&mut self, token: Token, index: usize) -> Option<Completion> {
        let Some(Op::Accept { listener }) = self.ledger.get(token) else { return None };
        let done = &mut self.done;
        let take = |answer| done.push_back(Completion { token, answer, more: true });
        match direct::accept(listener, take) {
            Accepted::Some => self.keep_trying(index, Direction::Read),
            Accepted::All => {
                let failed = self.await_edge(token, index, Direction::Read);
                self.done.extend(failed);
            }
            Accepted::Failed(error) => {
                self.ports[index].read = Readiness::Ready;
                let last = self.finish(token, Answer::Failed(error));
                self.done.push_back(last);
            }
        }
        None
    }

    /// Tries the op that sends or connects.
    fn write(&mut self, token: Token, index: usize) -> Option<Completion> {
        let port = &mut self.ports[index];
        match self.ledger.get_mut(token) {
            Some(Op::Send { socket, queue }) => {
                let result = match send(socket, queue) {
                    Ok((n, short)) => {
                        let drained = short && port.has_edges(Direction::Write);
                        port.write = if drained { Readiness::Drained } else { Readiness::Ready };
                        Ok(n)
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        return self.await_edge(token, index, Direction::Write);
                    }
                    Err(error) => Err(error),
                };
                let queue = std::mem::take(queue);
                Some(self.finish(token, Answer::Sent { queue, result }))
            }
            Some(Op::Connect { socket, address }) => {
                let begun = port.marks.set(Marks::CONNECTING);
                let result = if begun {
                    connected(socket)
                } else {
                    socket::connect(socket.as_fd(), address).map(|()| true)
                };
                let answer = match result {
                    Ok(true) => Answer::Connected,
                    Ok(false) => return self.await_edge(token, index, Direction::Write),
                    Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {
                        return self.await_edge(token, index, Direction::Write);
                    }
                    Err(error) => Answer::Failed(error),
                };
                port.write = Readiness::Unknown;
                Some(self.finish(token, answer))
            }
            other => unreachable!("{other:?} does not write"),
        }
    }

    /// A direction may have more: the next turn tries again.
    fn keep_trying(&mut self, index: usize, direction: Direction) {
        self.ports[index].set(direction, Readiness::Ready);
        self.enqueue(index);
    }

    /// A direction has nothing left until the next edge. If there can be none the op is over.
    #[inline]
    fn await_edge(
        &mut self,
        token: Token,
        index: usize,
        direction: Direction,
    ) -> Option<Completion> {
        let port = &mut self.ports[index];
        port.set(direction, Readiness::Drained);
        if port.has_edges(direction) { None } else { self.attach_for(token, index, direction) }
    }

    #[cold]
    fn attach_for(
        &mut self,
        token: Token,
        index: usize,
        direction: Direction,
    ) -> Option<Completion> {
        let error = self.ensure_attached(token, index, direction).err()?;
        self.ports[index].set(direction, Readiness::Unknown);
        let answer = match self.ledger.get_mut(token) {
            Some(Op::Send { queue, .. }) => {
                Answer::Sent { queue: std::mem::take(queue), result: Err(error) }
            }
            _ => Answer::Failed(error),
        };
        Some(self.finish(token, answer))
    }

    fn ensure_attached(
        &mut self,
        token: Token,
        index: usize,
        direction: Direction,
    ) -> io::Result<()> {
        if self.ports[index].has_edges(direction) {
            return Ok(());
        }
        let Some(op) = self.ledger.get(token) else { return Ok(()) };
        let fd = op.descriptor().as_raw_fd();
        // Whatever came since the attempt is told as the first edge of the entry, or of its change.
        self.attach(index, fd, direction).map_err(refusal)
    }
}

/// Whether a connect that was begun has ended; its error if it failed.
fn connected(socket: &Descriptor) -> io::Result<bool> {
    if let Some(error) = socket::take_error(socket.as_fd())? {
        return Err(error);
    }
    // An edge may be older than the connect, so the state has the last word.
    let state = poll::now(socket.as_raw_fd(), poll::OUT)?;
    Ok(state & poll::OUT != 0 && state & poll::HUP == 0)
}

#[cfg(test)]
mod tests;
