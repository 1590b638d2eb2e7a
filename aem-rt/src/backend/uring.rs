//! The keeper that speaks io_uring: the kernel runs the wait queue, and brings the data.
//!
//! Every op is a *flight*: it is due, its entry is in the kernel, or it is over ([`Stage`]). What is due
//! is pushed when a turn waits, and one system call takes it all along, sleeps until there is news, and
//! brings it. While jobs are ready and nothing is new there is no call at all: a flag in shared memory says
//! whether the kernel has anything to tell. Accepting and receiving are multishot: one entry brings
//! connections, or pieces of data in buffers of our pool ([`buffers`]), until it ends; when it ends without
//! having been told to, it is due again.
//!
//! A send is tried at once by a call of ours and becomes an op only when there is no room, as on every
//! keeper: on loopback both cost the same, and an entry more would delay the answer to the turn's end. The
//! entry of the op then waits for room, and the next call is ours again. An entry that sends gives up with
//! `EAGAIN` when the kernel is short of memory, and may end up in a thread of the kernel's when its peer
//! shuts down his side, where no cancel finds it (both seen on Linux 6.18).
//!
//! Forms that this kernel refuses are stepped down from, one by one ([`Forms`]): without buffers to fill,
//! a receive waits for readiness and makes the call itself, as does an accept without multishot.
//!
//! A cancel is an entry too, and may cross the answer that it is to prevent. Whatever comes first,
//! there is one last completion (ONCE), and what an op needs is kept until then (LENT).

mod buffers;
mod choice;
mod entry;
mod files;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use io_uring::{cqueue, opcode};
use slab::Slab;

use super::descriptor::{Descriptor, Hold, Port as PortId, Registry};
use super::direct::{
    self, Accepted, Patience, is_of_the_connection, is_perhaps_of_the_connection, send,
};
use super::ledger::{Ledger, Token};
use super::op::{Answer, Completion, Interest, Op};
use super::pool::{Pool, Reception};
use super::{Attach, Config, refusal};
use crate::payload::SendQueue;
use crate::queue::Unpark;
use crate::sys::eventfd::EventFd;
use crate::sys::ring::{Completions, Ring, Shape, Sleep};
use crate::sys::socket;
use buffers::Buffers;
pub(crate) use choice::Without;
pub(super) use choice::{note_refusal, refused_for_good, why_not};
use entry::Pushed;

/// How many entries one call can take along; when there are more, there are more calls.
const ENTRIES: u32 = 256;

/// How many completions one wait takes: as many as the epoll keeper takes events.
const REAPED_PER_WAIT: usize = 1024;

/// So often in a row an entry may end without an answer, and be pushed again, before its error is told.
const FRUITLESS_MOST: u8 = 16;

/// The key of the bell; those of ops are larger.
const BELL: u64 = 0;

/// What must be there. Everything of it is older than the buffer ring (Linux 5.19).
const OPCODES: &[(u8, &str)] = &[
    (opcode::AcceptMulti::CODE, "ACCEPT"),
    (opcode::RecvMulti::CODE, "RECV"),
    (opcode::Connect::CODE, "CONNECT"),
    (opcode::PollAdd::CODE, "POLL_ADD"),
    (opcode::AsyncCancel::CODE, "ASYNC_CANCEL"),
];

/// Where an op is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Its entry is to be pushed.
    Due,
    /// Its entry is in the kernel, in the form that does most.
    Whole,
    /// An entry is in the kernel that waits for readiness; then a call of ours does the work.
    Readiness,
    /// Its last completion is on its way to its sink.
    Over,
}

/// An op and what the kernel was asked for it.
#[derive(Debug)]
struct Flight {
    op: Op,
    stage: Stage,
    /// Whether the kernel refused the form that does most.
    by_hand: bool,
    /// Whether a call of ours has been made for it.
    tried: bool,
    /// How many entries in a row ended without an answer.
    fruitless: u8,
}

/// The forms of ops that the kernel takes.
#[derive(Clone, Copy, Debug)]
struct Forms {
    multishot_accept: bool,
    multishot_receive: bool,
    files: bool,
    namings: files::Namings,
}

