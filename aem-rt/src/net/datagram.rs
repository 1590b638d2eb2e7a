//! What datagram sockets have in common, whatever their addresses: receiving whole datagrams, and sends that
//! need not be awaited.
//!
//! A [`Carrier`] is the socket of all handles. Each datagram is received by a call of ours as soon as the
//! kernel says that there is one, and comes in memory of its own size: none is ever cut short. What is not
//! received waits in the kernel, which bounds it. A send is tried at once; if there is no room for it, it
//! waits in a [`queue`](Queue), whose job sends it.
//!
//! It promises: a cancelled await loses no datagram (KEPT); datagrams leave in the order of the sends, each
//! with an outcome of its own.

mod queue;
mod verbs;

use std::cell::RefCell;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use queue::Queue;
pub use queue::SendingTo;
pub(super) use verbs::datagram_verbs;

use crate::fd::{AsyncFd, Interest};
use crate::payload::Payload;
use crate::reactor::{Reactor, home};
use crate::runtime::context;
use crate::sys::message::Control;

/// The most that one datagram is given room for. No UDP one is as large, nor a Unix one, unless a program
/// with the rights for it has its kernel buffer larger than the system allows others. Pages that no datagram
/// reached are not resident.
const LARGEST: usize = 1 << 19;

/// What messages are received into, one after the other.
pub(super) struct Room {
    pub(super) bytes: Vec<u8>,
    pub(super) control: Control,
}

thread_local! {
    /// The one of this thread.
    static ROOM: RefCell<Option<Box<Room>>> = const { RefCell::new(None) };
}

/// Lends the room of this thread.
pub(super) fn with_room<R>(act: impl FnOnce(&mut Room) -> R) -> R {
    ROOM.with_borrow_mut(|room| {
        act(room.get_or_insert_with(|| {
            Box::new(Room { bytes: vec![0; LARGEST], control: Control::default() })
        }))
    })
}

/// A socket that sends and receives datagrams.
pub(super) trait DatagramSocket: AsFd + 'static {
    /// A datagram that has come.
    type Message: 'static;
    /// What a datagram is sent with: where to, and what is beside it.
    type Envelope: 'static;

    /// Whether a peer that has no room is waited for, however long: if not, what cannot be sent though the
    /// socket has room never will be.
    const WAITS_FOR_PEER: bool;

    /// The next one; with what came `beside` it, if that is wanted.
    fn receive(&self, room: &mut Room, beside: bool) -> io::Result<Self::Message>;
    /// Whether there are more that the kernel no longer tells of.
    fn has_more(&self) -> bool;
    fn send_one(&self, bytes: &[u8], envelope: &Self::Envelope) -> io::Result<usize>;
    fn make_nonblocking(&self) -> io::Result<()>;

    /// What an envelope that waits counts for, in bytes.
    fn weight(envelope: &Self::Envelope) -> usize {
        let _ = envelope;
        0
    }
}

/// What all handles of one socket share.
pub(super) struct Carrier<T: DatagramSocket> {
    reactor: Rc<Reactor>,
    fd: AsyncFd<T>,
    queue: Queue<T::Envelope>,
}

impl<T: DatagramSocket> Carrier<T> {
    /// Takes over a socket.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    pub(super) fn new(socket: T) -> io::Result<Rc<Carrier<T>>> {
        let reactor = context::reactor();
        socket.make_nonblocking()?;
        Ok(Rc::new(Carrier { reactor, fd: AsyncFd::new(socket)?, queue: Queue::default() }))
    }

    pub(super) fn socket(&self) -> &T {
        self.fd.get_ref()
    }

    /// How many bytes wait for room.
    pub(super) fn queued(&self) -> usize {
        self.queue.bytes()
    }

    pub(super) fn set_high_water(&self, mark: Option<usize>) {
        self.queue.set_high_water(mark, &self.reactor);
    }

    /// The next datagram, for one who awaits it.
    pub(super) fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        beside: bool,
    ) -> Poll<io::Result<T::Message>> {
        home::check(&self.reactor)?;
        let received = self.fd.poll_io(cx, Interest::READABLE, |socket| {
            with_room(|room| socket.receive(room, beside))
        });
        if received.is_ready() && self.socket().has_more() {
            // The kernel has nothing to say to others who wait.
            self.fd.wake_readers();
        }
        received
    }

    /// The next datagram, for a source: one that a handler drains is held back while too much is queued, as a
    /// handler that answers more than the kernel takes would fill our memory.
    pub(super) fn poll_next(
        &self,
        cx: &mut Context<'_>,
        beside: bool,
    ) -> Poll<io::Result<T::Message>> {
        if context::draining() {
            ready!(self.queue.poll_room(cx, &self.reactor));
        }
        self.poll_receive(cx, beside)
    }

    /// Sends at once if nothing waits and there is room, else queues.
    pub(super) fn post(self: &Rc<Self>, payload: Payload, envelope: T::Envelope) -> SendingTo {
        if let Err(error) = home::check(&self.reactor) {
            return SendingTo::sent(Err(error));
        }
        if self.queue.is_idle() {
            match self.try_send(&payload, &envelope) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return SendingTo::sent(result),
            }
        }
        queue::push(self, payload, envelope)
    }

    fn try_send(&self, payload: &Payload, envelope: &T::Envelope) -> io::Result<()> {
        self.reactor.check_process()?;
        loop {
            match self.socket().send_one(payload.as_slice(), envelope) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                sent => return sent.map(drop),
            }
        }
    }
}

/// What a datagram that was cut short is to those who did not ask to be told of that.
pub(super) fn cut_short(len: usize) -> io::Error {
    let text = format!("a datagram of {len} bytes was cut short");
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// Whether an error is about one peer or one datagram, and the socket goes on.
pub(super) fn is_of_one(error: &io::Error) -> bool {
    use libc::{
        EACCES, ECONNREFUSED, ECONNRESET, EHOSTDOWN, EHOSTUNREACH, EMSGSIZE, ENETDOWN, ENETUNREACH,
        ENONET, ENOPROTOOPT, EOPNOTSUPP, EPROTO,
    };
    // What the kernel makes of messages by ICMP, and of peers on this machine.
    let of_a_peer = matches!(
        error.raw_os_error(),
        Some(
            EACCES
                | ECONNREFUSED
                | ECONNRESET
                | EHOSTDOWN
                | EHOSTUNREACH
                | EMSGSIZE
                | ENETDOWN
                | ENETUNREACH
                | ENONET
                | ENOPROTOOPT
                | EOPNOTSUPP
                | EPROTO
        )
    );
    of_a_peer || error.kind() == io::ErrorKind::InvalidData
}

#[cfg(test)]
mod tests;
