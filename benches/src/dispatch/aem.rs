//! aem: a handler for each pair, or a task for each, on either interface.
//!
//! The pairs are sockets, so they are streams of aem's, whose bytes are brought as chunks. Of the ways to
//! hear of a byte that is the cheapest: readiness ([`AsyncFd`](::aem::fd::AsyncFd)), with a read of one's
//! own, asks the kernel for each event anew.

use std::io;
use std::rc::Rc;

use ::aem::Backend;
use ::aem::net::UnixStream;

use super::relay::{Readers, Relay};
use super::{Figures, laps_of_tasks};

/// Handlers on epoll.
///
/// # Errors
///
/// There is no runtime to be had, or bytes were lost; so for all here.
pub fn handlers_epoll(readers: Readers, relay: Rc<Relay>) -> io::Result<Figures> {
    handlers(Backend::Epoll, readers, relay)
}

/// Futures on epoll.
///
/// # Errors
///
/// See [`handlers_epoll`].
pub fn futures_epoll(readers: Readers, relay: Rc<Relay>) -> io::Result<Figures> {
    futures(Backend::Epoll, readers, relay)
}

/// Handlers on io_uring.
///
/// # Errors
///
/// See [`handlers_epoll`].
pub fn handlers_uring(readers: Readers, relay: Rc<Relay>) -> io::Result<Figures> {
    handlers(Backend::IoUring, readers, relay)
}

/// Futures on io_uring.
///
/// # Errors
///
/// See [`handlers_epoll`].
pub fn futures_uring(readers: Readers, relay: Rc<Relay>) -> io::Result<Figures> {
    futures(Backend::IoUring, readers, relay)
}

fn handlers(backend: Backend, readers: Readers, relay: Rc<Relay>) -> io::Result<Figures> {
    ::aem::Runtime::builder().backend(backend).build()?.block_on(async {
        let mut registrations = Vec::new();
        for (at, reader) in readers.into_iter().enumerate() {
            let (stream, relay) = (UnixStream::from_std(reader)?, Rc::clone(&relay));
            let registration = ::aem::on(stream.chunks(), move |chunk| {
                relay.pass_on(at, chunk.map(|chunk| chunk.len()));
            });
            registrations.push(registration);
        }
        let figures = laps_of_tasks(&relay).await;
        relay.close();
        for registration in registrations {
            registration.await?;
        }
        figures
    })
}

fn futures(backend: Backend, readers: Readers, relay: Rc<Relay>) -> io::Result<Figures> {
    async fn pass_on(at: usize, stream: UnixStream, relay: &Relay) -> io::Result<()> {
        loop {
            let chunk = stream.recv().await?;
            if chunk.is_empty() {
                return Ok(());
            }
            relay.pass_on(at, Ok(chunk.len()));
        }
    }
    ::aem::Runtime::builder().backend(backend).build()?.block_on(async {
        let mut tasks = Vec::new();
        for (at, reader) in readers.into_iter().enumerate() {
            let (stream, relay) = (UnixStream::from_std(reader)?, Rc::clone(&relay));
            tasks.push(::aem::spawn(async move {
                let ended = pass_on(at, stream, &relay).await;
                ended.unwrap_or_else(|error| relay.fail(error));
            }));
        }
        let figures = laps_of_tasks(&relay).await;
        relay.close();
        for task in tasks {
            task.await?;
        }
        figures
    })
}