/// What the keeper knows of one descriptor.
#[derive(Debug, Default)]
struct Port {
    /// Whether an op accepts or receives.
    reading: bool,
    /// Whether an op sends or connects.
    writing: bool,
    /// Whether it is in the table of what is registered.
    entered: bool,
}

/// One worker's ring and all that it does.
#[derive(Debug)]
pub(crate) struct UringKeeper {
    /// Before what the kernel may still look at, as it is closed first.
    ring: Ring,
    buffers: Buffers,
    ledger: Ledger<Flight>,
    forms: Forms,
    registry: Rc<Registry>,
    bell: Arc<EventFd>,
    bell_is_armed: bool,
    ports: Slab<Port>,
    /// Ops whose entries are to be pushed, among them such as were cancelled since.
    due: VecDeque<Token>,
    /// Ops whose entries in the kernel are to be cancelled.
    to_cancel: VecDeque<Token>,
    /// Ops that were cancelled while the kernel knew nothing of them.
    unpushed: VecDeque<Token>,
    /// How many of these were there when the turn began, and are still to be ended in it (BOUND).
    to_end: usize,
    completions: Completions,
    /// How many of `completions` have been looked at.
    seen: usize,
    /// What was answered beside the completion that was drawn last.
    done: VecDeque<Completion>,
    /// Descriptors that were closed since somebody asked.
    closed: usize,
    /// Sends that are under way.
    sends: usize,
    patience: Patience,
}

impl UringKeeper {
    /// Makes the ring, which belongs to this thread, and its buffers.
    ///
    /// # Errors
    ///
    /// What the kernel says; [`why_not`] knows which of it means that io_uring may not be used here.
    pub(super) fn new(config: &Config) -> io::Result<UringKeeper> {
        UringKeeper::with_ring(config, choice::open(UringKeeper::shape(config))?)
    }

    fn shape(config: &Config) -> Shape {
        let without = config.without;
        Shape {
            // The kernel wants no fewer completions than entries.
            entries: ENTRIES.min(config.completions),
            completions: config.completions,
            deferred: !without.contains(Without::DEFER_TASKRUN),
            cooperative: !without.contains(Without::COOP_TASKRUN),
            submit_all: !without.contains(Without::SUBMIT_ALL),
        }
    }

