//! Making a connection.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::rc::{Rc, Weak};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::TcpStream;
use crate::backend::{Answer, Attach, Op, Token};
use crate::net::waiters::{ANYTHING, Asker, WaitId, Waiters, poll_or_wait};
use crate::reactor::home;
use crate::reactor::{Completion, Reactor, Sink, Wakes};
use crate::runtime::context;

/// Tries the addresses one after the other.
pub(super) async fn connect(addresses: impl ToSocketAddrs) -> io::Result<TcpStream> {
    let reactor = context::reactor();
    let nothing = "the name stands for no address";
    let mut last = io::Error::new(io::ErrorKind::InvalidInput, nothing);
    for address in addresses.to_socket_addrs()? {
        match connect_to(&reactor, address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn connect_to(reactor: &Rc<Reactor>, address: SocketAddr) -> io::Result<TcpStream> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    let socket = reactor.adopt(OwnedFd::from(socket), Attach::OnFirstUse)?;
    let sink = Rc::new(Connecting::default());
    let weak: Weak<dyn Sink> = Rc::downgrade(&sink) as Weak<dyn Sink>;
    let op = Op::Connect { socket: Rc::clone(&socket), address: Box::new(SockAddr::from(address)) };
    let token = reactor.submit(op, weak)?;
    let attempt = Attempt { reactor, token, sink };
    attempt.wait().await?;
    Ok(TcpStream::new(Rc::clone(reactor), socket))
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
