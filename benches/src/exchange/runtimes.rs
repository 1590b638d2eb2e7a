//! Other runtimes: a task that awaits the message and sends it back.

use std::io;
use std::os::unix::net::UnixStream as Socket;

use super::{Exchange, ROOM};
use crate::contenders::{Monoio, Runtime, TokioCurrent};

/// tokio's current-thread runtime and its own stream.
///
/// # Errors
///
/// There is no runtime to be had, and see [`blocking`](super::hand::blocking); so for all here.
pub fn tokio(socket: Socket, mut exchange: Exchange) -> io::Result<Exchange> {
    use ::tokio::io::{AsyncReadExt, AsyncWriteExt};

    socket.set_nonblocking(true)?;
    TokioCurrent::block_on(async move {
        let mut stream = ::tokio::net::UnixStream::from_std(socket)?;
        if let Some(opening) = exchange.opening() {
            stream.write_all(&opening).await?;
        }
        let mut room = [0; ROOM];
        while !exchange.is_over() {
            let count = stream.read(&mut room).await?;
            if let Some(message) = exchange.received(&room[..count])? {
                stream.write_all(&message).await?;
            }
        }
        Ok(exchange)
    })?
}

/// monoio, which keeps its buffers while it reads and writes.
///
/// # Errors
///
/// See [`tokio`].
pub fn monoio(socket: Socket, mut exchange: Exchange) -> io::Result<Exchange> {
    use ::monoio::io::{AsyncReadRent, AsyncWriteRentExt};

    Monoio::block_on(async move {
        let mut stream = ::monoio::net::UnixStream::from_std(socket)?;
        let (mut room, mut outgoing) = (vec![0; ROOM], Vec::with_capacity(ROOM));
        if let Some(opening) = exchange.opening() {
            stream.write_all(opening.to_vec()).await.0?;
        }
        while !exchange.is_over() {
            let (count, filled) = stream.read(room).await;
            room = filled;
            if let Some(message) = exchange.received(&room[..count?])? {
                outgoing.clear();
                outgoing.extend_from_slice(&message);
                let (written, given_back) = stream.write_all(outgoing).await;
                written?;
                outgoing = given_back;
            }
        }
        Ok(exchange)
    })?
}
