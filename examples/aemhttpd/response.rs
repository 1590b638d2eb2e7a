//! The heads of answers, written into the buffer that goes out.

use httpdate::HttpDate;
use std::fmt::Display;
use std::io::Write;
use std::time::SystemTime;

/// What an answer says, in a number and a phrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status(u16, &'static str);

#[rustfmt::skip]
impl Status {
    pub(crate) const OK: Status = Status(200, "OK");
    pub(crate) const NO_CONTENT: Status = Status(204, "No Content");
    pub(crate) const PARTIAL_CONTENT: Status = Status(206, "Partial Content");
    pub(crate) const MOVED_PERMANENTLY: Status = Status(301, "Moved Permanently");
    pub(crate) const NOT_MODIFIED: Status = Status(304, "Not Modified");
    pub(crate) const BAD_REQUEST: Status = Status(400, "Bad Request");
    pub(crate) const FORBIDDEN: Status = Status(403, "Forbidden");
    pub(crate) const NOT_FOUND: Status = Status(404, "Not Found");
    pub(crate) const METHOD_NOT_ALLOWED: Status = Status(405, "Method Not Allowed");
    pub(crate) const REQUEST_TIMEOUT: Status = Status(408, "Request Timeout");
    pub(crate) const LENGTH_REQUIRED: Status = Status(411, "Length Required");
    pub(crate) const PRECONDITION_FAILED: Status = Status(412, "Precondition Failed");
    pub(crate) const CONTENT_TOO_LARGE: Status = Status(413, "Content Too Large");
    pub(crate) const URI_TOO_LONG: Status = Status(414, "URI Too Long");
    pub(crate) const RANGE_NOT_SATISFIABLE: Status = Status(416, "Range Not Satisfiable");
    pub(crate) const EXPECTATION_FAILED: Status = Status(417, "Expectation Failed");
    pub(crate) const MISDIRECTED_REQUEST: Status = Status(421, "Misdirected Request");
    pub(crate) const FIELDS_TOO_LARGE: Status = Status(431, "Request Header Fields Too Large");
    pub(crate) const INTERNAL_SERVER_ERROR: Status = Status(500, "Internal Server Error");
    pub(crate) const NOT_IMPLEMENTED: Status = Status(501, "Not Implemented");
    pub(crate) const SERVICE_UNAVAILABLE: Status = Status(503, "Service Unavailable");
    pub(crate) const VERSION_NOT_SUPPORTED: Status = Status(505, "HTTP Version Not Supported");
}

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
    pub(crate) fn new(out: &'a mut Vec<u8>, status: Status, persistence: Persistence) -> Head<'a> {
        let Status(code, phrase) = status;
        let now = HttpDate::from(SystemTime::now());
        put(out, format_args!("HTTP/1.1 {code} {phrase}\r\nServer: aemhttpd\r\nDate: {now}\r\n"));
        let head = Head { out };
        match persistence {
            Persistence::Open => head,
            Persistence::OpenSaid => head.field("Connection", "keep-alive"),
            Persistence::Close => head.field("Connection", "close"),
        }
    }

    /// One field. Neither name nor value may come from a client unchecked.
    pub(crate) fn field(self, name: &str, value: impl Display) -> Head<'a> {
        put(self.out, format_args!("{name}: {value}\r\n"));
        self
    }

    /// The empty line; what is pushed next is the body.
    pub(crate) fn end(self) {
        self.out.extend_from_slice(b"\r\n");
    }
}

/// The interim answer to a client that waits with its body.
pub(crate) fn go_on(out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
}

/// A whole answer with somebody's content.
pub(crate) fn content(out: &mut Vec<u8>, persistence: Persistence, content: &[u8]) {
    Head::new(out, Status::OK, persistence)
        .field("Content-Type", "application/octet-stream")
        .field("Content-Length", content.len())
        .end();
    out.extend_from_slice(content);
}

/// A whole answer that consists of its status, for people who look at it.
///
/// `extra` is a field that belongs to the status, such as `Allow`.
pub(crate) fn plain(
    out: &mut Vec<u8>,
    status: Status,
    persistence: Persistence,
    with_body: bool,
    extra: Option<(&str, &str)>,
) {
    let Status(code, phrase) = status;
    let body = format!(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<title>{code} {phrase}</title>\n\
         <h1>{code} {phrase}</h1>\n<p>aemhttpd</p>\n"
    );
    let mut head = Head::new(out, status, persistence)
        .field("Content-Type", "text/html; charset=utf-8")
        .field("Content-Length", body.len());
    if let Some((name, value)) = extra {
        head = head.field(name, value);
    }
    head.end();
    if with_body {
        out.extend_from_slice(body.as_bytes());
    }
}

/// Formats into the buffer, in which nothing can fail.
fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a Vec takes all that is written");
}

#[cfg(test)]
mod tests;
