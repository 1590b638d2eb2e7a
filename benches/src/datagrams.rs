//! What it costs to receive datagrams: by the kernel's interfaces, and by runtimes.
//!
//! A burst is sent by the receiving thread itself, which is not counted; then all of it is received, which
//! is. So nothing is lost, nobody waits, and what is compared is the way in: a call a datagram, a call a
//! batch, or requests of a ring that the kernel answers datagram by datagram.

pub mod calls;
pub mod ring;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use crate::kernel;
use crate::meter::Meter;

/// The largest datagram there is room for.
pub const ROOM: usize = 1 << 16;

/// What is sent at a time, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Datagrams in a burst.
    pub burst: usize,
    /// The bytes of each.
    pub bytes: usize,
    /// Bursts in a round.
    pub bursts: usize,
    /// Whether a burst is sent in one call, for the kernel to cut up if it has to (`UDP_SEGMENT`).
    pub train: bool,
}

/// The sender of bursts, and the time that receiving has taken.
pub struct Bursts {
    sender: UdpSocket,
    to: SocketAddr,
    bytes: Vec<u8>,
    load: Load,
    nanos: f64,
}

impl Bursts {
    /// A sender, and the socket that is sent to.
    ///
    /// # Errors
    ///
    /// Out of descriptors.
    pub fn new(load: Load) -> io::Result<(Bursts, UdpSocket)> {
        let (sender, receiver) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
        receiver.set_nonblocking(true)?;
        let mut bytes = vec![7; load.bytes];
        if load.train {
            set_option(&sender, libc::UDP_SEGMENT, load.bytes as libc::c_int)?;
            bytes.resize(load.bytes * load.burst, 7);
        }
        let to = receiver.local_addr()?;
        Ok((Bursts { sender, to, bytes, load, nanos: 0.0 }, receiver))
    }

    /// Sends the next burst, not counted, and starts to count.
    ///
    /// # Errors
    ///
    /// None that are known.
    pub fn send(&self) -> io::Result<Meter> {
        let calls = if self.load.train { 1 } else { self.load.burst };
        for _ in 0..calls {
            self.sender.send_to(&self.bytes, self.to)?;
        }
        Ok(Meter::start())
    }

    /// All of it was received.
    pub fn received(&mut self, meter: Meter) {
        self.nanos += meter.stop(1).nanos;
    }

    /// Nanoseconds a datagram.
    pub fn each(&self) -> f64 {
        self.nanos / (self.load.burst * self.load.bursts) as f64
    }
}

/// Sets a number of a UDP socket's.
///
/// # Errors
///
/// The kernel does not know it.
pub fn set_option(socket: &UdpSocket, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let (start, length) = ((&raw const value).cast(), size_of_val(&value) as libc::socklen_t);
    // SAFETY: the kernel reads one int, which is there.
    let set = unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_UDP, name, start, length) };
    kernel::checked(set).map(drop)
}

/// The load on a receiver of aem's.
///
/// # Errors
///
/// Of the runtime and of the sockets.
pub fn aem(backend: aem::Backend, gro: bool, load: Load) -> io::Result<f64> {
    let (mut bursts, receiver) = Bursts::new(load)?;
    set_option(&receiver, libc::UDP_GRO, gro.into())?;
    aem::Runtime::builder().backend(backend).build()?.block_on(async {
        let socket = aem::net::UdpSocket::from_std(receiver)?;
        for _ in 0..load.bursts {
            let meter = bursts.send()?;
            for _ in 0..load.burst {
                assert_eq!(socket.recv_from().await?.0.len(), load.bytes);
            }
            bursts.received(meter);
        }
        Ok(bursts.each())
    })
}

/// The load on a receiver of tokio's, whose data is lent and not owned.
///
/// # Errors
///
/// Of the runtime and of the sockets.
pub fn tokio(load: Load) -> io::Result<f64> {
    let (mut bursts, receiver) = Bursts::new(load)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let socket = tokio::net::UdpSocket::from_std(receiver)?;
        let mut room = vec![0; ROOM];
        for _ in 0..load.bursts {
            let meter = bursts.send()?;
            for _ in 0..load.burst {
                assert_eq!(socket.recv_from(&mut room).await?.0, load.bytes);
            }
            bursts.received(meter);
        }
        Ok(bursts.each())
    })
}
