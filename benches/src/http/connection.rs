//! One connection of a server written by hand: requests in, a number of bytes owed.

use std::io;
use std::os::fd::RawFd;

use super::page::Page;
use super::request::Request;

/// What may be kept of a head that is not whole.
const MOST_UNREAD: usize = 16 << 10;

/// What is kept of a connection. Nothing is allocated for one whose requests come whole.
#[derive(Debug, Default)]
pub struct Connection {
    /// The beginning of a head.
    unread: Vec<u8>,
    /// Of answers.
    owed: usize,
}

impl Connection {
    /// Takes in what came: an answer is owed for each request that is whole now.
    ///
    /// # Errors
    ///
    /// It is no GET of the page. Servers that trust their clients end the connection then.
    pub fn hear(&mut self, page: &Page, fresh: &[u8]) -> io::Result<()> {
        if self.unread.is_empty() {
            let used = self.read_all(page, fresh)?;
            self.unread.extend_from_slice(&fresh[used..]);
        } else {
            self.unread.extend_from_slice(fresh);
            let unread = std::mem::take(&mut self.unread);
            let used = self.read_all(page, &unread)?;
            self.unread.extend_from_slice(&unread[used..]);
        }
        if self.unread.len() <= MOST_UNREAD { Ok(()) } else { Err(refused()) }
    }

    /// Sends what is owed, as far as there is room.
    ///
    /// # Errors
    ///
    /// The connection's.
    pub fn say(&mut self, page: &Page, fd: RawFd) -> io::Result<()> {
        page.send(fd, &mut self.owed)
    }

    /// What is owed, for one who sends it himself.
    pub fn take_owed(&mut self) -> usize {
        std::mem::take(&mut self.owed)
    }

    /// Whether there was no room for all that is owed.
    pub fn owes(&self) -> bool {
        self.owed > 0
    }

    /// How much of it was used.
    fn read_all(&mut self, page: &Page, bytes: &[u8]) -> io::Result<usize> {
        let mut used = 0;
        while let Some(request) = Request::read(&bytes[used..]) {
            if request.method != b"GET" || request.target != page.target().as_bytes() {
                return Err(refused());
            }
            used += request.length;
            self.owed += page.answer().len();
        }
        Ok(used)
    }
}

fn refused() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no request for the page")
}

#[cfg(test)]
mod tests;