    fn with_ring(config: &Config, mut ring: Ring) -> io::Result<UringKeeper> {
        let without = config.without;
        let mut buffers = Buffers::new(Pool::new(config.pool_bytes, config.buffer_size)?);
        let mut multishot_receive = !without.contains(Without::MULTISHOT_RECEIVE);
        if multishot_receive {
            multishot_receive = !without.contains(Without::BUFFER_RING)
                && choice::is_granted(buffers.register(&mut ring))?;
        }
        let multishot_accept = !without.contains(Without::MULTISHOT_ACCEPT);
        let files = !without.contains(Without::FILES)
            && matches!(ring.first_missing(files::OPCODES), Ok(None));
        let namings = files::Namings::of(&ring);
        Ok(UringKeeper {
            ring,
            buffers,
            ledger: Ledger::new(),
            forms: Forms { multishot_accept, multishot_receive, files, namings },
            registry: Registry::new(None)?,
            bell: Arc::new(EventFd::new()?),
            bell_is_armed: false,
            ports: Slab::new(),
            due: VecDeque::new(),
            to_cancel: VecDeque::new(),
            unpushed: VecDeque::new(),
            to_end: 0,
            completions: Completions::new(REAPED_PER_WAIT),
            seen: 0,
            done: VecDeque::new(),
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

    /// Has its last look at the closing list; whoever is dropped later closes for himself.
    pub(super) fn shut(&mut self) {
        self.close_descriptors();
        self.registry.shut();
    }

    pub(super) fn tokens(&self) -> impl Iterator<Item = Token> + '_ {
        self.ledger.tokens()
    }

    /// In a forked child: takes an op back. The kernel has it from the parent, whose ring this is.
    pub(super) fn give_up(&mut self, token: Token) -> Option<Op> {
        let flight = self.ledger.remove(token)?;
        self.sends -= usize::from(matches!(flight.op, Op::Send { .. }));
        free_direction(&mut self.ports, &flight.op);
        Some(flight.op)
    }

    pub(super) fn take_closed(&mut self) -> usize {
        std::mem::take(&mut self.closed)
    }

    pub(super) fn adopt(
        &mut self,
        fd: OwnedFd,
        attach: Attach,
    ) -> Result<Rc<Descriptor>, (io::Error, OwnedFd)> {
        let entered = attach == Attach::Now;
        let index = self.ports.insert(Port { entered, ..Port::default() });
        if entered && let Err(error) = self.enter_port(index, fd.as_raw_fd()) {
            return Err((error, fd));
        }
        Ok(Descriptor::new(Hold::Owned(fd), PortId(index as u32), &self.registry))
    }

    pub(super) fn adopt_borrowed(&mut self, fd: BorrowedFd<'_>) -> io::Result<Rc<Descriptor>> {
        let index = self.ports.insert(Port { entered: true, ..Port::default() });
        self.enter_port(index, fd.as_raw_fd())?;
        let hold = Hold::Borrowed(fd.as_raw_fd());
        Ok(Descriptor::new(hold, PortId(index as u32), &self.registry))
    }

    pub(super) fn submit(&mut self, op: Op) -> Token {
        let port = &mut self.ports[op.descriptor().port().0 as usize];
        let place = match &op {
            Op::Accept { .. } | Op::Receive { .. } => Some(&mut port.reading),
            Op::Send { .. } | Op::Connect { .. } => Some(&mut port.writing),
            Op::Poll { .. } | Op::Changes { .. } | Op::File(_) => None,
        };
        if let Some(place) = place {
            let taken = std::mem::replace(place, true);
            assert!(!taken, "two ops on one direction of a descriptor");
        }
        self.sends += usize::from(matches!(op, Op::Send { .. }));
        self.make_due(op)
    }

    fn make_due(&mut self, op: Op) -> Token {
        let (stage, by_hand, tried, fruitless) = (Stage::Due, false, false, 0);
        let token = self.ledger.insert(Flight { op, stage, by_hand, tried, fruitless });
        self.due.push_back(token);
        token
    }

    /// Sends at once, unless a send is under way.
    #[inline]
    pub(super) fn send_now(
        &mut self,
        socket: &Descriptor,
        queue: &mut SendQueue,
    ) -> Option<io::Result<usize>> {
        if self.ports[socket.port().0 as usize].writing {
            return None;
        }
        match send(socket, queue) {
            Ok((n, _short)) => Some(Ok(n)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => Some(Err(error)),
        }
    }

    pub(super) fn cancel(&mut self, token: Token) {
        if !self.ledger.cancel(token) {
            return;
        }
        match self.ledger.get(token).map(|flight| flight.stage) {
            Some(Stage::Due) => self.unpushed.push_back(token),
            Some(Stage::Whole | Stage::Readiness) => self.to_cancel.push_back(token),
            Some(Stage::Over) | None => {}
        }
    }

    #[inline]
    pub(super) fn start(&mut self) -> bool {
        self.to_end = self.unpushed.len();
        self.to_end > 0
    }

    pub(super) fn wait(&mut self, wait: Option<Duration>) -> io::Result<()> {
        // What was dropped since the last turn must not stay open while we sleep.
        if self.registry.has_closing() {
            self.close_descriptors();
        }
        self.buffers.refill(&mut self.ring);
        let result = self.fill_and_enter(wait);
        self.seen = 0;
        self.ring.reap(&mut self.completions);
        if self.completions.len() > 0 {
            self.patience.restore();
        }
        result
    }

    #[inline]
    pub(super) fn has_next(&self) -> bool {
        self.seen < self.completions.len() || self.to_end > 0 || !self.done.is_empty()
    }

    #[inline]
    pub(super) fn next(&mut self) -> Option<Completion> {
        loop {
            let completion = if let Some(completion) = self.done.pop_front() {
                Some(completion)
            } else if self.seen < self.completions.len() {
                self.seen += 1;
                self.take(self.seen - 1)
            } else if self.to_end > 0 {
                self.to_end -= 1;
                self.end_unpushed()
            } else {
                return None;
            };
            if let Some(completion) = completion {
                if !completion.more {
                    // Now, and not when it was made: its token must not be given to another op before this
                    // has reached its sink.
                    self.remove(completion.token);
                }
                return Some(completion);
            }
        }
    }

    /// Ends an op that was cancelled before the kernel knew of it.
    fn end_unpushed(&mut self) -> Option<Completion> {
        let token = self.unpushed.pop_front()?;
        let flight = self.ledger.get(token)?;
        (flight.stage == Stage::Due).then(|| self.finish_cancelled(token))
    }

    fn remove(&mut self, token: Token) {
        let flight = self.ledger.remove(token);
        self.sends -= usize::from(matches!(flight, Some(Flight { op: Op::Send { .. }, .. })));
    }
}

// Descriptors.
impl UringKeeper {
    /// Notes a descriptor in the table of what is registered, as far as it can be waited for at all.
    fn enter_port(&mut self, index: usize, fd: i32) -> io::Result<()> {
        self.registry.enter(fd, PortId(index as u32), 0, 0).map_err(|error| {
            self.ports.remove(index);
            refusal(error)
        })
    }

    /// Closes what was dropped. No entry of the ring names it: its ops are over.
    fn close_descriptors(&mut self) {
        while let Some((hold, id)) = self.registry.next_closing() {
            let port = self.ports.remove(id.0 as usize);
            assert!(!port.reading && !port.writing, "a descriptor was closed under an op");
            if port.entered {
                self.registry.forget(hold.as_raw_fd(), id);
            }
            if let Hold::Owned(fd) = hold {
                drop(fd);
                self.closed += 1;
            }
        }
    }
}

// To the kernel.
impl UringKeeper {
    /// Pushes what is due and has one call take it along, or a few if it is much.
    fn fill_and_enter(&mut self, wait: Option<Duration>) -> io::Result<()> {
        loop {
            let filled = self.fill();
            let sleep = match wait {
                _ if !filled || self.is_busy() => Sleep::No,
                Some(Duration::ZERO) => Sleep::No,
                Some(wait) => Sleep::For(wait),
                None => Sleep::UntilOne,
            };
            let pointless =
                sleep == Sleep::No && !self.ring.has_entries() && !self.ring.must_be_entered();
            if pointless {
                return Ok(());
            }
            match self.ring.enter(sleep) {
                Ok(()) if filled => return Ok(()),
                Ok(()) => {}
                // It keeps what it did not take.
                Err(error) => return self.patience.after(error, self.ring.has_completions()),
            }
        }
    }

    /// Whether there is something to do without the kernel.
    fn is_busy(&mut self) -> bool {
        !self.unpushed.is_empty()
            || !self.done.is_empty()
            || self.closed > 0
            || self.ring.has_completions()
    }

    /// Pushes what is due as far as there is room; true if that is all of it.
    fn fill(&mut self) -> bool {
        if !self.bell_is_armed {
            let fd = self.bell.as_fd().as_raw_fd();
            let Pushed::Yes = entry::push_bell(&mut self.ring, fd, BELL) else { return false };
            self.bell_is_armed = true;
        }
        while let Some(token) = self.to_cancel.front().copied() {
            let stage = self.ledger.get(token).map(|flight| flight.stage);
            if let Some(Stage::Whole | Stage::Readiness) = stage {
                let Pushed::Yes = entry::push_cancel(&mut self.ring, token) else { return false };
            }
            self.to_cancel.pop_front();
        }
        while let Some(token) = self.due.front().copied() {
            if !self.ledger.is_cancelling(token)
                && let Some(flight) = self.ledger.get_mut(token)
                && flight.stage == Stage::Due
            {
                let stage = form(&flight.op, flight.by_hand, self.forms, &self.buffers);
                if stage == Stage::Readiness
                    && matches!(flight.op, Op::Accept { .. })
                    && !std::mem::replace(&mut flight.tried, true)
                {
                    // What cannot accept is never ready; the call says so.
                    self.due.pop_front();
                    let last = self.accept_by_hand(token);
                    self.done.extend(last);
                    continue;
                }
                let pushed = entry::push(&mut self.ring, token, flight, stage);
                let Pushed::Yes = pushed else { return false };
                flight.stage = stage;
            }
            self.due.pop_front();
        }
        true
    }
}

/// In which form an op is asked for now.
#[inline]
fn form(op: &Op, by_hand: bool, forms: Forms, buffers: &Buffers) -> Stage {
    match op {
        Op::Accept { .. } if by_hand || !forms.multishot_accept => Stage::Readiness,
        Op::Receive { .. } if by_hand || !forms.multishot_receive || !buffers.are_there() => {
            Stage::Readiness
        }
        Op::Send { .. } => Stage::Readiness,
        _ => Stage::Whole,
    }
}

// From the kernel.
impl UringKeeper {
    /// What a completion of the ring means.
    fn take(&mut self, index: usize) -> Option<Completion> {
        let entry = self.completions.get(index);
        let (key, result, flags) = (entry.user_data(), entry.result(), entry.flags());
        let more = cqueue::more(flags);
        if key < Token::LOWEST {
            self.bell_is_armed = more;
            return None;
        }
        if key & Token::FREE_BIT != 0 {
            let token = Token::from_bits(key & !Token::FREE_BIT)?;
            if matches!(-result, libc::ENOENT | libc::EALREADY) {
                self.cancel_again(token);
            }
            return None;
        }
        let token = Token::from_bits(key)?;
        debug_assert_ne!(result, -libc::EFAULT, "the kernel was lent what is not there (LENT)");
        match self.ledger.get(token).map(|flight| &flight.op) {
            Some(Op::Receive { .. }) => {
                self.received(token, result, cqueue::buffer_select(flags), more)
            }
            Some(Op::Accept { .. }) => self.accepted(token, result, more),
            Some(Op::Send { .. }) => self.sent(token, result),
            Some(Op::Connect { .. }) => self.connected(token, result),
            Some(Op::Poll { .. } | Op::Changes { .. }) => self.polled(token, result, more),
            Some(Op::File(_)) => self.filed(token, result),
            None => unreachable!("an answer to no op: each has one last completion"),
        }
    }

    /// A cancel found nothing, or found the entry at work. Its answer may be on its way; if not it has
    /// slipped through between two of its parts, and is there now.
    #[cold]
    fn cancel_again(&mut self, token: Token) {
        if self.ledger.is_cancelling(token)
            && let Some(flight) = self.ledger.get_mut(token)
            && flight.fruitless < FRUITLESS_MOST
        {
            flight.fruitless += 1;
            self.to_cancel.push_back(token);
        }
    }

    #[inline]
    fn received(
        &mut self,
        token: Token,
        result: i32,
        number: Option<u16>,
        more: bool,
    ) -> Option<Completion> {
        if let Some(Flight { stage: Stage::Readiness, .. }) = self.ledger.get(token) {
            return match failure(result) {
                Some(error) => self.again_unless(token, error),
                None => self.receive_by_hand(token),
            };
        }
        let n = usize::try_from(result).unwrap_or(0);
        let chunk = number.map(|number| self.buffers.take(&mut self.ring, number, n));
        if n > 0 {
            let chunk = chunk.expect("data comes in a buffer");
            return Some(self.gained(token, Answer::Received(chunk), more));
        }
        if more {
            return None;
        }
        let Some(error) = failure(result) else {
            return Some(self.finish(token, Answer::EndOfFile));
        };
        match error.raw_os_error() {
            Some(libc::ENOBUFS) => self.receive_by_hand(token),
            // The form is refused, or else the call will tell what is wrong.
            Some(libc::EINVAL | libc::EACCES) => self.again_by_hand(token),
            _ => self.again_unless(token, error),
        }
    }

    /// Receives by a call of ours: there is data, and was no buffer for the kernel to put it into.
    #[cold]
    fn receive_by_hand(&mut self, token: Token) -> Option<Completion> {
        if self.ledger.is_cancelling(token) {
            return Some(self.finish_cancelled(token));
        }
        let Some(Flight { op: Op::Receive { socket }, by_hand, .. }) = self.ledger.get(token)
        else {
            unreachable!("only who receives gets here")
        };
        let by_hand = *by_hand;
        let received = self.buffers.receive(|buffer| socket::receive(socket.as_fd(), buffer));
        match received {
            Ok(Reception::Data { chunk, .. }) => {
                // So it was the form that the kernel refused.
                self.forms.multishot_receive &= !by_hand;
                Some(self.gained(token, Answer::Received(chunk), false))
            }
            Ok(Reception::End) => Some(self.finish(token, Answer::EndOfFile)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.again(token),
            Err(error) => Some(self.finish(token, Answer::Failed(error))),
        }
    }

    fn accepted(&mut self, token: Token, result: i32, more: bool) -> Option<Completion> {
        let is_whole = matches!(self.ledger.get(token), Some(Flight { stage: Stage::Whole, .. }));
        let Some(error) = failure(result) else {
            if !is_whole {
                return self.accept_by_hand(token);
            }
            let fd = entry::new_descriptor(result);
            return match socket::peer(fd.as_fd()) {
                Ok(peer) => Some(self.gained(token, Answer::Accepted(fd, peer), more)),
                // Not a connection that anybody here could use; others follow.
                Err(_) if more => None,
                Err(error) => self.again_unless(token, error),
            };
        };
        if more {
            return None;
        }
        match error.raw_os_error() {
            Some(libc::EINVAL | libc::EACCES) if is_whole => self.again_by_hand(token),
            _ if is_of_the_connection(&error) => self.again(token),
            _ if is_perhaps_of_the_connection(&error) => self.again_few_times(token, error),
            _ => self.again_unless(token, error),
        }
    }

    /// Accepts by calls of ours: somebody is there.
    #[cold]
    fn accept_by_hand(&mut self, token: Token) -> Option<Completion> {
        if self.ledger.is_cancelling(token) {
            return Some(self.finish_cancelled(token));
        }
        let Some(Flight { op: Op::Accept { listener }, by_hand, .. }) = self.ledger.get(token)
        else {
            unreachable!("only who accepts gets here")
        };
        let (by_hand, done) = (*by_hand, &mut self.done);
        let take = |answer| done.push_back(Completion { token, answer, more: true });
        let last = match direct::accept(listener, take) {
            Accepted::Failed(error) => Some(self.finish(token, Answer::Failed(error))),
            Accepted::Some | Accepted::All => {
                // So it was the form that the kernel refused.
                self.forms.multishot_accept &= !by_hand;
                self.again(token)
            }
        };
        self.done.extend(last);
        None
    }

    /// There is room, or there is an error, which the call will tell.
    fn sent(&mut self, token: Token, result: i32) -> Option<Completion> {
        if let Some(error) = failure(result) {
            return self.again_unless(token, error);
        }
        if self.ledger.is_cancelling(token) {
            return Some(self.finish_cancelled(token));
        }
        let Some(Flight { op: Op::Send { socket, queue }, .. }) = self.ledger.get_mut(token) else {
            unreachable!("only who sends gets here")
        };
        let result = match send(socket, queue) {
            Ok((n, _short)) => Ok(n),
            // Under pressure a socket may have no room though there was some when it was looked at.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return self.again(token),
            Err(error) => Err(error),
        };
        let queue = std::mem::take(queue);
        Some(self.finish(token, Answer::Sent { queue, result }))
    }

    fn connected(&mut self, token: Token, result: i32) -> Option<Completion> {
        let answer = match failure(result) {
            Some(_) if self.ledger.is_cancelling(token) => {
                return Some(self.finish_cancelled(token));
            }
            Some(error) => Answer::Failed(error),
            None => Answer::Connected,
        };
        Some(self.finish(token, answer))
    }

    fn polled(&mut self, token: Token, result: i32, more: bool) -> Option<Completion> {
        if let Some(error) = failure(result) {
            return if more { None } else { self.again_unless(token, error) };
        }
        let ready = Interest::told(result as u32);
        match self.ledger.get(token).map(|flight| &flight.op) {
            Some(Op::Poll { interest, .. }) => {
                let ready = interest.and(ready);
                if ready.is_none() {
                    return self.again(token);
                }
                Some(self.finish(token, Answer::Ready(ready)))
            }
            _ => Some(self.gained(token, Answer::Ready(ready), more)),
        }
    }
}

/// Lets the next op have the direction of this one.
fn free_direction(ports: &mut Slab<Port>, op: &Op) {
    match op {
        Op::Accept { listener: descriptor } | Op::Receive { socket: descriptor } => {
            ports[descriptor.port().0 as usize].reading = false;
        }
        Op::Send { socket, .. } | Op::Connect { socket, .. } => {
            ports[socket.port().0 as usize].writing = false;
        }
        Op::Poll { .. } | Op::Changes { .. } | Op::File(_) => {}
    }
}

/// What a result of the kernel's says went wrong.
#[inline]
fn failure(result: i32) -> Option<io::Error> {
    (result < 0).then(|| io::Error::from_raw_os_error(-result))
}

// From one stage to the next.
impl UringKeeper {
    /// An answer that is not the last. If its entry is over, the op is due again, or was cancelled.
    #[inline]
    fn gained(&mut self, token: Token, answer: Answer, more: bool) -> Completion {
        if !more {
            let last = self.again(token);
            self.done.extend(last);
        }
        if let Some(flight) = self.ledger.get_mut(token) {
            flight.fruitless = 0;
        }
        Completion { token, answer, more: true }
    }

    /// The entry of an op is over and the op is not: it is due again, unless it was cancelled.
    fn again(&mut self, token: Token) -> Option<Completion> {
        if self.ledger.is_cancelling(token) {
            return Some(self.finish_cancelled(token));
        }
        if let Some(flight) = self.ledger.get_mut(token) {
            flight.stage = Stage::Due;
            self.due.push_back(token);
        }
        None
    }

    /// The same in a form that asks less of the kernel.
    #[cold]
    fn again_by_hand(&mut self, token: Token) -> Option<Completion> {
        if let Some(flight) = self.ledger.get_mut(token) {
            flight.by_hand = true;
        }
        self.again(token)
    }

    /// The entry of an op failed, and the op with it, unless the error only says that the entry had to end.
    #[cold]
    fn again_unless(&mut self, token: Token, error: io::Error) -> Option<Completion> {
        match error.raw_os_error() {
            Some(libc::ECANCELED | libc::EAGAIN | libc::EINTR) => {
                self.again_few_times(token, error)
            }
            _ => Some(self.finish_failed(token, error)),
        }
    }

    /// The entry of an op failed, and if it does so again and again the op has too.
    #[cold]
    fn again_few_times(&mut self, token: Token, error: io::Error) -> Option<Completion> {
        if self.ledger.is_cancelling(token) {
            // Its cancels may have used up its attempts.
            return Some(self.finish_cancelled(token));
        }
        if let Some(flight) = self.ledger.get_mut(token)
            && flight.fruitless < FRUITLESS_MOST
        {
            flight.fruitless += 1;
            return self.again(token);
        }
        Some(self.finish_failed(token, error))
    }

    fn finish_failed(&mut self, token: Token, error: io::Error) -> Completion {
        let answer = match self.ledger.get_mut(token).map(|flight| &mut flight.op) {
            Some(Op::Send { queue, .. }) => {
                Answer::Sent { queue: std::mem::take(queue), result: Err(error) }
            }
            _ => Answer::Failed(error),
        };
        self.finish(token, answer)
    }

    fn finish_cancelled(&mut self, token: Token) -> Completion {
        let answer = match self.ledger.get_mut(token).map(|flight| &mut flight.op) {
            Some(Op::Send { queue, .. }) => Answer::Cancelled(Some(std::mem::take(queue))),
            _ => Answer::Cancelled(None),
        };
        self.finish(token, answer)
    }

    /// Ends an op with its last answer; it stays in the ledger until that is drawn.
    fn finish(&mut self, token: Token, answer: Answer) -> Completion {
        if let Some(flight) = self.ledger.get_mut(token) {
            flight.stage = Stage::Over;
            free_direction(&mut self.ports, &flight.op);
        }
        Completion { token, answer, more: false }
    }
}

impl Drop for UringKeeper {
    /// What the kernel has not given back is left to it.
    fn drop(&mut self) {
        if self.ledger.len() > 0 {
            std::mem::forget(std::mem::replace(&mut self.ledger, Ledger::new()));
            self.buffers.leave();
        }
    }
}

#[cfg(test)]
mod tests;
