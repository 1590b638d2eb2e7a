//! What all handles of one stream share: the socket, the inbox, the outbox, and the ops in flight.
//!
//! A [`Connection`] is the sink of its ops. One multishot receive is armed when somebody first
//! wants data, and stays armed until the inbox is full. What is queued is sent as one when the jobs
//! that were ready have run; if the kernel has no room for it, an op waits for that, one at a time.
//! Each cell is borrowed for plain data only; wakers and payloads go to the reactor or are dropped
//! after the borrow (OUTSIDE).
//!
//! When the last handle is dropped, the reactor sends what is left and closes the socket then.

mod inbox;
mod messages;
mod outbox;
mod traffic;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::Shutdown;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use socket2::SockRef;

use super::kept::Kept;
use super::waiters::{ANYTHING, Asker, WaitId, WaitList, Waiters, poll_or_wait};
use crate::backend::{Descriptor, Op};
use crate::chunk::Chunk;
use crate::payload::{FilePart, Payload, SendQueue};
use crate::reactor::home;
use crate::reactor::{self, Answer, Completion, Reactor, Sink, Token, Wakes};
use crate::sys::socket;
use inbox::Inbox;
pub(super) use messages::MessageWait;
use outbox::Outbox;
use traffic::{Directions, Traffic};

/// The shared part of a stream.
#[derive(Debug)]
pub(super) struct Connection {
    reactor: Rc<Reactor>,
    socket: Rc<Descriptor>,
    receive: Cell<Receive>,
    send: Cell<Send>,
    both: RefCell<Directions>,
}

/// Those who wait for bytes.
pub(super) struct Readers<'a>(&'a Connection);

impl WaitList for Readers<'_> {
    #[inline]
    fn with<R>(&self, act: impl FnOnce(&mut Waiters) -> R) -> R {
        act(&mut self.0.both.borrow_mut().readers)
    }
}

/// Those who wait for bytes of ours to leave.
pub(super) struct Writers<'a>(&'a Connection);

impl WaitList for Writers<'_> {
    fn with<R>(&self, act: impl FnOnce(&mut Waiters) -> R) -> R {
        let both = &mut *self.0.both.borrow_mut();
        let result = both.stir().with_writers(act);
        both.settle();
        result
    }
}

/// The references of a stream with one handle that waits for its send: the handle's, that of the
/// [`Sending`](super::Sending), and that of the reactor, which is to flush it.
const LONE_SENDER: usize = 3;

/// The op that receives.
#[derive(Clone, Copy, Debug)]
enum Receive {
    Idle,
    Armed(Token),
    /// In its place one that only waits for data, which [`messages`] then receives.
    Watching(Token),
    /// Cancelled, and not over.
    Ending(Token),
}

/// The op that sends.
#[derive(Clone, Copy, Debug)]
enum Send {
    Idle,
    /// The reactor will flush it.
    Due,
    /// An op waits for room.
    InFlight(Token),
}

impl Connection {
    /// The shared part of a stream on a connected socket.
    pub(super) fn new(reactor: Rc<Reactor>, socket: Rc<Descriptor>) -> Rc<Connection> {
        Rc::new(Connection {
            reactor,
            socket,
            receive: Cell::new(Receive::Idle),
            send: Cell::new(Send::Idle),
            both: RefCell::default(),
        })
    }

    pub(super) fn socket(&self) -> &Descriptor {
        &self.socket
    }

