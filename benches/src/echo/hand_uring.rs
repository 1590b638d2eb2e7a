//! The yardstick on io_uring: an echo server of one ring and one call a turn.
//!
//! One accept and one receive a connection, both multishot; what is received comes in buffers
//! provided to the ring. The answer is sent out of the same buffer, which goes back when that is
//! done: either as requests of the ring, which all go to the kernel with the call that waits for
//! news, or directly, by a system call each, and by the ring only what then has no room. The first
//! has its connections in the ring's own table of files, the second needs descriptors.
//!
//! Sends of one connection go one after the other, as the ring keeps no order among those that have
//! to wait. They queue in links by buffer; nothing is allocated for an event. A visitor who sends and
//! never reads can so take every buffer there is: this is a yardstick, no server for strangers.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, RawFd};

use io_uring::types::{Fd, Fixed};
use io_uring::{cqueue, opcode, squeue};

use super::visitors::Visitors;
use super::{MOST_CONNECTIONS, announce};
use crate::kernel;
use crate::provided::{GROUP, MOST, Provided};
use crate::ring::{self, Ring};

/// What an answer is the answer to, in the highest byte of what comes back with it. Below it are
/// the buffer's number and the connection's.
const ACCEPT: u64 = 0;
const RECEIVE: u64 = 1;
const SEND: u64 = 2;
const CLOSE: u64 = 3;

fn tag(kind: u64, buffer: u16, connection: u32) -> u64 {
    kind << 56 | u64::from(buffer) << 32 | u64::from(connection)
}

/// What is kept of a connection.
#[derive(Clone, Copy, Default)]
struct Connection {
    /// The buffers that wait to be sent, the one being sent first, if there are any.
    queue: Option<(u16, u16)>,
    /// Nothing can be sent to it any more.
    is_broken: bool,
    /// Nothing will be received from it any more.
    has_ended: bool,
}

/// What is kept of a buffer that waits to be sent.
#[derive(Clone, Copy, Default)]
struct Waiting {
    from: u32,
    to: u32,
    next: Option<u16>,
}

struct Server<'a, const DIRECT: bool> {
    ring: Ring<'a>,
    buffers: &'a mut Provided,
    listener: RawFd,
    /// By place in the ring's table, or by descriptor.
    connections: Vec<Connection>,
    /// By number of the buffer.
    waiting: Vec<Waiting>,
    open: usize,
}

/// Serves until the process ends, or the last visitor has gone; sends by the ring.
///
/// # Errors
///
/// Of the ring and of the listener; those of a connection end that connection.
pub fn serve_by_ring(listener: TcpListener, visitors: Visitors) -> io::Result<()> {
    serve::<false>(listener, visitors)
}

/// The same, but each send is tried as a system call first.
///
/// # Errors
///
/// As of [`serve_by_ring`].
pub fn serve_directly(listener: TcpListener, visitors: Visitors) -> io::Result<()> {
    serve::<true>(listener, visitors)
}

fn serve<const DIRECT: bool>(listener: TcpListener, visitors: Visitors) -> io::Result<()> {
    kernel::set_nodelay(&listener)?;
    let ring = ring::build()?;
    if !DIRECT {
        ring.submitter().register_files_sparse(MOST_CONNECTIONS as u32)?;
    }
    // Declared before the ring that is moved below, so that the kernel lets go of them first.
    let mut buffers = Provided::register(&ring.submitter())?;
    let mut ring = ring;
    let mut server = Server::<DIRECT> {
        ring: Ring::new(&mut ring)?,
        buffers: &mut buffers,
        listener: listener.as_raw_fd(),
        connections: Vec::new(),
        waiting: vec![Waiting::default(); usize::from(MOST)],
        open: 0,
    };
    server.accept();
    announce(&listener)?;
    loop {
        server.turn()?;
        if server.open == 0 && visitors.is_once() && !server.connections.is_empty() {
            // The last one's close.
            return server.ring.submit();
        }
    }
}

