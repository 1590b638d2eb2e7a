//! By hand, on `select` (4.2BSD, 1983): a bit for each descriptor, looked at in every call.
//!
//! The type of the C library has room for 1,024 descriptors; the kernel reads as many bits as it is
//! told, so the sets here grow. It is called as `pselect6`, which every architecture has.

use std::io;
use std::net::TcpListener;
use std::os::fd::RawFd;

use super::page::Page;
use super::readiness::{self, Ready, Waiter};

/// What the sets are made of, and so the step in which they grow.
type Word = libc::c_ulong;

/// A set of descriptors.
#[derive(Default)]
struct Set(Vec<Word>);

/// What is waited for, and what the kernel makes of it.
#[derive(Default)]
struct Select {
    bytes: Set,
    room: Set,
    /// Copies, as the kernel leaves in a set only what is ready.
    ready_bytes: Set,
    ready_room: Set,
}

/// Serves until the process ends.
///
/// # Errors
///
/// As of [`readiness::serve`].
pub fn serve(listener: TcpListener, page: Page) -> io::Result<()> {
    readiness::serve(listener, page, Select::default())
}

impl Set {
    fn put(&mut self, fd: RawFd, is_in: bool) {
        let (word, bit) = (fd as usize / Word::BITS as usize, fd as u32 % Word::BITS);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] &= !(1 << bit);
        self.0[word] |= Word::from(is_in) << bit;
    }
}

impl Waiter for Select {
    fn add(&mut self, fd: RawFd) -> io::Result<()> {
        self.wait_for_room(fd, false);
        Ok(())
    }

    fn wait_for_room(&mut self, fd: RawFd, does: bool) {
        self.bytes.put(fd, !does);
        self.room.put(fd, does);
    }

    fn remove(&mut self, fd: RawFd) {
        self.bytes.put(fd, false);
        self.room.put(fd, false);
        // Else it would be as slow as it was with the most there ever were.
        while self.bytes.0.last() == Some(&0) && self.room.0.last() == Some(&0) {
            self.bytes.0.pop();
            self.room.0.pop();
        }
    }

    fn wait(&mut self, news: &mut Vec<Ready>) -> io::Result<()> {
        self.ready_bytes.0.clone_from(&self.bytes.0);
        self.ready_room.0.clone_from(&self.room.0);
        let (bytes, room) = (self.ready_bytes.0.as_mut_ptr(), self.ready_room.0.as_mut_ptr());
        let limit = self.bytes.0.len() * Word::BITS as usize;
        let (none, endless, mask) = (0_usize, 0_usize, 0_usize);
        // SAFETY: the kernel reads and writes so many bits of both sets, which have as many.
        let count =
            unsafe { libc::syscall(libc::SYS_pselect6, limit, bytes, room, none, endless, mask) };
        if count < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) };
        }
        for (place, (bytes, room)) in self.ready_bytes.0.iter().zip(&self.ready_room.0).enumerate()
        {
            let mut ready = bytes | room;
            while ready != 0 {
                let fd = place as RawFd * Word::BITS as RawFd + ready.trailing_zeros() as RawFd;
                news.push(Ready { fd, short_read_is_all: true });
                ready &= ready - 1;
            }
        }
        Ok(())
    }
}
