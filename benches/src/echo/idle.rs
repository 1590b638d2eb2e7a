//! What a connection costs that has said something and is idle now.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use crate::accounts::slab;
use crate::server::Server;

/// One message, and its echo.
const MESSAGE: [u8; 64] = [7; 64];

/// So many come before the first look, so that what a server makes for its first visitors is there.
const FIRST: usize = 8;

/// So many can be weighed.
pub const MOST: usize = super::MOST_CONNECTIONS - FIRST;

/// So long what was asked of the kernel may take until its counters tell.
const SETTLE: Duration = Duration::from_millis(200);

/// The bytes of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Weight {
    /// In pages of the server's own that it has written to.
    pub user: f64,
    /// In the kernel's slabs: both ends of it, as both are on this machine.
    pub kernel: f64,
}

/// Weighs so many connections to a server that has had no others.
///
/// # Errors
///
/// A connection's, or a server that does not echo; `/proc` is not there.
pub fn weigh(server: &Server, number: usize) -> io::Result<Weight> {
    let mut held = connect(server.address(), FIRST)?;
    thread::sleep(SETTLE);
    let (user, kernel) = (server.memory()?.anonymous, slab()?);
    held.extend(connect(server.address(), number)?);
    thread::sleep(SETTLE);
    let more = |after: u64, before: u64| (after as f64 - before as f64) * 1024.0 / number as f64;
    Ok(Weight { user: more(server.memory()?.anonymous, user), kernel: more(slab()?, kernel) })
}

/// Connections that have had an answer each.
fn connect(address: SocketAddr, number: usize) -> io::Result<Vec<TcpStream>> {
    let one = |_| {
        let mut stream = TcpStream::connect(address)?;
        let mut echo = [0; MESSAGE.len()];
        stream.write_all(&MESSAGE)?;
        stream.read_exact(&mut echo)?;
        if echo != MESSAGE {
            return Err(io::Error::other("another answer than the echo"));
        }
        Ok(stream)
    };
    (0..number).map(one).collect()
}
