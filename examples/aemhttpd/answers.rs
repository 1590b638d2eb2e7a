//! Answers on their way out.
//!
//! What is made for one event is gathered and sent in one go, in parts: bytes that were written for it,
//! whole answers that are kept for everybody, and pieces of files.

use aem::net::{Sending, TcpStream};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

/// The answers of one moment.
#[derive(Debug)]
pub(crate) struct Answers {
    now: Instant,
    parts: Vec<Part>,
    /// Bytes of all parts but the last.
    before: usize,
}

/// A piece of what goes out.
#[derive(Debug)]
pub(crate) enum Part {
    Written(Vec<u8>),
    Kept(Arc<[u8]>),
    /// It does not count as memory.
    File(OwnedFd, Range<u64>),
}

impl Part {
    fn bytes(&self) -> &[u8] {
        match self {
            Part::Written(bytes) => bytes,
            Part::Kept(bytes) => bytes,
            Part::File(..) => &[],
        }
    }
}

/// A place in the answers, to come back to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    parts: usize,
    bytes: usize,
}

impl Answers {
    /// None yet.
    pub(crate) fn at(now: Instant) -> Answers {
        Answers { now, parts: Vec::new(), before: 0 }
    }

    /// Takes the memory of these, which were sent, for those of another moment.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.parts.clear();
        (self.now, self.before) = (now, 0);
    }

    /// The moment in which they are given.
    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    /// Where more is written.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        if !matches!(self.parts.last(), Some(Part::Written(_))) {
            self.push(Part::Written(Vec::new()));
        }
        match self.parts.last_mut() {
            Some(Part::Written(bytes)) => bytes,
            _ => unreachable!("it was just seen to be there"),
        }
    }

    /// Goes on with something that is there already.
    pub(crate) fn push(&mut self, part: Part) {
        self.before = self.len();
        self.parts.push(part);
    }

    /// Bytes of memory that they take up.
    pub(crate) fn len(&self) -> usize {
        self.before + self.parts.last().map_or(0, |part| part.bytes().len())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Whether there are pieces of files.
    pub(crate) fn has_files(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::File(..)))
    }

    /// Where the next answer begins.
    pub(crate) fn mark(&self) -> Mark {
        match self.parts.last() {
            Some(Part::Written(bytes)) => Mark { parts: self.parts.len() - 1, bytes: bytes.len() },
            _ => Mark { parts: self.parts.len(), bytes: 0 },
        }
    }

    /// The beginning of what came behind a mark: the head of an answer, at least.
    pub(crate) fn since(&self, mark: Mark) -> &[u8] {
        let parts = self.parts.get(mark.parts..).unwrap_or_default();
        match parts {
            [first, ..] if first.bytes().len() > mark.bytes => &first.bytes()[mark.bytes..],
            [_, second, ..] => second.bytes(),
            _ => &[],
        }
    }

    /// Takes back what came behind a mark.
    pub(crate) fn take_back(&mut self, mark: Mark) {
        self.parts.truncate(mark.parts + usize::from(mark.bytes > 0));
        if let Some(Part::Written(bytes)) = self.parts.last_mut().filter(|_| mark.bytes > 0) {
            bytes.truncate(mark.bytes);
        }
        let before = self.parts.len().saturating_sub(1);
        self.before = self.parts[..before].iter().map(|part| part.bytes().len()).sum();
    }

    /// Sends them. What comes back stands for the last part, and so for all.
    pub(crate) fn send(&mut self, stream: &TcpStream) -> Option<Sending> {
        self.before = 0;
        let parts = self.parts.drain(..).map(|part| match part {
            Part::Written(bytes) => stream.send(bytes),
            Part::Kept(bytes) => stream.send(bytes),
            Part::File(file, bytes) => stream.send_file(file, bytes),
        });
        parts.fold(None, |_, sending| Some(sending))
    }

    #[cfg(test)]
    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }
}
