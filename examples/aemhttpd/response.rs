//! The heads of answers, written into the bytes that go out.

use crate::answers::Answers;
use crate::limits::HEAD_ROOM;
use aem_examples::http::status::Status;
use std::cell::Cell;
use std::io::Write;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What the client is told about the connection after this answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// It stays open, as HTTP/1.1 has it: nothing need be said.
    Open,
    /// It stays open, which has to be said to a client of HTTP/1.0.
    OpenSaid,
    /// It is closed.
    Close,
}

/// A head being written; [`Head::end`] ends it.
#[must_use]
pub(crate) struct Head<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Head<'a> {
    /// The status line and the fields that every answer has.
    pub(crate) fn new(out: &'a mut Answers, status: Status, persistence: Persistence) -> Head<'a> {
        let date = date(out.now()).0;
        let out = out.bytes();
        out.reserve(HEAD_ROOM);
        let persistence: &[u8] = match persistence {
            Persistence::Open => b"",
            Persistence::OpenSaid => b"Connection: keep-alive\r\n",
            Persistence::Close => b"Connection: close\r\n",
        };
        let start =
            [b"HTTP/1.1 ", status.text().as_bytes(), b"\r\nServer: aemhttpd\r\nDate: ", &date[..]];
        start.iter().chain(&[b"\r\n", persistence]).for_each(|it| out.extend_from_slice(it));
        Head { out }
    }

    /// One field. Neither name nor value may come from a client unchecked.
    pub(crate) fn field(self, name: &str, value: impl AsRef<str>) -> Head<'a> {
        for part in [name, ": ", value.as_ref(), "\r\n"] {
            self.out.extend_from_slice(part.as_bytes());
        }
        self
    }

    /// Fields that are written already.
    pub(crate) fn fields(self, fields: &str) -> Head<'a> {
        self.out.extend_from_slice(fields.as_bytes());
        self
    }

    /// The length of the content.
    pub(crate) fn length(self, bytes: u64) -> Head<'a> {
        let written = write!(self.out, "Content-Length: {bytes}\r\n");
        written.expect("a Vec takes all that is written");
        self
    }

    /// The empty line; what is written next is the body.
    pub(crate) fn end(self) -> &'a mut Vec<u8> {
        self.out.extend_from_slice(b"\r\n");
        self.out
    }
}

/// The interim answer to a client that waits with its body.
pub(crate) fn go_on(out: &mut Answers) {
    out.bytes().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
}

/// A whole answer with somebody's content.
pub(crate) fn content(out: &mut Answers, persistence: Persistence, content: &[u8]) {
    Head::new(out, Status::OK, persistence)
        .field("Content-Type", "application/octet-stream")
        .length(content.len() as u64)
        .end()
        .extend_from_slice(content);
}

/// A whole answer that consists of its status, for people who look at it.
///
/// `extra` is a field that belongs to the status, such as `Allow`.
pub(crate) fn plain(
    out: &mut Answers,
    status: Status,
    persistence: Persistence,
    with_body: bool,
    extra: Option<(&str, &str)>,
) {
    let text = status.text();
    let body = format!(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<title>{text}</title>\n\
         <h1>{text}</h1>\n<p>aemhttpd</p>\n"
    );
    let mut head = Head::new(out, status, persistence)
        .field("Content-Type", "text/html; charset=utf-8")
        .length(body.len() as u64);
    if let Some((name, value)) = extra {
        head = head.field(name, value);
    }
    let out = head.end();
    if with_body {
        out.extend_from_slice(body.as_bytes());
    }
}

/// Now, as HTTP writes it, and until when it is that.
pub(crate) fn date(now: Instant) -> ([u8; 29], Instant) {
    thread_local!(static LAST: Cell<Option<([u8; 29], Instant)>> = const { Cell::new(None) });
    if let Some((date, end)) = LAST.get().filter(|(_, end)| now < *end) {
        return (date, end);
    }
    let time = SystemTime::now();
    let date = httpdate::fmt_http_date(time).into_bytes().try_into().expect("it has 29 bytes");
    let gone = time.duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos();
    let end = now + Duration::from_secs(1) - Duration::from_nanos(gone.into());
    LAST.set(Some((date, end)));
    (date, end)
}

#[cfg(test)]
mod tests;
