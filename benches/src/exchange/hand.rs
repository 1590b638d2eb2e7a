//! The yardsticks: calls that block, and a loop by hand on each interface.

use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use io_uring::types::Fd;
use io_uring::{cqueue, opcode, squeue};

use super::{Exchange, MESSAGE, ROOM};
use crate::kernel::{self, Epoll};
use crate::provided::{GROUP, Provided};
use crate::ring::{self, Ring};

/// A read and a write, and nothing else to wait for.
///
/// # Errors
///
/// The calls' own, and if something else came than the message; so for all contenders.
pub fn blocking(mut stream: UnixStream, mut exchange: Exchange) -> io::Result<Exchange> {
    if let Some(opening) = exchange.opening() {
        stream.write_all(&opening)?;
    }
    let mut room = [0; ROOM];
    while !exchange.is_over() {
        let count = stream.read(&mut room)?;
        if let Some(message) = exchange.received(&room[..count])? {
            stream.write_all(&message)?;
        }
    }
    Ok(exchange)
}

/// Edge-triggered epoll: a wait, a receive and a send.
///
/// # Errors
///
/// See [`blocking`].
pub fn epoll(stream: UnixStream, mut exchange: Exchange) -> io::Result<Exchange> {
    let (fd, mut epoll, mut room) = (stream.as_raw_fd(), Epoll::new()?, [0; ROOM]);
    epoll.add_for(libc::EPOLLIN | libc::EPOLLET, fd, 0)?;
    send(fd, exchange.opening())?;
    while !exchange.is_over() {
        for _ in 0..epoll.wait(-1)? {
            let count = kernel::recv(fd, &mut room)?;
            send(fd, exchange.received(&room[..count])?)?;
        }
    }
    Ok(exchange)
}

/// The socket has room for the one message.
fn send(fd: i32, message: Option<[u8; MESSAGE]>) -> io::Result<()> {
    let Some(message) = message else { return Ok(()) };
    match kernel::send(fd, &message)? {
        MESSAGE => Ok(()),
        count => Err(io::Error::other(format!("{count} bytes were sent"))),
    }
}

/// A multishot receive into provided buffers, and a send in the ring of which nothing is heard unless it
/// fails: one call for both, and to wait.
///
/// # Errors
///
/// See [`blocking`].
pub fn uring(stream: UnixStream, exchange: Exchange) -> io::Result<Exchange> {
    run_uring::<false>(&stream, exchange)
}

/// The same with a call that sends at once, and one that waits.
///
/// # Errors
///
/// See [`blocking`].
pub fn uring_direct(stream: UnixStream, exchange: Exchange) -> io::Result<Exchange> {
    run_uring::<true>(&stream, exchange)
}

/// What an answer is the answer to.
const RECEIVE: u64 = 0;
const SEND: u64 = 1;

fn run_uring<const DIRECT: bool>(
    stream: &UnixStream,
    mut exchange: Exchange,
) -> io::Result<Exchange> {
    let whole = ring::build()?;
    // Both declared before the ring that is moved below, so that the kernel lets go of them first.
    let mut buffers = Provided::register_sized(&whole.submitter(), ROOM)?;
    let mut outgoing = Box::new([0; MESSAGE]);
    let mut whole = whole;
    let mut ring = Ring::new(&mut whole)?;
    let fd = stream.as_raw_fd();
    let receive = || opcode::RecvMulti::new(Fd(fd), GROUP).build().user_data(RECEIVE);
    let mut say = |ring: &mut Ring<'_>, message: Option<[u8; MESSAGE]>| {
        let Some(message) = message else { return Ok(()) };
        if DIRECT {
            return send(fd, Some(message));
        }
        *outgoing = message;
        let request = opcode::Send::new(Fd(fd), outgoing.as_ptr(), MESSAGE as u32).build();
        let request = request.flags(squeue::Flags::SKIP_SUCCESS).user_data(SEND);
        // SAFETY: what it points to is written to again when the message has come back, and so was sent.
        unsafe { ring.push(&request) };
        Ok(())
    };
    // SAFETY: it names no memory but the provided buffers, which stay until the ring is gone.
    unsafe { ring.push(&receive()) };
    say(&mut ring, exchange.opening())?;
    while !exchange.is_over() {
        ring.turn()?;
        while let Some(answer) = ring.answer() {
            let (result, flags) = (answer.result(), answer.flags());
            if result < 0 || answer.user_data() == SEND {
                return Err(io::Error::from_raw_os_error(-result));
            }
            let buffer = cqueue::buffer_select(flags).expect("data comes in a buffer");
            buffers.take();
            // SAFETY: the kernel has put so many bytes into this buffer, which it has given us.
            let bytes =
                unsafe { std::slice::from_raw_parts(buffers.start_of(buffer), result as usize) };
            let message = exchange.received(bytes)?;
            buffers.give(buffer);
            say(&mut ring, message)?;
            if !cqueue::more(flags) {
                // SAFETY: as above.
                unsafe { ring.push(&receive()) };
            }
        }
    }
    // The last message may still be in the queue.
    ring.submit()?;
    Ok(exchange)
}
