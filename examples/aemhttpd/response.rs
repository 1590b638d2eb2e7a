//! The heads of answers, written into the buffer that goes out.

use httpdate::HttpDate;
use std::fmt::Display;
use std::io::Write;
use std::time::SystemTime;

/// What an answer says, in a number and a phrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Status {
    Ok = 200,
    NoContent = 204,
    MovedPermanently = 301,
    NotModified = 304,
    BadRequest = 400,
    Forbidden = 403,
    NotFound = 404,
    MethodNotAllowed = 405,
    RequestTimeout = 408,
    LengthRequired = 411,
    ContentTooLarge = 413,
    UriTooLong = 414,
    ExpectationFailed = 417,
    MisdirectedRequest = 421,
    RequestHeaderFieldsTooLarge = 431,
    InternalServerError = 500,
    NotImplemented = 501,
    ServiceUnavailable = 503,
    VersionNotSupported = 505,
}

impl Status {
    fn code(self) -> u16 {
        self as u16
    }

    fn phrase(self) -> &'static str {
        match self {
            Status::Ok => "OK",
            Status::NoContent => "No Content",
            Status::MovedPermanently => "Moved Permanently",
            Status::NotModified => "Not Modified",
            Status::BadRequest => "Bad Request",
            Status::Forbidden => "Forbidden",
            Status::NotFound => "Not Found",
            Status::MethodNotAllowed => "Method Not Allowed",
            Status::RequestTimeout => "Request Timeout",
            Status::LengthRequired => "Length Required",
            Status::ContentTooLarge => "Content Too Large",
            Status::UriTooLong => "URI Too Long",
            Status::ExpectationFailed => "Expectation Failed",
            Status::MisdirectedRequest => "Misdirected Request",
            Status::RequestHeaderFieldsTooLarge => "Request Header Fields Too Large",
            Status::InternalServerError => "Internal Server Error",
            Status::NotImplemented => "Not Implemented",
            Status::ServiceUnavailable => "Service Unavailable",
            Status::VersionNotSupported => "HTTP Version Not Supported",
        }
    }
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
        let (code, phrase) = (status.code(), status.phrase());
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
    Head::new(out, Status::Ok, persistence)
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
    let (code, phrase) = (status.code(), status.phrase());
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
