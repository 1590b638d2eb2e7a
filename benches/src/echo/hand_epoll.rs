//! The yardstick on epoll: an echo server with nothing in it but system calls.
//!
//! Each connection is registered once, edge-triggered, for both directions. An event means one
//! read, and the answer is sent at once out of the same buffer, which all connections share. A
//! short read is the last one, unless the event tells of an end. What the kernel does not take is
//! copied, and the connection not read again before that has left. Connections stand in a table by
//! descriptor; nothing is allocated for an event.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, RawFd};

use super::visitors::Visitors;
use super::{BUFFER, announce};
use crate::kernel::{self, Epoll};

/// What is kept of a connection.
#[derive(Default)]
struct Connection {
    /// What the kernel had no room for, and how much of it has left since.
    unsent: Vec<u8>,
    sent: usize,
}

/// Whether a connection is still there.
#[derive(PartialEq, Eq)]
enum Then {
    Keep,
    Close,
}

struct Server {
    epoll: Epoll,
    listener: TcpListener,
    /// By descriptor.
    connections: Vec<Connection>,
    buffer: Vec<u8>,
    open: usize,
}

/// Serves until the process ends, or the last visitor has gone.
///
/// # Errors
///
/// Of epoll and of the listener; those of a connection end that connection.
pub fn serve(listener: TcpListener, visitors: Visitors) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    kernel::set_nodelay(&listener)?;
    let epoll = Epoll::new()?;
    let door = listener.as_raw_fd();
    epoll.add(door, door as u64)?;
    announce(&listener)?;
    let buffer = vec![0; BUFFER];
    let mut server = Server { epoll, listener, connections: Vec::new(), buffer, open: 0 };
    loop {
        let count = server.epoll.wait(-1)?;
        for at in 0..count {
            let (flags, key) = server.epoll.event(at);
            let fd = key as RawFd;
            if fd == door {
                server.accept_all()?;
            } else if server.answer(fd, flags) == Then::Close {
                server.close(fd);
                if server.open == 0 && visitors.is_once() {
                    return Ok(());
                }
            }
        }
    }
}

impl Server {
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
            self.open += 1;
            self.epoll.add(fd, fd as u64)?;
        }
    }

    fn answer(&mut self, fd: RawFd, flags: u32) -> Then {
        let connection = &mut self.connections[fd as usize];
        let mut short_read_is_all = kernel::short_read_is_all(flags);
        if !connection.unsent.is_empty() {
            match connection.flush(fd) {
                Ok(true) => {}
                Ok(false) => return Then::Keep,
                Err(_) => return Then::Close,
            }
            // Edges that came meanwhile were not looked at.
            short_read_is_all = false;
        }
        loop {
            let count = match kernel::recv(fd, &mut self.buffer) {
                Ok(0) => return Then::Close,
                Ok(count) => count,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Then::Keep,
                    io::ErrorKind::Interrupted => continue,
                    _ => return Then::Close,
                },
            };
            match send_all(fd, &self.buffer[..count]) {
                Ok(sent) if sent == count => {}
                Ok(sent) => {
                    connection.unsent.extend_from_slice(&self.buffer[sent..count]);
                    return Then::Keep;
                }
                Err(_) => return Then::Close,
            }
            if count < BUFFER && short_read_is_all {
                return Then::Keep;
            }
        }
    }

    fn close(&mut self, fd: RawFd) {
        // The next one with this descriptor finds a fresh one.
        self.connections[fd as usize] = Connection::default();
        kernel::close(fd);
        self.open -= 1;
    }
}

impl Connection {
    /// Sends what is left. Whether all of it has gone.
    fn flush(&mut self, fd: RawFd) -> io::Result<bool> {
        self.sent += send_all(fd, &self.unsent[self.sent..])?;
        if self.sent < self.unsent.len() {
            return Ok(false);
        }
        self.unsent.clear();
        self.sent = 0;
        Ok(true)
    }
}

/// Sends until all is sent or the kernel says that it has no room, as only then there will be an
/// edge. How much was sent.
fn send_all(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match kernel::send(fd, &bytes[sent..]) {
            Ok(count) => sent += count,
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => break,
                io::ErrorKind::Interrupted => {}
                _ => return Err(error),
            },
        }
    }
    Ok(sent)
}