    pub(super) fn readers(&self) -> Readers<'_> {
        Readers(self)
    }

    /// Takes out the wait of a reader that has given up. Who waits for messages may have left the receive
    /// to it.
    pub(super) fn forget_reader(&self, wait: &WaitId) {
        if *wait == WaitId::default() {
            return;
        }
        self.readers().forget(wait);
        if let Receive::Armed(_) = self.receive.get() {
            let mut wakes = Wakes::default();
            self.both.borrow_mut().readers.wake_for_messages(&mut wakes);
            self.reactor.wake_all(wakes);
        }
    }

    pub(super) fn writers(&self) -> Writers<'_> {
        Writers(self)
    }

    /// Wakes all who wait for anything, from outside of a turn.
    fn wake_everybody(&self) {
        let mut wakes = Wakes::default();
        self.both.borrow_mut().readers.wake_all(&mut wakes);
        self.wake_all_writers(&mut wakes);
        self.reactor.wake_all(wakes);
    }

    fn wake_all_writers(&self, wakes: &mut Wakes) {
        self.both.borrow_mut().wake_writers(u64::MAX, wakes);
    }

    /// Wakes those whose bytes are with the kernel, all of them after an error.
    fn wake_reached(&self, wakes: &mut Wakes) {
        let mut both = self.both.borrow_mut();
        let reached = both.traffic().map_or(0, |traffic| traffic.outbox.reached());
        both.wake_writers(reached, wakes);
        both.settle();
    }

    /// Does something to what is under way.
    #[inline]
    fn with_traffic<R>(&self, act: impl FnOnce(&mut Traffic) -> R) -> R {
        let both = &mut *self.both.borrow_mut();
        let result = act(both.stir());
        both.settle();
        result
    }

    fn sink(self: &Rc<Self>) -> Weak<dyn Sink> {
        let this: Weak<Connection> = Rc::downgrade(self);
        this
    }
}

// Receiving.
impl Connection {
    /// The next chunk, an empty one at the end of the file.
    #[inline(always)]
    pub(super) fn poll_chunk(
        self: &Rc<Self>,
        cx: &Context<'_>,
        wait: &mut WaitId,
    ) -> Poll<io::Result<Chunk>> {
        if self.reactor.is_here() {
            let mut both = self.both.borrow_mut();
            if let Some(chunk) = both.take_only() {
                both.readers.forget_if_empty(wait);
                return Poll::Ready(Ok(chunk));
            }
        }
        self.poll_chunk_or_wait(cx, wait)
    }

    #[inline(never)]
    fn poll_chunk_or_wait(
        self: &Rc<Self>,
        cx: &Context<'_>,
        wait: &mut WaitId,
    ) -> Poll<io::Result<Chunk>> {
        if self.reactor.is_here() {
            // While a receive is under way, nothing has ended.
            let mut both = self.both.borrow_mut();
            if let Receive::Armed(_) = self.receive.get()
                && both.has_nothing_to_read()
                && both.readers.wait_at_home(wait, cx.waker())
            {
                both.settle();
                return Poll::Pending;
            }
        }
        self.poll_inbox(cx, Asker::Future(wait), Inbox::take)
    }

    /// The next bytes, as many as there are and fit.
    pub(super) fn poll_read(
        self: &Rc<Self>,
        cx: &Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_inbox(cx, Asker::PollFunction, |inbox| inbox.read(buffer))
    }

    fn poll_inbox<T>(
        self: &Rc<Self>,
        cx: &Context<'_>,
        asker: Asker<'_>,
        mut take: impl FnMut(&mut Inbox) -> Option<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        home::check(&self.reactor)?;
        poll_or_wait(&self.readers(), asker, cx, || {
            let taken = self.with_traffic(|traffic| take(&mut traffic.inbox));
            match taken {
                Some(taken) => ControlFlow::Break(taken),
                None => match self.arm() {
                    Ok(()) => ControlFlow::Continue(ANYTHING),
                    Err(error) => ControlFlow::Break(Err(error)),
                },
            }
        })
    }

    /// Starts receiving, unless that is going on. If a cancelled op is not over yet, its end will
    /// wake whoever waits, to come here again.
    #[inline]
    fn arm(self: &Rc<Self>) -> io::Result<()> {
        if let Receive::Idle = self.receive.get() {
            let op = Op::Receive { socket: Rc::clone(&self.socket) };
            self.receive.set(Receive::Armed(self.reactor.submit(op, self.sink())?));
        }
        Ok(())
    }

    /// Stops receiving; what was received until the op is over still arrives.
    fn disarm(&self) {
        if let Receive::Armed(token) | Receive::Watching(token) = self.receive.get() {
            self.receive.set(Receive::Ending(token));
            self.reactor.cancel(token);
        }
    }