impl<const DIRECT: bool> Server<'_, DIRECT> {
    /// Hands over the requests, waits for an answer, goes through all there are.
    fn turn(&mut self) -> io::Result<()> {
        self.ring.turn()?;
        while let Some(answer) = self.ring.answer() {
            let (tag, result, flags) = (answer.user_data(), answer.result(), answer.flags());
            let (buffer, connection) = ((tag >> 32) as u16, tag as u32);
            match tag >> 56 {
                RECEIVE => self.received(connection, result, flags),
                SEND => self.sent(connection, buffer, result),
                ACCEPT => self.accepted(result, flags)?,
                // Only a close that failed has an answer, and there is nothing to be done.
                _ => {}
            }
        }
        self.feed_starved();
        Ok(())
    }

    fn push(&mut self, request: squeue::Entry) {
        // SAFETY: requests point into the provided buffers alone, which stay until the ring is
        // gone, and each buffer is in one request at a time.
        unsafe { self.ring.push(&request) };
    }

    fn accept(&mut self) {
        let accept = opcode::AcceptMulti::new(Fd(self.listener));
        let accept = match DIRECT {
            true => accept.flags(libc::SOCK_CLOEXEC),
            false => accept.allocate_file_index(true),
        };
        self.push(accept.build().user_data(tag(ACCEPT, 0, 0)));
    }

    fn accepted(&mut self, result: i32, flags: u32) -> io::Result<()> {
        if let Ok(connection) = u32::try_from(result) {
            if self.connections.len() <= connection as usize {
                self.connections.resize(connection as usize + 1, Connection::default());
            }
            self.connections[connection as usize] = Connection::default();
            self.open += 1;
            self.receive(connection);
        } else if !matches!(-result, libc::ECONNABORTED | libc::EINTR) {
            return Err(io::Error::from_raw_os_error(-result));
        }
        if !cqueue::more(flags) {
            self.accept();
        }
        Ok(())
    }

    fn receive(&mut self, connection: u32) {
        let receive = match DIRECT {
            true => opcode::RecvMulti::new(Fd(connection as RawFd), GROUP).build(),
            false => opcode::RecvMulti::new(Fixed(connection), GROUP).build(),
        };
        self.push(receive.user_data(tag(RECEIVE, 0, connection)));
    }

    fn received(&mut self, connection: u32, result: i32, flags: u32) {
        if let Some(buffer) = cqueue::buffer_select(flags) {
            self.buffers.take();
            self.answer(connection, buffer, result.max(0) as u32);
        }
        if cqueue::more(flags) {
            return;
        }
        match -result {
            libc::ENOBUFS => self.buffers.starve(connection),
            // Multishot requests may end for the kernel's own reasons.
            libc::EINTR => self.receive(connection),
            _ if result > 0 => self.receive(connection),
            _ => {
                self.connections[connection as usize].has_ended = true;
                self.close_if_done(connection);
            }
        }
    }

    /// Sends back what came, or has it wait for what came before.
    fn answer(&mut self, connection: u32, buffer: u16, count: u32) {
        let place = &mut self.connections[connection as usize];
        if place.is_broken || count == 0 {
            return self.buffers.give(buffer);
        }
        let mut from = 0;
        if DIRECT && place.queue.is_none() {
            // SAFETY: the kernel has said that so many bytes of the buffer are written, and does
            // not touch it before it is given back.
            let bytes = unsafe {
                std::slice::from_raw_parts(self.buffers.start_of(buffer), count as usize)
            };
            match kernel::send(connection as RawFd, bytes) {
                Ok(sent) if sent == bytes.len() => return self.buffers.give(buffer),
                Ok(sent) => from = sent as u32,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => {
                    place.is_broken = true;
                    return self.buffers.give(buffer);
                }
            }
        }
        self.waiting[usize::from(buffer)] = Waiting { from, to: count, next: None };
        match &mut place.queue {
            Some((_, last)) => {
                self.waiting[usize::from(*last)].next = Some(buffer);
                *last = buffer;
            }
            queue @ None => {
                *queue = Some((buffer, buffer));
                self.send(connection, buffer);
            }
        }
    }

    fn send(&mut self, connection: u32, buffer: u16) {
        let Waiting { from, to, .. } = self.waiting[usize::from(buffer)];
        let start = self.buffers.start_of(buffer).wrapping_add(from as usize);
        // With MSG_WAITALL it is done when all is sent.
        let flags = libc::MSG_WAITALL | libc::MSG_NOSIGNAL;
        let send = match DIRECT {
            true => opcode::Send::new(Fd(connection as RawFd), start, to - from),
            false => opcode::Send::new(Fixed(connection), start, to - from),
        };
        self.push(send.flags(flags).build().user_data(tag(SEND, buffer, connection)));
    }

    fn sent(&mut self, connection: u32, buffer: u16, result: i32) {
        let Waiting { from, to, next } = self.waiting[usize::from(buffer)];
        self.buffers.give(buffer);
        let place = &mut self.connections[connection as usize];
        place.is_broken |= result != (to - from) as i32;
        place.queue = place.queue.and_then(|(_, last)| Some((next?, last)));
        match next {
            Some(next) if !place.is_broken => self.send(connection, next),
            Some(mut next) => {
                place.queue = None;
                loop {
                    self.buffers.give(next);
                    let Some(after) = self.waiting[usize::from(next)].next else { break };
                    next = after;
                }
                self.close_if_done(connection);
            }
            None => self.close_if_done(connection),
        }
    }

    fn close_if_done(&mut self, connection: u32) {
        let place = &self.connections[connection as usize];
        if !place.has_ended || place.queue.is_some() {
            return;
        }
        self.open -= 1;
        let close = match DIRECT {
            true => opcode::Close::new(Fd(connection as RawFd)).build(),
            false => opcode::Close::new(Fixed(connection)).build(),
        };
        let close = close.flags(squeue::Flags::SKIP_SUCCESS);
        self.push(close.user_data(tag(CLOSE, 0, connection)));
    }

    /// Goes on receiving where there was no buffer, if there are now.
    fn feed_starved(&mut self) {
        self.buffers.feed();
        while let Some(connection) = self.buffers.fed() {
            self.receive(connection);
        }
    }
}
