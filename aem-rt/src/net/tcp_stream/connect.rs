//! Making a connection to whichever address of a host answers first.
//!
//! As RFC 8305 (Happy Eyeballs) has it: a name is resolved elsewhere, on a thread that may block; the
//! addresses are tried in turns of the two families, the next one when the one before has failed or has been
//! silent for a while; the first that answers is taken, and the other attempts are given up.

use std::fmt::Write;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures::Stream;
use futures::stream::FuturesUnordered;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::TcpStream;
use crate::backend::Attach;
use crate::net::addresses::{Addresses, ToAddresses, in_turns};
use crate::net::connecting;
use crate::reactor::Reactor;
use crate::runtime::{context, spawn_blocking};
use crate::time::sleep;

/// How long an attempt is waited for before the next one begins beside it: what RFC 8305 recommends.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

pub(super) async fn connect(to: impl ToAddresses) -> io::Result<TcpStream> {
    let reactor = context::reactor();
    let addresses = match to.to_addresses()? {
        Addresses::Known(addresses) => addresses,
        Addresses::Host { name, port } => resolve(name, port).await?,
    };
    connect_to_any(&reactor, in_turns(addresses)).await
}

/// Asks the system for the addresses of a name.
async fn resolve(name: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    let resolving = spawn_blocking(move || match (name.as_str(), port).to_socket_addrs() {
        Ok(addresses) => Ok(addresses.collect()),
        Err(error) => Err(io::Error::new(error.kind(), format!("{name}: {error}"))),
    });
    // One who does not wait any more needs no answer.
    resolving.abort_on_drop().await?
}

/// What comes next of some attempts.
enum Next {
    Connected(TcpStream),
    Failed(io::Error),
    /// They have been silent for a while.
    Silence,
}

async fn connect_to_any(
    reactor: &Rc<Reactor>,
    addresses: Vec<SocketAddr>,
) -> io::Result<TcpStream> {
    let mut attempts = FuturesUnordered::new();
    let mut errors = Vec::new();
    let mut rest = addresses.iter();
    loop {
        if let Some(address) = rest.next() {
            attempts.push(connect_to(reactor, *address));
        } else if attempts.is_empty() {
            return Err(failure(&addresses, errors));
        }
        let is_last = rest.as_slice().is_empty();
        let mut silence = pin!(sleep(if is_last { Duration::MAX } else { ATTEMPT_DELAY }));
        let next = poll_fn(|cx| match pin!(&mut attempts).poll_next(cx) {
            Poll::Ready(Some(Ok(stream))) => Poll::Ready(Next::Connected(stream)),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Next::Failed(error)),
            _ => silence.as_mut().poll(cx).map(|()| Next::Silence),
        });
        match next.await {
            Next::Connected(stream) => return Ok(stream),
            Next::Failed(error) => errors.push(error),
            Next::Silence => {}
        }
    }
}

/// What to say when no address answers: the error of the only one as it is, of several all that is known.
fn failure(addresses: &[SocketAddr], mut errors: Vec<io::Error>) -> io::Error {
    let Some(last) = errors.pop() else {
        return io::Error::new(io::ErrorKind::InvalidInput, "the name stands for no address");
    };
    if errors.is_empty() {
        return last;
    }
    let mut text = format!("none of {} addresses answers:", addresses.len());
    for address in addresses {
        let _ = write!(text, " {address}");
    }
    let _ = write!(text, "; the last error was: {last}");
    io::Error::new(last.kind(), text)
}

async fn connect_to(reactor: &Rc<Reactor>, address: SocketAddr) -> io::Result<TcpStream> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    connect_socket(reactor, socket.into(), address).await
}

pub(super) async fn connect_socket(
    reactor: &Rc<Reactor>,
    socket: OwnedFd,
    address: SocketAddr,
) -> io::Result<TcpStream> {
    let socket = reactor.adopt(socket, Attach::OnFirstUse)?;
    connecting::connect(reactor, &socket, SockAddr::from(address)).await?;
    Ok(TcpStream::new(Rc::clone(reactor), socket))
}
