//! aem: a handler of the stream's chunks, or a task that awaits them, on either interface.

use std::cell::RefCell;
use std::io;
use std::os::unix::net::UnixStream as Socket;
use std::rc::Rc;

use ::aem::net::UnixStream;
use ::aem::{Backend, Next};

use super::Exchange;

/// Handlers on epoll.
///
/// # Errors
///
/// There is no runtime to be had, and see [`blocking`](super::hand::blocking); so for all here.
pub fn handlers_epoll(socket: Socket, exchange: Exchange) -> io::Result<Exchange> {
    handlers(Backend::Epoll, socket, exchange)
}

/// Futures on epoll.
///
/// # Errors
///
/// See [`handlers_epoll`].
pub fn futures_epoll(socket: Socket, exchange: Exchange) -> io::Result<Exchange> {
    futures(Backend::Epoll, socket, exchange)
}

/// Handlers on io_uring.
///
/// # Errors
///
/// See [`handlers_epoll`].
pub fn handlers_uring(socket: Socket, exchange: Exchange) -> io::Result<Exchange> {
    handlers(Backend::IoUring, socket, exchange)
}

/// Futures on io_uring.
///
/// # Errors
///
/// See [`handlers_epoll`].
pub fn futures_uring(socket: Socket, exchange: Exchange) -> io::Result<Exchange> {
    futures(Backend::IoUring, socket, exchange)
}

fn handlers(backend: Backend, socket: Socket, exchange: Exchange) -> io::Result<Exchange> {
    let runtime = ::aem::Runtime::builder().backend(backend).build()?;
    let shared = Rc::new(RefCell::new(exchange));
    let own = Rc::clone(&shared);
    runtime.block_on(async move {
        let stream = UnixStream::from_std(socket)?;
        if let Some(opening) = own.borrow().opening() {
            stream.send(opening.to_vec());
        }
        let chunks = stream.chunks();
        let handler = ::aem::on_ok(chunks, move |chunk| -> io::Result<Next> {
            let mut exchange = own.borrow_mut();
            if let Some(message) = exchange.received(&chunk)? {
                // The message that came is as long as the one that goes.
                let mut chunk = chunk;
                chunk.copy_from_slice(&message);
                stream.send(chunk);
            }
            Ok(if exchange.is_over() { Next::Stop } else { Next::Keep })
        });
        handler.await.map(drop).map_err(io::Error::other)
    })?;
    drop(runtime);
    Ok(Rc::into_inner(shared).expect("the handler has ended").into_inner())
}

fn futures(backend: Backend, socket: Socket, mut exchange: Exchange) -> io::Result<Exchange> {
    ::aem::Runtime::builder().backend(backend).build()?.block_on(async move {
        let stream = UnixStream::from_std(socket)?;
        if let Some(opening) = exchange.opening() {
            stream.send(opening.to_vec()).await?;
        }
        while !exchange.is_over() {
            let mut chunk = stream.recv().await?;
            if let Some(message) = exchange.received(&chunk)? {
                chunk.copy_from_slice(&message);
                stream.send(chunk).await?;
            }
        }
        Ok(exchange)
    })
}
