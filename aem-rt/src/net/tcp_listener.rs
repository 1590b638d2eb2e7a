//! A TCP socket that listens: a source of connections.
//!
//! The listener and its [`Incoming`]s hold one [`Listening`] socket between them. Whoever waits is
//! told of every connection, and each connection is given to one of them.
//!
//! It promises: a connection that was accepted while the one who wanted it went away is given to
//! the next who asks (KEPT); connections that nobody takes cost a bounded number of descriptors;
//! being out of descriptors costs a pause and one line, neither an error nor a busy loop.

mod builder;

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::rc::Rc;

pub use builder::TcpListenerBuilder;

use super::listening::{Accepted, Listening, listener_verbs};
use super::tcp_stream::TcpStream;

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
///
/// Options that the [builder](Self::builder) does not have are set through `socket2`, before or after:
///
/// ```
/// # #[aem::main] async fn main() -> std::io::Result<()> {
/// use socket2::{Domain, Socket, Type};
///
/// let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
/// socket.set_tos_v4(0x10)?;
/// socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
/// socket.listen(128)?;
/// let listener = aem::net::TcpListener::from_std(socket.into())?;
/// socket2::SockRef::from(&listener).set_tcp_nodelay(true)?;
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

    /// The address that it listens on.
    ///
    /// # Errors
    ///
    /// None today.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        super::internet_address(self.0.local_addr())
    }
}

listener_verbs!(TcpListener, Incoming, TcpStream, SocketAddr, std::net::TcpListener, connection);

fn connection(accepted: io::Result<Accepted>) -> io::Result<(TcpStream, SocketAddr)> {
    let Accepted { reactor, socket, peer } = accepted?;
    Ok((TcpStream::new(reactor, socket), peer.ok_or_else(super::not_internet)?))
}

#[cfg(test)]
mod tests;
