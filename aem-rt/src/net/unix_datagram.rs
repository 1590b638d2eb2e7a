//! Datagrams between programs of one machine (`net/datagram.rs`): what UDP is, but that none is lost, and
//! that a peer who has no room is waited for.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{SocketAddr, UnixDatagram as Socket};
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures::stream::{FusedStream, Stream};
use socket2::SockRef;

use super::credentials::Credentials;
use super::datagram::{Carrier, DatagramSocket, SendingTo, is_of_a_peer};
use crate::chunk::Chunk;
use crate::payload::Payload;
use crate::sys::socket;

/// A Unix socket for datagrams.
///
/// Clones are handles of the same socket, which closes when the last of them is gone, its
/// [`UnixDatagrams`] among them, and what is queued has left. A datagram is whole or not there; none is lost
/// on its way, but with a socket that closes.
///
/// ```
/// # #[aem::main] async fn main() -> std::io::Result<()> {
/// use aem::net::UnixDatagram;
///
/// let (ours, theirs) = UnixDatagram::pair()?;
/// ours.send("hello").await?;
/// assert_eq!(&theirs.recv().await?[..], b"hello");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct UnixDatagram(Rc<Carrier<Socket>>);

impl DatagramSocket for Socket {
    type Address = SocketAddr;

    const WAITS_FOR_PEER: bool = true;

    fn receive(&self, room: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (n, peer) = socket::receive_datagram(self.as_fd(), room)?;
        if n > room.len() {
            let text = format!("a datagram of {n} bytes was cut short at {}", room.len());
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok((n, super::unix_address(&peer)?))
    }

    fn send_one(&self, bytes: &[u8], to: Option<&SocketAddr>) -> io::Result<usize> {
        match to {
            Some(to) => self.send_to_addr(bytes, to),
            None => self.send(bytes),
        }
    }

    fn make_nonblocking(&self) -> io::Result<()> {
        self.set_nonblocking(true)
    }
}

impl UnixDatagram {
    /// Makes a socket file, which others send to. It stays when the socket is gone: see
    /// [`UnixListener::bind`](super::UnixListener::bind).
    ///
    /// # Errors
    ///
    /// `AddrInUse` if there is a file of that name, `InvalidInput` for a path that is too long (more than
    /// 107 bytes), and what else bind(2) says.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixDatagram> {
        UnixDatagram::from_std(Socket::bind(path)?)
    }

    /// Binds to an address, which may be an abstract name: see
    /// [`UnixStream::connect_addr`](super::UnixStream::connect_addr).
    ///
    /// # Errors
    ///
    /// As for [`bind`](Self::bind).
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    pub fn bind_addr(address: &SocketAddr) -> io::Result<UnixDatagram> {
        UnixDatagram::from_std(Socket::bind_addr(address)?)
    }

