//! The future of a send.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures::future::FusedFuture;

use super::connection::Connection;
use super::waiters::{WaitId, WaitList};

/// Resolves when the bytes of one `send` of a stream are with the kernel.
///
/// The bytes were queued before this was made. Awaiting it is a way to keep pace with the peer and
/// to hear of errors; dropping it takes nothing back.
#[derive(Debug)]
pub struct Sending(State);

#[derive(Debug)]
enum State {
    Queued {
        stream: Rc<Connection>,
        /// Behind the last of its bytes.
        position: u64,
        wait: WaitId,
    },
    Refused(io::Error),
    Done,
}

impl Sending {
    pub(super) fn new(stream: &Rc<Connection>, pushed: io::Result<u64>) -> Sending {
        Sending(match pushed {
            Ok(position) => {
                State::Queued { stream: Rc::clone(stream), position, wait: WaitId::default() }
            }
            Err(error) => State::Refused(error),
        })
    }
}

impl Future for Sending {
    /// The first error of the stream, if the bytes were not handed over before it.
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let State::Queued { stream, position, wait } = &mut self.0 {
            std::task::ready!(stream.poll_handed(cx, wait, *position))?;
        }
        match std::mem::replace(&mut self.0, State::Done) {
            State::Refused(error) => Poll::Ready(Err(error)),
            // Asked again, it says again that they are gone.
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl FusedFuture for Sending {
    fn is_terminated(&self) -> bool {
        matches!(self.0, State::Done)
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if let State::Queued { stream, wait, .. } = &self.0 {
            stream.writers().forget(wait);
        }
    }
}
