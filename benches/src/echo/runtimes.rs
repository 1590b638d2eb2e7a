//! The contenders that are runtimes, each with the echo server its own documentation would write.
//!
//! One thread each and settings as shipped, but for the interface where there is a choice. A
//! connection is a task with a buffer of its own, except with aem, which brings the data.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::os::fd::{FromRawFd, IntoRawFd};
use std::pin::pin;

use futures::channel::oneshot;
use futures::future::{Either, select};

use super::visitors::{Visit, Visitors};
use super::{BUFFER, announce};

/// Accepts until all visitors have left.
async fn until(
    has_ended: oneshot::Receiver<()>,
    accepting: impl Future<Output = io::Result<Infallible>>,
) -> io::Result<()> {
    match select(has_ended, pin!(accepting)).await {
        Either::Left(_) => Ok(()),
        Either::Right((Err(error), _)) => Err(error),
    }
}

fn aem(backend: aem::Backend) -> io::Result<aem::Runtime> {
    aem::Runtime::builder().backend(backend).build()
}

/// aem's handlers on epoll.
///
/// # Errors
///
/// There is no runtime to be had, or the listener fails; so for all servers here.
pub fn aem_handlers_epoll(listener: TcpListener, visitors: Visitors) -> io::Result<()> {
    aem_handlers(aem::Backend::Epoll, listener, visitors)
}

/// aem's futures on epoll.
///
/// # Errors
///
/// See [`aem_handlers_epoll`].
pub fn aem_futures_epoll(listener: TcpListener, visitors: Visitors) -> io::Result<()> {
    aem_futures(aem::Backend::Epoll, listener, visitors)
}

/// aem's handlers on io_uring.
///
/// # Errors
///
/// See [`aem_handlers_epoll`].
pub fn aem_handlers_uring(listener: TcpListener, visitors: Visitors) -> io::Result<()> {
    aem_handlers(aem::Backend::IoUring, listener, visitors)
}

/// aem's futures on io_uring.
///
/// # Errors
///
/// See [`aem_handlers_epoll`].
pub fn aem_futures_uring(listener: TcpListener, visitors: Visitors) -> io::Result<()> {
    aem_futures(aem::Backend::IoUring, listener, visitors)
}

fn aem_handlers(
    backend: aem::Backend,
    listener: TcpListener,
    visitors: Visitors,
) -> io::Result<()> {
    let runtime = aem(backend)?;
    announce(&listener)?;
    let (door, has_ended) = visitors.split();
    runtime.block_on(async {
        let listener = aem::net::TcpListener::from_std(listener)?;
        let accepting = aem::on_ok(listener.incoming(), move |(stream, _peer)| {
            let visit = door.enter();
            let reply = stream.clone();
            aem::on_ok(stream.chunks(), move |chunk| {
                let _visit = &visit;
                reply.send(chunk);
            })
            .detach();
            stream.set_nodelay(true)
        });
        match select(has_ended, accepting).await {
            Either::Left(_) => Ok(()),
            Either::Right((end, _)) => Err(io::Error::other(format!("accepting: {end:?}"))),
        }
    })
}

fn aem_futures(backend: aem::Backend, listener: TcpListener, visitors: Visitors) -> io::Result<()> {
    async fn echo(_visit: Visit, stream: aem::net::TcpStream) {
        while let Ok(chunk) = stream.recv().await {
            if chunk.is_empty() || stream.send(chunk).await.is_err() {
                break;
            }
        }
    }
    let runtime = aem(backend)?;
    announce(&listener)?;
    let (door, has_ended) = visitors.split();
    runtime.block_on(until(has_ended, async move {
        let listener = aem::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            drop(aem::spawn(echo(door.enter(), stream)));
        }
    }))
}