    pub(super) fn set_inbox_limit(&self, bytes: usize) {
        self.with_traffic(|traffic| traffic.inbox.set_limit(bytes));
    }

    /// Gives back what was taken and not read, to whoever reads next.
    pub(super) fn put_back(&self, chunk: Chunk) {
        self.with_traffic(|traffic| traffic.inbox.put_back(chunk));
        self.readers().wake_all_now(&self.reactor);
    }

    /// An answer to the receive.
    #[inline]
    fn received(&self, completion: Completion, wakes: &mut Wakes) {
        if !completion.more {
            self.receive.set(Receive::Idle);
        }
        let both = &mut *self.both.borrow_mut();
        let wanted = !both.readers.is_empty();
        let inbox = &mut both.stir().inbox;
        match completion.answer {
            Answer::Received(chunk) => inbox.push(chunk, wanted),
            Answer::EndOfFile => inbox.end_of_file(),
            Answer::Failed(error) => inbox.fail(Kept::new(&error)),
            _ => {}
        }
        if inbox.is_full() {
            self.disarm();
        }
        both.readers.wake_all(wakes);
    }
}

// Sending.
impl Connection {
    /// The position behind everything that was queued so far.
    pub(super) fn accepted(&self) -> u64 {
        self.both.borrow().accepted()
    }

    /// How many bytes the kernel has not taken yet.
    pub(super) fn queued(&self) -> usize {
        self.both.borrow().queued()
    }

    /// Queues a payload behind all others, and gives the position behind it.
    #[inline]
    pub(super) fn push(self: &Rc<Self>, payload: Payload) -> io::Result<u64> {
        self.reactor.note_queued(payload.len());
        self.push_by(payload.len() as u64, |queue| queue.push(payload))
    }

    /// The same for a payload with descriptors.
    pub(super) fn push_with(
        self: &Rc<Self>,
        payload: Payload,
        descriptors: Vec<OwnedFd>,
    ) -> io::Result<u64> {
        self.push_by(payload.len() as u64, |queue| queue.push_with(payload, descriptors))
    }

    /// The same for a part of a file.
    pub(super) fn push_file(self: &Rc<Self>, part: FilePart) -> io::Result<u64> {
        self.push_by(part.len(), |queue| queue.push_file(part))
    }

    #[inline]
    fn push_by(self: &Rc<Self>, len: u64, put: impl FnOnce(&mut SendQueue)) -> io::Result<u64> {
        home::check_unless_outside(&self.reactor)?;
        let pushed = self.both.borrow_mut().stir().outbox.push_by(len, put);
        // What was to be sent is dropped here, after the borrow, as it may be anyone's.
        let position = pushed.map_err(|(_put, error)| error)?;
        self.make_due();
        Ok(position)
    }

    /// Has an op send what is queued.
    #[cold]
    fn submit_rest(self: &Rc<Self>, wakes: &mut Wakes) {
        let queue = self.with_traffic(|traffic| traffic.outbox.take_queue());
        if queue.is_empty() {
            return;
        }
        let op = Op::Send { socket: Rc::clone(&self.socket), queue: Box::new(queue) };
        match self.reactor.submit(op, self.sink()) {
            Ok(token) => self.send.set(Send::InFlight(token)),
            Err(error) => self.sent(Err(error), wakes),
        }
    }

    /// Has the queue sent when the jobs that are ready have run, unless a send is on its way.
    #[inline]
    fn make_due(self: &Rc<Self>) {
        if let Send::Idle = self.send.get()
            && self.both.borrow().has_more()
        {
            self.send.set(Send::Due);
            self.reactor.mark_dirty(self.clone());
        }
    }

    /// Waits until the bytes before `position` are with the kernel.
    ///
    /// If nobody else has a handle to add to what is queued, it is sent now and not when the jobs that are
    /// ready have run: it saves the one who waits for it another run.
    #[inline]
    pub(super) fn poll_handed(
        self: &Rc<Self>,
        cx: &Context<'_>,
        wait: &mut WaitId,
        position: u64,
    ) -> Poll<io::Result<()>> {
        home::check(&self.reactor)?;
        if let Send::Due = self.send.get()
            && Rc::strong_count(self) == LONE_SENDER
            && self.reactor.may_flush_now(self)
            && let Some(sent) = self.send_now()
        {
            self.flushed_alone(sent);
        }
        self.poll_outbox(cx, Asker::Future(wait), |outbox| outbox.check_handed(position))
    }

