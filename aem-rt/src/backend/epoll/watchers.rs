//! Ops that only want to know: polls and watches for changes.
//!
//! A port has any number of them beside the op of each direction. A poll is level to its user: the
//! state is asked for when it comes, by `poll(2)`, and an edge is waited for only if that says no. A
//! watch for changes hears of each edge and of nothing else.

use std::io;

use super::EpollKeeper;
use crate::backend::op::{Answer, Completion, Interest, Op};
use crate::sys::epoll::flags;
use crate::sys::poll;

impl EpollKeeper {
    /// Asks `poll(2)` for the polls of a port that have just come.
    #[cold]
    pub(super) fn ask(&mut self, index: usize) {
        let (mut interest, mut asked) = (Interest::NONE, None);
        for token in &self.ports[index].watchers {
            if let Some(Op::Poll { descriptor, interest: part }) = self.ledger.get(*token) {
                interest |= *part;
                asked = Some((descriptor.as_raw_fd(), *token));
            }
        }
        let Some((fd, token)) = asked else { return };
        let result = match poll::now(fd, poll_events(interest)) {
            // The flags of poll(2) and of epoll are the same numbers.
            Ok(0) => self.ensure_attached(token, index),
            Ok(ready) => {
                self.answer_watchers(index, told(ready as u16 as u32), false);
                Ok(())
            }
            Err(error) => Err(error),
        };
        let Err(error) = result else { return };
        // Every poll of this port hears of it; an io::Error cannot be cloned, its code can.
        let code = error.raw_os_error();
        for token in std::mem::take(&mut self.ports[index].watchers) {
            let error =
                code.map_or_else(|| io::Error::from(error.kind()), io::Error::from_raw_os_error);
            match self.ledger.get(token) {
                Some(Op::Poll { .. }) => {
                    let last = self.finish(token, Answer::Failed(error));
                    self.done.push_back(last);
                }
                _ => self.ports[index].watchers.push(token),
            }
        }
    }

    /// Answers those watchers of a port that `ready` concerns; `edge` says that it is news.
    pub(super) fn answer_watchers(&mut self, index: usize, ready: Interest, edge: bool) {
        let mut next = 0;
        while let Some(token) = self.ports[index].watchers.get(next).copied() {
            match self.ledger.get(token) {
                Some(Op::Poll { interest, .. }) if !interest.and(ready).is_none() => {
                    let answer = Answer::Ready(interest.and(ready));
                    // `finish` takes it out of the list, so `next` stays.
                    let last = self.finish(token, answer);
                    self.done.push_back(last);
                }
                Some(Op::Changes { .. }) if edge => {
                    self.done.push_back(Completion {
                        token,
                        answer: Answer::Ready(ready),
                        more: true,
                    });
                    next += 1;
                }
                _ => next += 1,
            }
        }
    }
}

/// What flags of epoll's mean to one who polls: an error or a hang-up ends every wait.
pub(super) fn told(edge: u32) -> Interest {
    let mut ready = Interest::NONE;
    if edge & (flags::IN | flags::RDHUP | flags::HUP | flags::ERR) != 0 {
        ready |= Interest::READABLE;
    }
    if edge & (flags::OUT | flags::HUP | flags::ERR) != 0 {
        ready |= Interest::WRITABLE;
    }
    if edge & (flags::PRI | flags::HUP | flags::ERR) != 0 {
        ready |= Interest::PRIORITY;
    }
    ready
}

/// What `poll(2)` is asked for an interest.
fn poll_events(interest: Interest) -> i16 {
    let mut events = 0;
    if interest.is_readable() {
        events |= poll::IN | poll::RDHUP;
    }
    if interest.is_writable() {
        events |= poll::OUT;
    }
    if interest.is_priority() {
        events |= poll::PRI;
    }
    events
}
