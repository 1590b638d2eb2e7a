//! The `echo` benchmark's parts: servers that give back what they are sent, and who asks them.
//!
//! Each contender is a process of its own, this same program started again, which serves until it
//! is ended or, told so, until its last visitor has gone. The yardsticks are two loops written by
//! hand, one for each interface of the kernel, as good as they can be made.

pub mod count;
pub mod generator;
pub mod hand_epoll;
pub mod hand_uring;
pub mod idle;
pub mod runtimes;
pub mod visitors;

use std::io;
use std::net::TcpListener;

use visitors::Visitors;

use crate::interface::Interface;
use crate::server;

/// More are refused: the ring's table of files is made for so many, and so are the usual limits.
pub const MOST_CONNECTIONS: usize = 1_000;

/// What a server may read at once, but for aem, which has sizes of its own. Twice the bigger of the
/// two messages, so that a whole one is a short read.
pub const BUFFER: usize = 32 << 10;

/// A server that can be measured.
#[derive(Clone, Copy, Debug)]
pub struct Contender {
    /// As it stands in the tables, and in commands.
    pub name: &'static str,
    /// What it is built on.
    pub interface: Interface,
    serve: fn(TcpListener, Visitors) -> io::Result<()>,
}

impl Contender {
    /// Makes this process that server, on a free port of the loopback. Returns when the last
    /// visitor has gone if it is to serve `once`, and never otherwise.
    ///
    /// # Errors
    ///
    /// The kernel or the contender's own code does not have what it needs; the listener fails.
    pub fn serve(&self, once: bool) -> io::Result<()> {
        (self.serve)(server::listen()?, Visitors::new(once))
    }
}

/// All of them, the yardsticks first.
pub const CONTENDERS: &[Contender] = {
    use Interface::{Epoll, Uring};
    const fn new(
        name: &'static str,
        interface: Interface,
        serve: fn(TcpListener, Visitors) -> io::Result<()>,
    ) -> Contender {
        Contender { name, interface, serve }
    }
    &[
        new("hand-epoll", Epoll, hand_epoll::serve),
        new("hand-uring", Uring, hand_uring::serve_by_ring),
        new("hand-uring-direct", Uring, hand_uring::serve_directly),
        new("aem-handlers-epoll", Epoll, runtimes::aem_handlers_epoll),
        new("aem-futures-epoll", Epoll, runtimes::aem_futures_epoll),
        new("aem-handlers-uring", Uring, runtimes::aem_handlers_uring),
        new("aem-futures-uring", Uring, runtimes::aem_futures_uring),
        new("tokio", Epoll, runtimes::tokio),
        new("monoio", Uring, runtimes::monoio),
        new("compio", Uring, runtimes::compio),
        new("glommio", Uring, runtimes::glommio),
    ]
};

/// The contender of that name.
pub fn named(name: &str) -> Option<Contender> {
    CONTENDERS.iter().copied().find(|contender| contender.name == name)
}

/// Says where the server listens, when nothing can keep it from serving any more.
fn announce(listener: &TcpListener) -> io::Result<()> {
    server::announce("tcp", listener)
}
