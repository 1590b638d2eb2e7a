//! Anything that can be sent, and the queue it waits in.
//!
//! A [`Payload`] takes over whatever the caller has, a vector, a string, something static, something
//! shared, a chunk that was received, so that sending copies nothing. A [`SendQueue`] is the
//! payloads of one stream in order, with an offset into the first: what the kernel took is gone
//! from it. A queue of one payload allocates nothing.

mod file_part;
mod places;

use std::collections::VecDeque;
use std::fmt;
use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::chunk::Chunk;
use crate::chunk::bytes::{Bytes, Origin};
pub(crate) use file_part::FilePart;
use places::{Placed, Places};

/// Bytes to send, taken over from whatever they were.
///
/// Everything that a `send` of ours accepts turns into one by `into()`, and none of it is copied.
///
/// ```
/// use std::sync::Arc;
/// use aem::Payload;
///
/// let shared: Arc<[u8]> = Arc::from(*b"to all of you");
/// let payloads: [Payload; 3] = ["static".into(), vec![1, 2, 3].into(), shared.clone().into()];
/// assert_eq!(payloads.map(|payload| payload.len()), [6, 3, 13]);
/// ```
pub struct Payload(Bytes);

impl Payload {
    /// How many bytes there are.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes.
    #[must_use]
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Payload {
        Chunk::from(bytes).into()
    }
}

impl From<String> for Payload {
    fn from(text: String) -> Payload {
        text.into_bytes().into()
    }
}

impl From<Box<[u8]>> for Payload {
    fn from(bytes: Box<[u8]>) -> Payload {
        bytes.into_vec().into()
    }
}

impl From<&'static [u8]> for Payload {
    fn from(bytes: &'static [u8]) -> Payload {
        Payload(bytes.into())
    }
}

impl<const N: usize> From<&'static [u8; N]> for Payload {
    fn from(bytes: &'static [u8; N]) -> Payload {
        bytes.as_slice().into()
    }
}

impl From<&'static str> for Payload {
    fn from(text: &'static str) -> Payload {
        text.as_bytes().into()
    }
}

impl From<Arc<[u8]>> for Payload {
    fn from(bytes: Arc<[u8]>) -> Payload {
        Payload(bytes.into())
    }
}

impl From<Arc<str>> for Payload {
    fn from(text: Arc<str>) -> Payload {
        Arc::<[u8]>::from(text).into()
    }
}

impl From<Chunk> for Payload {
    #[inline]
    fn from(chunk: Chunk) -> Payload {
        Payload(chunk.into())
    }
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.0.origin() {
            Origin::Static => "static",
            Origin::Vector => "vector",
            Origin::Shared => "shared",
            Origin::Chunk => "chunk",
        };
        write!(f, "Payload({kind}, {} bytes)", self.len())
    }
}

/// Payloads on their way out, in order.
#[derive(Default)]
pub(crate) struct SendQueue {
    /// Empty only if there are no payloads in `rest`: most queues hold one, and that one lies here.
    first: Option<Payload>,
    /// What there is besides; boxed, as there is rarely anything.
    rest: Option<Box<Rest>>,
    /// How many bytes of `first` are gone already.
    offset: usize,
}

/// What queues rarely have.
#[derive(Default)]
struct Rest {
    /// What follows the first.
    payloads: VecDeque<Payload>,
    /// Descriptors that go along.
    passing: Places<Vec<OwnedFd>>,
    /// Parts of files, which count as bytes of the queue and are in no payload.
    files: Places<FilePart>,
}

impl Rest {
    fn is_empty(&self) -> bool {
        self.payloads.is_empty() && self.passing.is_empty() && self.files.is_empty()
    }
}

impl SendQueue {
    /// The most pieces that one send takes.
    ///
    /// The kernel keeps eight on its stack and allocates for more; beyond a few dozen the copying
    /// costs far more than another call would.
    pub(crate) const MAX_SLICES: usize = 32;

    /// The most places that an empty queue keeps for payloads to come.
    ///
    /// Enough that a connection which queues some answers a turn allocates nothing, and little
    /// enough that ten thousand idle ones hold no megabytes.
    const MAX_KEPT: usize = 4;

    /// Puts a payload at the end. An empty one leaves no trace.
    #[inline]
    pub(crate) fn push(&mut self, payload: impl Into<Payload>) {
        let payload = payload.into();
        if payload.is_empty() {
            return;
        }
        if self.first.is_none() {
            self.first = Some(payload);
        } else {
            self.rest.get_or_insert_default().payloads.push_back(payload);
        }
    }

    /// Puts a payload at the end, whose first byte is to go with descriptors.
    ///
    /// # Panics
    ///
    /// If it is empty: there is nothing to go with.
    pub(crate) fn push_with(&mut self, payload: Payload, descriptors: Vec<OwnedFd>) {
        assert!(!payload.is_empty(), "descriptors go with a byte");
        let place = self.bytes();
        self.push(payload);
        self.rest.get_or_insert_default().passing.add(place, descriptors);
    }

    /// Puts a part of a file at the end. An empty one leaves no trace.
    pub(crate) fn push_file(&mut self, part: FilePart) {
        if part.len() > 0 {
            let place = self.bytes();
            self.rest.get_or_insert_default().files.add(place, part);
        }
    }

