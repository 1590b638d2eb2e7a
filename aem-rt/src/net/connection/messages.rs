//! The messages of a Unix stream: bytes, with the descriptors that were sent along.
//!
//! They are received by a call of ours, when somebody asks for one and an op has said that there is
//! something: so no descriptor lies with us that nobody has asked for, and one who gives up leaves it where
//! it is (KEPT). A receive that another reader had armed is ended first.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::{Connection, Receive};
use crate::backend::{Interest, Op};
use crate::net::datagram::with_room;
use crate::net::kept::Kept;
use crate::net::unix_message::UnixMessage;
use crate::net::waiters::{ANYTHING, Asker, WaitId, poll_or_wait};
use crate::payload::Payload;
use crate::reactor::home;
use crate::sys::message;

impl Connection {
    /// The next message, an empty one at the end of the file.
    pub(in crate::net) fn poll_message(
        self: &Rc<Self>,
        cx: &Context<'_>,
        wait: &mut WaitId,
    ) -> Poll<io::Result<UnixMessage>> {
        home::check(&self.reactor)?;
        poll_or_wait(&self.readers(), Asker::Future(wait), cx, || match self.next_message() {
            Some(message) => ControlFlow::Break(message),
            None => ControlFlow::Continue(ANYTHING),
        })
    }

    /// What is there. If there is nothing, the end of an op will wake whoever waits.
    fn next_message(self: &Rc<Self>) -> Option<io::Result<UnixMessage>> {
        let (taken, has_readers) = {
            let mut both = self.both.borrow_mut();
            (both.inbox.take(), !both.readers.is_empty())
        };
        if let Some(taken) = taken {
            return Some(taken.and_then(UnixMessage::without_descriptors));
        }
        match self.receive.get() {
            Receive::Armed(_) => {
                // Unless others wait for it, who would arm it again.
                if !has_readers {
                    self.disarm();
                }
                None
            }
            Receive::Watching(_) | Receive::Ending(_) => None,
            Receive::Idle => self.receive_message(),
        }
    }

    fn receive_message(self: &Rc<Self>) -> Option<io::Result<UnixMessage>> {
        let received = self.reactor.check_process().and_then(|()| {
            with_room(|room| {
                let control = Some(&mut room.control);
                let received = message::receive(self.socket.as_fd(), &mut room.bytes, control)?;
                Ok(UnixMessage::new(received, &room.bytes, nameless()?))
            })
        });
        match received {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let descriptor = Rc::clone(&self.socket);
                let op = Op::Poll { descriptor, interest: Interest::READABLE };
                match self.reactor.submit(op, self.sink()) {
                    Ok(token) => {
                        self.receive.set(Receive::Watching(token));
                        None
                    }
                    Err(error) => Some(Err(error)),
                }
            }
            Err(error) => {
                self.both.borrow_mut().inbox.fail(Kept::new(&error));
                Some(Err(error))
            }
            Ok(message) => {
                if message.data.is_empty() {
                    self.both.borrow_mut().inbox.end_of_file();
                }
                Some(Ok(message))
            }
        }
    }

    /// Queues a payload with descriptors, as [`push`](Self::push) does without.
    pub(in crate::net) fn push_with(
        self: &Rc<Self>,
        payload: Payload,
        descriptors: Vec<OwnedFd>,
    ) -> io::Result<u64> {
        self.push_by(|outbox| outbox.push_with(payload, descriptors))
    }
}

impl UnixMessage {
    fn without_descriptors(data: crate::Chunk) -> io::Result<UnixMessage> {
        let length = data.len();
        let (descriptors, descriptors_cut, from) = (Vec::new(), false, nameless()?);
        Ok(UnixMessage { data, from, descriptors, descriptors_cut, length })
    }
}

/// The address of one who has none.
fn nameless() -> io::Result<SocketAddr> {
    SocketAddr::from_pathname(Path::new(""))
}