/// tokio's current-thread runtime, on epoll.
///
/// # Errors
///
/// See [`aem_handlers_epoll`].
pub fn tokio(listener: TcpListener, visitors: Visitors) -> io::Result<()> {
    use ::tokio::io::{AsyncReadExt, AsyncWriteExt};
    use ::tokio::net;

    async fn echo(_visit: Visit, mut stream: net::TcpStream) {
        let mut buffer = vec![0; BUFFER];
        while let Ok(count) = stream.read(&mut buffer).await {
            if count == 0 || stream.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
    }
    listener.set_nonblocking(true)?;
    let runtime = ::tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    announce(&listener)?;
    let (door, has_ended) = visitors.split();
    runtime.block_on(until(has_ended, async move {
        let listener = net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            ::tokio::spawn(echo(door.enter(), stream));
        }
    }))
}

/// monoio, on io_uring.
///
/// # Errors
///
/// See [`aem_handlers_epoll`].
pub fn monoio(listener: TcpListener, visitors: Visitors) -> io::Result<()> {
    use ::monoio::io::{AsyncReadRent, AsyncWriteRentExt};
    use ::monoio::net;

    async fn echo(_visit: Visit, mut stream: net::TcpStream) {
        let mut buffer = Vec::with_capacity(BUFFER);
        loop {
            let (result, read) = stream.read(buffer).await;
            if !matches!(result, Ok(1..)) {
                break;
            }
            let (result, written) = stream.write_all(read).await;
            if result.is_err() {
                break;
            }
            buffer = written;
        }
    }
    let builder = ::monoio::RuntimeBuilder::<::monoio::IoUringDriver>::new();
    let mut runtime = builder.build()?;
    announce(&listener)?;
    let (door, has_ended) = visitors.split();
    runtime.block_on(until(has_ended, async move {
        let listener = net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            ::monoio::spawn(echo(door.enter(), stream));
        }
    }))
}

/// compio, on io_uring.
///
/// # Errors
///
/// See [`aem_handlers_epoll`].
pub fn compio(listener: TcpListener, visitors: Visitors) -> io::Result<()> {
    use ::compio::BufResult;
    use ::compio::io::{AsyncRead, AsyncWriteExt};
    use ::compio::net;

    async fn echo(_visit: Visit, mut stream: net::TcpStream) {
        let mut buffer = Vec::with_capacity(BUFFER);
        loop {
            buffer.clear();
            let BufResult(result, read) = stream.read(buffer).await;
            if !matches!(result, Ok(1..)) {
                break;
            }
            let BufResult(result, written) = stream.write_all(read).await;
            if result.is_err() {
                break;
            }
            buffer = written;
        }
    }
    let runtime = ::compio::runtime::Runtime::new()?;
    announce(&listener)?;
    let (door, has_ended) = visitors.split();
    runtime.block_on(until(has_ended, async move {
        let listener = net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            ::compio::runtime::spawn(echo(door.enter(), stream)).detach();
        }
    }))
}

/// glommio, on io_uring.
///
/// # Errors
///
/// See [`aem_handlers_epoll`].
pub fn glommio(listener: TcpListener, visitors: Visitors) -> io::Result<()> {
    use ::glommio::net;
    use futures_lite::{AsyncReadExt, AsyncWriteExt};

    async fn echo(_visit: Visit, mut stream: net::TcpStream) {
        let mut buffer = vec![0; BUFFER];
        while let Ok(count) = stream.read(&mut buffer).await {
            if count == 0 || stream.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
    }
    let told = |error: ::glommio::GlommioError<()>| io::Error::other(error.to_string());
    let executor = ::glommio::LocalExecutorBuilder::default().make().map_err(told)?;
    announce(&listener)?;
    let (door, has_ended) = visitors.split();
    executor.run(until(has_ended, async move {
        // SAFETY: the descriptor is open, listens, and has no other owner.
        let listener = unsafe { net::TcpListener::from_raw_fd(listener.into_raw_fd()) };
        loop {
            let stream = listener.accept().await.map_err(told)?;
            stream.set_nodelay(true).map_err(told)?;
            ::glommio::spawn_local(echo(door.enter(), stream)).detach();
        }
    }))
}
