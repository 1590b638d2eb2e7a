//! An event module as somebody else would write it: the changes of network interfaces, by netlink. It uses
//! the public API of aem only, and is what `docs/sources.md` explains.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use aem::fd::{AsyncFd, Interest};
use futures::Stream;
use futures::stream::FusedStream;

/// Something happened to an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LinkChange {
    Up(String),
    Down(String),
    Removed(String),
    /// More happened than the kernel could keep for us: whoever needs to know looks anew.
    Overflow,
}

/// The source.
pub(super) struct Links {
    socket: AsyncFd<UnixDatagram>,
    /// What a datagram said beside the event that was given.
    pending: VecDeque<LinkChange>,
    ended: bool,
}

impl Links {
    /// Over a socket that netlink messages come from. The standard library has no type of netlink sockets;
    /// that of Unix ones does the same calls.
    pub(super) fn new(socket: OwnedFd) -> io::Result<Links> {
        let socket = UnixDatagram::from(socket);
        socket.set_nonblocking(true)?;
        let socket = AsyncFd::new(socket)?;
        Ok(Links { socket, pending: VecDeque::new(), ended: false })
    }

    /// What a successor needs to go on: the socket with all that it holds, and what was taken out already.
    pub(super) fn into_parts(self) -> (OwnedFd, VecDeque<LinkChange>) {
        let socket = self.socket.into_inner().unwrap_or_else(|_| unreachable!("never cloned"));
        (socket.into(), self.pending)
    }

    /// The next version of this module takes over from it.
    pub(super) fn resume(socket: OwnedFd, pending: VecDeque<LinkChange>) -> io::Result<Links> {
        Ok(Links { pending, ..Links::new(socket)? })
    }
}

impl Stream for Links {
    type Item = io::Result<LinkChange>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(change) = this.pending.pop_front() {
                return Poll::Ready(Some(Ok(change)));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            let mut buffer = [0; 8192];
            let received = ready!(
                this.socket.poll_io(cx, Interest::READABLE, |socket| socket.recv(&mut buffer))
            );
            let decoded = match received {
                Ok(n) => decode(&buffer[..n], &mut this.pending),
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    this.pending.push_back(LinkChange::Overflow);
                    Ok(())
                }
                Err(error) => Err(error),
            };
            if let Err(error) = decoded {
                // What came before the error is told first, and the error is the end.
                this.ended = true;
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}

impl FusedStream for Links {
    fn is_terminated(&self) -> bool {
        self.ended && self.pending.is_empty()
    }
}

const HEAD: usize = 16;
const LINK: usize = 16;

/// Adds what a datagram says; it may say several things, and things that are none of ours.
pub(super) fn decode(mut bytes: &[u8], into: &mut VecDeque<LinkChange>) -> io::Result<()> {
    while !bytes.is_empty() {
        let length = number::<4>(bytes, 0).map(u32::from_ne_bytes)? as usize;
        if length < HEAD || length > bytes.len() {
            return Err(malformed());
        }
        let (message, rest) = bytes.split_at(length);
        bytes = rest.get(length.next_multiple_of(4) - length..).unwrap_or(&[]);
        let kind = number::<2>(message, 4).map(u16::from_ne_bytes)?;
        let flags = || number::<4>(message, HEAD + 8).map(u32::from_ne_bytes);
        let change = match kind {
            libc::RTM_NEWLINK if flags()? & libc::IFF_UP as u32 != 0 => LinkChange::Up,
            libc::RTM_NEWLINK => LinkChange::Down,
            libc::RTM_DELLINK => LinkChange::Removed,
            _ => continue,
        };
        into.push_back(change(name(&message[HEAD..])?));
    }
    Ok(())
}

/// The attribute that has the name of the interface.
fn name(link: &[u8]) -> io::Result<String> {
    let mut attributes = link.get(LINK..).ok_or_else(malformed)?;
    while !attributes.is_empty() {
        let length = number::<2>(attributes, 0).map(u16::from_ne_bytes)? as usize;
        let kind = number::<2>(attributes, 2).map(u16::from_ne_bytes)?;
        let value = attributes.get(4..length).ok_or_else(malformed)?;
        if kind == libc::IFLA_IFNAME {
            let text = value.split(|byte| *byte == 0).next().unwrap_or(value);
            return Ok(String::from_utf8_lossy(text).into_owned());
        }
        attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    }
    Err(malformed())
}

fn number<const N: usize>(bytes: &[u8], place: usize) -> io::Result<[u8; N]> {
    let part = bytes.get(place..place + N).ok_or_else(malformed)?;
    Ok(part.try_into().expect("of this length"))
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no netlink message about links")
}
