//! Runtimes whose tasks await their pair: a task each, which reads until the pair has ended.

use std::future::Future;
use std::io;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use super::relay::{ROOM, Readers, Relay};
use super::{Figures, laps_of_tasks};
use crate::contenders::{Runtime, Smol, TokioCurrent};

/// tokio's current-thread runtime and its own stream.
///
/// # Errors
///
/// There is no runtime to be had, or bytes were lost; so for all here.
pub fn tokio(readers: Readers, relay: Rc<Relay>) -> io::Result<Figures> {
    use ::tokio::io::AsyncReadExt;
    use ::tokio::net::UnixStream;

    run::<TokioCurrent, _>(readers, relay, |at, reader, relay| async move {
        let mut reader = UnixStream::from_std(reader)?;
        let mut room = [0; ROOM];
        loop {
            match reader.read(&mut room).await {
                Ok(0) => return Ok(()),
                read => relay.pass_on(at, read),
            }
        }
    })
}

/// async-io's `Async` on async-executor's `LocalExecutor`.
///
/// # Errors
///
/// See [`tokio`].
pub fn smol(readers: Readers, relay: Rc<Relay>) -> io::Result<Figures> {
    run::<Smol, _>(readers, relay, |at, reader, relay| async move {
        let reader = async_io::Async::new_nonblocking(reader)?;
        // To read first would cost a call more, as each event is waited for anew.
        loop {
            reader.readable().await?;
            if !relay.ready(at, reader.get_ref()) {
                return Ok(());
            }
        }
    })
}

fn run<R: Runtime, T: Future<Output = io::Result<()>> + 'static>(
    readers: Readers,
    relay: Rc<Relay>,
    task: fn(usize, UnixStream, Rc<Relay>) -> T,
) -> io::Result<Figures> {
    R::block_on(async move {
        let start = |(at, reader)| {
            let relay = Rc::clone(&relay);
            R::spawn(async move {
                if let Err(error) = task(at, reader, Rc::clone(&relay)).await {
                    relay.fail(error);
                }
                0
            })
        };
        let tasks: Vec<_> = readers.into_iter().enumerate().map(start).collect();
        let figures = laps_of_tasks(&relay).await;
        relay.close();
        for task in tasks {
            task.await;
        }
        figures
    })?
}
