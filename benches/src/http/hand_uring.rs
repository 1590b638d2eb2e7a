//! By hand, on io_uring: one accept and one receive a connection, both multishot, and one call a turn.
//!
//! What is received comes in buffers provided to the ring. All requests in one are answered with one
//! send, which is tried directly; where there is no room for all of it the ring is asked to say when.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, RawFd};

use io_uring::types::Fd;
use io_uring::{cqueue, opcode, squeue};

use super::connection::Connection;
use super::page::Page;
use crate::provided::{GROUP, Provided};
use crate::ring::{self, Ring};
use crate::{kernel, server};

/// What an answer is the answer to, in the highest byte of what comes back with it. Below it is the
/// descriptor.
const ACCEPT: u64 = 0;
const RECEIVE: u64 = 1;
const ROOM: u64 = 2;

fn tag(kind: u64, fd: RawFd) -> u64 {
    kind << 56 | fd as u64
}

/// What is kept of a connection.
#[derive(Default)]
struct Place {
    connection: Connection,
    /// The ring was asked to say when there is room.
    waits: bool,
    /// Nothing will be received from it any more.
    has_ended: bool,
}

struct Server<'a> {
    ring: Ring<'a>,
    buffers: &'a mut Provided,
    page: Page,
    listener: TcpListener,
    /// By descriptor.
    places: Vec<Place>,
}

/// Serves until the process ends.
///
/// # Errors
///
/// Of the ring and of the listener; those of a connection end that connection.
pub fn serve(listener: TcpListener, page: Page) -> io::Result<()> {
    kernel::set_nodelay(&listener)?;
    let ring = ring::build()?;
    // Declared before the ring that is moved below, so that the kernel lets go of them first.
    let mut buffers = Provided::register(&ring.submitter())?;
    let mut ring = ring;
    let ring = Ring::new(&mut ring)?;
    server::announce("http", &listener)?;
    let mut server = Server { ring, buffers: &mut buffers, page, listener, places: Vec::new() };
    server.accept();
    loop {
        server.turn()?;
    }
}

impl Server<'_> {
    fn turn(&mut self) -> io::Result<()> {
        self.ring.turn()?;
        self.page.set_date();
        while let Some(answer) = self.ring.answer() {
            let (tag, result, flags) = (answer.user_data(), answer.result(), answer.flags());
            let fd = tag as u32 as RawFd;
            match tag >> 56 {
                RECEIVE => self.received(fd, result, flags),
                ROOM => {
                    self.places[fd as usize].waits = false;
                    self.say(fd);
                }
                _ => self.accepted(result, flags)?,
            }
        }
        self.buffers.feed();
        while let Some(fd) = self.buffers.fed() {
            self.receive(fd as RawFd);
        }
        Ok(())
    }

    fn push(&mut self, request: squeue::Entry) {
        // SAFETY: none of the requests made here points to memory.
        unsafe { self.ring.push(&request) };
    }

    fn accept(&mut self) {
        let accept = opcode::AcceptMulti::new(Fd(self.listener.as_raw_fd()));
        let accept = accept.flags(libc::SOCK_CLOEXEC).build();
        self.push(accept.user_data(tag(ACCEPT, 0)));
    }

    fn accepted(&mut self, result: i32, flags: u32) -> io::Result<()> {
        if result >= 0 {
            if self.places.len() <= result as usize {
                self.places.resize_with(result as usize + 1, Place::default);
            }
            self.places[result as usize] = Place::default();
            self.receive(result);
        } else if !matches!(-result, libc::ECONNABORTED | libc::EINTR) {
            return Err(io::Error::from_raw_os_error(-result));
        }
        if !cqueue::more(flags) {
            self.accept();
        }
        Ok(())
    }

    fn receive(&mut self, fd: RawFd) {
        let receive = opcode::RecvMulti::new(Fd(fd), GROUP).build();
        self.push(receive.user_data(tag(RECEIVE, fd)));
    }

    fn received(&mut self, fd: RawFd, result: i32, flags: u32) {
        if let Some(buffer) = cqueue::buffer_select(flags) {
            self.buffers.take();
            // SAFETY: the kernel has said that so many bytes of the buffer are written, and does not
            // touch it before it is given back.
            let bytes = unsafe {
                std::slice::from_raw_parts(self.buffers.start_of(buffer), result.max(0) as usize)
            };
            let heard = self.places[fd as usize].connection.hear(&self.page, bytes);
            self.buffers.give(buffer);
            match heard {
                Ok(()) => self.say(fd),
                // The receive ends by it, and the connection with that.
                Err(_) => kernel::shut_down(fd),
            }
        }
        if cqueue::more(flags) {
            return;
        }
        match -result {
            libc::ENOBUFS => self.buffers.starve(fd as u32),
            // Multishot requests may end for the kernel's own reasons.
            libc::EINTR => self.receive(fd),
            _ if result > 0 => self.receive(fd),
            _ => {
                self.places[fd as usize].has_ended = true;
                self.close_if_done(fd);
            }
        }
    }

    /// Sends what is owed, unless it waits for room.
    fn say(&mut self, fd: RawFd) {
        let place = &mut self.places[fd as usize];
        if place.waits {
            return;
        }
        match place.connection.say(&self.page, fd) {
            Ok(()) if !place.connection.owes() => {}
            Ok(()) => {
                place.waits = true;
                let poll = opcode::PollAdd::new(Fd(fd), libc::POLLOUT as u32).build();
                return self.push(poll.user_data(tag(ROOM, fd)));
            }
            Err(_) => kernel::shut_down(fd),
        }
        self.close_if_done(fd);
    }

    fn close_if_done(&mut self, fd: RawFd) {
        let place = &self.places[fd as usize];
        if place.has_ended && !place.waits {
            kernel::close(fd);
        }
    }
}
