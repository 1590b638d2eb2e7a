//! What is told of a datagram beside its bytes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::super::internet_address;
use crate::chunk::Chunk;
use crate::sys::message::Received;

/// A datagram with all that is known of it. None is ever cut short.
#[derive(Debug)]
#[non_exhaustive]
pub struct UdpMessage {
    /// Its bytes.
    pub data: Chunk,
    /// Who sent it.
    pub from: SocketAddr,
    /// What it says of congestion, where that was [asked for](super::UdpSocket::set_recv_ecn).
    pub ecn: Option<Ecn>,
    /// How it came here, where that was [asked for](super::UdpSocket::set_recv_packet_info).
    pub packet_info: Option<PacketInfo>,
}

impl UdpMessage {
    /// One of which nobody has asked more.
    pub(super) fn plain(bytes: &[u8], from: SocketAddr) -> UdpMessage {
        UdpMessage { data: Chunk::from(bytes.to_vec()), from, ecn: None, packet_info: None }
    }

    pub(super) fn new(bytes: &[u8], received: &Received) -> io::Result<UdpMessage> {
        let arrival = received.beside.arrival;
        Ok(UdpMessage {
            data: Chunk::from(bytes.to_vec()),
            from: internet_address(&received.from)?,
            ecn: received.beside.traffic_class.map(Ecn::of),
            packet_info: arrival.map(|(address, interface)| PacketInfo { address, interface }),
        })
    }

    /// What those get who did not ask for more.
    pub(super) fn into_whole(self) -> io::Result<(Chunk, SocketAddr)> {
        Ok((self.data, self.from))
    }
}

/// By which address of ours a datagram comes or goes, and by which interface (ip(7), `IP_PKTINFO`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PacketInfo {
    /// Of one that came: where it was sent to, which may be a group. Of one that is sent: where it is from,
    /// one of ours; unspecified for the kernel to choose.
    pub address: IpAddr,
    /// The index of the interface; 0 of one that is sent for the kernel to choose.
    pub interface: u32,
}

impl PacketInfo {
    /// The address in the family of a peer: a socket of IPv6 that speaks IPv4 knows both forms.
    pub(super) fn address_for(&self, peer: &SocketAddr) -> io::Result<IpAddr> {
        let speaks_v4 = peer.ip().to_canonical().is_ipv4();
        let address = match self.address.to_canonical() {
            unspecified if unspecified.is_unspecified() && speaks_v4 => {
                Ipv4Addr::UNSPECIFIED.into()
            }
            unspecified if unspecified.is_unspecified() => Ipv6Addr::UNSPECIFIED.into(),
            address if address.is_ipv4() != speaks_v4 => {
                let text = format!("a datagram for {peer} cannot be from {address}");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            address => address,
        };
        // A socket of IPv6 is told in its own form.
        Ok(match (address, peer) {
            (IpAddr::V4(address), SocketAddr::V6(_)) => address.to_ipv6_mapped().into(),
            (address, _) => address,
        })
    }
}

/// Explicit congestion notification (RFC 3168): the two lowest bits of a datagram's traffic class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Ecn {
    /// The transport knows nothing of it.
    NotCapable = 0,
    /// The transport knows it; a marking of RFC 9331.
    Ect1 = 1,
    /// The transport knows it.
    Ect0 = 2,
    /// There was congestion on the way.
    CongestionExperienced = 3,
}

impl Ecn {
    pub(super) const MASK: u32 = 3;

    fn of(traffic_class: u8) -> Ecn {
        match u32::from(traffic_class) & Ecn::MASK {
            0 => Ecn::NotCapable,
            1 => Ecn::Ect1,
            2 => Ecn::Ect0,
            _ => Ecn::CongestionExperienced,
        }
    }
}