    /// More than that what was queued is sent is to be done.
    #[cold]
    fn flushed_alone(self: &Rc<Self>, sent: Option<io::Result<usize>>) {
        let mut wakes = Wakes::default();
        self.flushed(sent, &mut wakes);
        self.reactor.wake_all(wakes);
    }

    /// Sends what one call takes of what is due. Unless that was all, and nothing else is to be done about
    /// it, what came of it comes back, for [`flushed`](Self::flushed).
    #[inline]
    fn send_now(&self) -> Option<Option<io::Result<usize>>> {
        self.send.set(Send::Idle);
        let mut both = self.both.borrow_mut();
        if !both.has_more() {
            return None;
        }
        let Traffic { outbox, writers, .. } = both.stir();
        let sent = self.reactor.send_now(&self.socket, outbox.queue());
        if let Some(Ok(n)) = sent
            && outbox.hand_over(n)
            && writers.is_none()
        {
            both.settle();
            return None;
        }
        Some(sent)
    }

    /// Has the rest sent, and tells those who wait what came of it so far.
    #[inline(never)]
    fn flushed(self: &Rc<Self>, sent: Option<io::Result<usize>>, wakes: &mut Wakes) {
        if let Some(result) = sent {
            self.sent(result.map(drop), wakes);
        }
        if self.both.borrow().has_more() {
            self.submit_rest(wakes);
        }
    }

    /// Waits until all bytes before `position` are with the kernel and nothing failed.
    pub(super) fn poll_flushed(
        &self,
        cx: &Context<'_>,
        asker: Asker<'_>,
        position: u64,
    ) -> Poll<io::Result<()>> {
        home::check(&self.reactor)?;
        self.poll_outbox(cx, asker, |outbox| outbox.check_flushed(position))
    }

