//! What a client wants to be given, by what it has (RFC 9110, 13 and 14).
//!
//! [`Conditions`] are gathered as they stand in a head, and judged when the file is known, in the order that
//! the RFC gives: is it still what the client takes it for, has it not got it already, and which parts of
//! it are wanted. What cannot be read is no condition.

use super::limits::MAX_RANGES;
use std::fmt;
use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The fields that have a say. Most requests have none, and then there is nothing.
#[derive(Debug, Default, PartialEq)]
pub struct Conditions<'a>(Option<Box<Given<'a>>>);

/// The fields, as they stood there.
#[derive(Debug, Default, PartialEq)]
struct Given<'a> {
    if_match: Vec<&'a [u8]>,
    if_none_match: Vec<&'a [u8]>,
    if_modified_since: Option<&'a [u8]>,
    if_unmodified_since: Option<&'a [u8]>,
    if_range: Option<&'a [u8]>,
    range: Option<&'a [u8]>,
}

const NAMES: [&str; 6] =
    ["range", "if-range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since"];

/// What is to be answered.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    /// All of it.
    Whole,
    /// These parts, none of which is empty.
    Parts(Vec<Range<u64>>),
    /// The client has it.
    NotModified,
    /// It is not what the client takes it for.
    PreconditionFailed,
    /// There is nothing where the client wants to have it from.
    RangeNotSatisfiable,
}

/// What a file is told apart by: its time to the nanosecond and its length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tag {
    /// When it was changed last.
    pub modified: SystemTime,
    /// Its bytes.
    pub length: u64,
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        write!(f, "\"{:x}.{:x}-{:x}\"", time.as_secs(), time.subsec_nanos(), self.length)
    }
}

impl<'a> Conditions<'a> {
    /// Takes in a field, if it is one of these.
    pub fn note(&mut self, name: &str, value: &'a [u8]) {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        if !NAMES.iter().any(|name| is(name)) {
            return;
        }
        let given = self.0.get_or_insert_default();
        match name.len() {
            5 => given.range = Some(value),
            8 if is("if-range") => given.if_range = Some(value),
            8 => given.if_match.push(value),
            13 => given.if_none_match.push(value),
            17 => given.if_modified_since = Some(value),
            _ => given.if_unmodified_since = Some(value),
        }
    }

    /// Judges a file, in the order of section 13.2.2.
    pub fn judge(&self, tag: Tag, is_get: bool) -> Verdict {
        self.0.as_ref().map_or(Verdict::Whole, |given| given.judge(tag, is_get))
    }
}

impl Given<'_> {
    fn judge(&self, tag: Tag, is_get: bool) -> Verdict {
        let own = tag.to_string();
        let seconds =
            |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let modified = seconds(tag.modified);
        let since = |value: Option<&[u8]>| {
            let text = std::str::from_utf8(value?).ok()?;
            httpdate::parse_http_date(text).ok().map(seconds)
        };
        let is_expected = match &self.if_match[..] {
            [] => since(self.if_unmodified_since).is_none_or(|since| modified <= since),
            values => values.iter().any(|value| names(value, &own, false)),
        };
        if !is_expected {
            return Verdict::PreconditionFailed;
        }
        let is_there = match &self.if_none_match[..] {
            [] => since(self.if_modified_since).is_some_and(|since| modified <= since),
            values => values.iter().any(|value| names(value, &own, true)),
        };
        if is_there {
            return Verdict::NotModified;
        }
        let is_same = match self.if_range {
            None => true,
            Some([b'"', ..]) => self.if_range == Some(own.as_bytes()),
            // Of two changes in one second the date would know nothing.
            date => {
                let age = SystemTime::now().duration_since(tag.modified).unwrap_or_default();
                since(date) == Some(modified) && age >= Duration::from_secs(2)
            }
        };
        match self.range {
            Some(range) if is_get && is_same => parts(range, tag.length),
            _ => Verdict::Whole,
        }
    }
}

/// Whether a list of entity tags has this one; weak ones are never the same where that matters (8.8.3.2).
fn names(list: &[u8], own: &str, weakly: bool) -> bool {
    if list == b"*" {
        return true;
    }
    let mut left = list;
    while let Some(start) = left.iter().position(|&byte| byte == b'"') {
        let is_weak = left[..start].ends_with(b"W/");
        let Some(length) = left[start + 1..].iter().position(|&byte| byte == b'"') else { break };
        let end = start + length + 2;
        if left[start..end] == *own.as_bytes() && (weakly || !is_weak) {
            return true;
        }
        left = &left[end..];
    }
    false
}

/// The parts that a Range field wants of so many bytes; the whole where it is not to be followed (14.2).
fn parts(range: &[u8], length: u64) -> Verdict {
    let Some(specs) = specs(range) else { return Verdict::Whole };
    let wanted = specs.iter().map(|spec| match *spec {
        (Some(first), last) => {
            first..last.map_or(length, |last| last.saturating_add(1).min(length))
        }
        (None, last) => length.saturating_sub(last.unwrap_or(0))..length,
    });
    let parts: Vec<_> = wanted.filter(|part| part.start < part.end).collect();
    let sum: u64 = parts.iter().map(|part| part.end - part.start).sum();
    match parts.len() {
        0 => Verdict::RangeNotSatisfiable,
        // Whoever wants bytes twice, or the file in crumbs, gets it as it is.
        2.. if sum > length || specs.len() > MAX_RANGES => Verdict::Whole,
        _ => Verdict::Parts(parts),
    }
}

/// First and last byte of each range, or how many from the end. None if it is not written as it should be.
fn specs(range: &[u8]) -> Option<Vec<(Option<u64>, Option<u64>)>> {
    let (unit, set) = std::str::from_utf8(range).ok()?.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    // Digits of any number: where there are too many the byte is too far away.
    let number = |text: &str| match text {
        "" => Some(None),
        _ if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(Some(text.parse().unwrap_or(u64::MAX)))
        }
        _ => None,
    };
    let specs =
        set.split(',').map(|spec| spec.trim_matches([' ', '\t'])).filter(|it| !it.is_empty());
    let specs = specs.map(|spec| {
        let (first, last) = spec.split_once('-')?;
        match (number(first)?, number(last)?) {
            (None, None) => None,
            (Some(first), Some(last)) if last < first => None,
            spec => Some(spec),
        }
    });
    specs.collect::<Option<Vec<_>>>().filter(|specs| !specs.is_empty())
}

#[cfg(test)]
mod tests;
