//! By hand, on `poll` (System V, 1986): all descriptors are handed over and looked at in every call.

use std::io;
use std::net::TcpListener;
use std::os::fd::RawFd;

use super::page::Page;
use super::readiness::{self, Ready, Waiter};
use crate::kernel::checked;

/// What is waited for, and where in the list each descriptor stands.
#[derive(Default)]
struct Poll {
    list: Vec<libc::pollfd>,
    /// By descriptor.
    places: Vec<usize>,
}

/// Serves until the process ends.
///
/// # Errors
///
/// As of [`readiness::serve`].
pub fn serve(listener: TcpListener, page: Page) -> io::Result<()> {
    readiness::serve(listener, page, Poll::default())
}

impl Waiter for Poll {
    fn add(&mut self, fd: RawFd) -> io::Result<()> {
        if self.places.len() <= fd as usize {
            self.places.resize(fd as usize + 1, 0);
        }
        self.places[fd as usize] = self.list.len();
        self.list.push(libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
        Ok(())
    }

    fn wait_for_room(&mut self, fd: RawFd, does: bool) {
        let place = self.places[fd as usize];
        self.list[place].events = if does { libc::POLLOUT } else { libc::POLLIN };
    }

    fn remove(&mut self, fd: RawFd) {
        let place = self.places[fd as usize];
        self.list.swap_remove(place);
        if let Some(moved) = self.list.get(place) {
            self.places[moved.fd as usize] = place;
        }
    }

    fn wait(&mut self, news: &mut Vec<Ready>) -> io::Result<()> {
        let (list, length) = (self.list.as_mut_ptr(), self.list.len() as libc::nfds_t);
        // SAFETY: the kernel reads and writes so many entries, which are there.
        let count = match checked(unsafe { libc::poll(list, length, -1) }) {
            Ok(count) => count as usize,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error),
        };
        let ready = self.list.iter().filter(|entry| entry.revents != 0);
        // What is left is told again by the next call.
        news.extend(ready.take(count).map(|it| Ready { fd: it.fd, short_read_is_all: true }));
        Ok(())
    }
}
