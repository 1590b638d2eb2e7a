//! What streams that nobody holds any more still have to send.
//!
//! Dropping the last handle of a stream flushes what is queued and then closes. There is nobody
//! left to drive that, so the reactor does: an [`Orphan`] is the sink of the stream's last sends.
//! It is given up when the peer takes nothing for [`PATIENCE`], so that a peer which stopped
//! reading cannot hold our memory for ever (BOUND).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use slab::Slab;

use super::{Reactor, Sink, Wakes};
use crate::backend::{Answer, Completion, Descriptor, Op, Token};
use crate::payload::SendQueue;

/// How long a peer may take nothing before what it was to get is dropped: longer than a lost
/// packet takes to be sent again a few times, shorter than anybody waits on purpose.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// So many that have ended are not worth a pass through all of them.
const ENDED_MIN: usize = 64;

/// All orphans of a reactor.
#[derive(Default)]
pub(super) struct Orphans {
    alive: RefCell<Slab<Rc<Orphan>>>,
    /// When to look at whom. All wait equally long, so this is in order.
    deadlines: RefCell<VecDeque<(Instant, Weak<Orphan>)>>,
}

/// The end of one stream.
pub(super) struct Orphan {
    reactor: Weak<Reactor>,
    socket: Rc<Descriptor>,
    rest: RefCell<SendQueue>,
    sending: Cell<Option<Token>>,
    key: Cell<usize>,
    /// When its patience with the peer ends.
    deadline: Cell<Instant>,
}

impl Orphans {
    pub(super) fn adopt(
        &self,
        reactor: Weak<Reactor>,
        now: Instant,
        socket: Rc<Descriptor>,
        rest: SendQueue,
    ) -> Rc<Orphan> {
        let deadline = now + PATIENCE;
        let orphan = Rc::new(Orphan {
            reactor,
            socket,
            rest: RefCell::new(rest),
            sending: Cell::new(None),
            key: Cell::new(0),
            deadline: Cell::new(deadline),
        });
        let alive = {
            let mut alive = self.alive.borrow_mut();
            orphan.key.set(alive.insert(orphan.clone()));
            alive.len()
        };
        let mut deadlines = self.deadlines.borrow_mut();
        if deadlines.len() > 2 * alive + ENDED_MIN {
            // Those that have ended keep memory as long as they stand here.
            deadlines.retain(|(_, orphan)| orphan.strong_count() > 0);
        }
        deadlines.push_back((deadline, Rc::downgrade(&orphan)));
        drop(deadlines);
        orphan
    }

    /// Whether there is none to look at.
    pub(super) fn is_empty(&self) -> bool {
        self.deadlines.borrow().is_empty()
    }

    /// Whether nobody has anything left to send.
    #[cfg(test)]
    pub(super) fn is_done(&self) -> bool {
        self.alive.borrow().is_empty()
    }

    /// How many are remembered, ended or not.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.deadlines.borrow().len()
    }

    /// When to look at the next one.
    pub(super) fn next(&self) -> Option<Instant> {
        let mut deadlines = self.deadlines.borrow_mut();
        // Those that have ended must not wake anybody.
        while deadlines.pop_front_if(|(_, orphan)| orphan.strong_count() == 0).is_some() {}
        deadlines.front().map(|(deadline, _)| *deadline)
    }

    /// Gives those up whose peers have taken nothing for too long.
    pub(super) fn expire(&self, now: Instant, reactor: &Reactor) {
        loop {
            let mut deadlines = self.deadlines.borrow_mut();
            let Some((_, orphan)) = deadlines.pop_front_if(|(deadline, _)| *deadline <= now) else {
                return;
            };
            let Some(orphan) = orphan.upgrade() else { continue };
            let deadline = orphan.deadline.get();
            if deadline > now {
                // Something was sent since. Its new deadline may be before that of those behind
                // it by no more than a turn, which is near enough.
                deadlines.push_back((deadline, Rc::downgrade(&orphan)));
                continue;
            }
            drop(deadlines);
            if let Some(token) = orphan.sending.get() {
                reactor.cancel(token);
            }
        }
    }

    pub(super) fn clear(&self) {
        let (alive, deadlines) = (self.alive.take(), self.deadlines.take());
        drop((alive, deadlines));
    }
}

impl Orphan {
    /// Notes which send is its own at first.
    pub(super) fn note_sending(&self, token: Token) {
        self.sending.set(Some(token));
    }

    /// Sends the rest, or ends if there is none.
    pub(super) fn send_rest(self: &Rc<Self>, reactor: &Reactor) {
        let queue = self.rest.take();
        if queue.is_empty() {
            return self.end(reactor);
        }
        let this: Rc<dyn Sink> = self.clone();
        let op = Op::Send { socket: self.socket.clone(), queue: Box::new(queue) };
        match reactor.submit(op, Rc::downgrade(&this)) {
            Ok(token) => self.sending.set(Some(token)),
            // The reactor is closed, and nothing is sent any more.
            Err(_) => self.end(reactor),
        }
    }

    fn end(&self, reactor: &Reactor) {
        let this = reactor.orphans.alive.borrow_mut().try_remove(self.key.get());
        drop(this);
    }
}

impl Sink for Orphan {
    fn complete(self: Rc<Self>, completion: Completion, _wakes: &mut Wakes) {
        self.sending.set(None);
        let Some(reactor) = self.reactor.upgrade() else { return };
        let this = reactor.orphans.alive.borrow().get(self.key.get()).cloned();
        match (this, completion.answer) {
            (Some(this), Answer::Sent { mut queue, result: Ok(_) }) => {
                queue.append(self.rest.take());
                self.rest.replace(*queue);
                self.deadline.set(reactor.turn_time() + PATIENCE);
                this.send_rest(&reactor);
            }
            // An error, or a cancel: nobody is left who could be told.
            _ => self.end(&reactor),
        }
    }
}
