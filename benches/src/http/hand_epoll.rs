//! By hand, on `epoll`: each descriptor is registered once, edge-triggered, for both directions.

use std::io;
use std::net::TcpListener;
use std::os::fd::RawFd;

use super::page::Page;
use super::readiness::{self, Ready, Waiter};
use crate::kernel::{self, Epoll};

/// Serves until the process ends.
///
/// # Errors
///
/// As of [`readiness::serve`].
pub fn serve(listener: TcpListener, page: Page) -> io::Result<()> {
    readiness::serve(listener, page, Epoll::new()?)
}

impl Waiter for Epoll {
    fn add(&mut self, fd: RawFd) -> io::Result<()> {
        Epoll::add(self, fd, fd as u64)
    }

    fn wait_for_room(&mut self, _fd: RawFd, _does: bool) {}

    /// Closing takes it out.
    fn remove(&mut self, _fd: RawFd) {}

    fn wait(&mut self, news: &mut Vec<Ready>) -> io::Result<()> {
        let count = Epoll::wait(self, -1)?;
        news.extend((0..count).map(|at| {
            let (flags, key) = self.event(at);
            Ready { fd: key as RawFd, short_read_is_all: kernel::short_read_is_all(flags) }
        }));
        Ok(())
    }
}
