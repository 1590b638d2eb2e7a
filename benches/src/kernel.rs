//! The few system calls that the loops written by hand are made of.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// What a call returned, or the error that it left.
///
/// # Errors
///
/// The call's own.
pub fn checked(returned: libc::c_int) -> io::Result<libc::c_int> {
    if returned < 0 { Err(io::Error::last_os_error()) } else { Ok(returned) }
}

/// The same for calls that return a length.
fn checked_length(returned: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(returned).map_err(|_| io::Error::last_os_error())
}

/// Reads what is there, without waiting.
///
/// # Errors
///
/// The call's own, `WouldBlock` among them.
pub fn recv(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    let (start, length) = (buffer.as_mut_ptr(), buffer.len());
    // SAFETY: the kernel writes into the buffer, and as much as fits.
    checked_length(unsafe { libc::recv(fd, start.cast(), length, libc::MSG_DONTWAIT) })
}

/// Sends as much as there is room for, without waiting.
///
/// # Errors
///
/// The call's own, `WouldBlock` among them.
pub fn send(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the kernel reads the bytes, and no more.
    checked_length(unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), flags) })
}

/// Sends as much as there is room for of pieces that follow each other, without waiting.
///
/// # Errors
///
/// The call's own, `WouldBlock` among them.
pub fn send_pieces(fd: RawFd, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    // SAFETY: all zeros are a valid header: null pointers, and nothing behind them.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = pieces.as_ptr().cast_mut().cast();
    message.msg_iovlen = pieces.len() as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: slices for vectored calls have the layout of the kernel's, which reads what they name.
    checked_length(unsafe { libc::sendmsg(fd, &message, flags) })
}

/// Accepts a connection whose calls do not wait.
///
/// # Errors
///
/// The call's own, `WouldBlock` when nobody wants in.
pub fn accept(listener: RawFd) -> io::Result<RawFd> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let null = std::ptr::null_mut();
    // SAFETY: with null the kernel writes no address.
    checked(unsafe { libc::accept4(listener, null, null.cast(), flags) })
}

/// Closes a descriptor. What the kernel says to that cannot be acted upon.
pub fn close(fd: RawFd) {
    // SAFETY: the caller's descriptor, which is not used any more.
    unsafe { libc::close(fd) };
}

/// Ends both directions of a connection, which stays open. A peer who ended it first is no error.
pub fn shut_down(fd: RawFd) {
    // SAFETY: a plain call on the caller's descriptor.
    unsafe { libc::shutdown(fd, libc::SHUT_RDWR) };
}

/// Switches off Nagle's delay. On Linux connections have it from their listener.
///
/// # Errors
///
/// It is no TCP socket.
pub fn set_nodelay(socket: &impl AsRawFd) -> io::Result<()> {
    let one: libc::c_int = 1;
    let (level, option) = (libc::IPPROTO_TCP, libc::TCP_NODELAY);
    let (value, length) = ((&raw const one).cast(), size_of::<libc::c_int>() as libc::socklen_t);
    // SAFETY: the kernel reads one int, which is there.
    checked(unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value, length) })?;
    Ok(())
}

/// Has this process ended by the kernel when its parent ends, so that none is left behind.
pub fn end_with_parent() {
    // SAFETY: a setting of this process that touches no memory.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) };
}

/// Lets this process, and those that it starts, have so many descriptors. How many it may have then:
/// fewer where that is the most.
///
/// # Errors
///
/// None that are known.
pub fn raise_descriptors(wanted: u64) -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one limit, which is there.
    checked(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    if limit.rlim_cur >= wanted {
        return Ok(limit.rlim_cur);
    }
    let higher = libc::rlimit { rlim_cur: wanted, rlim_max: wanted.max(limit.rlim_max) };
    // SAFETY: the kernel reads one limit, which is there.
    if checked(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &higher) }).is_ok() {
        return Ok(wanted);
    }
    // Above the hard limit only the administrator may go.
    limit.rlim_cur = limit.rlim_max.min(wanted);
    // SAFETY: as above.
    checked(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) })?;
    Ok(limit.rlim_cur)
}

/// An epoll set, and room for what it says.
#[derive(Debug)]
pub struct Epoll {
    set: OwnedFd,
    events: Vec<libc::epoll_event>,
}

/// How many events a call may bring.
const EVENTS: usize = 1_024;

impl Epoll {
    /// An empty set.
    ///
    /// # Errors
    ///
    /// Out of descriptors or memory.
    pub fn new() -> io::Result<Epoll> {
        // SAFETY: a plain call that makes a descriptor.
        let set = checked(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: it is new, and nobody else's.
        let set = unsafe { OwnedFd::from_raw_fd(set) };
        Ok(Epoll { set, events: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS] })
    }

    /// Watches a descriptor for both directions, edge-triggered, until it is closed.
    ///
    /// # Errors
    ///
    /// Out of watches or memory.
    pub fn add(&self, fd: RawFd, key: u64) -> io::Result<()> {
        let both = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
        self.add_for(both, fd, key)
    }

    /// Watches a descriptor for what these flags say, until it is closed.
    ///
    /// # Errors
    ///
    /// As of [`add`](Epoll::add).
    pub fn add_for(&self, flags: libc::c_int, fd: RawFd, key: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: flags as u32, u64: key };
        let set = self.set.as_raw_fd();
        // SAFETY: the kernel reads one event, which is there.
        checked(unsafe { libc::epoll_ctl(set, libc::EPOLL_CTL_ADD, fd, &mut event) })?;
        Ok(())
    }

    /// Sleeps until there is news, or for so many milliseconds, or for ever with -1. How many
    /// events there are; none when a signal came.
    ///
    /// # Errors
    ///
    /// None that are known.
    pub fn wait(&mut self, timeout_ms: libc::c_int) -> io::Result<usize> {
        let (room, most) = (self.events.as_mut_ptr(), self.events.len() as libc::c_int);
        // SAFETY: the kernel writes at most as many events as there is room for.
        match checked(unsafe { libc::epoll_wait(self.set.as_raw_fd(), room, most, timeout_ms) }) {
            Ok(count) => Ok(count as usize),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// One of the events of the last wait: its flags and its key.
    pub fn event(&self, at: usize) -> (u32, u64) {
        let event = self.events[at];
        (event.events, event.u64)
    }
}

/// Whether a read that did not fill its buffer has taken all there is, end and error included.
pub fn short_read_is_all(flags: u32) -> bool {
    let more = libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR | libc::EPOLLPRI;
    flags & more as u32 == 0
}
