//! The readiness of a descriptor as a source.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures::stream::{FusedStream, Stream};

use super::{AsyncFd, Watch, sink};
use crate::backend::{Interest, Op};
use crate::reactor::{Answer, Completion, Sink, Token, Wakes, home};

/// The events of [`AsyncFd::readiness`]: what is ready, once a turn for as long as it is.
///
/// It ends after an error.
pub struct Readiness<T: AsFd> {
    fd: AsyncFd<T>,
    interest: Interest,
    wait: Option<(Token, Rc<Answered>)>,
    over: bool,
}

/// What the reactor said to one question.
#[derive(Default)]
struct Answered {
    answer: RefCell<Option<io::Result<Interest>>>,
    waker: Cell<Option<Waker>>,
}

impl Sink for Answered {
    fn complete(self: Rc<Self>, completion: Completion, wakes: &mut Wakes) {
        let answer = match completion.answer {
            Answer::Ready(interest) => Ok(interest),
            Answer::Failed(error) => Err(error),
            _ => Err(crate::reactor::ended()),
        };
        *self.answer.borrow_mut() = Some(answer);
        wakes.extend(self.waker.take());
    }
}

impl<T: AsFd> Readiness<T> {
    pub(super) fn new(fd: AsyncFd<T>, interest: Interest) -> Readiness<T> {
        Readiness { fd, interest, wait: None, over: false }
    }

    fn ask(&mut self) -> io::Result<Rc<Answered>> {
        home::check(&self.fd.inner.watch.reactor)?;
        if let Some((_, answered)) = &self.wait {
            return Ok(Rc::clone(answered));
        }
        let Watch { reactor, descriptor, .. } = &self.fd.inner.watch;
        let answered = Rc::<Answered>::default();
        let op = Op::Poll { descriptor: Rc::clone(descriptor), interest: self.interest };
        let token = reactor.submit(op, sink(&answered))?;
        self.wait = Some((token, Rc::clone(&answered)));
        Ok(answered)
    }
}

impl<T: AsFd> Stream for Readiness<T> {
    type Item = io::Result<Interest>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.over {
            return Poll::Ready(None);
        }
        let answered = match this.ask() {
            Ok(answered) => answered,
            Err(error) => {
                this.over = true;
                return Poll::Ready(Some(Err(error)));
            }
        };
        let answer = answered.answer.borrow_mut().take();
        match answer {
            Some(answer) => {
                this.wait = None;
                this.over = answer.is_err();
                Poll::Ready(Some(answer))
            }
            None => {
                let before = answered.waker.replace(Some(context.waker().clone()));
                drop(before);
                Poll::Pending
            }
        }
    }
}

impl<T: AsFd> FusedStream for Readiness<T> {
    fn is_terminated(&self) -> bool {
        self.over
    }
}

impl<T: AsFd> Unpin for Readiness<T> {}

impl<T: AsFd> Drop for Readiness<T> {
    fn drop(&mut self) {
        if let Some((token, _)) = self.wait.take() {
            self.fd.inner.watch.reactor.cancel(token);
        }
    }
}

impl<T: AsFd> fmt::Debug for Readiness<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Readiness").field(&self.interest).finish()
    }
}
