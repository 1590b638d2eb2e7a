//! Messages of sockets with what comes and goes beside their bytes (recvmsg(2), cmsg(3)): descriptors, the
//! address and interface that a datagram came by, its traffic class.
//!
//! What is beside the bytes is a row of records, each a head (its length, and what it is by two numbers) and
//! its data, padded to whole words. It is written and read here as bytes, by the layout that the kernel gives
//! it; only the two calls are unsafe, and the taking over of descriptors that have come.

use std::io::{self, IoSlice};
use std::mem::{size_of, size_of_val};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use socket2::{SockAddr, SockAddrStorage};

use super::{check_size, retry};

/// So many descriptors can be beside one message (`SCM_MAX_FD`, unix(7)).
pub(crate) const MOST_DESCRIPTORS: usize = 253;

/// The sender's process as a descriptor, from a socket with `SO_PASSPIDFD` (Linux 6.5); libc has no name
/// for it.
const SCM_PIDFD: libc::c_int = 4;

/// Records are padded to multiples of this.
const WORD: usize = size_of::<usize>();

/// The head of a record: its length, the head's own included, then the level and the kind.
const HEAD: usize = (WORD + 2 * size_of::<libc::c_int>()).next_multiple_of(WORD);

/// Room for what can be beside a message: as many descriptors as there can be, and small records.
pub(crate) struct Control([u8; CONTROL]);

const CONTROL: usize = HEAD + MOST_DESCRIPTORS * size_of::<RawFd>() + 256;

impl Default for Control {
    fn default() -> Control {
        Control([0; CONTROL])
    }
}

/// A message that has come.
#[derive(Debug)]
pub(crate) struct Received {
    /// How long it is, which may be more than there was room for.
    pub(crate) len: usize,
    /// Who sent it.
    pub(crate) from: SockAddr,
    pub(crate) beside: Beside,
}

/// What came beside the bytes.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    pub(crate) descriptors: Vec<OwnedFd>,
    /// There was more than there was room for, here or in the table of descriptors.
    pub(crate) cut: bool,
    /// The bytes are several datagrams of this length, but for the last, which may be shorter.
    pub(crate) segment: Option<usize>,
    /// The address that it was sent to, and the index of the interface by which it came.
    pub(crate) arrival: Option<(IpAddr, u32)>,
    /// The second byte of an IPv4 header, or the traffic class of IPv6.
    pub(crate) traffic_class: Option<u8>,
}

/// Receives a message into `room`. It never waits. Without `control` what is beside it is dropped, and
/// descriptors are closed.
pub(crate) fn receive(
    socket: BorrowedFd<'_>,
    room: &mut [u8],
    mut control: Option<&mut Control>,
) -> io::Result<Received> {
    let mut storage = SockAddrStorage::zeroed();
    let mut piece = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
    // SAFETY: all-zero is a valid `msghdr`: null pointers with lengths of zero.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&raw mut piece, 1);
    message.msg_name = (&raw mut storage).cast();
    message.msg_namelen = storage.size_of();
    if let Some(control) = &mut control {
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control.0) as _;
    }
    let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC | libc::MSG_CMSG_CLOEXEC;
    let len = retry(|| {
        // SAFETY: `message` names `room`, `storage` and `control` with their sizes, all of which are borrowed
        // for the call; aem-rt/src/sys/message/tests.rs.
        check_size(unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) })
    })?;
    // SAFETY: the kernel has written an address of this length into `storage`.
    let from = unsafe { SockAddr::new(storage, message.msg_namelen) };
    let mut beside = Beside { cut: message.msg_flags & libc::MSG_CTRUNC != 0, ..Beside::default() };
    if let Some(control) = control {
        for (level, kind, data) in records(&control.0[..message.msg_controllen as usize]) {
            // SAFETY: the kernel has just written this record.
            unsafe { beside.add(level, kind, data) };
        }
    }
    Ok(Received { len, from, beside })
}

/// Sends a message, to the peer that the socket is connected with if no address is given. It never waits.
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    pieces: &[IoSlice<'_>],
    to: Option<&SockAddr>,
    beside: &Outgoing,
) -> io::Result<usize> {
    // SAFETY: all-zero is a valid `msghdr`: null pointers with lengths of zero.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    // `IoSlice` is promised to have the layout of `iovec`, and the kernel only reads it.
    message.msg_iov = pieces.as_ptr().cast_mut().cast::<libc::iovec>();
    message.msg_iovlen = pieces.len() as _;
    if let Some(to) = to {
        message.msg_name = to.as_ptr().cast_mut().cast();
        message.msg_namelen = to.len();
    }
    if !beside.0.is_empty() {
        message.msg_control = beside.0.as_ptr().cast_mut().cast();
        message.msg_controllen = beside.0.len() as _;
    }
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    // SAFETY: `message` names the pieces, the address and the records with their lengths, all of which are
    // borrowed for the call, and the kernel writes to none of them.
    retry(|| check_size(unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, flags) }))
}

