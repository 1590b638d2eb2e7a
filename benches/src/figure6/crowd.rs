//! Many connections to one server, each of which has asked once and got its answer.
//!
//! They come from several addresses of the loopback, so that ports do not run out, and go with a reset,
//! so that none of them waits in the kernel for stragglers while the next server is measured.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::http::page::{Page, request};
use crate::kernel;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections that come together: fewer than any server's backlog, and enough that one who looks at all
/// his connections in each turn does not do that for each of them.
const TOGETHER: usize = 100;

/// Connections from one address. The kernel has some 28,000 ports for them.
const FROM_ONE: usize = 5_000;

/// The connections.
pub struct Crowd {
    address: SocketAddr,
    streams: Vec<TcpStream>,
    page: Page,
}

impl Crowd {
    /// Nobody yet.
    ///
    /// # Errors
    ///
    /// The server does not give the page of that name.
    pub fn new(address: SocketAddr, name: &str) -> io::Result<Crowd> {
        Ok(Crowd { address, streams: Vec::new(), page: Page::fetch(address, name)? })
    }

    /// What this server answers.
    pub fn page(&self) -> &Page {
        &self.page
    }

    /// Connects until there are so many.
    ///
    /// # Errors
    ///
    /// The connections', those of a process that is out of descriptors, and another answer.
    pub fn grow(&mut self, number: usize) -> io::Result<()> {
        let request = request(self.page.target());
        while self.streams.len() < number {
            let old = self.streams.len();
            for at in old..number.min(old + TOGETHER) {
                let mut stream = connect(self.address, at / FROM_ONE)?;
                stream.write_all(request.as_bytes())?;
                self.streams.push(stream);
            }
            let mut answer = vec![0; self.page.answer().len()];
            for stream in &mut self.streams[old..] {
                stream.read_exact(&mut answer)?;
                check(&self.page, &answer, 0)?;
            }
        }
        Ok(())
    }

    /// So many of them, as far from each other as can be.
    pub fn spread(&self, number: usize) -> Vec<&TcpStream> {
        (0..number).map(|at| &self.streams[at * self.streams.len() / number]).collect()
    }

    /// Sees whether all are still open and silent, and leaves.
    ///
    /// # Errors
    ///
    /// One is not.
    pub fn finish(self) -> io::Result<()> {
        for stream in &self.streams {
            match kernel::recv(stream.as_raw_fd(), &mut [0]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(0) => return Err(io::Error::other("the server ended an idle connection")),
                Ok(_) => return Err(io::Error::other("more came than was asked for")),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Compares a piece of an answer that begins at this place with what it should be, the date apart.
///
/// # Errors
///
/// They differ.
pub fn check(page: &Page, piece: &[u8], place: usize) -> io::Result<()> {
    let expected = page.answer().get(place..place + piece.len());
    let (date, end) = (page.date(), place + piece.len());
    let is_same = expected.is_some_and(|expected| {
        let (from, to) = (date.start.clamp(place, end), date.end.clamp(place, end));
        expected[..from - place] == piece[..from - place]
            && expected[to - place..] == piece[to - place..]
    });
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, "another answer than the page");
    is_same.then_some(()).ok_or_else(wrong)
}

/// From one of the addresses of the loopback, 127.0.0.1 being the first.
fn connect(address: SocketAddr, source: usize) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    let source = Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + source as u32);
    socket.bind(&SocketAddrV4::new(source, 0).into())?;
    socket.connect(&address.into())?;
    socket.set_tcp_nodelay(true)?;
    socket.set_linger(Some(Duration::ZERO))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests;
