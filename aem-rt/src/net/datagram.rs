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

use std::cell::RefCell;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::datagram::queue::Queue;
pub use queue::SendingTo;

use crate::chunk::Chunk;
use crate::fd::{AsyncFd, Interest};
use crate::payload::Payload;
use crate::reactor::{Reactor, home};
use crate::runtime::context;

/// The most that one datagram is given room for. No UDP one is as large, nor a Unix one, unless a program
/// with the rights for it has its kernel buffer larger than the system allows others. Pages that no datagram
/// reached are not resident.
pub(super) const LARGEST: usize = 1 << 19;

thread_local! {
    /// What datagrams are received into, one after the other.
    static ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A socket of the standard library's that sends and receives datagrams.
pub(super) trait DatagramSocket: AsFd + 'static {
    type Address: 'static;

    /// Whether a peer that has no room is waited for, however long: if not, what cannot be sent though the
    /// socket has room never will be.
    const WAITS_FOR_PEER: bool;

    fn receive(&self, room: &mut [u8]) -> io::Result<(usize, Self::Address)>;
    /// To the peer that it is connected with, if no address is given.
    fn send_one(&self, bytes: &[u8], to: Option<&Self::Address>) -> io::Result<usize>;
    fn make_nonblocking(&self) -> io::Result<()>;
}

/// What all handles of one socket share.
pub(super) struct Carrier<T: DatagramSocket> {
    reactor: Rc<Reactor>,
    fd: AsyncFd<T>,
    queue: Queue<T::Address>,
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
        self.queue.set_high_water(mark);
    }

    /// The next datagram, for one who awaits it.
    pub(super) fn poll_receive(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(Chunk, T::Address)>> {
        home::check(&self.reactor)?;
        self.fd.poll_io(cx, Interest::READABLE, |socket| {
            ROOM.with_borrow_mut(|room| {
                if room.is_empty() {
                    *room = vec![0; LARGEST];
                }
                let (n, peer) = socket.receive(room)?;
                Ok((Chunk::from(room[..n].to_vec()), peer))
            })
        })
    }

    /// The next datagram, for a source: one that a handler drains is held back while too much is queued, as a
    /// handler that answers more than the kernel takes would fill our memory.
    pub(super) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Chunk, T::Address)>> {
        if context::draining() {
            ready!(self.queue.poll_room(cx));
        }
        self.poll_receive(cx)
    }

    /// Sends at once if nothing waits and there is room, else queues.
    pub(super) fn post(self: &Rc<Self>, payload: Payload, to: Option<T::Address>) -> SendingTo {
        if let Err(error) = home::check(&self.reactor) {
            return SendingTo::sent(Err(error));
        }
        if self.queue.is_idle() {
            match self.try_send(&payload, to.as_ref()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return SendingTo::sent(result),
            }
        }
        queue::push(self, payload, to)
    }

    fn try_send(&self, payload: &Payload, to: Option<&T::Address>) -> io::Result<()> {
        self.reactor.check_process()?;
        loop {
            match self.socket().send_one(payload.as_slice(), to) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                sent => return sent.map(drop),
            }
        }
    }
}

/// Whether an error is about one peer, and the socket goes on.
pub(super) fn is_of_a_peer(error: &io::Error) -> bool {
    use libc::{
        ECONNREFUSED, ECONNRESET, EHOSTDOWN, EHOSTUNREACH, EMSGSIZE, ENETDOWN, ENETUNREACH,
    };
    matches!(
        error.raw_os_error(),
        Some(
            ECONNREFUSED
                | ECONNRESET
                | EHOSTDOWN
                | EHOSTUNREACH
                | EMSGSIZE
                | ENETDOWN
                | ENETUNREACH
        )
    )
}

#[cfg(test)]
mod tests;