    /// Whether no more is queued than the high-water mark.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.both.borrow().has_room()
    }

    /// Waits until no more is queued than the high-water mark.
    pub(super) fn poll_room(&self, cx: &Context<'_>, asker: Asker<'_>) -> Poll<io::Result<()>> {
        home::check(&self.reactor)?;
        self.poll_outbox(cx, asker, |outbox| outbox.check_room()).map(Ok)
    }

    fn poll_outbox<T>(
        &self,
        cx: &Context<'_>,
        asker: Asker<'_>,
        check: impl Fn(&Outbox) -> ControlFlow<T, u64>,
    ) -> Poll<T> {
        poll_or_wait(&self.writers(), asker, cx, || {
            self.with_traffic(|traffic| check(&traffic.outbox))
        })
    }

    /// Moves the high-water mark, and has those who are held back look again.
    pub(super) fn set_high_water(&self, mark: Option<usize>) {
        self.with_traffic(|traffic| traffic.outbox.set_high_water(mark));
        self.writers().wake_all_now(&self.reactor);
    }

    /// Ends one or both directions; the end of ours follows what is queued.
    pub(super) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if let Some(error) = self.with_traffic(|traffic| traffic.outbox.error()) {
            return Err(error);
        }
        // In a forked child it would be the parent's connection that ends.
        self.reactor.check_process()?;
        if how != Shutdown::Write {
            SockRef::from(self.socket()).shutdown(Shutdown::Read)?;
        }
        if how != Shutdown::Read {
            self.with_traffic(|traffic| traffic.outbox.ask_fin());
            self.send_fin()?;
        }
        Ok(())
    }

    /// Sends the end, if it is asked for and its turn has come.
    #[inline]
    fn send_fin(&self) -> io::Result<()> {
        let due = self.both.borrow().traffic().is_some()
            && self.with_traffic(|traffic| traffic.outbox.take_fin());
        if !due {
            return Ok(());
        }
        SockRef::from(self.socket()).shutdown(Shutdown::Write)
    }

    /// Ends the socket for all handles. The number stays open until the last of them is dropped,
    /// as one may have lent it out by `as_fd`.
    pub(super) fn close(&self) {
        // A forked child lets go of its handles, and the connection stays the parent's.
        if self.reactor.check_process().is_ok() {
            // An error here says that the peer ended it first.
            let _ = SockRef::from(self.socket()).shutdown(Shutdown::Both);
        }
        self.let_go();
    }

    /// Ends the socket for all handles and has the peer told at once that it is gone, whatever is queued.
    pub(super) fn abort(&self) -> io::Result<()> {
        self.reactor.check_process()?;
        let reset = socket::disconnect(self.socket.as_fd());
        self.let_go();
        reset
    }

    /// Gives up what is under way: from here on every call is told that the stream is closed.
    fn let_go(&self) {
        self.disarm();
        if let Send::InFlight(token) = self.send.get() {
            self.reactor.cancel(token);
        }
        let queue = self.with_traffic(|traffic| {
            traffic.inbox.close(Kept::Closed);
            traffic.outbox.fail(Kept::Closed)
        });
        drop(queue);
        self.wake_everybody();
    }

    /// The answer to the op that sent. What it did not send comes first in what is sent next.
    fn answered(self: &Rc<Self>, queue: SendQueue, result: io::Result<usize>, wakes: &mut Wakes) {
        self.send.set(Send::Idle);
        let not_wanted = self.with_traffic(|traffic| traffic.outbox.take_back(queue));
        drop(not_wanted);
        let result = result.map(|n| {
            self.with_traffic(|traffic| traffic.outbox.hand_over(n));
        });
        self.sent(result, wakes);
        self.make_due();
    }

    /// The kernel has taken some bytes, or takes no more at all.
    fn sent(&self, result: io::Result<()>, wakes: &mut Wakes) {
        if let Err(error) = result {
            let dropped = self.with_traffic(|traffic| traffic.outbox.fail(Kept::new(&error)));
            drop(dropped);
        }
        self.wake_reached(wakes);
        // An error here says that the connection is gone, which the next read tells as well.
        let _ = self.send_fin();
    }
}

impl Sink for Connection {
    fn complete(self: Rc<Self>, completion: Completion, wakes: &mut Wakes) {
        let token = completion.token;
        match self.receive.get() {
            Receive::Armed(own) | Receive::Watching(own) | Receive::Ending(own) if own == token => {
                return self.received(completion, wakes);
            }
            _ => {}
        }
        let answer = completion.answer;
        match self.send.get() {
            Send::InFlight(own) if own == token => match answer {
                Answer::Sent { queue, result } => self.answered(*queue, result, wakes),
                Answer::Cancelled(queue) => {
                    let queue = queue.map_or_else(SendQueue::default, |queue| *queue);
                    self.answered(queue, Err(reactor::ended()), wakes);
                }
                answer => debug_assert!(false, "not an answer to a send: {answer:?}"),
            },
            _ => debug_assert!(false, "an answer to no op of this stream: {answer:?}"),
        }
    }

    /// Sends all that is queued, at once if that can be, else by an op that waits for room.
    fn flush(self: Rc<Self>, wakes: &mut Wakes) {
        let Send::Due = self.send.get() else { return };
        if let Some(sent) = self.send_now() {
            self.flushed(sent, wakes);
        }
        if Rc::strong_count(&self) == 1 {
            // The last handle is gone, and with it goes all this: a waker that a poll function left
            // here is dropped where anyone's code may run.
            self.both.borrow_mut().readers.wake_all(wakes);
            self.wake_all_writers(wakes);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.disarm();
        let outbox = &mut self.both.get_mut().stir().outbox;
        let token = match self.send.get() {
            Send::InFlight(token) => Some(token),
            Send::Idle | Send::Due => None,
        };
        if outbox.error().is_none() {
            let rest = outbox.take_queue();
            self.reactor.finish_sending(Rc::clone(&self.socket), token, rest);
        } else if let Some(token) = token {
            self.reactor.cancel(token);
        }
        self.both.get_mut().settle();
    }
}

#[cfg(test)]
mod tests;
