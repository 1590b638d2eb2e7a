//! UDP: datagrams as events, and sends that need not be awaited (`net/datagram.rs`).

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures::stream::{FusedStream, Stream};

use super::datagram::{Carrier, DatagramSocket, SendingTo, is_of_a_peer};
use crate::chunk::Chunk;
use crate::payload::Payload;
use crate::runtime::context;

/// A UDP socket.
///
/// Clones are handles of the same socket, which closes when the last of them is gone, its [`Datagrams`]
/// among them, and what is queued has left.
///
/// ```
/// # #[aem::main] async fn main() -> std::io::Result<()> {
/// use aem::net::UdpSocket;
///
/// let server = UdpSocket::bind("127.0.0.1:0")?;
/// let client = UdpSocket::bind("127.0.0.1:0")?;
/// client.send_to("hello", server.local_addr()?).await?;
///
/// let (mut datagram, peer) = server.recv_from().await?;
/// datagram.make_ascii_uppercase();
/// server.send_to(datagram, peer);
/// assert_eq!(&client.recv_from().await?.0[..], b"HELLO");
/// # Ok(()) }
/// ```
///
/// Options that have no method here are set through `socket2`:
///
/// ```
/// # #[aem::main] async fn main() -> std::io::Result<()> {
/// let socket = aem::net::UdpSocket::bind("127.0.0.1:0")?;
/// socket2::SockRef::from(&socket).set_recv_buffer_size(1 << 20)?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct UdpSocket(pub(super) Rc<Carrier<std::net::UdpSocket>>);

impl DatagramSocket for std::net::UdpSocket {
    type Address = SocketAddr;

    const WAITS_FOR_PEER: bool = false;

    fn receive(&self, room: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.recv_from(room)
    }

    fn send_one(&self, bytes: &[u8], to: Option<&SocketAddr>) -> io::Result<usize> {
        match to {
            Some(to) => self.send_to(bytes, to),
            None => self.send(bytes),
        }
    }

    fn make_nonblocking(&self) -> io::Result<()> {
        self.set_nonblocking(true)
    }
}

