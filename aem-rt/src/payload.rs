//! Anything that can be sent, and the queue it waits in.
//!
//! A [`Payload`] takes over whatever the caller has, a vector, a string, something static, something
//! shared, a chunk that was received, so that sending copies nothing. A [`SendQueue`] is the
//! payloads of one stream in order, with an offset into the first: what the kernel took is gone
//! from it. A queue of one payload allocates nothing.

use std::collections::VecDeque;
use std::fmt;
use std::io::IoSlice;
use std::sync::Arc;

use crate::chunk::Chunk;

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

enum Bytes {
    Static(&'static [u8]),
    Vector(Vec<u8>),
    Shared(Arc<[u8]>),
    Chunk(Chunk),
}

impl Payload {
    /// How many bytes there are.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Whether there are none.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes.
    #[must_use]
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        match &self.0 {
            Bytes::Static(bytes) => bytes,
            Bytes::Vector(bytes) => bytes,
            Bytes::Shared(bytes) => bytes,
            Bytes::Chunk(bytes) => bytes,
        }
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Payload {
        Payload(Bytes::Vector(bytes))
    }
}

impl From<String> for Payload {
    fn from(text: String) -> Payload {
        Payload(Bytes::Vector(text.into_bytes()))
    }
}

impl From<Box<[u8]>> for Payload {
    fn from(bytes: Box<[u8]>) -> Payload {
        Payload(Bytes::Vector(bytes.into_vec()))
    }
}

impl From<&'static [u8]> for Payload {
    fn from(bytes: &'static [u8]) -> Payload {
        Payload(Bytes::Static(bytes))
    }
}

impl<const N: usize> From<&'static [u8; N]> for Payload {
    fn from(bytes: &'static [u8; N]) -> Payload {
        Payload(Bytes::Static(bytes))
    }
}

impl From<&'static str> for Payload {
    fn from(text: &'static str) -> Payload {
        Payload(Bytes::Static(text.as_bytes()))
    }
}

impl From<Arc<[u8]>> for Payload {
    fn from(bytes: Arc<[u8]>) -> Payload {
        Payload(Bytes::Shared(bytes))
    }
}

impl From<Arc<str>> for Payload {
    fn from(text: Arc<str>) -> Payload {
        Payload(Bytes::Shared(text.into()))
    }
}

impl From<Chunk> for Payload {
    fn from(chunk: Chunk) -> Payload {
        Payload(Bytes::Chunk(chunk))
    }
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.0 {
            Bytes::Static(_) => "static",
            Bytes::Vector(_) => "vector",
            Bytes::Shared(_) => "shared",
            Bytes::Chunk(_) => "chunk",
        };
        write!(f, "Payload({kind}, {} bytes)", self.len())
    }
}

/// Payloads on their way out, in order.
#[derive(Default)]
pub(crate) struct SendQueue {
    /// Empty only if `rest` is: most queues hold one payload, and that one lies here.
    first: Option<Payload>,
    /// What follows it; boxed, as there is rarely anything.
    #[expect(clippy::box_collection, reason = "one word instead of three while idle")]
    rest: Option<Box<VecDeque<Payload>>>,
    /// How many bytes of `first` are gone already.
    offset: usize,
    /// How many bytes are still to go.
    bytes: usize,
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
        let len = payload.len();
        if len == 0 {
            return;
        }
        self.bytes += len;
        if self.first.is_none() {
            self.first = Some(payload);
        } else {
            self.rest.get_or_insert_default().push_back(payload);
        }
    }

    /// How many bytes are still to go.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing is left to send.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// What is left of the first payload, and whether that is all there is.
    #[inline]
    pub(crate) fn front(&self) -> (&[u8], bool) {
        match &self.first {
            Some(first) => (&first.as_slice()[self.offset..], !self.has_rest()),
            None => (&[], true),
        }
    }

    /// Fills `slices` with what comes next, in order, and says how many it filled.
    pub(crate) fn io_slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let front = self.first.as_ref().map(|first| &first.as_slice()[self.offset..]);
        let pieces = front
            .into_iter()
            .chain(self.rest.iter().flat_map(|rest| rest.iter().map(Payload::as_slice)));
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(pieces) {
            *slice = IoSlice::new(piece);
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
        assert!(n <= self.bytes, "{n} bytes of {} were sent", self.bytes);
        self.bytes -= n;
        if self.bytes == 0 && !self.has_rest() {
            // What nearly every send comes to.
            (self.first, self.offset) = (None, 0);
            return;
        }
        self.offset += n;
        while let Some(first) = &self.first {
            let len = first.len();
            if self.offset < len {
                return;
            }
            self.offset -= len;
            self.first = if self.rest.is_some() { self.next_of_rest() } else { None };
        }
    }

    #[inline]
    fn has_rest(&self) -> bool {
        self.rest.as_ref().is_some_and(|rest| !rest.is_empty())
    }

    /// The payload behind the first; the list is given up where it is long and empty.
    fn next_of_rest(&mut self) -> Option<Payload> {
        let rest = self.rest.as_mut()?;
        let next = rest.pop_front();
        if rest.is_empty() && rest.capacity() > Self::MAX_KEPT {
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
        self.bytes += other.bytes;
        let rest = self.rest.get_or_insert_default();
        rest.extend(other.first.take());
        if let Some(mut others) = other.rest {
            rest.append(&mut others);
        }
    }
}

impl fmt::Debug for SendQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let payloads =
            usize::from(self.first.is_some()) + self.rest.as_ref().map_or(0, |rest| rest.len());
        write!(f, "SendQueue({payloads} payloads, {} bytes)", self.bytes)
    }
}

#[cfg(test)]
mod tests;
