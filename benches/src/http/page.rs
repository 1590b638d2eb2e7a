//! The answer that all servers give: AEMhttpd's own, byte by byte, with a date that is right.
//!
//! It is fetched from a running AEMhttpd, so that whatever that one says the others say too. As all
//! answers on a connection are the same bytes, what is still to be sent is a mere number.

use std::io::{self, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::os::fd::RawFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::request::{Request, head_length};
use crate::kernel;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers that are given to the kernel at once. A client that pipelines more gets them in pieces.
const TOGETHER: usize = 64;

/// What the line of the date begins with, and how long the date is.
const DATE: &str = "\r\nDate: ";
const DATE_LENGTH: usize = 29;

/// An answer to a GET.
#[derive(Clone, Debug)]
pub struct Page {
    target: String,
    answer: Vec<u8>,
    /// The bytes of the head, its empty line included.
    head: usize,
    /// Where the date begins.
    date: usize,
    /// Whose date it is.
    second: u64,
}

/// In what two answers are alike, the date apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Likeness {
    /// What a browser shows.
    Body,
    /// The status, the fields in any order and spelling, and the body.
    Fields,
    /// Each byte.
    Bytes,
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl Page {
    /// What a server answers to a GET of `/NAME` that leaves the connection open.
    ///
    /// # Errors
    ///
    /// The connection's, and an answer that is not 200, or without its length or its date.
    pub fn fetch(address: SocketAddr, name: &str) -> io::Result<Page> {
        let target = format!("/{name}");
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(request(&target).as_bytes())?;
        let (mut answer, mut piece) = (Vec::new(), [0; 4_096]);
        let head = loop {
            if let Some(head) = head_length(&answer) {
                break head;
            }
            match stream.read(&mut piece)? {
                0 => return Err(wrong("an answer without an end")),
                count => answer.extend_from_slice(&piece[..count]),
            }
        };
        let mut page = Page::of_head(target, answer, head)?;
        let length = page.field("Content-Length").and_then(|length| length.parse().ok());
        let length: usize = length.ok_or_else(|| wrong("an answer without its length"))?;
        let come = page.answer.len();
        page.answer.resize(head + length, 0);
        let rest = page.answer.get_mut(come..).ok_or_else(|| wrong("more than the answer"))?;
        stream.read_exact(rest)?;
        Ok(page)
    }

    fn of_head(target: String, answer: Vec<u8>, head: usize) -> io::Result<Page> {
        let text = str::from_utf8(&answer[..head]).map_err(io::Error::other)?;
        if !text.starts_with("HTTP/1.1 200 ") {
            return Err(io::Error::other(format!("no page for {target}: {text:?}")));
        }
        let lower = text.to_ascii_lowercase();
        let date = lower.find(&DATE.to_ascii_lowercase());
        let date = date.ok_or_else(|| wrong("an answer without its date"))? + DATE.len();
        Ok(Page { target, answer, head, date, second: 0 })
    }

    /// What it is the answer to.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// All of it.
    pub fn answer(&self) -> &[u8] {
        &self.answer
    }

    /// Where the date stands, in which two answers may differ.
    pub fn date(&self) -> Range<usize> {
        self.date..self.date + DATE_LENGTH
    }

    /// What stands behind the head.
    pub fn body(&self) -> &[u8] {
        &self.answer[self.head..]
    }

    /// The lines of the head, status and empty line apart, by name and value.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let head = str::from_utf8(&self.answer[..self.head]).expect("it was looked at");
        head.lines().skip(1).filter_map(|line| line.split_once(": "))
    }

    fn field(&self, name: &str) -> Option<&str> {
        let is_that = |field: &(&str, &str)| field.0.eq_ignore_ascii_case(name);
        self.fields().find(is_that).map(|(_, value)| value)
    }

    /// In what another is like this one, if its body is.
    pub fn likeness(&self, other: &Page) -> Option<Likeness> {
        let (mut own, mut others) = (self.clone(), other.clone());
        own.answer[self.date()].fill(0);
        others.answer[other.date()].fill(0);
        let facts = |page: &Page| {
            let lower = |(name, value): (&str, &str)| (name.to_ascii_lowercase(), value.to_owned());
            let mut fields: Vec<_> = page.fields().map(lower).collect();
            fields.sort();
            (
                page.answer[..page.head].split(|byte| *byte == b'\r').next().map(<[u8]>::to_vec),
                fields,
            )
        };
        match () {
            () if own.answer == others.answer => Some(Likeness::Bytes),
            () if own.body() != others.body() => None,
            () if facts(&own) == facts(&others) => Some(Likeness::Fields),
            () => Some(Likeness::Body),
        }
    }

    /// Makes the date that of now, if it is not.
    pub fn set_date(&mut self) {
        let now = SystemTime::now();
        let second = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if second != self.second {
            self.second = second;
            let date = self.date();
            self.answer[date].copy_from_slice(httpdate::fmt_http_date(now).as_bytes());
        }
    }

    /// Adds the answers to all requests that are whole. How much of the bytes these were; none if one was
    /// not for the page.
    pub fn answer_all(&mut self, bytes: &[u8], answers: &mut Vec<u8>) -> Option<usize> {
        let mut used = 0;
        self.set_date();
        while let Some(request) = Request::read(&bytes[used..]) {
            if request.method != b"GET" || request.target != self.target.as_bytes() {
                return None;
            }
            used += request.length;
            answers.extend_from_slice(&self.answer);
        }
        Some(used)
    }

    /// Sends answers of which so many bytes are owed, as far as there is room, and takes what was sent
    /// from the debt.
    ///
    /// # Errors
    ///
    /// The connection's. That there is no room is none.
    pub fn send(&self, fd: RawFd, owed: &mut usize) -> io::Result<()> {
        let length = self.answer.len();
        while *owed > 0 {
            let sent = if *owed <= length {
                kernel::send(fd, &self.answer[length - *owed..])
            } else {
                let first = (*owed - 1) % length + 1;
                let mut pieces = [IoSlice::new(&self.answer); TOGETHER];
                pieces[0] = IoSlice::new(&self.answer[length - first..]);
                kernel::send_pieces(fd, &pieces[..owed.div_ceil(length).min(TOGETHER)])
            };
            match sent {
                Ok(sent) => *owed -= sent,
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

/// A request for it, as short as may be.
pub fn request(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

#[cfg(test)]
pub(super) mod tests;
