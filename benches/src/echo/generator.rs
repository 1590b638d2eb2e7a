//! Who asks: on each connection it writes a message, reads all of it back, and begins again.
//!
//! A loop on epoll written by hand, on one thread, so that it costs less than any server. Every
//! byte that comes back is compared. Messages are pieces of one pattern, each begins elsewhere than
//! the ones before it, so that bytes of another connection or of an earlier message are seen.

use std::io::{self, Read};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use crate::kernel::{self, Epoll};
use crate::latency::Report;

/// How long nothing at all may come.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is read at once. Bigger than the messages, so that a short read has all there is.
const READ: usize = 64 << 10;

/// Messages begin at one of so many places of the pattern, each so far after the one before. Both
/// are prime.
const PLACES: usize = 4_093;
const STEP: usize = 61;

/// When to begin no more messages.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// After so long.
    Time(Duration),
    /// After so many.
    Requests(u64),
}

struct Connection {
    stream: TcpStream,
    /// Where in the pattern its message begins.
    place: usize,
    sent: usize,
    received: usize,
    began: Instant,
}

/// The connections to one server.
pub struct Generator {
    epoll: Epoll,
    connections: Vec<Connection>,
    pattern: Vec<u8>,
    size: usize,
    buffer: Vec<u8>,
    /// Messages begun, ever.
    begun: usize,
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("WRONG ECHO: {what}"))
}

/// Bytes without a period that matters here, by Marsaglia's xorshift.
fn pattern(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(next).collect()
}

impl Generator {
    /// Connects so many times, for messages of so many bytes.
    ///
    /// # Errors
    ///
    /// The connections', and those of a process that is out of descriptors.
    pub fn connect(address: SocketAddr, connections: usize, size: usize) -> io::Result<Generator> {
        let epoll = Epoll::new()?;
        let began = Instant::now();
        let mut all = Vec::with_capacity(connections);
        for at in 0..connections {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            epoll.add(stream.as_raw_fd(), at as u64)?;
            all.push(Connection { stream, place: 0, sent: size, received: size, began });
        }
        let pattern = pattern(PLACES + size);
        let buffer = vec![0; READ];
        Ok(Generator { epoll, connections: all, pattern, size, buffer, begun: 0 })
    }

    /// Asks on all connections until the limit, and waits for what is under way.
    ///
    /// # Errors
    ///
    /// What came back was not what was sent, or nothing came.
    pub fn run(&mut self, limit: Limit) -> io::Result<Report> {
        let start = Instant::now();
        let (end, mut left) = match limit {
            Limit::Time(time) => (Some(start + time), u64::MAX),
            Limit::Requests(requests) => (None, requests),
        };
        let mut report = Report::default();
        let (mut open, mut silences) = (0, 0);
        for at in 0..self.connections.len().min(left as usize) {
            self.begin(at, Instant::now())?;
            open += 1;
            left -= 1;
        }
        while open > 0 {
            let count = self.epoll.wait(PATIENCE.as_millis() as i32)?;
            // One may be a signal.
            silences = if count == 0 { silences + 1 } else { 0 };
            if silences == 2 {
                return Err(wrong("none came any more"));
            }
            if end.is_some_and(|end| Instant::now() >= end) {
                left = 0;
            }
            for event in 0..count {
                let (flags, at) = self.epoll.event(event);
                if !self.progress(at as usize, flags)? {
                    continue;
                }
                let now = Instant::now();
                report.requests += 1;
                report.latencies.add(now - self.connections[at as usize].began);
                if left > 0 {
                    self.begin(at as usize, now)?;
                    left -= 1;
                } else {
                    open -= 1;
                }
            }
        }
        report.elapsed = start.elapsed();
        Ok(report)
    }

    /// Says that no more will be sent, and waits until the server has ended every connection too.
    ///
    /// # Errors
    ///
    /// It does not, or sends something before it does.
    pub fn finish(mut self) -> io::Result<()> {
        for connection in &self.connections {
            connection.stream.shutdown(Shutdown::Write)?;
        }
        for connection in &mut self.connections {
            connection.stream.set_nonblocking(false)?;
            connection.stream.set_read_timeout(Some(PATIENCE))?;
            if connection.stream.read(&mut self.buffer)? > 0 {
                return Err(wrong("more came back than was sent"));
            }
        }
        Ok(())
    }

    fn begin(&mut self, at: usize, now: Instant) -> io::Result<()> {
        self.begun += 1;
        let connection = &mut self.connections[at];
        connection.place = self.begun * STEP % PLACES;
        connection.sent = 0;
        connection.received = 0;
        connection.began = now;
        connection.send(&self.pattern, self.size)
    }

    /// Sends and reads what can be. Whether the message has come back.
    fn progress(&mut self, at: usize, flags: u32) -> io::Result<bool> {
        let connection = &mut self.connections[at];
        if connection.received == self.size {
            // An edge for writing, or one that an earlier read has dealt with; a byte too many or
            // an end is seen by the next read.
            return Ok(false);
        }
        if connection.sent < self.size {
            connection.send(&self.pattern, self.size)?;
        }
        loop {
            let count = match kernel::recv(connection.stream.as_raw_fd(), &mut self.buffer) {
                Ok(0) => return Err(wrong("the server ended the connection")),
                Ok(count) => count,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(false),
                    io::ErrorKind::Interrupted => continue,
                    _ => return Err(error),
                },
            };
            let expected = &self.pattern[connection.place..connection.place + connection.sent];
            let come = &self.buffer[..count];
            if expected[connection.received..].get(..count) != Some(come) {
                return Err(wrong("other bytes came back than were sent"));
            }
            connection.received += count;
            if connection.received == self.size {
                return Ok(true);
            }
            if count < READ && kernel::short_read_is_all(flags) {
                return Ok(false);
            }
        }
    }
}

impl Connection {
    fn send(&mut self, pattern: &[u8], size: usize) -> io::Result<()> {
        let message = &pattern[self.place..self.place + size];
        while self.sent < size {
            match kernel::send(self.stream.as_raw_fd(), &message[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => break,
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
