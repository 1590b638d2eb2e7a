//! The head of one request, read as strictly as RFC 9110 and 9112 allow.
//!
//! [`parse`] looks at the bytes received so far and says one of three things: not complete yet,
//! a request whose head is so long, or an answer that refuses. A refusal ends the connection, since
//! after bad input nobody knows where the next request begins. The request line is read here, the
//! fields by httparse; what both leave open is judged here: line ends, hosts, lengths.
//!
//! What one reader takes for a body and another for a request is how requests are smuggled. So
//! whatever could be read in two ways is refused.

use super::conditions::Conditions;
use super::limits::{FEW_FIELDS, MAX_BLANKS, MAX_FIELDS, MAX_HEAD, MAX_LINE, MAX_METHOD};
use super::status::Status;
use super::target::{self, Target};

/// What the bytes received so far are.
#[derive(Debug, PartialEq)]
pub enum Parsed<'a> {
    /// The beginning of a request.
    Partial,
    /// A request, and the length of its head.
    Complete(Request<'a>, usize),
    /// No request that we can serve: answer with this and close.
    Refused(Status),
}

/// A request with everything the server needs to know of it.
#[derive(Debug, PartialEq)]
pub struct Request<'a> {
    /// The whole request line.
    pub line: &'a [u8],
    /// What is to be done.
    pub method: Method,
    /// With what.
    pub target: Target<'a>,
    /// Whether the client speaks HTTP/1.0 and has to be told that the connection stays open.
    pub is_http_1_0: bool,
    /// Whether the client may send another request on this connection.
    pub keep_alive: bool,
    /// Where its body ends.
    pub framing: Framing,
    /// Whether the client waits for our word before it sends the body.
    pub expects: bool,
    /// What the client has already, or wants of it.
    pub conditions: Conditions<'a>,
}

/// What is to be done (RFC 9110, 9.3).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// Give me it.
    Get,
    /// Tell me of it.
    Head,
    /// Take this.
    Post,
    /// Say what can be done.
    Options,
    /// A method that is known, and for nothing here.
    Other,
}

/// Where a body ends (RFC 9112, 6).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Framing {
    /// There is none.
    None,
    /// Behind so many bytes.
    Length(u64),
    /// Behind the last of its chunks.
    Chunked,
}

/// Looks at the bytes received so far, which begin where the last request ended.
pub fn parse(bytes: &[u8]) -> Parsed<'_> {
    match read(bytes) {
        Ok(Some((request, length))) => Parsed::Complete(request, length),
        Ok(None) if bytes.len() >= MAX_HEAD => Parsed::Refused(Status::FIELDS_TOO_LARGE),
        Ok(None) => Parsed::Partial,
        Err(status) => Parsed::Refused(status),
    }
}

fn read(bytes: &[u8]) -> Result<Option<(Request<'_>, usize)>, Status> {
    let mut start = 0;
    // An empty line or two before a request are nothing (2.2).
    while start < 2 * MAX_BLANKS && bytes[start..].starts_with(b"\r\n") {
        start += 2;
    }
    let Some((line, length)) = line(&bytes[start..], MAX_LINE, Status::URI_TOO_LONG)? else {
        check_beginning(&bytes[start..])?;
        return Ok(None);
    };
    start += length;
    let request_line = RequestLine::read(line)?;
    let mut fields = Fields::default();
    // Most requests have few, and room for all that there may be takes longer to make than to use.
    let length = match read_fields::<FEW_FIELDS>(&bytes[start..], &mut fields) {
        Err(Status::FIELDS_TOO_LARGE) => read_fields::<MAX_FIELDS>(&bytes[start..], &mut fields)?,
        length => length?,
    };
    match length {
        None => Ok(None),
        Some(length) if start + length > MAX_HEAD => Err(Status::FIELDS_TOO_LARGE),
        Some(length) => Ok(Some((judge(request_line, fields)?, start + length))),
    }
}

