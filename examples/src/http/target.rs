//! From a request's target to a path below the root.
//!
//! A target has one of four forms (RFC 9112, 3.2), each for methods of its own; its characters are those
//! of RFC 3986, and nothing else.
//!
//! The order is what makes it safe: first everything is decoded, then it is judged, and what was
//! judged is what is opened. So there is no second spelling of `..` that only the file system
//! would understand. (The kernel holds the line as well: see `files`.)

use super::request::{Characters, Method, letters_digits_and};
use super::status::Status;

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target<'a> {
    /// A path, as it stood there, without the query: characters of ASCII only.
    Path(&'a [u8]),
    /// `*`: the server itself.
    Server,
}

impl<'a> Target<'a> {
    /// Takes a target apart.
    ///
    /// # Errors
    ///
    /// `BadRequest` for one that is none or not for this method; `MisdirectedRequest` for one that
    /// is to be had by TLS only.
    pub fn read(target: &'a [u8], method: Method) -> Result<Target<'a>, Status> {
        let origin = match target {
            b"*" if method == Method::Options => return Ok(Target::Server),
            [b'/', ..] => target,
            _ => match behind_authority(target, method)? {
                Some(origin) => origin,
                None => return Ok(Target::Server),
            },
        };
        let (path, query) = origin.split_at(run_of(origin, &OF_PATH));
        let is_query = matches!(query, [] | [b'?', ..]) && run_of(query, &OF_QUERY) == query.len();
        if !is_query {
            return Err(Status::BAD_REQUEST);
        }
        Ok(Target::Path(if path.is_empty() { b"/" } else { path }))
    }
}

/// What stands behind the host in an absolute target; None if that is the server itself.
fn behind_authority(target: &[u8], method: Method) -> Result<Option<&[u8]>, Status> {
    let target = std::str::from_utf8(target).map_err(|_| Status::BAD_REQUEST)?;
    let (scheme, rest) = target.split_once("://").ok_or(Status::BAD_REQUEST)?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, origin) = rest.split_at(end);
    // Names of users are for nobody to follow (9110, 4.2.4).
    if authority.is_empty() || !is_host(authority.as_bytes()) {
        return Err(Status::BAD_REQUEST);
    }
    if scheme.eq_ignore_ascii_case("https") {
        return Err(Status::MISDIRECTED_REQUEST);
    }
    if !scheme.eq_ignore_ascii_case("http") {
        return Err(Status::BAD_REQUEST);
    }
    // A proxy's way to write `*` (3.2.4).
    let is_server = origin.is_empty() && method == Method::Options;
    Ok(if is_server { None } else { Some(origin.as_bytes()) })
}

/// What to say to a CONNECT: nothing of the kind is done here, if it is one.
pub fn refuse_authority(target: &[u8]) -> Status {
    let has_port = target.rsplit(|&byte| byte == b':').next().is_some_and(|port| {
        !port.is_empty() && port.len() < target.len() && port.iter().all(u8::is_ascii_digit)
    });
    if has_port && is_host(target) { Status::NOT_IMPLEMENTED } else { Status::BAD_REQUEST }
}

/// Whether this is a host, perhaps with a port (RFC 3986, 3.2.2). One without a name is one, too.
pub fn is_host(value: &[u8]) -> bool {
    let port = match value {
        [b'[', rest @ ..] => {
            let end = rest.iter().position(|&byte| byte == b']');
            let (address, port) = rest.split_at(end.unwrap_or(0));
            let address = std::str::from_utf8(address).unwrap_or_default();
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            &port[1..]
        }
        _ => &value[run_of(value, &OF_NAME)..],
    };
    match port {
        [] => true,
        [b':', port @ ..] => port.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// What may stand in a part of a URI (RFC 3986, appendix A), beside percent signs.
const OF_NAME: Characters = letters_digits_and(b"-._~!$&'()*+,;=");
const OF_PATH: Characters = letters_digits_and(b"-._~!$&'()*+,;=/:@");
const OF_QUERY: Characters = letters_digits_and(b"-._~!$&'()*+,;=/:@?");

/// How many bytes at the beginning are such characters, and percent signs with what belongs to them.
fn run_of(text: &[u8], characters: &Characters) -> usize {
    let is_other = |byte: &u8| !characters[usize::from(*byte)];
    let mut run = 0;
    loop {
        run += text[run..].iter().position(is_other).unwrap_or(text.len() - run);
        match &text[run..] {
            [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                run += 3
            }
            _ => return run,
        }
    }
}

/// The path below the root that a target's path names, decoded.
///
/// It never starts with `/`, has no empty, `.` or `..` segment and no NUL. It is empty or ends
/// with `/` exactly if the target named a directory.
///
/// # Errors
///
/// `BadRequest` for NUL, and for `..` in any spelling: clients resolve it before they ask, so whoever
/// sends it is up to something.
pub fn path(target: &[u8]) -> Result<Vec<u8>, Status> {
    let decoded = percent_decoded(target)?;
    if decoded.contains(&0) {
        return Err(Status::BAD_REQUEST);
    }
    let mut path = Vec::with_capacity(decoded.len());
    let mut segments = decoded.split(|&byte| byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            b".." => return Err(Status::BAD_REQUEST),
            b"" | b"." => {}
            name => {
                path.extend_from_slice(name);
                if !is_last {
                    path.push(b'/');
                }
            }
        }
    }
    Ok(path)
}

/// Where a directory asked for without its last `/` is really found.
pub fn as_directory(target: &[u8]) -> String {
    // A location that begins with two slashes would name another host.
    format!("/{}/", String::from_utf8_lossy(target).trim_start_matches('/'))
}

fn percent_decoded(text: &[u8]) -> Result<Vec<u8>, Status> {
    let digit = |byte: Option<u8>| {
        byte.and_then(|byte| char::from(byte).to_digit(16))
            .and_then(|digit| u8::try_from(digit).ok())
            .ok_or(Status::BAD_REQUEST)
    };
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => digit(bytes.next())? << 4 | digit(bytes.next())?,
            plain => plain,
        });
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests;