impl UdpSocket {
    /// Binds to an address; of several, to the first that can be bound.
    ///
    /// Port 0 has the system choose one: see [`local_addr`](Self::local_addr). A name is resolved by the
    /// system, which may block: this is for the start of a program.
    ///
    /// # Errors
    ///
    /// Those of the last address that was tried, or `InvalidInput` if there was none.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    pub fn bind(addresses: impl ToSocketAddrs) -> io::Result<UdpSocket> {
        context::reactor().check_open()?;
        UdpSocket::from_std(std::net::UdpSocket::bind(addresses)?)
    }

    /// Takes over a socket of the standard library, and makes it non-blocking.
    ///
    /// # Errors
    ///
    /// If the kernel refuses to watch it: the same socket is with this runtime already, say.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    pub fn from_std(socket: std::net::UdpSocket) -> io::Result<UdpSocket> {
        Carrier::new(socket).map(UdpSocket)
    }

    /// Has the socket speak with this peer only: others are not heard, and [`send`](Self::send) needs no
    /// address. Nothing is sent; of several addresses the first that can be is taken.
    ///
    /// # Errors
    ///
    /// Those of the last address that was tried, or `InvalidInput` if there was none.
    pub fn connect(&self, addresses: impl ToSocketAddrs) -> io::Result<()> {
        self.std().connect(addresses)
    }

    /// The next datagram, whole, and who sent it. It may be empty: that is a datagram, too.
    ///
    /// # Errors
    ///
    /// Of a connected socket: what became of a datagram that was sent, as `ConnectionRefused` if nobody
    /// listens there. The next call goes on. Others are the socket's own.
    ///
    /// # Cancel safety
    ///
    /// A datagram that arrives too late stays in the socket for the next call (KEPT).
    pub async fn recv_from(&self) -> io::Result<(Chunk, SocketAddr)> {
        poll_fn(|cx| self.0.poll_receive(cx)).await
    }

    /// The next datagram of a [connected](Self::connect) socket.
    ///
    /// # Errors
    ///
    /// As for [`recv_from`](Self::recv_from).
    ///
    /// # Cancel safety
    ///
    /// As for [`recv_from`](Self::recv_from).
    pub async fn recv(&self) -> io::Result<Chunk> {
        Ok(self.recv_from().await?.0)
    }

    /// The datagrams as a source.
    ///
    /// An error that concerns one peer, as `ConnectionRefused`, is an event like others; it ends with one of
    /// the socket's own. Drained by a handler, it is not read while more is [queued](Self::queued) than the
    /// [high-water mark](Self::set_high_water). Several of one socket share its datagrams.
    pub fn datagrams(&self) -> Datagrams {
        Datagrams { socket: self.clone(), ended: false }
    }

    /// Sends a datagram, and returns at once. One for which the kernel has no room waits for it, with those
    /// that were sent after it behind it.
    ///
    /// The future resolves when it is with the kernel. Awaiting it is optional; dropping it takes nothing
    /// back. What waits when the runtime ends is lost, as datagrams may be.
    ///
    /// # Errors
    ///
    /// Of the future, each its own: `EMSGSIZE` for one that is larger than 65,507 bytes (or a little less
    /// with IPv6), `PermissionDenied` for a broadcast that was not [allowed](Self::set_broadcast), and what
    /// else sendto(2) says.
    ///
    /// # Cancel safety
    ///
    /// It is sent whether or not the future is awaited to its end.
    pub fn send_to(&self, payload: impl Into<Payload>, peer: SocketAddr) -> SendingTo {
        self.0.post(payload.into(), Some(peer))
    }

    /// As [`send_to`](Self::send_to), to the peer of a [connected](Self::connect) socket.
    ///
    /// # Errors
    ///
    /// As for [`send_to`](Self::send_to), and `EDESTADDRREQ` if it is not connected.
    ///
    /// # Cancel safety
    ///
    /// As for [`send_to`](Self::send_to).
    pub fn send(&self, payload: impl Into<Payload>) -> SendingTo {
        self.0.post(payload.into(), None)
    }

    /// How many bytes of datagrams wait here for the kernel to have room.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.0.queued()
    }

    /// Sets how much may wait before [`datagrams`](Self::datagrams) that a handler drains are held back: 256
    /// KiB unless set, `None` for any amount.
    pub fn set_high_water(&self, bytes: impl Into<Option<usize>>) {
        self.0.set_high_water(bytes.into());
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// None today.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.std().local_addr()
    }

    /// The peer that it is [connected](Self::connect) with.
    ///
    /// # Errors
    ///
    /// `NotConnected` if there is none.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.std().peer_addr()
    }

    /// Whether it may send to broadcast addresses: no unless set.
    ///
    /// # Errors
    ///
    /// None today.
    pub fn set_broadcast(&self, allowed: bool) -> io::Result<()> {
        self.std().set_broadcast(allowed)
    }

    /// How many hops a datagram may make: as the system is configured (64) unless set.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for zero and for more than 255.
    pub fn set_ttl(&self, hops: u32) -> io::Result<()> {
        self.std().set_ttl(hops)
    }

    /// Receives what is sent to a group, by the interface of this address (any, if unspecified).
    ///
    /// # Errors
    ///
    /// If it is no group's address or no interface's, and if it has joined already.
    pub fn join_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.std().join_multicast_v4(&group, &interface)
    }

    /// Receives what is sent to a group, by the interface of this index (any, if zero).
    ///
    /// # Errors
    ///
    /// As for [`join_multicast_v4`](Self::join_multicast_v4).
    pub fn join_multicast_v6(&self, group: Ipv6Addr, interface: u32) -> io::Result<()> {
        self.std().join_multicast_v6(&group, interface)
    }

    /// Undoes [`join_multicast_v4`](Self::join_multicast_v4).
    ///
    /// # Errors
    ///
    /// If it has not joined.
    pub fn leave_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.std().leave_multicast_v4(&group, &interface)
    }

    /// Undoes [`join_multicast_v6`](Self::join_multicast_v6).
    ///
    /// # Errors
    ///
    /// If it has not joined.
    pub fn leave_multicast_v6(&self, group: Ipv6Addr, interface: u32) -> io::Result<()> {
        self.std().leave_multicast_v6(&group, interface)
    }

    /// Whether what it sends to groups comes back to listeners on this machine: yes unless set.
    ///
    /// # Errors
    ///
    /// None today.
    pub fn set_multicast_loop(&self, back: bool) -> io::Result<()> {
        match self.local_addr()? {
            SocketAddr::V4(_) => self.std().set_multicast_loop_v4(back),
            SocketAddr::V6(_) => self.std().set_multicast_loop_v6(back),
        }
    }

    fn std(&self) -> &std::net::UdpSocket {
        self.0.socket()
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.std().as_fd()
    }
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("UdpSocket");
        text.field("local_addr", &self.local_addr().ok()).field("queued", &self.queued()).finish()
    }
}

/// The source of a socket's datagrams, made by [`UdpSocket::datagrams`].
#[derive(Debug)]
#[must_use = "datagrams come only while somebody takes them"]
pub struct Datagrams {
    socket: UdpSocket,
    ended: bool,
}

impl Stream for Datagrams {
    type Item = io::Result<(Chunk, SocketAddr)>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        let received = ready!(this.socket.0.poll_next(cx));
        this.ended = received.as_ref().is_err_and(|error| !is_of_a_peer(error));
        Poll::Ready(Some(received))
    }
}

impl FusedStream for Datagrams {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}
