//! Sockets that a supervisor has opened, and listens at while this program is started, or started again.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use socket2::{Domain, SockRef, Type};

use super::listening::Shown;
use super::{TcpListener, UdpSocket, UnixDatagram, UnixListener};
use crate::sys::inherited;

/// The sockets that this process was started with, in the order in which its supervisor gave them.
///
/// The protocol is that of systemd's socket activation (sd_listen_fds(3)), which others speak as well: the
/// environment says by `LISTEN_PID` whom they are for, by `LISTEN_FDS` how many they are, from descriptor 3
/// on, and by `LISTEN_FDNAMES` what they are called. They are given once; later calls give none, as do
/// calls in a process that they are not for.
///
/// ```no_run
/// #[aem::main]
/// async fn main() -> aem::Result {
///     let listener = match aem::net::inherited()?.pop() {
///         Some(socket) => socket.into_tcp_listener()?,
///         None => aem::net::TcpListener::bind("127.0.0.1:8080")?,
///     };
///     aem::on_ok(listener.incoming(), |(stream, _peer)| { stream.send("hello\n"); }).await?;
///     Ok(())
/// }
/// ```
///
/// # Errors
///
/// `InvalidData` if the variables make no sense, or name what is not open.
pub fn inherited() -> io::Result<Vec<Inherited>> {
    let taken = inherited::take()?;
    Ok(taken.into_iter().map(|(fd, name)| Inherited { fd, name }).collect())
}

/// A socket that was [`inherited()`]. It closes with this value, unless it is made something of.
pub struct Inherited {
    fd: OwnedFd,
    name: Option<String>,
}

impl Inherited {
    /// What its supervisor calls it.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Makes a TCP listener of it.
    ///
    /// # Errors
    ///
    /// If it is something else, it comes back, and the error with it says what it is. If the runtime cannot
    /// have it, it is closed.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    pub fn into_tcp_listener(self) -> Result<TcpListener, NotThis> {
        self.turn("a TCP listener", &[Domain::IPV4, Domain::IPV6], Type::STREAM, |fd| {
            TcpListener::from_std(fd.into())
        })
    }

    /// Makes a Unix listener of it.
    ///
    /// # Errors
    ///
    /// As for [`into_tcp_listener`](Self::into_tcp_listener).
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    pub fn into_unix_listener(self) -> Result<UnixListener, NotThis> {
        self.turn("a Unix listener", &[Domain::UNIX], Type::STREAM, |fd| {
            UnixListener::from_std(fd.into())
        })
    }

    /// Makes a UDP socket of it.
    ///
    /// # Errors
    ///
    /// As for [`into_tcp_listener`](Self::into_tcp_listener).
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    pub fn into_udp_socket(self) -> Result<UdpSocket, NotThis> {
        self.turn("a UDP socket", &[Domain::IPV4, Domain::IPV6], Type::DGRAM, |fd| {
            UdpSocket::from_std(fd.into())
        })
    }

    /// Makes a Unix socket for datagrams of it.
    ///
    /// # Errors
    ///
    /// As for [`into_tcp_listener`](Self::into_tcp_listener).
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    pub fn into_unix_datagram(self) -> Result<UnixDatagram, NotThis> {
        self.turn("a Unix datagram socket", &[Domain::UNIX], Type::DGRAM, |fd| {
            UnixDatagram::from_std(fd.into())
        })
    }

    /// The descriptor alone: it may be anything that can be opened.
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }

    fn turn<T>(
        self,
        wanted: &'static str,
        domains: &[Domain],
        kind: Type,
        make: impl FnOnce(OwnedFd) -> io::Result<T>,
    ) -> Result<T, NotThis> {
        let socket = SockRef::from(&self.fd);
        let fits = socket.domain().is_ok_and(|domain| domains.contains(&domain))
            && socket.r#type().is_ok_and(|own| own == kind)
            && (kind == Type::DGRAM || socket.is_listener().unwrap_or(false));
        if !fits {
            return Err(NotThis { wanted, inherited: Some(self), error: None });
        }
        make(self.fd).map_err(|error| NotThis { wanted, inherited: None, error: Some(error) })
    }
}

impl AsFd for Inherited {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl fmt::Debug for Inherited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Inherited");
        text.field("name", &self.name);
        match SockRef::from(&self.fd).local_addr() {
            Ok(address) => text.field("local_addr", &Shown(&address)),
            Err(_) => text.field("fd", &self.fd),
        };
        text.finish()
    }
}

/// Why an [`Inherited`] socket did not become what was wanted.
#[derive(Debug)]
pub struct NotThis {
    wanted: &'static str,
    inherited: Option<Inherited>,
    error: Option<io::Error>,
}

impl NotThis {
    /// The socket, if it is of another kind.
    pub fn into_inherited(self) -> Option<Inherited> {
        self.inherited
    }
}

impl fmt::Display for NotThis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.inherited, &self.error) {
            (_, Some(error)) => write!(f, "{} cannot be used: {error}", self.wanted),
            (Some(inherited), None) => write!(f, "{inherited:?} is not {}", self.wanted),
            (None, None) => write!(f, "it is not {}", self.wanted),
        }
    }
}

impl std::error::Error for NotThis {}

impl From<NotThis> for io::Error {
    fn from(error: NotThis) -> io::Error {
        let kind = error.error.as_ref().map_or(io::ErrorKind::InvalidInput, io::Error::kind);
        io::Error::new(kind, error.to_string())
    }
}
