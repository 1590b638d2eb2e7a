//! What every keeper may do itself: accept who is there, send what there is room for, tell whose an error is,
//! bear with a kernel that has no room.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use super::descriptor::Descriptor;
use super::op::Answer;
use crate::payload::SendQueue;
use crate::sys::file;
use crate::sys::message::{self, Outgoing};
use crate::sys::socket;

/// So often in a row the kernel may say that it has no room for what we ask before that is an error.
const REFUSED_MOST: u32 = 1_000;

/// How long we let it be then. A thousand of these are a second.
const REFUSED_PAUSE: Duration = Duration::from_millis(1);

/// How long a kernel that cannot wait for us at the moment is borne with.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// How often in a row it refused.
    refused: u32,
}

impl Patience {
    /// The kernel refused to wait. It is let be for a while, unless there is something to do without it.
    ///
    /// # Errors
    ///
    /// The same, if it will not pass, or has not passed for long.
    #[cold]
    pub(super) fn after(&mut self, error: io::Error, busy: bool) -> io::Result<()> {
        use libc::{EAGAIN, EBUSY, EMFILE, ENFILE, ENOMEM};
        let number = error.raw_os_error();
        let passes = matches!(number, Some(EAGAIN | EBUSY | EMFILE | ENFILE | ENOMEM));
        if !passes || self.refused == REFUSED_MOST {
            return Err(error);
        }
        self.refused += 1;
        if !busy {
            std::thread::sleep(REFUSED_PAUSE);
        }
        Ok(())
    }

    /// The kernel had news.
    #[inline]
    pub(super) fn restore(&mut self) {
        self.refused = 0;
    }
}

/// Sends what one call takes, and says how much that was and whether the socket has no room for more.
#[inline(always)]
pub(super) fn send(socket: &Descriptor, queue: &mut SendQueue) -> io::Result<(usize, bool)> {
    let (front, true) = queue.front() else { return send_one_of_several(socket, queue) };
    let (offered, n) = (front.len(), socket::send(socket.as_fd(), front)?);
    queue.advance(n);
    Ok((n, n < offered))
}

/// The same where there is more than one payload: sends as many pieces as may go together, and the part of a
/// file that follows them.
#[inline(never)]
fn send_one_of_several(socket: &Descriptor, queue: &mut SendQueue) -> io::Result<(usize, bool)> {
    if queue.file_part().is_some() {
        // It may be less than was asked for, for the file's sake.
        return Ok((send_file(socket, queue)?, false));
    }
    let mut slices = [IoSlice::new(&[]); SendQueue::MAX_SLICES];
    let count = queue.io_slices(&mut slices);
    let slices = &slices[..count];
    let offered = slices.iter().map(|slice| slice.len()).sum();
    let n = match queue.descriptors() {
        [] => socket::send_vectored(socket.as_fd(), slices, queue.has_file_next())?,
        descriptors => {
            let beside = Outgoing::descriptors(descriptors.iter().map(OwnedFd::as_fd));
            message::send(socket.as_fd(), slices, None, &beside)?
        }
    };
    queue.advance(n);
    if n < offered || queue.file_part().is_none() {
        return Ok((n, n < offered));
    }
    match send_file(socket, queue) {
        Ok(more) => Ok((n + more, false)),
        // Whatever it was, the next send is told as well.
        Err(error) => Ok((n, error.kind() == io::ErrorKind::WouldBlock)),
    }
}

/// Bytes of a file that one call sends at most: a disk may have to be waited for, and others with it.
const FILE_PER_CALL: u64 = 2 * 1024 * 1024;

/// Sends what one call takes of the part of a file that is next.
fn send_file(socket: &Descriptor, queue: &mut SendQueue) -> io::Result<usize> {
    let part = queue.file_part().expect("it is next");
    let most = part.len().min(FILE_PER_CALL) as usize;
    match file::send_to(socket.as_fd(), part.file(), part.bytes().start, most)? {
        0 => {
            let text = format!("the file has ended {} bytes too early to be sent", part.len());
            Err(io::Error::new(io::ErrorKind::UnexpectedEof, text))
        }
        n => {
            queue.advance(n);
            Ok(n)
        }
    }
}

/// How many connections a listener accepts in a turn, so that a storm of them does not keep those
/// that are there from being served.
pub(super) const ACCEPTS_PER_TURN: usize = 16;

/// What is left when a few connections were accepted.
pub(super) enum Accepted {
    /// There may be more.
    Some,
    /// There are no more for now.
    All,
    /// The listener accepts none.
    Failed(io::Error),
}

/// Accepts a few of the connections that are there (BOUND), and gives each to `take`.
pub(super) fn accept(listener: &Descriptor, mut take: impl FnMut(Answer)) -> Accepted {
    let mut refused = 0;
    for _ in 0..ACCEPTS_PER_TURN {
        match socket::accept(listener.as_fd()) {
            Ok((fd, peer)) => take(Answer::Accepted(fd, peer)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Accepted::All,
            // Linux hands over errors of the connection that was to be accepted: accept(2) says
            // to try again. It is gone from the queue, so this ends.
            Err(error) if is_of_the_connection(&error) => {}
            // If nothing else comes it is no connection's, and would come for ever.
            Err(error)
                if is_perhaps_of_the_connection(&error) && refused + 1 < ACCEPTS_PER_TURN =>
            {
                refused += 1;
            }
            Err(error) => return Accepted::Failed(error),
        }
    }
    Accepted::Some
}

/// Whether an error of accept is one of the connection that was to be accepted. It is gone from the queue
/// by that, and accept(2) says to try again.
pub(super) fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::EPROTO
                | libc::ENETDOWN
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
        )
    )
}

/// Errors of one connection (a firewall's rule says `EPERM`), or else of the socket or the process for good:
/// a socket that accepts nothing, a filter of system calls.
pub(super) fn is_perhaps_of_the_connection(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EPERM))
}
