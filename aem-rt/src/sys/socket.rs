//! What is done to sockets: accept, receive, send, connect.
//!
//! Nothing here ever blocks, whatever mode the descriptor is in, and a send to a closed
//! connection is an error and not a signal.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use socket2::{Domain, SockAddr, SockAddrStorage, SockRef};

use super::{check, check_size, retry};

/// Takes one connection from a listener's queue, non-blocking and close-on-exec.
pub(crate) fn accept(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, Option<SocketAddr>)> {
    let mut storage = SockAddrStorage::zeroed();
    let mut length = storage.size_of();
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    let fd = retry(|| {
        let address = (&raw mut storage).cast::<libc::sockaddr>();
        // SAFETY: `address` has room for `length` bytes, both live longer than the call.
        check(unsafe { libc::accept4(listener.as_raw_fd(), address, &raw mut length, flags) })
    })?;
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows of it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: the kernel has written an address of `length` bytes into `storage`.
    let address = unsafe { SockAddr::new(storage, length) };
    Ok((fd, address.as_socket()))
}

/// Dissolves the connection of a TCP socket, so that the peer is told at once by a reset.
pub(crate) fn disconnect(socket: BorrowedFd<'_>) -> io::Result<()> {
    let nobody =
        libc::sockaddr { sa_family: libc::AF_UNSPEC as libc::sa_family_t, sa_data: [0; 14] };
    let length = size_of::<libc::sockaddr>() as libc::socklen_t;
    retry(|| {
        // SAFETY: `nobody` is a live local of `length` bytes; aem-rt/src/net/connection/tests.rs.
        check(unsafe { libc::connect(socket.as_raw_fd(), &raw const nobody, length) }).map(drop)
    })
}

/// The process and user at the other end of a Unix socket, as they were when it was connected.
pub(crate) fn peer_credentials(socket: BorrowedFd<'_>) -> io::Result<libc::ucred> {
    let mut credentials = libc::ucred { pid: 0, uid: 0, gid: 0 };
    option_into(socket, libc::SOL_SOCKET, libc::SO_PEERCRED, &mut credentials)?;
    Ok(credentials)
}

/// Not in libc for all that we compile for; the same on all of them.
const SO_PEERNAME: libc::c_int = 28;

/// The peer of an accepted connection, also of one that the peer has ended or reset already: `getpeername`
/// would say that such a one is not connected.
pub(crate) fn peer(socket: BorrowedFd<'_>) -> io::Result<Option<SocketAddr>> {
    let mut storage = SockAddrStorage::zeroed();
    // The kernel wants to be asked for no more bytes than the address has.
    let mut length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    if let Err(error) = peer_into(socket, &mut storage, &mut length) {
        // Another family's address may be shorter.
        let is_unix = SockRef::from(&socket).domain().is_ok_and(|domain| domain == Domain::UNIX);
        return if is_unix { Ok(None) } else { Err(error) };
    }
    // SAFETY: the kernel has written the first `length` bytes of an address, and the rest is zero.
    let mut address = unsafe { SockAddr::new(storage, length) };
    if address.domain() == Domain::IPV6 {
        let mut storage = SockAddrStorage::zeroed();
        length = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
        peer_into(socket, &mut storage, &mut length)?;
        // SAFETY: as above, and this is all of it.
        address = unsafe { SockAddr::new(storage, length) };
    }
    Ok(address.as_socket())
}

fn peer_into(
    socket: BorrowedFd<'_>,
    storage: &mut SockAddrStorage,
    length: &mut libc::socklen_t,
) -> io::Result<()> {
    let (level, name) = (libc::SOL_SOCKET, SO_PEERNAME);
    let address = std::ptr::from_mut(storage).cast::<libc::c_void>();
    // SAFETY: `storage` has room for more than `length` bytes, and both are borrowed for the call.
    check(unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, address, length) })?;
    Ok(())
}

/// Receives what is there into `buffer`; zero is the end of the stream (or an empty buffer).
#[inline]
pub(crate) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let start = buffer.as_mut_ptr().cast::<libc::c_void>();
    let flags = libc::MSG_DONTWAIT;
    // SAFETY: `start` has room for `len` bytes and is borrowed mutably for the call.
    retry(|| check_size(unsafe { libc::recv(socket.as_raw_fd(), start, buffer.len(), flags) }))
}