/// Reads all fields, of which there may be `N`, and returns their length with the empty line behind them;
/// none if that has not come yet.
fn read_fields<'a, const N: usize>(
    bytes: &'a [u8],
    said: &mut Fields<'a>,
) -> Result<Option<usize>, Status> {
    let mut fields = [httparse::EMPTY_HEADER; N];
    match httparse::parse_headers(bytes, &mut fields) {
        Ok(httparse::Status::Complete((length, fields))) => {
            if !has_strict_lines(&bytes[..length]) {
                return Err(Status::BAD_REQUEST);
            }
            said.read(fields)?;
            Ok(Some(length))
        }
        Ok(httparse::Status::Partial) => Ok(None),
        Err(httparse::Error::TooManyHeaders) => Err(Status::FIELDS_TOO_LARGE),
        Err(_) => Err(Status::BAD_REQUEST),
    }
}

/// The first line of some bytes and its length with its end, which is CRLF and nothing else: a
/// lone CR or LF is what readers disagree about. None if there is no end yet.
pub fn line(
    bytes: &[u8],
    limit: usize,
    too_long: Status,
) -> Result<Option<(&[u8], usize)>, Status> {
    let end = memchr::memchr2(b'\r', b'\n', &bytes[..bytes.len().min(limit + 1)]);
    match end {
        Some(end) => match (bytes[end], bytes.get(end + 1)) {
            (b'\r', Some(b'\n')) => Ok(Some((&bytes[..end], end + 2))),
            (b'\r', None) => Ok(None),
            _ => Err(Status::BAD_REQUEST),
        },
        None if bytes.len() > limit => Err(too_long),
        None => Ok(None),
    }
}

/// Whether the beginning of a line may become a request line: whoever speaks another protocol need
/// not wait for an answer until he ends a line.
fn check_beginning(bytes: &[u8]) -> Result<(), Status> {
    let method = bytes.split(|&byte| byte == b' ').next().unwrap_or_default();
    let method = method.strip_suffix(b"\r").unwrap_or(method);
    if !method.iter().copied().all(is_token) || bytes.first() == Some(&b' ') {
        return Err(Status::BAD_REQUEST);
    }
    if method.len() > MAX_METHOD { Err(Status::NOT_IMPLEMENTED) } else { Ok(()) }
}

/// The parts of a request line (3).
struct RequestLine<'a> {
    line: &'a [u8],
    method: Method,
    target: Target<'a>,
    is_http_1_0: bool,
}

impl<'a> RequestLine<'a> {
    fn read(line: &'a [u8]) -> Result<RequestLine<'a>, Status> {
        let (start, version) = line.split_last_chunk::<9>().ok_or(Status::BAD_REQUEST)?;
        let [b' ', b'H', b'T', b'T', b'P', b'/', major @ b'0'..=b'9', b'.', minor @ b'0'..=b'9'] =
            version
        else {
            return Err(Status::BAD_REQUEST);
        };
        let space = start.iter().position(|&byte| byte == b' ').ok_or(Status::BAD_REQUEST)?;
        let (method, target) = (&start[..space], &start[space + 1..]);
        let known = match method {
            b"GET" => Some(Method::Get),
            b"HEAD" => Some(Method::Head),
            b"POST" => Some(Method::Post),
            b"OPTIONS" => Some(Method::Options),
            b"PUT" | b"DELETE" | b"TRACE" | b"PATCH" => Some(Method::Other),
            _ if method.is_empty() || !method.iter().copied().all(is_token) => {
                return Err(Status::BAD_REQUEST);
            }
            _ => None,
        };
        if *major != b'1' {
            return Err(Status::VERSION_NOT_SUPPORTED);
        }
        let method = match known {
            Some(method) => method,
            None if method == b"CONNECT" => return Err(target::refuse_authority(target)),
            None => return Err(Status::NOT_IMPLEMENTED),
        };
        let target = Target::read(target, method)?;
        // A minor version that is higher than ours is spoken to as if it were ours (9110, 2.5).
        Ok(RequestLine { line, method, target, is_http_1_0: *minor == b'0' })
    }
}

/// The fields that matter to us.
#[derive(Default)]
struct Fields<'a> {
    host: Option<&'a [u8]>,
    close: bool,
    keep_alive: bool,
    expects: bool,
    content_length: Option<u64>,
    codings: Option<Codings>,
    conditions: Conditions<'a>,
}

/// What the transfer codings of a body come to.
#[derive(Clone, Copy, PartialEq)]
enum Codings {
    /// Chunked, and nothing else.
    Chunked,
    /// Chunked at the end, after some that are not known here.
    Unknown,
    /// There is no telling where the body ends.
    Endless,
}