/// What goes beside the bytes of a message: records, as the kernel reads them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outgoing(Vec<u8>);

impl Outgoing {
    /// Duplicates of these for the receiver.
    pub(crate) fn descriptors<'a>(all: impl Iterator<Item = BorrowedFd<'a>>) -> Outgoing {
        let numbers: Vec<u8> = all.flat_map(|fd| fd.as_raw_fd().to_ne_bytes()).collect();
        let mut outgoing = Outgoing::default();
        if !numbers.is_empty() {
            outgoing.add(libc::SOL_SOCKET, libc::SCM_RIGHTS, &numbers);
        }
        outgoing
    }

    /// The address of ours that a datagram is sent from, and the index of the interface that it leaves by;
    /// nought for either leaves it to the kernel.
    pub(crate) fn source(from: IpAddr, interface: u32) -> Outgoing {
        let mut outgoing = Outgoing::default();
        match from {
            IpAddr::V4(from) => {
                // The index, the address to send from, and one that is only told.
                let data = [interface.to_ne_bytes(), from.octets(), [0; 4]].concat();
                outgoing.add(libc::IPPROTO_IP, libc::IP_PKTINFO, &data);
            }
            IpAddr::V6(from) => {
                let data = [&from.octets()[..], &interface.to_ne_bytes()].concat();
                outgoing.add(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &data);
            }
        }
        outgoing
    }

    fn add(&mut self, level: libc::c_int, kind: libc::c_int, data: &[u8]) {
        let start = self.0.len();
        self.0.extend((HEAD + data.len()).to_ne_bytes());
        self.0.extend([level.to_ne_bytes(), kind.to_ne_bytes()].concat());
        self.0.resize(start + HEAD, 0);
        self.0.extend(data);
        self.0.resize(self.0.len().next_multiple_of(WORD), 0);
    }
}

/// The records of a row: level, kind and data of each.
fn records(mut row: &[u8]) -> impl Iterator<Item = (libc::c_int, libc::c_int, &[u8])> {
    std::iter::from_fn(move || {
        let (length, rest) = row.split_first_chunk::<WORD>()?;
        let (level, rest) = rest.split_first_chunk()?;
        let (kind, _) = rest.split_first_chunk()?;
        // What says that it is longer than the row was cut off at its end, and what says that it is shorter
        // than its head is no record.
        let length = usize::from_ne_bytes(*length).min(row.len());
        let data = row.get(HEAD..length)?;
        row = row.get(length.next_multiple_of(WORD)..).unwrap_or_default();
        Some((libc::c_int::from_ne_bytes(*level), libc::c_int::from_ne_bytes(*kind), data))
    })
}

impl Beside {
    /// Takes in a record. Those of kinds that nobody has asked for are passed over.
    ///
    /// # Safety
    ///
    /// It is one that the kernel has just written, and this is its only reading: the descriptors in it are
    /// taken over.
    unsafe fn add(&mut self, level: libc::c_int, kind: libc::c_int, data: &[u8]) {
        let number = || data.first_chunk().map(|number| u32::from_ne_bytes(*number));
        match (level, kind) {
            (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                let (numbers, _none) = data.as_chunks();
                self.descriptors.extend(numbers.iter().map(|number| {
                    // SAFETY: the kernel has made it for us, and by the caller's word nobody else has it.
                    unsafe { OwnedFd::from_raw_fd(RawFd::from_ne_bytes(*number)) }
                }));
            }
            (libc::SOL_SOCKET, SCM_PIDFD) => {
                // Nobody here has asked for it, and yet it has come.
                if let Some(number @ 0..) = number().map(u32::cast_signed) {
                    // SAFETY: as above.
                    drop(unsafe { OwnedFd::from_raw_fd(number) });
                }
            }
            (libc::SOL_UDP, libc::UDP_GRO) => self.segment = number().map(|size| size as usize),
            (libc::IPPROTO_IP, libc::IP_TOS) => self.traffic_class = data.first().copied(),
            (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                self.traffic_class = number().map(|class| class as u8);
            }
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                // The index, an address of ours, and the one that it was sent to.
                let (index, rest) = (number(), data.get(8..).unwrap_or_default());
                self.arrival = index
                    .zip(rest.first_chunk::<4>())
                    .map(|(index, to)| (Ipv4Addr::from_octets(*to).into(), index));
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                let index = data.get(16..).and_then(|rest| rest.first_chunk());
                self.arrival = index.zip(data.first_chunk::<16>()).map(|(index, to)| {
                    (Ipv6Addr::from_octets(*to).into(), u32::from_ne_bytes(*index))
                });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
