//! What may be said about a listener before it listens.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::TcpListener;
use crate::net::listening::{DEFAULT_BACKLOG, Listening};
use crate::runtime::context;

/// Settings of a [`TcpListener`] that is to be bound, made by [`TcpListener::builder`].
///
/// ```
/// # #[aem::main] async fn main() -> std::io::Result<()> {
/// use aem::net::TcpListener;
/// let listener = TcpListener::builder().backlog(64).reuse_port(true).bind("127.0.0.1:0")?;
/// let same_port = listener.local_addr()?;
/// let _second = TcpListener::builder().reuse_port(true).bind(same_port)?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing listens before bind"]
pub struct TcpListenerBuilder {
    backlog: u32,
    reuse_address: bool,
    reuse_port: bool,
    only_v6: Option<bool>,
    receive_buffer: Option<usize>,
    send_buffer: Option<usize>,
    device: Option<String>,
}

impl TcpListenerBuilder {
    pub(super) fn new() -> TcpListenerBuilder {
        TcpListenerBuilder {
            backlog: DEFAULT_BACKLOG,
            reuse_address: true,
            reuse_port: false,
            only_v6: None,
            receive_buffer: None,
            send_buffer: None,
            device: None,
        }
    }

    /// How many connections the kernel keeps until they are accepted: 1024 unless set, and never
    /// more than the system's own limit.
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// Whether an address may be bound that connections of an earlier listener still use: yes
    /// unless set, so that a server can be started again at once.
    pub fn reuse_address(mut self, reuse: bool) -> Self {
        self.reuse_address = reuse;
        self
    }

    /// Whether several listeners that all ask for it may share one port, with the kernel dealing
    /// out connections among them: no unless set.
    pub fn reuse_port(mut self, reuse: bool) -> Self {
        self.reuse_port = reuse;
        self
    }

    /// Whether a listener on an IPv6 address takes no IPv4 connections: as the system is
    /// configured unless set.
    pub fn only_v6(mut self, only: bool) -> Self {
        self.only_v6 = Some(only);
        self
    }

    /// How many bytes the kernel may keep of each connection until they are received: as the system is
    /// configured, and adjusted while the connection lives, unless set. The kernel doubles it for itself, and
    /// has a limit of its own (`net.core.rmem_max`).
    ///
    /// It is set before there are connections, as the window that a peer is offered is agreed upon with the
    /// first packet.
    pub fn receive_buffer(mut self, bytes: usize) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }

    /// How many bytes the kernel may keep of each connection until the peer has them: as for
    /// [`receive_buffer`](Self::receive_buffer).
    pub fn send_buffer(mut self, bytes: usize) -> Self {
        self.send_buffer = Some(bytes);
        self
    }

    /// Takes only connections that come by this interface, as `"eth0"`: by any unless set.
    pub fn bind_device(mut self, name: impl Into<String>) -> Self {
        self.device = Some(name.into());
        self
    }

    /// Binds to an address and listens; of several addresses, to the first that can be bound.
    ///
    /// A name is resolved by the system, which may block: this is for the start of a program.
    ///
    /// # Errors
    ///
    /// Those of the last address that was tried, or `InvalidInput` if there was none. `ENODEV` names the
    /// interface that there is none of.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    pub fn bind(&self, addresses: impl ToSocketAddrs) -> io::Result<TcpListener> {
        context::reactor().check_open()?;
        let nothing = "the name stands for no address";
        let mut last = io::Error::new(io::ErrorKind::InvalidInput, nothing);
        for address in addresses.to_socket_addrs()? {
            match self.listen(address) {
                Ok(socket) => return Listening::adopt(socket.into()).map(TcpListener),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn listen(&self, address: SocketAddr) -> io::Result<Socket> {
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        socket.set_reuse_address(self.reuse_address)?;
        if self.reuse_port {
            socket.set_reuse_port(true)?;
        }
        if let (SocketAddr::V6(_), Some(only)) = (address, self.only_v6) {
            socket.set_only_v6(only)?;
        }
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(bytes) = self.send_buffer {
            socket.set_send_buffer_size(bytes)?;
        }
        if let Some(device) = &self.device {
            let named =
                |error: io::Error| io::Error::new(error.kind(), format!("{device}: {error}"));
            socket.bind_device(Some(device.as_bytes())).map_err(named)?;
        }
        socket.bind(&SockAddr::from(address))?;
        socket.listen(i32::try_from(self.backlog).unwrap_or(i32::MAX))?;
        Ok(socket)
    }
}
