//! A Unix stream socket: what a TCP stream is, within a machine, and with a peer that is known.
//!
//! What a [`UnixStream`] does it shares with [`TcpStream`](super::TcpStream) (`net/connection.rs`): chunks
//! in, payloads out, bounds on both sides, and the same promises.

use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::connecting::connect;
use super::connection::{Connection, MessageWait};
use super::credentials::Credentials;
use super::messages::Messages;
use super::sending::Sending;
use super::unix_message::{Descriptors, UnixMessage};
use super::verbs::stream_verbs;
use crate::backend::{Attach, Descriptor};
use crate::payload::Payload;
use crate::reactor::Reactor;
use crate::runtime::context;
use crate::time::sleep;

/// How long to wait for a listener that has no room for a visitor before it is asked again: not long, as it
/// is on this machine and at work; then twice as long each time.
const FIRST_REST: Duration = Duration::from_millis(1);

/// And at most. A listener that is stuck costs ten tries a second.
const LONGEST_REST: Duration = Duration::from_millis(100);

/// A connection between two programs of this machine.
///
/// Clones are handles of the same connection. It closes when the last of them is gone, its
/// [`Chunks`](super::Chunks) and [`Sending`]s among them; bytes that are queued then are
/// still sent, unless the peer takes none of them for half a minute.
///
/// ```
/// # #[aem::main] async fn main() -> std::io::Result<()> {
/// use aem::net::UnixStream;
///
/// let (ours, theirs) = UnixStream::pair()?;
/// ours.send("hello");
/// assert_eq!(&theirs.recv().await?[..], b"hello");
/// assert_eq!(theirs.peer_credentials()?.pid, Some(std::process::id() as i32));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct UnixStream(pub(super) Rc<Connection>);

impl UnixStream {
    /// Connects to the listener of this path.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such file, `ConnectionRefused` if nobody listens there any more,
    /// `InvalidInput` for a path that is too long (more than 107 bytes). A listener that has no room for
    /// another visitor is waited for.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    ///
    /// # Cancel safety
    ///
    /// A connection that is being made when this is dropped is closed.
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<UnixStream> {
        UnixStream::connect_to(SockAddr::unix(path)?).await
    }

    /// Connects to an address, which may be an abstract name: one that is no file, made by
    /// [`std::os::linux::net::SocketAddrExt`].
    ///
    /// # Errors
    ///
    /// As for [`connect`](Self::connect); an address without a name is `InvalidInput`.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    ///
    /// # Cancel safety
    ///
    /// As for [`connect`](Self::connect).
    ///
    /// ```
    /// # #[aem::main] async fn main() -> std::io::Result<()> {
    /// use std::os::linux::net::SocketAddrExt;
    /// use std::os::unix::net::SocketAddr;
    /// use aem::net::{UnixListener, UnixStream};
    ///
    /// let name = format!("aem-rt example {}", std::process::id());
    /// let address = SocketAddr::from_abstract_name(name)?;
    /// let listener = UnixListener::bind_addr(&address)?;
    /// let client = UnixStream::connect_addr(&address).await?;
    /// let (server, _nameless) = listener.accept().await?;
    /// server.send("hello");
    /// assert_eq!(&client.recv().await?[..], b"hello");
    /// # Ok(()) }
    /// ```
    pub async fn connect_addr(address: &SocketAddr) -> io::Result<UnixStream> {
        UnixStream::connect_to(super::unix_sock_addr(address)?).await
    }

    /// A stream of a socket that the reactor has.
    pub(super) fn adopted(reactor: Rc<Reactor>, socket: Rc<Descriptor>) -> UnixStream {
        reactor.expect_cut_receives(&socket);
        UnixStream::new(reactor, socket)
    }

    async fn connect_to(address: SockAddr) -> io::Result<UnixStream> {
        let reactor = context::reactor();
        let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
        let socket = reactor.adopt(OwnedFd::from(socket), Attach::OnFirstUse)?;
        let mut rest = FIRST_REST;
        // A listener with as many visitors as it keeps has others try again: there is nothing to wait for.
        while let Err(error) = connect(&reactor, &socket, address.clone()).await {
            if error.kind() != io::ErrorKind::WouldBlock {
                return Err(error);
            }
            sleep(rest).await;
            rest = LONGEST_REST.min(rest * 2);
        }
        Ok(UnixStream::adopted(reactor, socket))
    }

