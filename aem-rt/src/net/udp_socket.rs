//! UDP: datagrams as events, and sends that need not be awaited (`net/datagram.rs`).

mod message;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket as Socket};
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

use socket2::{SockAddr, SockRef};

use super::datagram::{Carrier, DatagramSocket, Room, SendingTo, datagram_verbs, is_of_one};
use super::messages::Messages;
use crate::chunk::Chunk;
use crate::payload::Payload;
use crate::runtime::context;
use crate::sys::message::{self as sys, Outgoing};
use crate::sys::socket::{option, set_option};
pub use message::{Ecn, PacketInfo, UdpMessage};

/// The source of a socket's datagrams: see [`UdpSocket::datagrams`].
pub type Datagrams = Messages<(Chunk, SocketAddr)>;

/// A UDP socket.
///
/// Clones are handles of the same socket, which closes when the last of them is gone, its sources
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
/// Options that have no method here are set through `socket2`. Whoever has errors or times of sending queued
/// (`IP_RECVERR`, `SO_TIMESTAMPING`) has to read that queue: while there is something in it the socket is
/// ready for ever, and those who wait for datagrams look again and again.
///
/// ```
/// # #[aem::main] async fn main() -> std::io::Result<()> {
/// let socket = aem::net::UdpSocket::bind("127.0.0.1:0")?;
/// socket2::SockRef::from(&socket).set_recv_buffer_size(1 << 20)?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct UdpSocket(pub(super) Rc<Carrier<Udp>>);

/// The socket, and what it has received and nobody has taken.
pub(super) struct Udp {
    socket: Socket,
    /// Whether several datagrams may come as one.
    gro: Cell<bool>,
    /// The datagrams that came with the last one, in one message of the kernel's.
    rest: RefCell<VecDeque<UdpMessage>>,
}

/// What a datagram is sent with. To the peer that the socket is connected with, if no address is given.
#[derive(Default)]
pub(super) struct Envelope {
    to: Option<SocketAddr>,
    via: Option<PacketInfo>,
}

impl DatagramSocket for Udp {
    type Message = UdpMessage;
    type Envelope = Envelope;

    const WAITS_FOR_PEER: bool = false;

    fn receive(&self, room: &mut Room, beside: bool) -> io::Result<UdpMessage> {
        if let Some(next) = self.rest.borrow_mut().pop_front() {
            return Ok(next);
        }
        if !beside && !self.gro.get() {
            // Cheaper by a fifth than to ask for what comes beside it.
            let (n, peer) = self.socket.recv_from(&mut room.bytes)?;
            return Ok(UdpMessage::plain(&room.bytes[..n], peer));
        }
        let received = sys::receive(self.as_fd(), &mut room.bytes, Some(&mut room.control))?;
        let bytes = &room.bytes[..received.len.min(room.bytes.len())];
        let segment = received.beside.segment.filter(|segment| *segment > 0);
        let mut segments = bytes.chunks(segment.unwrap_or(usize::MAX));
        let first = UdpMessage::new(segments.next().unwrap_or_default(), &received)?;
        for segment in segments {
            self.rest.borrow_mut().push_back(UdpMessage::new(segment, &received)?);
        }
        Ok(first)
    }

    fn has_more(&self) -> bool {
        !self.rest.borrow().is_empty()
    }

    fn send_one(&self, bytes: &[u8], envelope: &Envelope) -> io::Result<usize> {
        match envelope {
            Envelope { to: Some(to), via: None } => self.socket.send_to(bytes, to),
            Envelope { to: None, .. } => self.socket.send(bytes),
            Envelope { to: Some(to), via: Some(via) } => {
                let source = Outgoing::source(via.address_for(to)?, via.interface);
                let to = SockAddr::from(*to);
                sys::send(self.as_fd(), &[IoSlice::new(bytes)], Some(&to), &source)
            }
        }
    }

    fn make_nonblocking(&self) -> io::Result<()> {
        self.socket.set_nonblocking(true)
    }
}

impl AsFd for Udp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

