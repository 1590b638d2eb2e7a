//! Messages of Unix sockets: bytes, and the descriptors that were sent along with them.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::SocketAddr;

use super::datagram::cut_short;
use crate::chunk::Chunk;
use crate::sys::message::{MOST_DESCRIPTORS, Outgoing, Received};

/// What came in one message: a datagram, or some bytes of a stream, with the descriptors beside it.
#[derive(Debug)]
#[non_exhaustive]
pub struct UnixMessage {
    /// The bytes; of a stream none at its end.
    pub data: Chunk,
    /// Who sent it, who may have no name. Of a stream's peer it is not told here.
    pub from: SocketAddr,
    /// Duplicates of the descriptors that were sent along, close-on-exec, in their order. Those that nobody
    /// takes out are closed with this.
    pub descriptors: Vec<OwnedFd>,
    /// There were more descriptors than this process, or one message, could take.
    pub descriptors_cut: bool,
    /// How long the datagram was: more than the length of `data` if it had half a megabyte, and was cut
    /// short.
    pub length: usize,
}

impl UnixMessage {
    pub(super) fn new(received: Received, room: &[u8], from: SocketAddr) -> UnixMessage {
        let bytes = &room[..received.len.min(room.len())];
        UnixMessage {
            data: Chunk::from(bytes.to_vec()),
            from,
            descriptors: received.beside.descriptors,
            descriptors_cut: received.beside.cut,
            length: received.len,
        }
    }

    /// Whether the datagram was longer than `data`.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.length > self.data.len()
    }

    /// What those get who did not ask for more.
    pub(super) fn into_whole(self) -> io::Result<(Chunk, SocketAddr)> {
        if self.is_truncated() { Err(cut_short(self.length)) } else { Ok((self.data, self.from)) }
    }
}

/// Descriptors on their way out.
#[derive(Debug, Default)]
pub(super) struct Descriptors(Vec<OwnedFd>);

impl Descriptors {
    pub(super) fn new(all: impl IntoIterator<Item = OwnedFd>) -> io::Result<Descriptors> {
        let all: Vec<OwnedFd> = all.into_iter().collect();
        if all.len() > MOST_DESCRIPTORS {
            let text = format!("{} descriptors, of which 253 can be sent at a time", all.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Ok(Descriptors(all))
    }

    pub(super) fn into_vec(self) -> Vec<OwnedFd> {
        self.0
    }

    /// What they count for while they wait, in bytes: each is an entry of a table that is not endless.
    pub(super) fn weight(&self) -> usize {
        64 * self.0.len()
    }

    pub(super) fn to_outgoing(&self) -> Outgoing {
        Outgoing::descriptors(self.0.iter().map(OwnedFd::as_fd))
    }
}
