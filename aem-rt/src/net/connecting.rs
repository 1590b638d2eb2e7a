//! Making a connection, whatever the family of the address.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::ops::ControlFlow;
use std::rc::{Rc, Weak};

use socket2::SockAddr;

use super::waiters::{ANYTHING, Asker, WaitId, Waiters, poll_or_wait};
use crate::backend::{Answer, Descriptor, Op, Token};
use crate::reactor::{Completion, Reactor, Sink, Wakes, home};

/// Connects a socket. Dropped before it is connected, the attempt is given up.
pub(super) async fn connect(
    reactor: &Rc<Reactor>,
    socket: &Rc<Descriptor>,
    address: SockAddr,
) -> io::Result<()> {
    let sink = Rc::new(Connecting::default());
    let weak: Weak<dyn Sink> = Rc::downgrade(&sink) as Weak<dyn Sink>;
    let op = Op::Connect { socket: Rc::clone(socket), address: Box::new(address) };
    let token = reactor.submit(op, weak)?;
    Attempt { reactor, token, sink }.wait().await
}

/// A connect in flight, which is cancelled if nobody waits for it any more.
struct Attempt<'a> {
    reactor: &'a Rc<Reactor>,
    token: Token,
    sink: Rc<Connecting>,
}

impl Attempt<'_> {
    async fn wait(&self) -> io::Result<()> {
        let mut wait = WaitId::default();
        poll_fn(|cx| {
            home::check(self.reactor)?;
            poll_or_wait(&self.sink.waiters, Asker::Future(&mut wait), cx, || {
                match self.sink.outcome.take() {
                    Some(outcome) => ControlFlow::Break(outcome),
                    None => ControlFlow::Continue(ANYTHING),
                }
            })
        })
        .await
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        // Of an op that is over this is no more than a look at its token.
        self.reactor.cancel(self.token);
    }
}

/// Where the answer arrives.
#[derive(Default)]
struct Connecting {
    outcome: Cell<Option<io::Result<()>>>,
    waiters: RefCell<Waiters>,
}

impl Sink for Connecting {
    fn complete(self: Rc<Self>, completion: Completion, wakes: &mut Wakes) {
        self.outcome.set(Some(match completion.answer {
            Answer::Connected => Ok(()),
            Answer::Failed(error) => Err(error),
            _ => Err(io::Error::other("the runtime ended before the connection was made")),
        }));
        self.waiters.borrow_mut().wake_all(wakes);
    }
}
