//! The head of a request, as far as a server reads it that trusts its clients.
//!
//! The head ends at its empty line, and its first line begins with a method and a target. The fields
//! are passed over, and there is no body.

/// A whole head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// As it stands there.
    pub method: &'a [u8],
    /// As it stands there, a query and all.
    pub target: &'a [u8],
    /// Its bytes, the empty line included.
    pub length: usize,
}

impl Request<'_> {
    /// The first one in these bytes. None if it is not whole.
    pub fn read(bytes: &[u8]) -> Option<Request<'_>> {
        let length = head_length(bytes)?;
        let mut words = bytes[..length].split(|byte| matches!(byte, b' ' | b'\r'));
        let (method, target) = (words.next()?, words.next()?);
        Some(Request { method, target, length })
    }
}

/// How long a head is: up to its empty line, and with it.
///
/// Only every fourth byte is looked at as long as it is no line end (Horspool 1980).
pub fn head_length(bytes: &[u8]) -> Option<usize> {
    let mut last = 3;
    loop {
        last += match bytes.get(last)? {
            b'\n' if bytes[last - 3..last] == *b"\r\n\r" => return Some(last + 1),
            b'\n' => 2,
            b'\r' => 1,
            _ => 4,
        };
    }
}

#[cfg(test)]
mod tests;