/// The same for a Unix stream, and whether what was received had more to it than bytes (descriptors, which
/// are closed by this, or credentials): then it may have ended before the data did.
pub(crate) fn receive_unix(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, bool)> {
    let mut piece = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all zeros are a valid header: null pointers, and nothing behind them.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut piece;
    header.msg_iovlen = 1;
    let flags = libc::MSG_DONTWAIT;
    // SAFETY: the header is a live local, and its one piece is `buffer`, borrowed mutably for the call.
    let mut receive = || unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) };
    let n = retry(|| check_size(receive()))?;
    // What there was no room for, and there is none, is told as cut off.
    Ok((n, header.msg_flags & libc::MSG_CTRUNC != 0))
}

/// Sends one piece and says how much of it was taken.
#[inline]
pub(crate) fn send(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let start = bytes.as_ptr().cast::<libc::c_void>();
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    // SAFETY: `start` points at `len` readable bytes that are borrowed for the call.
    retry(|| check_size(unsafe { libc::send(socket.as_raw_fd(), start, bytes.len(), flags) }))
}

/// Sends several pieces as one and says how much of them was taken. Where more is to follow at once, a
/// packet that is not full waits for it.
pub(crate) fn send_vectored(
    socket: BorrowedFd<'_>,
    pieces: &[IoSlice<'_>],
    more_follows: bool,
) -> io::Result<usize> {
    // SAFETY: all-zero is a valid `msghdr`: null pointers with lengths of zero.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    // `IoSlice` is promised to have the layout of `iovec`, and the kernel only reads it.
    message.msg_iov = pieces.as_ptr().cast_mut().cast::<libc::iovec>();
    message.msg_iovlen = pieces.len() as _;
    let more = if more_follows { libc::MSG_MORE } else { 0 };
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT | more;
    // SAFETY: `message` names `pieces.len()` valid pieces, all of it borrowed for the call.
    retry(|| check_size(unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, flags) }))
}

/// Starts to connect. `EINPROGRESS` means that room to write will tell of the end.
pub(crate) fn connect(socket: BorrowedFd<'_>, address: &SockAddr) -> io::Result<()> {
    // A connect that a signal cut short goes on by itself: asking again is EALREADY, so the
    // answer is the same as for one that was begun without waiting.
    match SockRef::from(&socket).connect(address) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            Err(io::Error::from_raw_os_error(libc::EINPROGRESS))
        }
        result => result,
    }
}

/// Takes the error that waits on a socket, if there is one.
pub(crate) fn take_error(socket: BorrowedFd<'_>) -> io::Result<Option<io::Error>> {
    SockRef::from(&socket.as_fd()).take_error()
}

/// Sets an option of a socket that is a number.
pub(crate) fn set_option(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let (start, length) = ((&raw const value).cast(), size_of_val(&value) as libc::socklen_t);
    // SAFETY: `start` names a live integer of `length` bytes.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, start, length) }).map(drop)
}

/// The number that an option of a socket is set to.
pub(crate) fn option(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    option_into(socket, level, name, &mut value)?;
    Ok(value)
}

/// How many datagrams the kernel has dropped since the socket was made, modulo 2³²: for want of room in its
/// buffer, or as they were damaged.
pub(crate) fn dropped(socket: BorrowedFd<'_>) -> io::Result<u32> {
    // What the kernel says of a socket's memory; the drops are the last of it that we know of.
    let mut numbers = [0_u32; 9];
    option_into(socket, libc::SOL_SOCKET, libc::SO_MEMINFO, &mut numbers)?;
    Ok(numbers[8])
}

/// Has the kernel write an option's value over `value`, as far as it is long.
fn option_into<T: Numbers>(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: &mut T,
) -> io::Result<()> {
    let mut length = size_of::<T>() as libc::socklen_t;
    let into = std::ptr::from_mut(value).cast::<libc::c_void>();
    // SAFETY: `value` has room for `length` bytes, any of which make numbers; both are borrowed for the call.
    check(unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, into, &raw mut length) })?;
    Ok(())
}

/// What consists of integers only, so that it may hold any bits.
trait Numbers: Copy {}

impl Numbers for libc::c_int {}
impl Numbers for libc::ucred {}
impl<const N: usize> Numbers for [u32; N] {}
