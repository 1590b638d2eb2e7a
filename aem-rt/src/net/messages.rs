//! The sources of sockets that keep messages apart, and of streams read message by message.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::stream::{FusedStream, Stream};

/// Says what comes next; none at the end.
type Next<E> = dyn FnMut(&mut Context<'_>) -> Poll<Option<io::Result<E>>>;

/// The source of what a socket receives, made by `datagrams()` and `messages()` of sockets.
///
/// It is a handle of its socket. Several of one socket share what comes: each event goes to one of them.
#[must_use = "messages come only while somebody takes them"]
pub struct Messages<E> {
    next: Box<Next<E>>,
    goes_on: fn(&io::Error) -> bool,
    ended: bool,
}

impl<E> Messages<E> {
    /// A source of what `next` says, which ends when that does, and with an error unless it `goes_on` after
    /// it.
    pub(super) fn new(
        goes_on: fn(&io::Error) -> bool,
        next: impl FnMut(&mut Context<'_>) -> Poll<Option<io::Result<E>>> + 'static,
    ) -> Messages<E> {
        Messages { next: Box::new(next), goes_on, ended: false }
    }
}

impl<E> Stream for Messages<E> {
    type Item = io::Result<E>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        let next = ready!((this.next)(cx));
        this.ended = match &next {
            Some(Ok(_)) => false,
            Some(Err(error)) => !(this.goes_on)(error),
            None => true,
        };
        Poll::Ready(next)
    }
}

impl<E> FusedStream for Messages<E> {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

impl<E> fmt::Debug for Messages<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages").field("ended", &self.ended).finish_non_exhaustive()
    }
}
