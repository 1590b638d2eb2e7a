//! A TCP connection: chunks in, payloads out.
//!
//! A [`TcpStream`] is one of any number of handles of one socket, all on one worker. What they
//! share is a [`Connection`], with an inbox for what was received and not read, and an outbox for
//! what was sent and not taken by the kernel. Reading gives out the chunks that the
//! runtime received; sending queues what it is given and never waits; everything that is queued
//! during a turn leaves in one system call, but that one who has the only handle and awaits his send
//! is not made to wait for the end of the turn.
//!
//! It promises: a cancelled await loses no byte (KEPT); bytes leave in the order of the sends;
//! the first error of sending is kept and told again; what is held unread is bounded, and so is
//! what a handler can queue; an idle stream holds no buffer.

mod connect;

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use socket2::SockRef;

use super::addresses::ToAddresses;
use super::connection::Connection;
use super::verbs::stream_verbs;
use crate::backend::Attach;
use crate::runtime::context;

/// A TCP connection.
///
/// Clones are handles of the same connection. It closes when the last of them is gone, its
/// [`Chunks`](super::Chunks) and [`Sending`](super::Sending)s among them; bytes that are queued then
/// are still sent, unless the peer takes none of them for half a minute.
///
/// ```
/// # #[aem::main] async fn main() -> std::io::Result<()> {
/// use aem::net::{TcpListener, TcpStream};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let client = TcpStream::connect(listener.local_addr()?).await?;
/// let (server, _peer) = listener.accept().await?;
///
/// client.send("hello");
/// let mut chunk = server.recv().await?;
/// chunk.make_ascii_uppercase();
/// server.send(chunk).await?;
/// assert_eq!(&client.recv().await?[..], b"HELLO");
/// # Ok(()) }
/// ```
///
/// Options that have no method here are set through `socket2`:
///
/// ```
/// # #[aem::main] async fn main() -> std::io::Result<()> {
/// # let listener = aem::net::TcpListener::bind("127.0.0.1:0")?;
/// let stream = aem::net::TcpStream::connect(listener.local_addr()?).await?;
/// socket2::SockRef::from(&stream).set_keepalive(true)?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct TcpStream(pub(super) Rc<Connection>);

impl TcpStream {
    /// Connects to an address, or to a host by its name: `"example.org:443"`, `("example.org", 443)`.
    ///
    /// A name is resolved by the system on a thread of its own. Of several addresses the first that answers
    /// is taken: those of IPv6 and IPv4 are tried in turns, the next one when the one before has failed, or
    /// beside it after a quarter of a second (RFC 8305).
    ///
    /// # Errors
    ///
    /// That of the only address as the system has it; of several, the kind of the last one's with a text that
    /// names them all; of a name, why it stands for none. `InvalidInput` for a text without a port.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    ///
    /// # Cancel safety
    ///
    /// A connection that is being made when this is dropped is closed.
    pub async fn connect(to: impl ToAddresses) -> io::Result<TcpStream> {
        connect::connect(to).await
    }

    /// Connects a socket that is there already, bound to an address of ours or with options that have to be
    /// set first.
    ///
    /// ```
    /// # #[aem::main] async fn main() -> std::io::Result<()> {
    /// use socket2::{Domain, Socket, Type};
    /// # let listener = aem::net::TcpListener::bind("127.0.0.1:0")?;
    ///
    /// let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    /// socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 77], 0)).into())?;
    /// let stream = aem::net::TcpStream::connect_socket(socket, listener.local_addr()?).await?;
    /// assert_eq!(stream.local_addr()?.ip().to_string(), "127.0.0.77");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As the system has it; `EISCONN` if it is connected already.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    ///
    /// # Cancel safety
    ///
    /// A socket that is being connected when this is dropped is closed.
    pub async fn connect_socket(
        socket: impl Into<OwnedFd>,
        address: SocketAddr,
    ) -> io::Result<TcpStream> {
        let (reactor, socket) = (context::reactor(), socket.into());
        SockRef::from(&socket).set_nonblocking(true)?;
        connect::connect_socket(&reactor, socket, address).await
    }

    /// Takes over a connected stream of the standard library, and makes it non-blocking.
    ///
    /// # Errors
    ///
    /// If the kernel refuses to watch it: the same socket is with this runtime already, say.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<TcpStream> {
        let reactor = context::reactor();
        stream.set_nonblocking(true)?;
        let socket = reactor.adopt(OwnedFd::from(stream), Attach::Now)?;
        Ok(TcpStream::new(reactor, socket))
    }

    /// Ends the connection at once for all handles: what is queued is dropped, here and in the kernel, and
    /// the peer gets a reset (`ConnectionReset`) in place of an end. It is for a peer who is not to be
    /// waited for.
    ///
    /// Whoever waits in another call of this stream is told `NotConnected`, and so is every later call.
    ///
    /// # Errors
    ///
    /// What connect(2) says of it. The connection has ended all the same.
    ///
    /// ```
    /// # #[aem::main] async fn main() -> std::io::Result<()> {
    /// use aem::net::{TcpListener, TcpStream};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let client = TcpStream::connect(listener.local_addr()?).await?;
    /// let (server, _peer) = listener.accept().await?;
    /// server.abort()?;
    /// let error = client.recv().await.expect_err("a reset is no end of file");
    /// assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    /// # Ok(()) }
    /// ```
    pub fn abort(&self) -> io::Result<()> {
        self.0.abort()
    }

    /// Whether small pieces are sent at once (`true`) or may wait for an acknowledgement.
    ///
    /// # Errors
    ///
    /// If the connection is gone.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.socket().set_tcp_nodelay(nodelay)
    }

    /// Whether small pieces are sent at once.
    ///
    /// # Errors
    ///
    /// If the connection is gone.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.socket().tcp_nodelay()
    }

    /// The address of the other end.
    ///
    /// # Errors
    ///
    /// `NotConnected` once the connection is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        super::internet_address(&self.socket().peer_addr()?)
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// If the connection is gone.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        super::internet_address(&self.socket().local_addr()?)
    }
}

stream_verbs!(TcpStream);