datagram_verbs!(UdpSocket, SocketAddr, UdpMessage, is_of_one);

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
        UdpSocket::from_std(Socket::bind(addresses)?)
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
    pub fn from_std(socket: Socket) -> io::Result<UdpSocket> {
        let gro = option(socket.as_fd(), libc::SOL_UDP, libc::UDP_GRO);
        let gro = Cell::new(gro.is_ok_and(|gro| gro != 0));
        Carrier::new(Udp { socket, gro, rest: RefCell::default() }).map(UdpSocket)
    }

    /// Has the socket speak with this peer only: others are not heard, and [`send`](Self::send) needs no
    /// address. Nothing is sent; of several addresses the first that can be is taken. A name is resolved by
    /// the system, which may block: this is for the start of a program.
    ///
    /// # Errors
    ///
    /// Those of the last address that was tried, or `InvalidInput` if there was none.
    pub fn connect(&self, addresses: impl ToSocketAddrs) -> io::Result<()> {
        self.std().connect(addresses)
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
        self.0.post(payload.into(), Envelope { to: Some(peer), via: None })
    }

    /// As [`send_to`](Self::send_to), to the peer of a [connected](Self::connect) socket.
    ///
    /// # Errors
    ///
    /// As for [`send_to`](Self::send_to), and `EDESTADDRREQ` if it is not connected. What the peer's machine
    /// said to an earlier datagram, as `ConnectionRefused`, may come here, too: this one is not sent then.
    ///
    /// # Cancel safety
    ///
    /// As for [`send_to`](Self::send_to).
    pub fn send(&self, payload: impl Into<Payload>) -> SendingTo {
        self.0.post(payload.into(), Envelope::default())
    }

    /// As [`send_to`](Self::send_to), from an address of ours and by an interface, as a server with several
    /// addresses answers from the one that it was asked at:
    ///
    /// ```
    /// # #[aem::main] async fn main() -> std::io::Result<()> {
    /// use aem::net::UdpSocket;
    ///
    /// let server = UdpSocket::bind("0.0.0.0:0")?;
    /// server.set_recv_packet_info(true)?;
    /// let port = server.local_addr()?.port();
    /// let client = UdpSocket::bind("127.0.0.1:0")?;
    /// client.send_to("hello", ([127, 7, 7, 7], port).into()).await?;
    ///
    /// let asked = server.recv_message().await?;
    /// let info = asked.packet_info.expect("as it was asked for");
    /// server.send_via("hello yourself", asked.from, info).await?;
    /// assert_eq!(client.recv_from().await?.1.ip(), info.address);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`send_to`](Self::send_to), and `InvalidInput` if the address is none of ours.
    ///
    /// # Cancel safety
    ///
    /// As for [`send_to`](Self::send_to).
    pub fn send_via(
        &self,
        payload: impl Into<Payload>,
        peer: SocketAddr,
        via: PacketInfo,
    ) -> SendingTo {
        self.0.post(payload.into(), Envelope { to: Some(peer), via: Some(via) })
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

    /// How many hops a datagram may make: as the system is configured (64) unless set. Those to groups make
    /// one, unless it is set otherwise through `socket2`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for zero and for more than 255.
    pub fn set_ttl(&self, hops: u32) -> io::Result<()> {
        if self.is_v6()? {
            SockRef::from(self.std()).set_unicast_hops_v6(hops)?;
        }
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

    /// Whether [messages](UdpMessage::packet_info) tell by which address and interface they came: no unless
    /// set.
    ///
    /// # Errors
    ///
    /// None today.
    pub fn set_recv_packet_info(&self, told: bool) -> io::Result<()> {
        if self.is_v6()? {
            return self.set(libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, told.into());
        }
        self.set(libc::IPPROTO_IP, libc::IP_PKTINFO, told.into())
    }

    /// Whether [messages](UdpMessage::ecn) tell of congestion on their way: no unless set.
    ///
    /// # Errors
    ///
    /// None today.
    pub fn set_recv_ecn(&self, told: bool) -> io::Result<()> {
        if self.is_v6()? {
            self.set(libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS, told.into())?;
        }
        // Of an IPv6 socket, too: it may be spoken to by IPv4.
        self.set(libc::IPPROTO_IP, libc::IP_RECVTOS, told.into())
    }

    /// What datagrams that are sent from now on say of congestion: [`Ecn::NotCapable`] unless set. The rest
    /// of their traffic class stays as it is.
    ///
    /// # Errors
    ///
    /// None today.
    pub fn set_ecn(&self, ecn: Ecn) -> io::Result<()> {
        let options = SockRef::from(self.std());
        let of = |class: u32| (class & !Ecn::MASK | ecn as u32) as libc::c_int;
        if self.is_v6()? {
            let class = of(options.tclass_v6()?);
            self.set(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, class)?;
        }
        self.set(libc::IPPROTO_IP, libc::IP_TOS, of(options.tos_v4()?))
    }

    /// Whether the kernel may hand over several datagrams of one peer at a time (generic receive offload): no
    /// unless set. They are events of their own all the same.
    ///
    /// Where datagrams come in trains, as those of QUIC do, each then costs a quarter to receive; others cost
    /// up to a quarter more (`benches/README.md`).
    ///
    /// # Errors
    ///
    /// `ENOPROTOOPT` before Linux 5.0.
    pub fn set_gro(&self, allowed: bool) -> io::Result<()> {
        self.set(libc::SOL_UDP, libc::UDP_GRO, allowed.into())?;
        // What is in the socket already may have come together.
        self.0.socket().gro.set(allowed || self.0.socket().gro.get());
        Ok(())
    }

    /// How many datagrams the kernel has dropped that came to this socket, for want of room or as they were
    /// damaged; it begins again at 2³².
    ///
    /// # Errors
    ///
    /// `ENOPROTOOPT` before Linux 4.12.
    pub fn dropped(&self) -> io::Result<u32> {
        crate::sys::socket::dropped(self.as_fd())
    }

    fn set(&self, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
        set_option(self.as_fd(), level, name, value)
    }

    fn is_v6(&self) -> io::Result<bool> {
        Ok(self.local_addr()?.is_ipv6())
    }

    fn std(&self) -> &Socket {
        &self.0.socket().socket
    }
}
