//! A Unix socket that listens: a source of connections, as a TCP one is.

use std::io;
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;

use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use super::listening::{Accepted, DEFAULT_BACKLOG, Listening, listener_verbs};
use super::unix_stream::UnixStream;
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
        context::reactor().check_open()?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
        socket.bind(address)?;
        socket.listen(DEFAULT_BACKLOG as i32)?;
        Listening::adopt(socket.into()).map(UnixListener)
    }

    /// The address that it listens on.
    ///
    /// # Errors
    ///
    /// None today.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        super::unix_address(self.0.local_addr())
    }
}

listener_verbs!(
    UnixListener,
    UnixIncoming,
    UnixStream,
    SocketAddr,
    std::os::unix::net::UnixListener,
    connection
);

fn connection(accepted: io::Result<Accepted>) -> io::Result<(UnixStream, SocketAddr)> {
    let Accepted { reactor, socket, .. } = accepted?;
    // Who has gone already had no name.
    let peer = match SockRef::from(&*socket).peer_addr() {
        Ok(peer) => super::unix_peer(&peer),
        Err(_) => super::nameless(),
    };
    Ok((UnixStream::adopted(reactor, socket), peer))
}