    /// A socket without a name, for one who sends and gets no answers.
    ///
    /// # Errors
    ///
    /// When the process is out of descriptors.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    pub fn unbound() -> io::Result<UnixDatagram> {
        UnixDatagram::from_std(Socket::unbound()?)
    }

    /// Two sockets that are connected with each other.
    ///
    /// # Errors
    ///
    /// When the process is out of descriptors.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (ours, theirs) = Socket::pair()?;
        Ok((UnixDatagram::from_std(ours)?, UnixDatagram::from_std(theirs)?))
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
    pub fn from_std(socket: Socket) -> io::Result<UnixDatagram> {
        Carrier::new(socket).map(UnixDatagram)
    }

    /// Has the socket speak with the one of this path only, to which [`send`](Self::send) sends.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such file, `ConnectionRefused` if it is nobody's any more.
    pub fn connect(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.0.socket().connect(path)
    }

    /// As [`connect`](Self::connect), to an address, which may be an abstract name.
    ///
    /// # Errors
    ///
    /// As for [`connect`](Self::connect).
    pub fn connect_addr(&self, address: &SocketAddr) -> io::Result<()> {
        self.0.socket().connect_addr(address)
    }

    /// The next datagram, whole, and who sent it, who may have no name. It may be empty: that is a datagram,
    /// too.
    ///
    /// # Errors
    ///
    /// `InvalidData` for a datagram larger than half a megabyte, which is lost; the next call goes on. What
    /// a peer's end leads to, as `ConnectionReset`, of a connected socket. Others are the socket's own.
    ///
    /// # Cancel safety
    ///
    /// A datagram that arrives too late stays in the socket for the next call (KEPT).
    pub async fn recv_from(&self) -> io::Result<(Chunk, SocketAddr)> {
        poll_fn(|cx| self.0.poll_receive(cx)).await
    }

    /// The next datagram.
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
    /// An error that concerns one peer or datagram is an event like others; it ends with one of the socket's
    /// own. Drained by a handler, it is not read while more is [queued](Self::queued) than the
    /// [high-water mark](Self::set_high_water). Several of one socket share its datagrams.
    pub fn datagrams(&self) -> UnixDatagrams {
        UnixDatagrams { socket: self.clone(), ended: false }
    }

    /// Sends a datagram to the socket of this path, and returns at once. One for which there is no room waits
    /// for it, with those that were sent after it behind it, whoever they are for.
    ///
    /// The future resolves when it is with the kernel. Awaiting it is optional; dropping it takes nothing
    /// back. What waits when the runtime ends is lost.
    ///
    /// # Errors
    ///
    /// Of the future, each its own: `NotFound` and `ConnectionRefused` if nobody is there, `EMSGSIZE` for
    /// one that is larger than the socket's buffer, `InvalidInput` for a path that is too long.
    ///
    /// # Cancel safety
    ///
    /// It is sent whether or not the future is awaited to its end.
    pub fn send_to(&self, payload: impl Into<Payload>, path: impl AsRef<Path>) -> SendingTo {
        match SocketAddr::from_pathname(path) {
            Ok(address) => self.0.post(payload.into(), Some(address)),
            Err(error) => SendingTo::sent(Err(error)),
        }
    }

    /// As [`send_to`](Self::send_to), to an address, which may be an abstract name.
    ///
    /// # Errors
    ///
    /// As for [`send_to`](Self::send_to).
    ///
    /// # Cancel safety
    ///
    /// As for [`send_to`](Self::send_to).
    pub fn send_to_addr(&self, payload: impl Into<Payload>, address: &SocketAddr) -> SendingTo {
        self.0.post(payload.into(), Some(address.clone()))
    }

    /// As [`send_to`](Self::send_to), to the peer of a [connected](Self::connect) socket.
    ///
    /// # Errors
    ///
    /// As for [`send_to`](Self::send_to), and `NotConnected` if it is not connected.
    ///
    /// # Cancel safety
    ///
    /// As for [`send_to`](Self::send_to).
    pub fn send(&self, payload: impl Into<Payload>) -> SendingTo {
        self.0.post(payload.into(), None)
    }

    /// How many bytes of datagrams wait here for room.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.0.queued()
    }

    /// Sets how much may wait before [`datagrams`](Self::datagrams) that a handler drains are held back: 256
    /// KiB unless set, `None` for any amount.
    pub fn set_high_water(&self, bytes: impl Into<Option<usize>>) {
        self.0.set_high_water(bytes.into());
    }

    /// Who is at the other end of a [pair](Self::pair).
    ///
    /// # Errors
    ///
    /// Of a socket that is none of a pair's the kernel knows nobody.
    pub fn peer_credentials(&self) -> io::Result<Credentials> {
        Credentials::of_peer(self.0.socket())
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// None today.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        super::unix_address(&SockRef::from(self).local_addr()?)
    }

    /// The address of the peer that it is [connected](Self::connect) with.
    ///
    /// # Errors
    ///
    /// `NotConnected` if there is none.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        super::unix_address(&SockRef::from(self).peer_addr()?)
    }
}

impl AsFd for UnixDatagram {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.socket().as_fd()
    }
}

impl fmt::Debug for UnixDatagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("UnixDatagram");
        text.field("local_addr", &self.local_addr().ok()).field("queued", &self.queued()).finish()
    }
}

/// The source of a socket's datagrams, made by [`UnixDatagram::datagrams`].
#[derive(Debug)]
#[must_use = "datagrams come only while somebody takes them"]
pub struct UnixDatagrams {
    socket: UnixDatagram,
    ended: bool,
}

impl Stream for UnixDatagrams {
    type Item = io::Result<(Chunk, SocketAddr)>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        let received = ready!(this.socket.0.poll_next(cx));
        let goes_on =
            |error: &io::Error| is_of_a_peer(error) || error.kind() == io::ErrorKind::InvalidData;
        this.ended = received.as_ref().is_err_and(|error| !goes_on(error));
        Poll::Ready(Some(received))
    }
}

impl FusedStream for UnixDatagrams {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}
