//! A TCP socket that listens: a source of connections.
//!
//! The listener and its [`Incoming`]s hold one [`Listening`] socket between them. Whoever waits is
//! told of every connection, and each connection is given to one of them.
//!
//! It promises: a connection that was accepted while the one who wanted it went away is given to
//! the next who asks (KEPT); connections that nobody takes cost a bounded number of descriptors;
//! being out of descriptors costs a pause and one line, neither an error nor a busy loop.

mod builder;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures::stream::{FusedStream, Stream};

pub use builder::TcpListenerBuilder;

use super::listening::{Listening, Shown};
use super::tcp_stream::TcpStream;
use super::waiters::WaitId;
use crate::backend::{Attach, Descriptor};
use crate::reactor::Reactor;
use crate::runtime::context;

/// A TCP socket that listens for connections.
///
/// Out of descriptors or memory it pauses, says so in one line, and goes on when a descriptor of
/// this runtime is closed, or by trying again after 10 to 500 milliseconds.
///
/// ```
/// # #[aem::main] async fn main() -> std::io::Result<()> {
/// use aem::net::{TcpListener, TcpStream};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let _client = TcpStream::connect(listener.local_addr()?).await?;
/// let (stream, peer) = listener.accept().await?;
/// assert_eq!(stream.peer_addr()?, peer);
/// # Ok(()) }
/// ```
pub struct TcpListener(Rc<Listening>);

impl TcpListener {
    /// Binds to an address and listens; of several addresses, on the first that can be bound.
    ///
    /// Port 0 has the system choose one: see [`local_addr`](Self::local_addr). A name is resolved
    /// by the system, which may block: this is for the start of a program.
    ///
    /// # Errors
    ///
    /// Those of the last address that was tried, or `InvalidInput` if there was none.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    pub fn bind(addresses: impl ToSocketAddrs) -> io::Result<TcpListener> {
        TcpListener::builder().bind(addresses)
    }

    /// Settings for a listener that is to be bound.
    pub fn builder() -> TcpListenerBuilder {
        TcpListenerBuilder::new()
    }

    /// Takes over a listener of the standard library, and makes it non-blocking.
    ///
    /// # Errors
    ///
    /// If the kernel refuses to watch it: the same socket is with this runtime already, say.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<TcpListener> {
        let reactor = context::reactor();
        listener.set_nonblocking(true)?;
        let socket = reactor.adopt(OwnedFd::from(listener), Attach::Now)?;
        TcpListener::new(reactor, socket)
    }

    fn new(reactor: Rc<Reactor>, socket: Rc<Descriptor>) -> io::Result<TcpListener> {
        Ok(TcpListener(Listening::new(reactor, socket)?))
    }

    /// The next connection, and the address of its other end.
    ///
    /// # Errors
    ///
    /// Only those of the listener itself, such as of one that was shut down from outside. An error
    /// of a single connection passes over it; a want of descriptors or memory is waited out.
    ///
    /// # Cancel safety
    ///
    /// A connection that arrives too late stays in the listener for the next call (KEPT).
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let mut wait = AcceptWait { listening: &self.0, id: WaitId::default() };
        poll_fn(|cx| poll_accept(&self.0, cx, &mut wait.id)).await
    }

    /// The connections as a source.
    ///
    /// It ends after the first error. Several of one listener, and those who call
    /// [`accept`](Self::accept), share the connections. It keeps listening when this listener is
    /// dropped.
    pub fn incoming(&self) -> Incoming {
        Incoming { listening: Rc::clone(&self.0), wait: WaitId::default(), ended: false }
    }

    /// The address that it listens on.
    ///
    /// # Errors
    ///
    /// None today.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        super::internet_address(self.0.local_addr())
    }

    /// How often accepting has paused for want of descriptors or memory.
    #[must_use]
    pub fn shortages(&self) -> u64 {
        self.0.shortages()
    }
}

/// The next connection of a listener.
fn poll_accept(
    listening: &Listening,
    cx: &Context<'_>,
    wait: &mut WaitId,
) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
    listening.poll_accept(cx, wait).map(|accepted| {
        let (socket, peer) = accepted?;
        let peer = peer.ok_or_else(super::not_internet)?;
        Ok((TcpStream::new(Rc::clone(listening.reactor()), socket), peer))
    })
}

/// The wait of an `accept`.
struct AcceptWait<'a> {
    listening: &'a Listening,
    id: WaitId,
}

impl Drop for AcceptWait<'_> {
    fn drop(&mut self) {
        self.listening.forget(&self.id);
    }
}

impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.socket().as_fd()
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpListener").field("local_addr", &Shown(self.0.local_addr())).finish()
    }
}

/// The source of a listener's connections, made by [`TcpListener::incoming`].
#[must_use = "connections come only while somebody takes them"]
pub struct Incoming {
    listening: Rc<Listening>,
    wait: WaitId,
    ended: bool,
}

impl Stream for Incoming {
    type Item = io::Result<(TcpStream, SocketAddr)>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        let accepted = ready!(poll_accept(&this.listening, cx, &mut this.wait));
        this.ended = accepted.is_err();
        Poll::Ready(Some(accepted))
    }
}

impl FusedStream for Incoming {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.listening.forget(&self.wait);
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Incoming");
        text.field("local_addr", &Shown(self.listening.local_addr()))
            .field("ended", &self.ended)
            .finish()
    }
}

#[cfg(test)]
mod tests;
