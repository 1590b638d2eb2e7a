//! The cloner of processes: a child for each event, at most so many at once.

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::process::ExitStatus;
use std::task::Poll;

use futures::Stream;

use super::Command;
use crate::error::BoxError;
use crate::handler::{Registration, on_each};
use crate::job::waker::JobRef;

/// Registers a cloner of processes: each event starts a process, at most `limit` of them at once; beyond
/// that the source is not polled.
///
/// `make` says what to start for an event, typically with the event's descriptor as its
/// [stdio](super::stdio). Each child belongs to a job, which bears its number for a name: so
/// [`jobs`](crate::jobs) lists the children of a cloner, by the place that it was made at. A child that fails
/// (see [`Failed`]), a program that cannot be started, and an error or a panic of `make` concern that event
/// alone; each is reported and counted as the error of a detached handler is.
///
/// The registration ends with the source and the last child. Stopped, it drops its children before that
/// returns, and so does a scope that waits no longer: those of commands with
/// [`kill_on_drop`](Command::kill_on_drop) are killed, the others own their events and run on to their ends.
/// Either way each ends once and leaves no zombie.
///
/// To do more with each child, to feed it or to know its end, spawn it in the task of an
/// [`on_each`].
///
/// ```
/// use aem::net::{TcpListener, TcpStream};
/// use aem::process::{Command, on_process, stdio};
///
/// # aem::block_on(async {
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let address = listener.local_addr()?;
/// on_process(listener.incoming(), 10, |connection| {
///     let (stream, _peer) = connection?;
///     let mut command = Command::new("cat");
///     command.stdin(stdio(&stream)?).stdout(stdio(&stream)?);
///     Ok(command)
/// })
/// .detach();
///
/// let client = TcpStream::connect(address).await?;
/// client.send("meow").await?;
/// assert_eq!(&client.recv().await?[..], b"meow");
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
///
/// # Panics
/// Outside of a runtime, and if `limit` is zero.
#[track_caller]
pub fn on_process<S>(
    source: S,
    limit: usize,
    make: impl FnMut(S::Item) -> io::Result<Command> + 'static,
) -> Registration<S>
where
    S: Stream + 'static,
{
    let make = Maker(Cell::new(Some(make)));
    on_each(source, limit, async move |event| {
        // The command goes at once, and with it our hold on what it gave the child.
        let mut child = make.call(event)?.spawn()?;
        let pid = child.pid();
        name_this_job(pid).await;
        match child.wait().await? {
            status if status.success() => Ok(()),
            status => Err(BoxError::from(Failed { pid, status })),
        }
    })
}

/// The one closure of a cloner, which its tasks call one after the other.
struct Maker<F>(Cell<Option<F>>);

impl<F> Maker<F> {
    fn call<E, R>(&self, event: E) -> R
    where
        F: FnMut(E) -> R,
    {
        /// Puts it back, whatever became of the call.
        struct Away<'a, F>(&'a Maker<F>, Option<F>);
        impl<F> Drop for Away<'_, F> {
            fn drop(&mut self) {
                self.0.0.set(self.1.take());
            }
        }
        let make = self.0.take();
        let mut away = Away(self, make);
        let make = away.1.as_mut().expect("a call is over before another task runs");
        make(event)
    }
}

async fn name_this_job(pid: u32) {
    poll_fn(|cx| {
        if let Some(job) = JobRef::at_home(cx.waker()) {
            job.set_name(super::name(pid));
        }
        Poll::Ready(())
    })
    .await;
}

/// A child of a cloner that ended with something else than success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failed {
    /// The number that it had.
    pub pid: u32,
    /// How it ended.
    pub status: ExitStatus,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} failed: {}", self.pid, self.status)
    }
}

impl Error for Failed {}
