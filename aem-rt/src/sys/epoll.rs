//! An epoll instance.
//!
//! Entries are edge-triggered, are made once and changed at most once: a change per event would be a
//! system call per event. A wait is given in nanoseconds where the kernel can (`epoll_pwait2`,
//! Linux 5.11) and in milliseconds, rounded up, where it cannot: a wait that ends early would make
//! a timer look again, one that ends late is late.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use super::check;

/// What an entry can be told about, and what it tells.
pub(crate) mod flags {
    /// Data to read, a connection to accept, or the end of the stream.
    pub(crate) const IN: u32 = libc::EPOLLIN as u32;
    /// Room to write.
    pub(crate) const OUT: u32 = libc::EPOLLOUT as u32;
    /// Urgent data, or whatever else a file calls exceptional.
    pub(crate) const PRI: u32 = libc::EPOLLPRI as u32;
    /// The peer will send no more.
    pub(crate) const RDHUP: u32 = libc::EPOLLRDHUP as u32;
    /// Both directions are over. It comes whether it was asked for or not.
    pub(crate) const HUP: u32 = libc::EPOLLHUP as u32;
    /// An error waits to be fetched. It comes whether it was asked for or not.
    pub(crate) const ERR: u32 = libc::EPOLLERR as u32;
    /// Tell of changes, not of states.
    pub(crate) const EDGE: u32 = libc::EPOLLET as u32;
}

/// An epoll instance.
#[derive(Debug)]
pub(crate) struct Epoll {
    fd: OwnedFd,
    /// Whether `epoll_pwait2` may be tried; cleared by the first kernel (or filter) that has none.
    precise: Cell<bool>,
}

impl Epoll {
    /// Makes one.
    pub(crate) fn new() -> io::Result<Epoll> {
        // SAFETY: takes an integer and touches no memory of ours.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the kernel has just made this descriptor for us, and nobody else knows of it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Epoll { fd, precise: Cell::new(cfg!(target_pointer_width = "64")) })
    }

    /// Enters a descriptor, to be told of `interest` with `key`.
    pub(crate) fn add(&self, fd: RawFd, interest: u32, key: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, interest, key)
    }

    /// Changes what an entry is told of. What holds now is told as an edge.
    pub(crate) fn change(&self, fd: RawFd, interest: u32, key: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, interest, key)
    }

    fn control(&self, what: i32, fd: RawFd, interest: u32, key: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: interest, u64: key };
        // SAFETY: `event` is a live local that the kernel only reads.
        check(unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), what, fd, &raw mut event) })?;
        Ok(())
    }

    /// Takes a descriptor out again.
    pub(crate) fn delete(&self, fd: RawFd) -> io::Result<()> {
        // SAFETY: deleting needs no event; kernels since 2.6.9 accept the null pointer.
        check(unsafe {
            libc::epoll_ctl(self.fd.as_raw_fd(), libc::EPOLL_CTL_DEL, fd, std::ptr::null_mut())
        })?;
        Ok(())
    }

    /// Waits for events for at most `wait`, for ever without one, and puts them into `events`.
    ///
    /// A signal ends the wait with no event: whoever waited looks around and waits again.
    #[inline]
    pub(crate) fn wait(&self, events: &mut Events, wait: Option<Duration>) -> io::Result<()> {
        events.count = 0;
        let result = match wait {
            None => self.wait_coarse(events, -1),
            Some(Duration::ZERO) => self.wait_coarse(events, 0),
            Some(wait) if self.precise.get() => match self.wait_precise(events, wait) {
                // EPERM is what some sandboxes answer for a call they have not heard of.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                    self.precise.set(false);
                    self.wait_coarse(events, round_up_ms(wait))
                }
                result => result,
            },
            Some(wait) => self.wait_coarse(events, round_up_ms(wait)),
        };
        match result {
            Ok(count) => {
                events.count = count;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error),
        }
    }

    #[inline]
    fn wait_coarse(&self, events: &mut Events, wait_ms: libc::c_int) -> io::Result<usize> {
        let (buffer, capacity) = events.room();
        // SAFETY: `buffer` has room for `capacity` events and is borrowed mutably for the call.
        let count =
            unsafe { libc::epoll_wait(self.fd.as_raw_fd(), buffer, capacity as i32, wait_ms) };
        check(count).map(|count| count as usize)
    }

    fn wait_precise(&self, events: &mut Events, wait: Duration) -> io::Result<usize> {
        // The C library has a function for this only from glibc 2.35 on, the kernel since 5.11.
        // A wait of more than 2^31 seconds is for ever in all but name.
        let seconds = wait.as_secs().min(i32::MAX as u64);
        let limit = libc::timespec {
            tv_sec: seconds as libc::time_t,
            tv_nsec: libc::c_long::from(wait.subsec_nanos() as i32),
        };
        let (buffer, capacity) = events.room();
        // SAFETY: `buffer` has room for `capacity` events and is borrowed mutably for the call,
        // `limit` is a live local in the kernel's own layout (64-bit targets only, see `new`),
        // and the null signal mask changes no mask.
        let count = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.fd.as_raw_fd(),
                buffer,
                capacity,
                &raw const limit,
                std::ptr::null::<libc::sigset_t>(),
                0_usize,
            )
        };
        check(count as libc::c_int).map(|count| count as usize)
    }
}

/// Milliseconds for `epoll_wait`, never fewer than were asked for.
fn round_up_ms(wait: Duration) -> libc::c_int {
    let ms = wait.as_nanos().div_ceil(1_000_000);
    libc::c_int::try_from(ms).unwrap_or(libc::c_int::MAX)
}

/// Room for the events of one wait.
pub(crate) struct Events {
    buffer: Box<[libc::epoll_event]>,
    count: usize,
}

impl Events {
    /// Room for `capacity` events.
    pub(crate) fn new(capacity: usize) -> Events {
        let none = libc::epoll_event { events: 0, u64: 0 };
        Events { buffer: vec![none; capacity].into_boxed_slice(), count: 0 }
    }

    /// How many the last wait brought.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The key and the flags of one of them.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> (u64, u32) {
        let event = self.buffer[..self.count][index];
        (event.u64, event.events)
    }

    fn room(&mut self) -> (*mut libc::epoll_event, usize) {
        (self.buffer.as_mut_ptr(), self.buffer.len())
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries((0..self.len()).map(|index| self.get(index))).finish()
    }
}

#[cfg(test)]
mod tests;