impl<'a> Fields<'a> {
    fn read(&mut self, headers: &[httparse::Header<'a>]) -> Result<(), Status> {
        for field in headers {
            let is = |name: &str| field.name.eq_ignore_ascii_case(name);
            if is("host") {
                // More than one is for nobody to choose from (3.2).
                if self.host.replace(field.value).is_some() || !target::is_host(field.value) {
                    return Err(Status::BAD_REQUEST);
                }
            } else if is("connection") {
                for option in list(field.value) {
                    self.close |= option.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            } else if is("content-length") {
                // Two that are the same may be taken for one, or refused (6.3): they are refused.
                let length = decimal(field.value).ok_or(Status::BAD_REQUEST)?;
                if self.content_length.replace(length).is_some() {
                    return Err(Status::BAD_REQUEST);
                }
            } else if is("transfer-encoding") {
                self.codings = list(field.value).fold(self.codings, |before, coding| {
                    Some(match (coding.eq_ignore_ascii_case(b"chunked"), before) {
                        (true, None) => Codings::Chunked,
                        (true, Some(Codings::Endless)) => Codings::Unknown,
                        // Chunked twice, or something after it.
                        _ => Codings::Endless,
                    })
                });
                // An empty list is no coding, and yet the field is there.
                self.codings.get_or_insert(Codings::Endless);
            } else if is("expect") {
                if !field.value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(Status::EXPECTATION_FAILED);
                }
                self.expects = true;
            } else {
                self.conditions.note(field.name, field.value);
            }
        }
        Ok(())
    }

    /// Where the body ends (6.3).
    fn framing(&self, is_http_1_0: bool) -> Result<Framing, Status> {
        match (self.codings, self.content_length) {
            (None, None) => Ok(Framing::None),
            (None, Some(length)) => Ok(Framing::Length(length)),
            // Two lengths, of which each reader would choose its own.
            (Some(_), Some(_)) => Err(Status::BAD_REQUEST),
            // HTTP/1.0 knows no transfer codings.
            (Some(_), None) if is_http_1_0 => Err(Status::BAD_REQUEST),
            (Some(Codings::Chunked), None) => Ok(Framing::Chunked),
            (Some(Codings::Unknown), None) => Err(Status::NOT_IMPLEMENTED),
            (Some(Codings::Endless), None) => Err(Status::BAD_REQUEST),
        }
    }
}

/// Our rules, on a head that is well formed.
fn judge<'a>(line: RequestLine<'a>, fields: Fields<'a>) -> Result<Request<'a>, Status> {
    let RequestLine { line, method, target, is_http_1_0 } = line;
    if fields.host.is_none() && !is_http_1_0 {
        return Err(Status::BAD_REQUEST);
    }
    let framing = fields.framing(is_http_1_0)?;
    let wanted = if is_http_1_0 { fields.keep_alive } else { true };
    Ok(Request {
        line,
        method,
        target,
        is_http_1_0,
        keep_alive: wanted && !fields.close,
        framing,
        // Whoever speaks HTTP/1.0 does not know of interim answers (9110, 10.1.1).
        expects: fields.expects && !is_http_1_0,
        conditions: fields.conditions,
    })
}

/// Whether all line ends are CRLF. httparse has seen that a CR stands nowhere else.
fn has_strict_lines(head: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', head).all(|end| end > 0 && head[end - 1] == b'\r')
}

/// The elements of a list; empty ones count for nothing (9110, 5.6.1).
fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let elements = value.split(|&byte| byte == b',').map(|element| element.trim_ascii());
    elements.filter(|element| !element.is_empty())
}

/// Whether a byte may stand in a method or a field name (9110, 5.6.2).
pub fn is_token(byte: u8) -> bool {
    const TOKEN: Characters = letters_digits_and(b"!#$%&'*+-.^_`|~");
    TOKEN[usize::from(byte)]
}

/// Which of all characters may stand somewhere.
pub(super) type Characters = [bool; 256];

pub(super) const fn letters_digits_and(others: &[u8]) -> Characters {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut place = 0;
    while place < others.len() {
        table[others[place] as usize] = true;
        place += 1;
    }
    table
}

/// Digits and nothing else, unlike `str::parse`, which takes a sign.
fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
