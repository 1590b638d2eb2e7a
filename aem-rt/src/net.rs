//! TCP: connections as events, their bytes as chunks.
//!
//! A [`TcpListener`] is a source of connections and a [`TcpStream`] a source of chunks and a sink
//! of payloads. Both belong to the runtime on which they were made, and to its thread; there they
//! may be cloned, kept in structs and used from handlers and tasks alike. Polled under another
//! runtime, or after their own has ended, they answer with an error that says so.
//!
//! All awaits here may be cancelled at any time: a connection that was accepted too late stays in
//! the listener, bytes that arrived too late stay in the stream (KEPT).
//!
//! ```no_run
//! # #[aem::main] async fn main() -> aem::Result {
//! use aem::net::TcpListener;
//!
//! let listener = TcpListener::bind("127.0.0.1:7000")?;
//! loop {
//!     let (stream, _peer) = listener.accept().await?;
//!     aem::spawn(async move {
//!         while let Ok(chunk) = stream.recv().await {
//!             if chunk.is_empty() || stream.send(chunk).await.is_err() {
//!                 break;
//!             }
//!         }
//!     });
//! }
//! # }
//! ```

mod chunks;
mod connection;
mod kept;
mod listening;
mod sending;
mod tcp_listener;
mod tcp_stream;
mod verbs;
mod waiters;

use std::io;
use std::net::SocketAddr;

use socket2::SockAddr;

pub use chunks::{ChunkReader, Chunks};
pub use sending::Sending;
pub use tcp_listener::{Incoming, TcpListener, TcpListenerBuilder};
pub use tcp_stream::TcpStream;

/// An address as the standard library has it.
fn internet_address(address: SockAddr) -> io::Result<SocketAddr> {
    let unexpected = || io::Error::new(io::ErrorKind::Unsupported, "the address is not an IP one");
    address.as_socket().ok_or_else(unexpected)
}

#[cfg(test)]
mod tests;
