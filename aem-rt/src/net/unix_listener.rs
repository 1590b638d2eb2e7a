//! A Unix socket that listens: a source of connections, as a TCP one is.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures::stream::{FusedStream, Stream};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use super::listening::{DEFAULT_BACKLOG, Listening, Shown};
use super::unix_stream::UnixStream;
use super::waiters::WaitId;
use crate::backend::{Attach, Descriptor};
use crate::reactor::Reactor;
use crate::runtime::context;

/// A Unix socket that listens for connections.
///
/// Out of descriptors or memory it pauses, as a [`TcpListener`](super::TcpListener) does.
///
/// ```
/// # #[aem::main] async fn main() -> std::io::Result<()> {
/// use aem::net::{UnixListener, UnixStream};
///
/// let path = std::env::temp_dir().join(format!("aem-example-{}", std::process::id()));
/// let listener = UnixListener::bind(&path)?;
/// let client = UnixStream::connect(&path).await?;
/// let (server, _nameless) = listener.accept().await?;
/// std::fs::remove_file(&path)?;
/// client.send("hello");
/// assert_eq!(&server.recv().await?[..], b"hello");
/// # Ok(()) }
/// ```
pub struct UnixListener(Rc<Listening>);

impl UnixListener {
    /// Makes a socket file and listens there.
    ///
    /// The file stays when the listener is gone, and nobody can bind to its path again before it is removed:
    /// that is up to the program, as only it knows whether another one has taken its place.
    ///
    /// # Errors
    ///
    /// `AddrInUse` if there is a file of that name, `InvalidInput` for a path that is too long (more than
    /// 107 bytes), and what else bind(2) says.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixListener> {
        UnixListener::listen(&SockAddr::unix(path)?)
    }

    /// Listens at an address, which may be an abstract name: one that is no file, and free again when the
    /// listener is gone. See [`UnixStream::connect_addr`].
    ///
    /// # Errors
    ///
    /// As for [`bind`](Self::bind).
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    pub fn bind_addr(address: &SocketAddr) -> io::Result<UnixListener> {
        UnixListener::listen(&super::unix_sock_addr(address)?)
    }

    fn listen(address: &SockAddr) -> io::Result<UnixListener> {
        let reactor = context::reactor();
        let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
        socket.bind(address)?;
        socket.listen(DEFAULT_BACKLOG as i32)?;
        let socket = reactor.adopt(OwnedFd::from(socket), Attach::Now)?;
        UnixListener::new(reactor, socket)
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
    pub fn from_std(listener: std::os::unix::net::UnixListener) -> io::Result<UnixListener> {
        let reactor = context::reactor();
        listener.set_nonblocking(true)?;
        let socket = reactor.adopt(OwnedFd::from(listener), Attach::Now)?;
        UnixListener::new(reactor, socket)
    }

    fn new(reactor: Rc<Reactor>, socket: Rc<Descriptor>) -> io::Result<UnixListener> {
        Ok(UnixListener(Listening::new(reactor, socket)?))
    }

    /// The next connection, and the address of its other end, which rarely has a name.
    ///
    /// # Errors
    ///
    /// Only those of the listener itself. An error of a single connection passes over it; a want of
    /// descriptors or memory is waited out.
    ///
    /// # Cancel safety
    ///
    /// A connection that arrives too late stays in the listener for the next call (KEPT).
    pub async fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let mut wait = AcceptWait { listening: &self.0, id: WaitId::default() };
        poll_fn(|cx| poll_accept(&self.0, cx, &mut wait.id)).await
    }

    /// The connections as a source.
    ///
    /// It ends after the first error. Several of one listener, and those who call
    /// [`accept`](Self::accept), share the connections. It keeps listening when this listener is
    /// dropped.
    pub fn incoming(&self) -> UnixIncoming {
        UnixIncoming { listening: Rc::clone(&self.0), wait: WaitId::default(), ended: false }
    }

    /// The address that it listens on.
    ///
    /// # Errors
    ///
    /// None today.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        super::unix_address(self.0.local_addr())
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
) -> Poll<io::Result<(UnixStream, SocketAddr)>> {
    listening.poll_accept(cx, wait).map(|accepted| {
        let (socket, _) = accepted?;
        // Who has gone already had no name.
        let peer = match SockRef::from(&*socket).peer_addr() {
            Ok(peer) => super::unix_address(&peer)?,
            Err(_) => SocketAddr::from_pathname("")?,
        };
        Ok((UnixStream::new(Rc::clone(listening.reactor()), socket), peer))
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

impl AsFd for UnixListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.socket().as_fd()
    }
}

impl fmt::Debug for UnixListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnixListener").field("local_addr", &Shown(self.0.local_addr())).finish()
    }
}

/// The source of a listener's connections, made by [`UnixListener::incoming`].
#[must_use = "connections come only while somebody takes them"]
pub struct UnixIncoming {
    listening: Rc<Listening>,
    wait: WaitId,
    ended: bool,
}

impl Stream for UnixIncoming {
    type Item = io::Result<(UnixStream, SocketAddr)>;

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

impl FusedStream for UnixIncoming {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

impl Drop for UnixIncoming {
    fn drop(&mut self) {
        self.listening.forget(&self.wait);
    }
}

impl fmt::Debug for UnixIncoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("UnixIncoming");
        text.field("local_addr", &Shown(self.listening.local_addr()));
        text.field("ended", &self.ended).finish()
    }
}
