//! Descriptors handed from one process to another, through a Unix socket: a message is one byte, and one
//! descriptor beside it (`SCM_RIGHTS`, unix(7)).

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use socket2::{Domain, Socket, Type};

use super::{check_size, retry};

/// Room beside a message for one descriptor: a head of sixteen bytes and the number. In what is left a second
/// number would fit, so that the kernel is told less than there is.
type Beside = [u64; 3];

/// The size of a number.
const NUMBER: libc::c_uint = size_of::<RawFd>() as libc::c_uint;

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
    let (mut byte, mut beside) = ([0_u8], Beside::default());
    let mut piece = piece_of(&mut byte);
    let message = message_of(&mut piece, &mut beside);
    // SAFETY: the message has `beside` for its control data, which has room for a head.
    let head = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    // SAFETY: takes an integer.
    let length = unsafe { libc::CMSG_LEN(NUMBER) };
    let (level, kind) = (libc::SOL_SOCKET, libc::SCM_RIGHTS);
    // SAFETY: all zeros is a valid value of this plain C structure.
    let mut filled: libc::cmsghdr = unsafe { std::mem::zeroed() };
    (filled.cmsg_len, filled.cmsg_level, filled.cmsg_type) = (length as _, level, kind);
    // SAFETY: `head` is the aligned start of `beside`, which is borrowed by the message.
    unsafe { head.write(filled) };
    // SAFETY: as above.
    let number = unsafe { libc::CMSG_DATA(head) }.cast::<RawFd>();
    // SAFETY: there is room for one number behind the head, by the size of `Beside`.
    unsafe { number.write_unaligned(given.as_raw_fd()) };
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    let send = || {
        // SAFETY: `message` names one byte and `beside`, which live (tests/tests/process/capsules.rs).
        check_size(unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, flags) })
    };
    retry(send).map(drop)
}

/// Takes what the other end has handed over, close-on-exec; none at the end. It never waits.
///
/// # Errors
///
/// `WouldBlock` if nothing is there yet; `InvalidData` for a message without a descriptor; see recvmsg(2).
pub(crate) fn take(socket: BorrowedFd<'_>) -> io::Result<Option<OwnedFd>> {
    let (mut byte, mut beside) = ([0_u8], Beside::default());
    let mut piece = piece_of(&mut byte);
    let mut message = message_of(&mut piece, &mut beside);
    let flags = libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT;
    let count = retry(|| {
        // SAFETY: `message` names one byte and `beside`, which live and are borrowed by it.
        check_size(unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) })
    })?;
    // SAFETY: the kernel has said in the message how much of `beside` it has filled.
    let head = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    if head.is_null() {
        let empty = io::Error::new(io::ErrorKind::InvalidData, "a message without a descriptor");
        return if count == 0 { Ok(None) } else { Err(empty) };
    }
    // SAFETY: a head that the kernel wrote, aligned as `beside` is.
    let filled = unsafe { head.read() };
    // SAFETY: takes an integer.
    let whole = unsafe { libc::CMSG_LEN(NUMBER) };
    if filled.cmsg_type != libc::SCM_RIGHTS || filled.cmsg_len as u64 != u64::from(whole) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not one descriptor"));
    }
    // SAFETY: as above.
    let number = unsafe { libc::CMSG_DATA(head) }.cast::<RawFd>();
    // SAFETY: by the length in the head there is one number.
    let number = unsafe { number.read_unaligned() };
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows of it.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(number) }))
}

fn piece_of(byte: &mut [u8; 1]) -> libc::iovec {
    libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 }
}

fn message_of(piece: &mut libc::iovec, beside: &mut Beside) -> libc::msghdr {
    // SAFETY: all-zero is a valid `msghdr`: null pointers with lengths of zero.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (piece, 1);
    message.msg_control = beside.as_mut_ptr().cast();
    // SAFETY: takes an integer.
    message.msg_controllen = unsafe { libc::CMSG_LEN(NUMBER) } as _;
    message
}

#[cfg(test)]
mod tests;
