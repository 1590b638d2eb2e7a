//! Who asks: on each connection a request, all of its answer, and then the next request.
//!
//! A loop on epoll written by hand, on one thread, as the one of the echo benchmark. Every byte of every
//! answer is compared, but for the date.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use super::crowd::check;
use crate::http::page::{Page, request};
use crate::kernel::{self, Epoll};
use crate::latency::Report;

/// How long nothing at all may come.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is read at once. Bigger than the answer, so that a short read has all there is.
const READ: usize = 64 << 10;

struct Asker<'a> {
    page: &'a Page,
    request: String,
    buffer: Vec<u8>,
}

/// One connection, and how much of its answer has come.
struct Waiting {
    fd: RawFd,
    received: usize,
    began: Instant,
}

/// Asks on all these connections for so long, and waits for what is under way.
///
/// # Errors
///
/// Another answer than the page came, or none.
pub fn ask(streams: &[&TcpStream], page: &Page, time: Duration) -> io::Result<Report> {
    let mut epoll = Epoll::new()?;
    let mut asker = Asker { page, request: request(page.target()), buffer: vec![0; READ] };
    let mut report = Report::default();
    let start = Instant::now();
    let mut all = Vec::with_capacity(streams.len());
    for (key, stream) in streams.iter().enumerate() {
        let waiting = Waiting { fd: stream.as_raw_fd(), received: 0, began: Instant::now() };
        epoll.add(waiting.fd, key as u64)?;
        asker.begin(&waiting)?;
        all.push(waiting);
    }
    let (mut open, mut silences) = (all.len(), 0);
    while open > 0 {
        let count = epoll.wait(PATIENCE.as_millis() as i32)?;
        // One may be a signal.
        silences = if count == 0 { silences + 1 } else { 0 };
        if silences == 2 {
            return Err(io::Error::other("no answer came any more"));
        }
        for event in 0..count {
            let (flags, key) = epoll.event(event);
            let waiting = &mut all[key as usize];
            if waiting.received == page.answer().len() || !asker.read(waiting, flags)? {
                // The first is the end of one that asks no more: only what it did not ask for comes.
                continue;
            }
            let now = Instant::now();
            report.requests += 1;
            report.latencies.add(now - waiting.began);
            if now - start < time {
                (waiting.received, waiting.began) = (0, now);
                asker.begin(waiting)?;
            } else {
                open -= 1;
            }
        }
    }
    report.elapsed = start.elapsed();
    Ok(report)
}

impl Asker<'_> {
    fn begin(&self, waiting: &Waiting) -> io::Result<()> {
        let sent = kernel::send(waiting.fd, self.request.as_bytes())?;
        // There is room for it, as all before it was answered.
        if sent == self.request.len() { Ok(()) } else { Err(io::Error::other("half a request")) }
    }

    /// Reads what is there. Whether the answer is whole.
    fn read(&mut self, waiting: &mut Waiting, flags: u32) -> io::Result<bool> {
        loop {
            let count = match kernel::recv(waiting.fd, &mut self.buffer) {
                Ok(0) => return Err(io::Error::other("the server ended the connection")),
                Ok(count) => count,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(false),
                    io::ErrorKind::Interrupted => continue,
                    _ => return Err(error),
                },
            };
            check(self.page, &self.buffer[..count], waiting.received)?;
            waiting.received += count;
            if waiting.received == self.page.answer().len() {
                return Ok(true);
            }
            if count < READ && kernel::short_read_is_all(flags) {
                return Ok(false);
            }
        }
    }
}
