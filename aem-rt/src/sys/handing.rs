//! Descriptors handed from one process to another, through a Unix socket: a message is one byte, and one
//! descriptor beside it ([`message`]).

use std::io::{self, IoSlice};
use std::os::fd::{BorrowedFd, OwnedFd};

use socket2::{Domain, Socket, Type};

use super::message::{self, Control, Outgoing};

/// Two connected sockets that keep messages apart. Both are close-on-exec.
///
/// # Errors
///
/// If the process is out of descriptors or memory.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (one, other) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None)?;
    Ok((one.into(), other.into()))
}

/// Hands a duplicate of `given` to the other end. It never waits.
///
/// # Errors
///
/// `EPIPE` or `ECONNRESET` if there is nobody at the other end; see sendmsg(2).
pub(crate) fn hand(socket: BorrowedFd<'_>, given: BorrowedFd<'_>) -> io::Result<()> {
    let beside = Outgoing::descriptors(std::iter::once(given));
    message::send(socket, &[IoSlice::new(&[0])], None, &beside).map(drop)
}

/// Takes what the other end has handed over, close-on-exec; none at the end. It never waits.
///
/// # Errors
///
/// `WouldBlock` if nothing is there yet; `EMFILE` if the process has no room for it, which loses it;
/// `InvalidData` for a message without a descriptor, or with several, which are closed; see recvmsg(2).
pub(crate) fn take(socket: BorrowedFd<'_>) -> io::Result<Option<OwnedFd>> {
    let received = message::receive(socket, &mut [0], Some(&mut Control::default()))?;
    let mut descriptors = received.beside.descriptors;
    if received.beside.cut && descriptors.is_empty() {
        // There was one, and no room for it in our table.
        return Err(io::Error::from_raw_os_error(libc::EMFILE));
    }
    match (received.len, descriptors.pop()) {
        (0, None) => Ok(None),
        (1, Some(descriptor)) if descriptors.is_empty() => Ok(Some(descriptor)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "not one descriptor")),
    }
}

#[cfg(test)]
mod tests;
