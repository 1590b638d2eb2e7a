//! TCP, UDP and Unix sockets: connections and datagrams as events, bytes as chunks.
//!
//! A [`TcpListener`] or [`UnixListener`] is a source of connections, and a [`TcpStream`] or
//! [`UnixStream`] a source of chunks and a sink of payloads; a [`UdpSocket`] or [`UnixDatagram`] is
//! both for datagrams. All belong to the runtime on which they were made, and to its thread; there they
//! may be cloned, kept in structs and used from handlers and tasks alike. Polled under another runtime,
//! or after their own has ended, they answer with an error that says so.
//!
//! All awaits here may be cancelled at any time: a connection that was accepted too late stays in
//! the listener, bytes that arrived too late stay in the stream, a datagram in the socket (KEPT).
//!
//! ```no_run
//! # #[aem::main] async fn main() -> aem::Result {
//! use aem::net::TcpListener;
//!
//! let listener = TcpListener::bind("127.0.0.1:7000")?;
//! loop {
//!     let (stream, _peer) = listener.accept().await?;
//!     aem::spawn(async move {
//!         while let Ok(chunk) = stream.recv().await {
//!             if chunk.is_empty() || stream.send(chunk).await.is_err() {
//!                 break;
//!             }
//!         }
//!     });
//! }
//! # }
//! ```

mod addresses;
mod chunks;
mod connecting;
mod connection;
mod credentials;
mod datagram;
mod inherited;
mod kept;
mod listening;
mod messages;
mod sending;
mod tcp_listener;
mod tcp_stream;
mod udp_socket;
mod unix_datagram;
mod unix_listener;
mod unix_message;
mod unix_stream;
mod verbs;
mod waiters;

use std::ffi::OsStr;
use std::io;
use std::net::SocketAddr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr as UnixAddress;
use std::path::Path;

use socket2::{Domain, SockAddr};

pub use addresses::{Addresses, ToAddresses};
pub use chunks::{ChunkReader, Chunks};
pub use credentials::Credentials;
pub use datagram::SendingTo;
pub use inherited::{Inherited, NotThis, inherited};
pub use messages::Messages;
pub use sending::Sending;
pub use tcp_listener::{Incoming, TcpListener, TcpListenerBuilder};
pub use tcp_stream::TcpStream;
pub use udp_socket::{Datagrams, Ecn, PacketInfo, UdpMessage, UdpSocket};
pub use unix_datagram::{UnixDatagram, UnixDatagrams};
pub use unix_listener::{UnixIncoming, UnixListener};
pub use unix_message::UnixMessage;
pub use unix_stream::UnixStream;

/// An address as the standard library has it.
fn internet_address(address: &SockAddr) -> io::Result<SocketAddr> {
    address.as_socket().ok_or_else(not_internet)
}

/// A Unix address as the standard library has it.
fn unix_address(address: &SockAddr) -> io::Result<UnixAddress> {
    if let Some(name) = address.as_abstract_namespace() {
        return UnixAddress::from_abstract_name(name);
    }
    // Of a datagram's sender who has no name there is not even the family.
    if address.len() > 0 && address.domain() != Domain::UNIX {
        let other = "the address is not a Unix one";
        return Err(io::Error::new(io::ErrorKind::Unsupported, other));
    }
    // An empty path stands for no name.
    UnixAddress::from_pathname(address.as_pathname().unwrap_or(Path::new("")))
}

/// The address of somebody else, who may have chosen one that the standard library has no form for: a path
/// that fills its place to the last byte. He counts as nameless then.
fn unix_peer(address: &SockAddr) -> UnixAddress {
    unix_address(address).unwrap_or_else(|_| nameless())
}

/// The address of a Unix socket that has none.
fn nameless() -> UnixAddress {
    UnixAddress::from_pathname("").expect("an empty path is no name")
}

/// The other way round.
fn unix_sock_addr(address: &UnixAddress) -> io::Result<SockAddr> {
    if let Some(path) = address.as_pathname() {
        return SockAddr::unix(path);
    }
    let Some(name) = address.as_abstract_name() else {
        let nameless = "a socket without a name cannot be named";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, nameless));
    };
    let path = [b"\0", name].concat();
    SockAddr::unix(OsStr::from_bytes(&path))
}

fn not_internet() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "the address is not an IP one")
}

#[cfg(test)]
mod tests;
