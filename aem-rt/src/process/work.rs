//! The other side of a capsule: how a process that was made in advance gets its work.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::stream::{FusedStream, Stream};
use socket2::{SockRef, Type};

use crate::fd::{AsyncFd, Interest};
use crate::runtime::context;
use crate::sys::handing::take;

/// What a process is handed that [`Capsules`](super::Capsules) keep ready: a source of descriptors, which
/// ends when no more come.
///
/// ```no_run
/// #[aem::main]
/// async fn main() -> aem::Result {
///     // What takes long is done here, before there is work.
///     aem::on_ok(aem::process::Work::inherited()?, |connection| -> aem::Result {
///         let stream = aem::net::TcpStream::from_std(connection.into())?;
///         stream.send("hello\n");
///         Ok(())
///     })
///     .await?;
///     Ok(())
/// }
/// ```
#[must_use = "work comes only while somebody takes it"]
pub struct Work {
    socket: AsyncFd<OwnedFd>,
    ended: bool,
}

impl Work {
    /// That of this process, whose standard input it comes through.
    ///
    /// # Errors
    /// `InvalidInput` if that is something else, as it is for a program that is started in another way; out
    /// of descriptors.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn inherited() -> io::Result<Work> {
        let _here = context::reactor();
        let socket = io::stdin().as_fd().try_clone_to_owned()?;
        if !SockRef::from(&socket).r#type().is_ok_and(|kind| kind == Type::SEQPACKET) {
            let text = "the standard input is not that of a capsule, which brings its work";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Ok(Work { socket: AsyncFd::new(socket)?, ended: false })
    }
}

impl Stream for Work {
    /// A descriptor, in the mode (waiting or not) in which it was handed over.
    type Item = io::Result<OwnedFd>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let taken = match self.socket.check() {
            Ok(()) => {
                ready!(self.socket.poll_io(cx, Interest::READABLE, |socket| take(socket.as_fd())))
            }
            Err(error) => Err(error),
        };
        self.ended = !matches!(taken, Ok(Some(_)));
        Poll::Ready(taken.transpose())
    }
}

impl FusedStream for Work {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work").field("ended", &self.ended).finish_non_exhaustive()
    }
}
