//! The messages of a Unix stream: bytes, with the descriptors that were sent along.
//!
//! They are received by a call of ours, when somebody asks for one and an op has said that there is
//! something: so no descriptor lies with us that nobody has asked for, and one who gives up leaves it where
//! it is (KEPT). A receive that another reader had armed is ended first, unless that one still waits.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::{Connection, Receive};
use crate::backend::{Interest, Op};
use crate::net::datagram::with_room;
use crate::net::kept::Kept;
use crate::net::nameless;
use crate::net::unix_message::UnixMessage;
use crate::net::waiters::{Asker, MESSAGE, WaitId, poll_or_wait};
use crate::reactor::{Wakes, home};
use crate::sys::message;

/// A wait for messages.
#[derive(Debug, Default)]
pub(in crate::net) struct MessageWait {
    pub(in crate::net) id: WaitId,
    /// Whether those who asked by poll functions were asked whether they still want bytes.
    asked: bool,
}

impl Connection {
    /// The next message, an empty one at the end of the file.
    pub(in crate::net) fn poll_message(
        self: &Rc<Self>,
        cx: &Context<'_>,
        wait: &mut MessageWait,
    ) -> Poll<io::Result<UnixMessage>> {
        home::check(&self.reactor)?;
        let mut wakes = Vec::new();
        let MessageWait { id, asked } = wait;
        let own = id.clone();
        let polled = poll_or_wait(&self.readers(), Asker::Future(id), cx, || {
            match self.next_message(&own, asked, &mut wakes) {
                Some(message) => ControlFlow::Break(message),
                None => ControlFlow::Continue(MESSAGE),
            }
        });
        if !wakes.is_empty() {
            // Those who still want bytes are on the list again when this one looks the next time.
            self.reactor.wake_all(Wakes::from(wakes));
            cx.waker().wake_by_ref();
        }
        *asked &= polled.is_pending();
        polled
    }

    /// What is there. If there is nothing, the end of an op will wake whoever waits.
    fn next_message(
        self: &Rc<Self>,
        own: &WaitId,
        asked: &mut bool,
        wakes: &mut Vec<Waker>,
    ) -> Option<io::Result<UnixMessage>> {
        let taken = self.with_traffic(|traffic| traffic.inbox.take());
        if let Some(taken) = taken {
            return Some(taken.map(UnixMessage::without_descriptors));
        }
        match self.receive.get() {
            Receive::Armed(_) => {
                if !self.is_wanted_by_others(own, asked, wakes) {
                    self.disarm();
                }
                None
            }
            Receive::Watching(_) | Receive::Ending(_) => None,
            Receive::Idle => self.receive_message(),
        }
    }

    /// Whether somebody else waits for bytes, who would arm the receive again. Of those who asked by poll
    /// functions that is not known; they are woken, and if they want it they ask again.
    fn is_wanted_by_others(&self, own: &WaitId, asked: &mut bool, wakes: &mut Vec<Waker>) -> bool {
        let readers = &mut self.both.borrow_mut().readers;
        if readers.has_pollers() && !std::mem::replace(asked, true) {
            readers.wake_pollers(wakes);
            return true;
        }
        readers.has_other_future(own) || readers.has_pollers()
    }

    fn receive_message(self: &Rc<Self>) -> Option<io::Result<UnixMessage>> {
        let received = self.reactor.check_process().and_then(|()| {
            with_room(|room| {
                let control = Some(&mut room.control);
                let received = message::receive(self.socket.as_fd(), &mut room.bytes, control)?;
                Ok(UnixMessage::new(received, &room.bytes, nameless()))
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
                self.with_traffic(|traffic| traffic.inbox.fail(Kept::new(&error)));
                Some(Err(error))
            }
            Ok(message) => {
                if message.data.is_empty() {
                    self.with_traffic(|traffic| traffic.inbox.end_of_file());
                }
                Some(Ok(message))
            }
        }
    }
}

impl UnixMessage {
    fn without_descriptors(data: crate::Chunk) -> UnixMessage {
        let length = data.len();
        let (descriptors, descriptors_cut, from) = (Vec::new(), false, nameless());
        UnixMessage { data, from, descriptors, descriptors_cut, length }
    }
}