    /// Two streams that are connected with each other.
    ///
    /// # Errors
    ///
    /// When the process is out of descriptors.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        Ok((UnixStream::from_std(ours)?, UnixStream::from_std(theirs)?))
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
    pub fn from_std(stream: std::os::unix::net::UnixStream) -> io::Result<UnixStream> {
        let reactor = context::reactor();
        stream.set_nonblocking(true)?;
        let socket = reactor.adopt(OwnedFd::from(stream), Attach::Now)?;
        Ok(UnixStream::adopted(reactor, socket))
    }

    /// The next bytes, with the descriptors that were sent along with the first of them, or with one close
    /// behind it; without any bytes at the end of the file.
    ///
    /// Descriptors that came beside bytes which [`recv`](Self::recv) or [`chunks`](Self::chunks) received
    /// are closed, so a peer that sends some is read by this from the first byte on.
    ///
    /// # Errors
    ///
    /// As for [`recv`](Self::recv).
    ///
    /// # Cancel safety
    ///
    /// What arrives too late stays in the stream for the next call (KEPT).
    pub async fn recv_message(&self) -> io::Result<UnixMessage> {
        let mut reading = Reading { stream: Rc::clone(&self.0), wait: MessageWait::default() };
        poll_fn(|cx| reading.stream.poll_message(cx, &mut reading.wait)).await
    }

    /// What [`recv_message`](Self::recv_message) gives as a source, which ends at the end of the file or with
    /// the first error. It does not look at what is [queued](Self::queued).
    pub fn messages(&self) -> Messages<UnixMessage> {
        let mut reading = Reading { stream: Rc::clone(&self.0), wait: MessageWait::default() };
        Messages::new(
            |_| false,
            move |cx| {
                let Reading { stream, wait } = &mut reading;
                stream.poll_message(cx, wait).map(|message| match message {
                    Ok(message) if message.data.is_empty() => None,
                    message => Some(message),
                })
            },
        )
    }

    /// As [`send`](Self::send), with descriptors, of which the receiver gets duplicates in
    /// [`UnixMessage::descriptors`]; ours are closed when the bytes are with the kernel, or never will be.
    ///
    /// ```
    /// # #[aem::main] async fn main() -> std::io::Result<()> {
    /// use std::io::Read;
    ///
    /// let (ours, theirs) = aem::net::UnixStream::pair()?;
    /// let (reader, writer) = std::io::pipe()?;
    /// ours.send_with_descriptors("read this", [reader.into()]);
    ///
    /// let mut message = theirs.recv_message().await?;
    /// assert_eq!(&message.data[..], b"read this");
    /// let reader = message.descriptors.pop().expect("it was sent along");
    /// drop(writer);
    /// assert_eq!(std::io::PipeReader::from(reader).read(&mut [0])?, 0);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send); `InvalidInput` for more than 253 descriptors and for some without a
    /// byte to go with, which end nothing. `ETOOMANYREFS`, as too many are on their way, ends the stream.
    ///
    /// # Cancel safety
    ///
    /// As for [`send`](Self::send).
    pub fn send_with_descriptors(
        &self,
        payload: impl Into<Payload>,
        descriptors: impl IntoIterator<Item = OwnedFd>,
    ) -> Sending {
        let payload = payload.into();
        let position =
            Descriptors::new(descriptors).and_then(|descriptors| match descriptors.into_vec() {
                none if none.is_empty() => self.0.push(payload),
                _ if payload.is_empty() => {
                    let text = "descriptors go with a byte of a stream, and there is none";
                    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
                }
                descriptors => self.0.push_with(payload, descriptors),
            });
        Sending::new(&self.0, position)
    }

    /// Who is at the other end: the process and user that connected, listened, or made the pair, as they
    /// were then.
    ///
    /// # Errors
    ///
    /// If the socket is closed.
    pub fn peer_credentials(&self) -> io::Result<Credentials> {
        Credentials::of_peer(self.0.socket())
    }

    /// The address of the other end, which has a name only if it is a listener's or was bound to one.
    ///
    /// # Errors
    ///
    /// `NotConnected` once the connection is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        super::unix_address(&self.socket().peer_addr()?)
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// If the socket is closed.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        super::unix_address(&self.socket().local_addr()?)
    }
}

/// Whoever waits for messages.
struct Reading {
    stream: Rc<Connection>,
    wait: MessageWait,
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.stream.forget_reader(&self.wait.id);
    }
}

stream_verbs!(UnixStream);
