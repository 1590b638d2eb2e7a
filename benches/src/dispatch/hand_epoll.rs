//! The yardstick on epoll: a wait for a batch of events, a read and a write for each.

use std::io;
use std::os::fd::AsRawFd;
use std::rc::Rc;

use super::relay::{Readers, Relay};
use super::{Figures, laps};
use crate::kernel::Epoll;

/// Edge-triggered.
///
/// # Errors
///
/// Of epoll, and if bytes were lost; so for all loops here.
pub fn edges(readers: Readers, relay: Rc<Relay>) -> io::Result<Figures> {
    run(libc::EPOLLIN | libc::EPOLLET, &readers, &relay)
}

/// Level-triggered.
///
/// # Errors
///
/// See [`edges`].
pub fn levels(readers: Readers, relay: Rc<Relay>) -> io::Result<Figures> {
    run(libc::EPOLLIN, &readers, &relay)
}

fn run(flags: libc::c_int, readers: &Readers, relay: &Relay) -> io::Result<Figures> {
    let mut epoll = Epoll::new()?;
    for (at, reader) in readers.iter().enumerate() {
        epoll.add_for(flags, reader.as_raw_fd(), at as u64)?;
    }
    laps(relay, || {
        while !relay.is_over() {
            for event in 0..epoll.wait(-1)? {
                let (_, key) = epoll.event(event);
                relay.ready(key as usize, &readers[key as usize]);
            }
        }
        Ok(())
    })
}
