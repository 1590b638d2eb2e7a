//! Datagrams between programs of one machine (`net/datagram.rs`): what UDP is, but that none is lost, that a
//! peer who has no room is waited for, and that descriptors can be sent along.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{SocketAddr, UnixDatagram as Socket};
use std::path::Path;
use std::rc::Rc;

use socket2::{SockAddr, SockRef};

use super::credentials::Credentials;
use super::datagram::{Carrier, DatagramSocket, Room, SendingTo, datagram_verbs, is_of_one};
use super::messages::Messages;
use super::unix_message::{Descriptors, UnixMessage};
use super::{unix_address, unix_peer, unix_sock_addr};
use crate::chunk::Chunk;
use crate::payload::Payload;
use crate::runtime::context;
use crate::sys::message;

/// The source of a socket's datagrams: see [`UnixDatagram::datagrams`].
pub type UnixDatagrams = Messages<(Chunk, SocketAddr)>;

/// A Unix socket for datagrams.
///
/// Clones are handles of the same socket, which closes when the last of them is gone, its
/// sources among them, and what is queued has left. A datagram is whole or not there; none is lost
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

/// What a datagram is sent with. To the peer that the socket is connected with, if no address is given.
#[derive(Default)]
pub(super) struct Envelope {
    to: Option<SockAddr>,
    descriptors: Descriptors,
}

impl DatagramSocket for Socket {
    type Message = UnixMessage;
    type Envelope = Envelope;

    const WAITS_FOR_PEER: bool = true;

    fn receive(&self, room: &mut Room, beside: bool) -> io::Result<UnixMessage> {
        let control = beside.then_some(&mut room.control);
        let received = message::receive(self.as_fd(), &mut room.bytes, control)?;
        let from = unix_peer(&received.from);
        Ok(UnixMessage::new(received, &room.bytes, from))
    }

    fn has_more(&self) -> bool {
        false
    }

    fn send_one(&self, bytes: &[u8], envelope: &Envelope) -> io::Result<usize> {
        let Envelope { to, descriptors } = envelope;
        let beside = descriptors.to_outgoing();
        message::send(self.as_fd(), &[IoSlice::new(bytes)], to.as_ref(), &beside)
    }

    fn make_nonblocking(&self) -> io::Result<()> {
        self.set_nonblocking(true)
    }

    fn weight(envelope: &Envelope) -> usize {
        envelope.descriptors.weight()
    }
}

datagram_verbs!(UnixDatagram, SocketAddr, UnixMessage, is_of_one);

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
        context::reactor().check_open()?;
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
        context::reactor().check_open()?;
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
            Ok(address) => self.post(payload, Some(&address), []),
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
        self.post(payload, Some(address), [])
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
        self.post(payload, None, [])
    }

    /// As [`send`](Self::send), with descriptors, of which the receiver gets duplicates in
    /// [`UnixMessage::descriptors`]; ours are closed when they are sent, or the sending has failed.
    ///
    /// ```
    /// # #[aem::main] async fn main() -> std::io::Result<()> {
    /// use std::io::{Read, Write};
    ///
    /// let (ours, theirs) = aem::net::UnixDatagram::pair()?;
    /// let (mut reader, writer) = std::io::pipe()?;
    /// ours.send_with_descriptors("write to this", [writer.into()]).await?;
    ///
    /// let mut message = theirs.recv_message().await?;
    /// let writer = message.descriptors.pop().expect("it was sent along");
    /// std::io::PipeWriter::from(writer).write_all(b"hello")?;
    /// let mut text = String::new();
    /// reader.read_to_string(&mut text)?;
    /// assert_eq!(text, "hello");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send); `InvalidInput` for more than 253 descriptors, and `ETOOMANYREFS` while
    /// too many are on their way.
    ///
    /// # Cancel safety
    ///
    /// As for [`send`](Self::send).
    pub fn send_with_descriptors(
        &self,
        payload: impl Into<Payload>,
        descriptors: impl IntoIterator<Item = OwnedFd>,
    ) -> SendingTo {
        self.post(payload, None, descriptors)
    }

    /// [`send_with_descriptors`](Self::send_with_descriptors) to an address.
    ///
    /// # Errors
    ///
    /// Those of [`send_to_addr`](Self::send_to_addr) and
    /// [`send_with_descriptors`](Self::send_with_descriptors).
    ///
    /// # Cancel safety
    ///
    /// As for [`send`](Self::send).
    pub fn send_to_addr_with_descriptors(
        &self,
        payload: impl Into<Payload>,
        address: &SocketAddr,
        descriptors: impl IntoIterator<Item = OwnedFd>,
    ) -> SendingTo {
        self.post(payload, Some(address), descriptors)
    }

    fn post(
        &self,
        payload: impl Into<Payload>,
        to: Option<&SocketAddr>,
        descriptors: impl IntoIterator<Item = OwnedFd>,
    ) -> SendingTo {
        let envelope = to
            .map(unix_sock_addr)
            .transpose()
            .and_then(|to| Ok(Envelope { to, descriptors: Descriptors::new(descriptors)? }));
        match envelope {
            Ok(envelope) => self.0.post(payload.into(), envelope),
            Err(error) => SendingTo::sent(Err(error)),
        }
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
        unix_address(&SockRef::from(self).local_addr()?)
    }

    /// The address of the peer that it is [connected](Self::connect) with.
    ///
    /// # Errors
    ///
    /// `NotConnected` if there is none.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        unix_address(&SockRef::from(self).peer_addr()?)
    }
}
