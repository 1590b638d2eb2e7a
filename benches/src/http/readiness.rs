//! The server that is told which connections are ready: the same loop for `select`, `poll` and `epoll`.
//!
//! What is ready is read once, and all requests in it are answered with one send. A connection whose
//! client does not take its answers is not read before it has. Connections stand in a table by
//! descriptor; nothing is allocated for an event.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, RawFd};

use super::connection::Connection;
use super::page::Page;
use crate::{kernel, server};

/// What is read at once, into the one buffer there is.
const BUFFER: usize = 32 << 10;

/// A descriptor of which there is news.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// Which one.
    pub fd: RawFd,
    /// Whether a read that does not fill its buffer has taken all that will be told of.
    pub short_read_is_all: bool,
}

/// A way to wait for many descriptors.
pub trait Waiter {
    /// Waits for bytes of one more descriptor.
    ///
    /// # Errors
    ///
    /// Out of memory.
    fn add(&mut self, fd: RawFd) -> io::Result<()>;

    /// Waits for room in place of bytes, or the other way round. Nothing is to be done where both are
    /// waited for at all times.
    fn wait_for_room(&mut self, fd: RawFd, does: bool);

    /// Waits for it no more. It is closed next.
    fn remove(&mut self, fd: RawFd);

    /// Sleeps until there is news, and adds it to the list.
    ///
    /// # Errors
    ///
    /// The call's own. A signal is none.
    fn wait(&mut self, news: &mut Vec<Ready>) -> io::Result<()>;
}

struct Server<W> {
    waiter: W,
    page: Page,
    listener: TcpListener,
    /// By descriptor.
    connections: Vec<Connection>,
    buffer: Vec<u8>,
}

/// Serves until the process ends.
///
/// # Errors
///
/// Of the way to wait and of the listener; those of a connection end that connection.
pub fn serve(listener: TcpListener, page: Page, mut waiter: impl Waiter) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    kernel::set_nodelay(&listener)?;
    let door = listener.as_raw_fd();
    waiter.add(door)?;
    server::announce("http", &listener)?;
    let buffer = vec![0; BUFFER];
    let mut server = Server { waiter, page, listener, connections: Vec::new(), buffer };
    let mut news = Vec::new();
    loop {
        server.waiter.wait(&mut news)?;
        server.page.set_date();
        for ready in news.drain(..) {
            if ready.fd == door {
                server.accept_all()?;
            } else if server.answer(ready).is_err() {
                server.close(ready.fd);
            }
        }
    }
}

impl<W: Waiter> Server<W> {
    fn accept_all(&mut self) -> io::Result<()> {
        loop {
            let fd = match kernel::accept(self.listener.as_raw_fd()) {
                Ok(fd) => fd,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(()),
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => continue,
                    _ => return Err(error),
                },
            };
            if self.connections.len() <= fd as usize {
                self.connections.resize_with(fd as usize + 1, Connection::default);
            }
            self.waiter.add(fd)?;
        }
    }

    /// An error, and the client's end, mean that the connection is to be closed.
    fn answer(&mut self, ready: Ready) -> io::Result<()> {
        let Ready { fd, mut short_read_is_all } = ready;
        let connection = &mut self.connections[fd as usize];
        if connection.owes() {
            connection.say(&self.page, fd)?;
            if connection.owes() {
                return Ok(());
            }
            self.waiter.wait_for_room(fd, false);
            // Edges that came meanwhile were not looked at.
            short_read_is_all = false;
        }
        loop {
            let count = match kernel::recv(fd, &mut self.buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(()),
                    io::ErrorKind::Interrupted => continue,
                    _ => return Err(error),
                },
            };
            connection.hear(&self.page, &self.buffer[..count])?;
            connection.say(&self.page, fd)?;
            if connection.owes() {
                self.waiter.wait_for_room(fd, true);
                return Ok(());
            }
            if count < BUFFER && short_read_is_all {
                return Ok(());
            }
        }
    }

    fn close(&mut self, fd: RawFd) {
        // The next one with this descriptor finds a fresh one.
        self.connections[fd as usize] = Connection::default();
        self.waiter.remove(fd);
        kernel::close(fd);
    }
}
