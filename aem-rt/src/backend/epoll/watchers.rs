//! Ops that only want to know: polls and watches for changes.
//!
//! A port has any number of them beside the op of each direction. A poll is level to its user: the
//! state is asked for when it comes, by `poll(2)`, and an edge is waited for only if that says no. A
//! watch for changes hears of each edge and of nothing else.

use std::io;

use super::{Direction, EpollKeeper};
use crate::backend::ledger::Token;
use crate::backend::op::{Answer, Completion, Interest, Op};

/// The watchers of a port: boxed, and only there while there are any, as most ports have none.
#[derive(Debug, Default)]
#[expect(clippy::box_collection, reason = "one word instead of three for those that have none")]
pub(super) struct Watchers(Option<Box<Vec<Token>>>);

impl Watchers {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn push(&mut self, token: Token) {
        self.0.get_or_insert_default().push(token);
    }

    pub(super) fn remove(&mut self, token: Token) {
        if let Some(watchers) = &mut self.0 {
            watchers.retain(|watcher| *watcher != token);
        }
        self.0.take_if(|watchers| watchers.is_empty());
    }

    fn as_slice(&self) -> &[Token] {
        self.0.as_deref().map_or(&[], Vec::as_slice)
    }

    fn take(&mut self) -> Vec<Token> {
        self.0.take().map_or_else(Vec::new, |watchers| *watchers)
    }
}

impl EpollKeeper {
    /// Asks `poll(2)` for the polls of a port that have just come.
    #[cold]
    pub(super) fn ask(&mut self, index: usize) {
        let (mut interest, mut asked) = (Interest::NONE, None);
        for token in self.ports[index].watchers.as_slice() {
            if let Some(Op::Poll { descriptor, interest: part }) = self.ledger.get(*token) {
                interest |= *part;
                asked = Some((descriptor.as_raw_fd(), *token));
            }
        }
        let Some((fd, token)) = asked else { return };
        let result = match interest.holds_now(fd) {
            Ok(None) => {
                let direction =
                    if interest.is_writable() { Direction::Write } else { Direction::Read };
                self.ensure_attached(token, index, direction)
            }
            Ok(Some(ready)) => {
                self.answer_watchers(index, ready, false);
                Ok(())
            }
            Err(error) => Err(error),
        };
        let Err(error) = result else { return };
        // Every poll of this port hears of it; an io::Error cannot be cloned, its code can.
        let code = error.raw_os_error();
        for token in self.ports[index].watchers.take() {
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
        while let Some(token) = self.ports[index].watchers.as_slice().get(next).copied() {
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
