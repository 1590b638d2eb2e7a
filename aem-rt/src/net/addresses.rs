//! What one may connect to: addresses, or a name that stands for some.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// The addresses that something stands for, or the name that is to be resolved for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// These, in the order in which they are to be tried.
    Known(Vec<SocketAddr>),
    /// Those of this host, to be asked of the system, which may take its time.
    Host {
        /// Its name.
        name: String,
        /// The port at each address.
        port: u16,
    },
}

/// What [`TcpStream::connect`](super::TcpStream::connect) takes: all that `std::net::ToSocketAddrs` is
/// there for.
///
/// That trait itself blocks where a name is to be resolved. This one says that there is a name, so that it
/// can be resolved elsewhere.
pub trait ToAddresses {
    /// The addresses, or the name.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a text that is neither an address nor a name with a port.
    fn to_addresses(&self) -> io::Result<Addresses>;
}

impl Addresses {
    fn of_host(name: &str, port: u16) -> Addresses {
        // An address needs nobody to look it up.
        match name.parse::<IpAddr>() {
            Ok(ip) => Addresses::Known(vec![SocketAddr::new(ip, port)]),
            Err(_) => Addresses::Host { name: name.to_owned(), port },
        }
    }
}

/// Writes the impls for what can be turned into an address.
macro_rules! known {
    ($($kind:ty,)*) => {$(
        impl ToAddresses for $kind {
            fn to_addresses(&self) -> io::Result<Addresses> {
                Ok(Addresses::Known(vec![SocketAddr::from(*self)]))
            }
        }
    )*};
}

known! {
    SocketAddr, SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16),
}

impl ToAddresses for [SocketAddr] {
    fn to_addresses(&self) -> io::Result<Addresses> {
        Ok(Addresses::Known(self.to_vec()))
    }
}

impl<const N: usize> ToAddresses for [SocketAddr; N] {
    fn to_addresses(&self) -> io::Result<Addresses> {
        self[..].to_addresses()
    }
}

impl ToAddresses for Vec<SocketAddr> {
    fn to_addresses(&self) -> io::Result<Addresses> {
        self[..].to_addresses()
    }
}

impl ToAddresses for (&str, u16) {
    fn to_addresses(&self) -> io::Result<Addresses> {
        Ok(Addresses::of_host(self.0, self.1))
    }
}

impl ToAddresses for (String, u16) {
    fn to_addresses(&self) -> io::Result<Addresses> {
        Ok(Addresses::of_host(&self.0, self.1))
    }
}

impl ToAddresses for str {
    fn to_addresses(&self) -> io::Result<Addresses> {
        if let Ok(address) = self.parse() {
            return Ok(Addresses::Known(vec![address]));
        }
        let split = self.rsplit_once(':').and_then(|(name, port)| Some((name, port.parse().ok()?)));
        match split {
            Some((name, port)) if !name.is_empty() => Ok(Addresses::of_host(name, port)),
            _ => {
                let text = format!("{self:?} is no host with a port behind a colon");
                Err(io::Error::new(io::ErrorKind::InvalidInput, text))
            }
        }
    }
}

impl ToAddresses for String {
    fn to_addresses(&self) -> io::Result<Addresses> {
        self.as_str().to_addresses()
    }
}

impl<T: ToAddresses + ?Sized> ToAddresses for &T {
    fn to_addresses(&self) -> io::Result<Addresses> {
        (**self).to_addresses()
    }
}

/// The same addresses with those of the two families in turns, beginning with that of the first (RFC 8305,
/// section 4): if one family does not get through, the second attempt is of the other.
pub(super) fn in_turns(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first() else { return addresses };
    let first_is_v6 = first.is_ipv6();
    let (one, other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut turns = Vec::with_capacity(one.len() + other.len());
    loop {
        let pair = (one.next(), other.next());
        if pair == (None, None) {
            return turns;
        }
        turns.extend([pair.0, pair.1].into_iter().flatten());
    }
}

#[cfg(test)]
mod tests;