    /// The descriptors that are to go with the next byte.
    pub(crate) fn descriptors(&self) -> &[OwnedFd] {
        self.rest.as_ref().and_then(|rest| rest.passing.due()).map_or(&[], Vec::as_slice)
    }

    /// The part of a file that is next.
    pub(crate) fn file_part(&self) -> Option<&FilePart> {
        self.rest.as_ref()?.files.due()
    }

    /// How many bytes are still to go.
    pub(crate) fn bytes(&self) -> u64 {
        let rest = self.rest.iter().flat_map(|rest| rest.payloads.iter());
        let payloads = self.first.iter().chain(rest).map(|payload| payload.len() as u64);
        let files = self.rest.as_ref().map_or(0, |rest| rest.files.bytes());
        payloads.sum::<u64>() - self.offset as u64 + files
    }

    /// Whether nothing is left to send.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none() && !self.has_rest()
    }

    /// Whether it is as a new one, and keeps no places.
    #[inline]
    pub(crate) fn is_new(&self) -> bool {
        self.first.is_none() && self.rest.is_none()
    }

    /// What is left of the first payload, and whether that is all there is.
    #[inline]
    pub(crate) fn front(&self) -> (&[u8], bool) {
        let front = self.first.as_ref().map_or(&[][..], |first| &first.as_slice()[self.offset..]);
        (front, !self.has_rest())
    }

    /// Whether a part of a file follows what [`io_slices`](Self::io_slices) offers.
    pub(crate) fn has_file_next(&self) -> bool {
        let Some(rest) = &self.rest else { return false };
        let file = rest.files.limit();
        file.is_some() && file <= rest.passing.limit().or(Some(u64::MAX))
    }

    /// Fills `slices` with the payloads that may go in one send, in order, and says how many it filled.
    /// There are none while a [part of a file](Self::file_part) is next.
    pub(crate) fn io_slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let front = self.first.as_ref().map(|first| &first.as_slice()[self.offset..]);
        let rest = self.rest.as_ref();
        let pieces = front
            .into_iter()
            .chain(rest.iter().flat_map(|rest| rest.payloads.iter().map(Payload::as_slice)));
        let mut room = match rest {
            None => usize::MAX,
            Some(rest) if rest.files.due().is_some() => 0,
            Some(rest) => {
                let next = rest.passing.limit().into_iter().chain(rest.files.limit()).min();
                next.and_then(|next| usize::try_from(next).ok()).unwrap_or(usize::MAX)
            }
        };
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(pieces) {
            if room == 0 {
                break;
            }
            *slice = IoSlice::new(&piece[..piece.len().min(room)]);
            room -= slice.len();
            count += 1;
        }
        count
    }

    /// Notes that the next `n` bytes are gone, and drops the payloads that are through.
    ///
    /// # Panics
    ///
    /// If that is more than there are.
    #[inline]
    pub(crate) fn advance(&mut self, n: usize) {
        if n == self.front().0.len() && !self.has_rest() {
            // What nearly every send comes to.
            (self.first, self.offset) = (None, 0);
        } else {
            self.advance_by_pieces(n);
        }
    }

    fn advance_by_pieces(&mut self, mut n: usize) {
        if let Some(rest) = &mut self.rest {
            let is_file = rest.files.due().is_some();
            rest.passing.advance(n as u64);
            rest.files.advance(n as u64);
            if is_file {
                return;
            }
        }
        while let Some(first) = &self.first {
            let left = first.len() - self.offset;
            if n < left {
                self.offset += n;
                return;
            }
            n -= left;
            self.offset = 0;
            self.first = self.next_of_rest();
        }
        assert!(n == 0, "{n} bytes more were sent than there are");
    }

    #[inline]
    fn has_rest(&self) -> bool {
        self.rest.as_ref().is_some_and(|rest| !rest.is_empty())
    }

    /// The payload behind the first; the list is given up where it is long and empty.
    fn next_of_rest(&mut self) -> Option<Payload> {
        let rest = self.rest.as_mut()?;
        let next = rest.payloads.pop_front();
        if rest.is_empty() && rest.payloads.capacity() > Self::MAX_KEPT {
            self.rest = None;
        }
        next
    }

    /// Puts all of `other` at the end.
    pub(crate) fn append(&mut self, mut other: SendQueue) {
        debug_assert!(other.offset == 0 || self.is_empty(), "only the front is begun");
        if self.is_empty() {
            if other.rest.is_none() {
                other.rest = self.rest.take();
            }
            *self = other;
            return;
        }
        let place = self.bytes();
        let rest = self.rest.get_or_insert_default();
        rest.payloads.extend(other.first.take());
        if let Some(mut others) = other.rest {
            rest.payloads.append(&mut others.payloads);
            rest.passing.append(place, others.passing);
            rest.files.append(place, others.files);
        }
    }
}

impl fmt::Debug for SendQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let payloads = usize::from(self.first.is_some())
            + self.rest.as_ref().map_or(0, |rest| rest.payloads.len());
        write!(f, "SendQueue({payloads} payloads, {} bytes)", self.bytes())
    }
}

#[cfg(test)]
mod tests;
