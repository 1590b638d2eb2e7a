//! One request: httparse reads its head, our rules judge it.
//!
//! [`parse`] looks at the bytes received so far and says one of three things: not complete yet,
//! a request of so many bytes, or an answer that refuses. A refusal ends the connection, since
//! after bad input nobody knows where the next request begins. For the same reason the length of
//! a body is never guessed: if it is small and stated once, it is skipped; otherwise the request
//! is answered and nothing more is read as a request.

use crate::limits::{MAX_FIELDS, MAX_HEAD, MAX_SKIPPED_BODY};
use crate::response::Status;
use std::mem::MaybeUninit;
use std::time::SystemTime;

/// What the bytes received so far are.
#[derive(Debug, PartialEq)]
pub(crate) enum Parsed<'a> {
    /// The beginning of a request.
    Partial,
    /// A request, and the length of its head.
    Complete(Request<'a>, usize),
    /// No request that we can serve: answer with this and close.
    Refused(Status),
}

/// A request with everything the server needs to know of it.
#[derive(Debug, PartialEq)]
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    /// As it stood in the request line.
    pub(crate) target: &'a str,
    /// Whether the client speaks HTTP/1.0 and has to be told that the connection stays open.
    pub(crate) is_http_1_0: bool,
    /// Whether the client may send another request on this connection.
    pub(crate) keep_alive: bool,
    /// Bytes of body to throw away before the next request.
    pub(crate) skip: u64,
    pub(crate) if_modified_since: Option<SystemTime>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Method {
    Get,
    Head,
    /// A method that is known, and not for files.
    NotAllowed,
}

/// Looks at the bytes received so far, which begin where the last request ended.
pub(crate) fn parse(bytes: &[u8]) -> Parsed<'_> {
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut head = httparse::Request::new(&mut []);
    let length = match head.parse_with_uninit_headers(bytes, &mut fields) {
        Ok(httparse::Status::Complete(length)) if length <= MAX_HEAD => length,
        Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD => return Parsed::Partial,
        Ok(_) => return Parsed::Refused(too_large(bytes)),
        Err(httparse::Error::TooManyHeaders) => {
            return Parsed::Refused(Status::RequestHeaderFieldsTooLarge);
        }
        Err(httparse::Error::Version) if names_a_version(bytes) => {
            return Parsed::Refused(Status::VersionNotSupported);
        }
        Err(_) => return Parsed::Refused(Status::BadRequest),
    };
    match judge(&head) {
        Ok(request) => Parsed::Complete(request, length),
        Err(status) => Parsed::Refused(status),
    }
}

/// Our rules, on a head that is well formed.
fn judge<'a>(head: &httparse::Request<'_, 'a>) -> Result<Request<'a>, Status> {
    let (Some(name), Some(target), Some(minor)) = (head.method, head.path, head.version) else {
        return Err(Status::BadRequest);
    };
    let is_http_1_0 = minor == 0;
    let fields = Fields::read(head.headers)?;
    if fields.hosts > 1 || (fields.hosts == 0 && !is_http_1_0) {
        return Err(Status::BadRequest);
    }
    let method = match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" | "PUT" | "DELETE" | "OPTIONS" | "TRACE" | "PATCH" | "CONNECT" => Method::NotAllowed,
        _ => return Err(Status::NotImplemented),
    };
    let (skip, body_is_skipped) = match fields.body(is_http_1_0)? {
        // The client may wait for our `100 Continue` and then send the body, or not.
        Some(length) if length > 0 && fields.expects => (0, false),
        Some(length) if length > MAX_SKIPPED_BODY => (0, false),
        Some(length) => (length, true),
        None => (0, false),
    };
    let wanted = if is_http_1_0 { fields.keep_alive } else { true };
    Ok(Request {
        method,
        target,
        is_http_1_0,
        keep_alive: wanted && !fields.close && body_is_skipped && name != "CONNECT",
        skip,
        if_modified_since: fields.if_modified_since.filter(|_| !fields.has_if_none_match),
    })
}

/// The fields that matter to us.
#[derive(Default)]
struct Fields<'a> {
    hosts: usize,
    close: bool,
    keep_alive: bool,
    expects: bool,
    content_length: Option<u64>,
    transfer_encoding: Option<&'a [u8]>,
    if_modified_since: Option<SystemTime>,
    has_if_none_match: bool,
}

impl<'a> Fields<'a> {
    fn read(headers: &[httparse::Header<'a>]) -> Result<Fields<'a>, Status> {
        let mut fields = Fields::default();
        for field in headers {
            let is = |name: &str| field.name.eq_ignore_ascii_case(name);
            if is("host") {
                fields.hosts += 1;
            } else if is("connection") {
                for option in field.value.split(|&byte| byte == b',') {
                    let option = option.trim_ascii();
                    fields.close |= option.eq_ignore_ascii_case(b"close");
                    fields.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            } else if is("content-length") {
                let length = decimal(field.value).ok_or(Status::BadRequest)?;
                if fields.content_length.is_some_and(|other| other != length) {
                    return Err(Status::BadRequest);
                }
                fields.content_length = Some(length);
            } else if is("transfer-encoding") {
                if fields.transfer_encoding.is_some() {
                    return Err(Status::NotImplemented);
                }
                fields.transfer_encoding = Some(field.value.trim_ascii());
            } else if is("expect") {
                fields.expects = true;
            } else if is("if-modified-since") {
                // A date that nobody can read is no condition.
                let text = std::str::from_utf8(field.value).ok();
                fields.if_modified_since =
                    text.and_then(|text| httpdate::parse_http_date(text.trim()).ok());
            } else if is("if-none-match") {
                fields.has_if_none_match = true;
            }
        }
        Ok(fields)
    }

    /// The length of the body, or `None` where only its own framing would tell.
    fn body(&self, is_http_1_0: bool) -> Result<Option<u64>, Status> {
        match (self.transfer_encoding, self.content_length) {
            (None, length) => Ok(Some(length.unwrap_or(0))),
            // Two lengths, of which each reader would choose its own: the way requests are
            // smuggled. HTTP/1.0 knows no transfer codings at all.
            (Some(_), Some(_)) => Err(Status::BadRequest),
            (Some(_), None) if is_http_1_0 => Err(Status::BadRequest),
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Ok(None),
            (Some(_), None) => Err(Status::NotImplemented),
        }
    }
}

/// Digits and nothing else, unlike `str::parse`, which takes a sign.
fn decimal(value: &[u8]) -> Option<u64> {
    let value = value.trim_ascii();
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// Which part of a head over the limit is to blame.
fn too_large(bytes: &[u8]) -> Status {
    if bytes.iter().take(MAX_HEAD).any(|&byte| byte == b'\n') {
        Status::RequestHeaderFieldsTooLarge
    } else {
        Status::UriTooLong
    }
}

/// Whether the request line is one of HTTP, of a version that is then not ours.
fn names_a_version(bytes: &[u8]) -> bool {
    let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(0);
    let line = bytes[start..].split(|&byte| byte == b'\n').next().unwrap_or_default();
    let mut words = line.trim_ascii_end().split(|&byte| byte == b' ').skip(2);
    match (words.next().and_then(|word| word.strip_prefix(b"HTTP/")), words.next()) {
        (Some([major, b'.', minor]), None) => major.is_ascii_digit() && minor.is_ascii_digit(),
        (Some([major]), None) => major.is_ascii_digit(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
