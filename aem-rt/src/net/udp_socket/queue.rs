//! Datagrams that the kernel had no room for, and the job that sends them when it has.
//!
//! The job lives as long as anything waits. Each datagram has an outcome of its own, which its
//! [`SendingTo`] may be waiting for; one that is dropped unsent, with its runtime, says so.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures::future::FusedFuture;

use super::Inner;
use crate::fd::Interest;
use crate::job::join::JoinHandle;
use crate::job::registry::{Facts, JobKind};
use crate::payload::Payload;
use crate::reactor;
use crate::runtime::context;

/// How much may wait before a handler's source is held back: as for streams.
const DEFAULT_HIGH_WATER: usize = 256 * 1024;

/// So often in a row a datagram may find no room though the kernel says that there is some, before that is
/// its error: it is larger than the room can ever be.
const FRUITLESS_MOST: u32 = 16;

/// The queue of a socket.
pub(super) struct Queue {
    letters: RefCell<VecDeque<Letter>>,
    bytes: Cell<usize>,
    high_water: Cell<Option<usize>>,
    /// A handler's source that is held back.
    held_back: Cell<Option<Waker>>,
}

impl Default for Queue {
    fn default() -> Queue {
        Queue {
            letters: RefCell::default(),
            bytes: Cell::new(0),
            high_water: Cell::new(Some(DEFAULT_HIGH_WATER)),
            held_back: Cell::new(None),
        }
    }
}

/// A datagram that waits.
struct Letter {
    payload: Payload,
    peer: Option<SocketAddr>,
    outcome: Rc<Outcome>,
    fruitless: u32,
}

/// What became of a datagram.
#[derive(Default)]
struct Outcome {
    result: Cell<Option<io::Result<()>>>,
    waker: Cell<Option<Waker>>,
}

impl Letter {
    /// Says what became of it. User code may run in here: a waker, and the payload's end.
    fn end(self, result: io::Result<()>) {
        self.outcome.result.set(Some(result));
    }
}

impl Drop for Letter {
    fn drop(&mut self) {
        let result = self.outcome.result.take();
        self.outcome.result.set(Some(result.unwrap_or_else(|| Err(reactor::ended()))));
        if let Some(waker) = self.outcome.waker.take() {
            waker.wake();
        }
    }
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.letters.borrow().is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.get()
    }

    pub(super) fn set_high_water(&self, mark: Option<usize>) {
        self.high_water.set(mark);
        self.let_go();
    }

    fn has_room(&self) -> bool {
        self.high_water.get().is_none_or(|mark| self.bytes.get() <= mark)
    }

    /// Waits until no more is queued than the high-water mark.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        if self.has_room() {
            return Poll::Ready(());
        }
        let before = self.held_back.replace(Some(cx.waker().clone()));
        if let Some(before) = before
            && !before.will_wake(cx.waker())
        {
            // Another source of the same socket: it asks again.
            before.wake();
        }
        Poll::Pending
    }

    fn let_go(&self) {
        if self.has_room()
            && let Some(waker) = self.held_back.take()
        {
            waker.wake();
        }
    }

    fn push(&self, letter: Letter) -> bool {
        self.bytes.set(self.bytes.get() + letter.payload.len());
        let mut letters = self.letters.borrow_mut();
        letters.push_back(letter);
        letters.len() == 1
    }

    fn pop(&self) -> Option<Letter> {
        let letter = self.letters.borrow_mut().pop_front()?;
        self.bytes.set(self.bytes.get() - letter.payload.len());
        Some(letter)
    }
}

/// Queues a datagram, with a job to send it if it is the first.
pub(super) fn push(socket: &Rc<Inner>, payload: Payload, peer: Option<SocketAddr>) -> SendingTo {
    let outcome = Rc::<Outcome>::default();
    let letter = Letter { payload, peer, outcome: Rc::clone(&outcome), fruitless: 0 };
    if socket.queue.push(letter) {
        let socket = Rc::clone(socket);
        let facts = Facts { kind: JobKind::Task, location: Location::caller() };
        context::here(|here| JoinHandle::spawn(here, send_all(Emptied(socket)), facts));
    }
    SendingTo(State::Queued(outcome))
}

/// A socket whose queue is emptied at the latest when this is dropped: with the job, at the end.
struct Emptied(Rc<Inner>);

impl Drop for Emptied {
    fn drop(&mut self) {
        while let Some(letter) = self.0.queue.pop() {
            drop(letter);
        }
        self.0.queue.let_go();
    }
}

async fn send_all(socket: Emptied) {
    let inner = &socket.0;
    loop {
        let sent = poll_fn(|cx| {
            inner.fd.poll_io(cx, Interest::WRITABLE, |_| {
                // Out of the queue while it is sent, so that nothing is borrowed.
                let front = inner.queue.letters.borrow_mut().pop_front();
                let Some(mut letter) = front else { return Ok(None) };
                match inner.try_send(&letter.payload, letter.peer) {
                    Err(error)
                        if error.kind() == io::ErrorKind::WouldBlock
                            && letter.fruitless < FRUITLESS_MOST =>
                    {
                        letter.fruitless += 1;
                        inner.queue.letters.borrow_mut().push_front(letter);
                        Err(error)
                    }
                    result => Ok(Some((letter, result))),
                }
            })
        });
        match sent.await {
            Ok(Some((letter, result))) => {
                inner.queue.bytes.set(inner.queue.bytes.get() - letter.payload.len());
                letter.end(result);
                inner.queue.let_go();
            }
            // All have left, or the runtime that would have sent them.
            Ok(None) | Err(_) => return,
        }
    }
}

/// Resolves when the datagram of one `send_to` is with the kernel.
///
/// It was sent, or queued, before this was made. Awaiting it is a way to keep pace and to hear of errors;
/// dropping it takes nothing back.
pub struct SendingTo(State);

enum State {
    Sent(io::Result<()>),
    Queued(Rc<Outcome>),
    Done,
}

impl SendingTo {
    pub(super) fn sent(result: io::Result<()>) -> SendingTo {
        SendingTo(State::Sent(result))
    }
}

impl Future for SendingTo {
    /// What became of it.
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match std::mem::replace(&mut self.0, State::Done) {
            State::Sent(result) => Poll::Ready(result),
            State::Queued(outcome) => match outcome.result.take() {
                Some(result) => Poll::Ready(result),
                None => {
                    let before = outcome.waker.replace(Some(cx.waker().clone()));
                    drop(before);
                    self.0 = State::Queued(outcome);
                    Poll::Pending
                }
            },
            // Asked again, it says again that it is gone.
            State::Done => Poll::Ready(Ok(())),
        }
    }
}

impl FusedFuture for SendingTo {
    fn is_terminated(&self) -> bool {
        matches!(self.0, State::Done)
    }
}

impl fmt::Debug for SendingTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            State::Sent(_) => "SendingTo(sent)",
            State::Queued(_) => "SendingTo(queued)",
            State::Done => "SendingTo(done)",
        })
    }
}
