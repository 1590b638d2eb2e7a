//! Making a connection.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::TcpStream;
use crate::backend::Attach;
use crate::net::connecting;
use crate::reactor::Reactor;
use crate::runtime::context;

/// Tries the addresses one after the other.
pub(super) async fn connect(addresses: impl ToSocketAddrs) -> io::Result<TcpStream> {
    let reactor = context::reactor();
    let nothing = "the name stands for no address";
    let mut last = io::Error::new(io::ErrorKind::InvalidInput, nothing);
    for address in addresses.to_socket_addrs()? {
        match connect_to(&reactor, address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn connect_to(reactor: &Rc<Reactor>, address: SocketAddr) -> io::Result<TcpStream> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    let socket = reactor.adopt(OwnedFd::from(socket), Attach::OnFirstUse)?;
    connecting::connect(reactor, &socket, SockAddr::from(address)).await?;
    Ok(TcpStream::new(Rc::clone(reactor), socket))
}
