//! Datagrams that there was no room for, and the job that sends them when there is.
//!
//! The job lives as long as anything waits. Each datagram has an outcome of its own, which its
//! [`SendingTo`] may be waiting for; one that is dropped unsent, with its runtime, says so.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::future::FusedFuture;

use super::{Carrier, DatagramSocket};
use crate::job::join::JoinHandle;
use crate::job::registry::{Facts, JobKind};
use crate::payload::Payload;
use crate::reactor::{self, Callers, Reactor, Wakes};
use crate::runtime::context;
use crate::time::sleep;

/// How much may wait before a handler's source is held back: as for streams.
const DEFAULT_HIGH_WATER: usize = 256 * 1024;

/// A letter counts for its bytes and this against the high-water mark, for its places in memory: one may be
/// empty, and still be one of a million.
const COST_OF_LETTER: usize = 128;

/// So often a datagram may find no room though the socket has some, where no peer is waited for: it is larger
/// than the room can ever be, and that is its error.
const FRUITLESS_MOST: u32 = 16;

/// How long to wait before such a datagram is tried again: twice as long each time, as a peer on this machine
/// is at work, or stuck.
const FIRST_REST: Duration = Duration::from_micros(100);
const LONGEST_REST: Duration = Duration::from_millis(50);

/// The queue of a socket.
pub(super) struct Queue<E> {
    letters: RefCell<VecDeque<Letter<E>>>,
    bytes: Cell<usize>,
    /// What all letters count for.
    cost: Cell<usize>,
    high_water: Cell<Option<usize>>,
    /// Whether there is a job that sends them.
    has_job: Cell<bool>,
    /// Handlers whose sources are held back.
    held_back: Callers,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Queue {
            letters: RefCell::default(),
            bytes: Cell::new(0),
            cost: Cell::new(0),
            high_water: Cell::new(Some(DEFAULT_HIGH_WATER)),
            has_job: Cell::new(false),
            held_back: Callers::default(),
        }
    }
}

/// A datagram that waits.
struct Letter<E> {
    payload: Payload,
    envelope: E,
    outcome: Rc<Outcome>,
    /// What it counts for.
    cost: usize,
}

/// What became of a datagram.
#[derive(Default)]
struct Outcome {
    result: Cell<Option<io::Result<()>>>,
    waker: Cell<Option<Waker>>,
}

impl<E> Drop for Letter<E> {
    /// Unless it is known what became of it, nothing will.
    fn drop(&mut self) {
        let result = self.outcome.result.take();
        self.outcome.result.set(Some(result.unwrap_or_else(|| Err(reactor::ended()))));
        if let Some(waker) = self.outcome.waker.take() {
            waker.wake();
        }
    }
}

impl<E> Queue<E> {
    /// Whether nothing waits.
    pub(super) fn is_idle(&self) -> bool {
        !self.has_job.get()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.get()
    }

    pub(super) fn set_high_water(&self, mark: Option<usize>, reactor: &Reactor) {
        self.high_water.set(mark);
        self.let_go(reactor);
    }

    fn has_room(&self) -> bool {
        self.high_water.get().is_none_or(|mark| self.cost.get() <= mark)
    }

    /// Waits until no more is queued than the high-water mark.
    pub(super) fn poll_room(&self, cx: &Context<'_>, reactor: &Reactor) -> Poll<()> {
        if self.has_room() {
            return Poll::Ready(());
        }
        self.held_back.add(cx.waker(), reactor);
        Poll::Pending
    }

    fn let_go(&self, reactor: &Reactor) {
        if self.has_room() {
            let mut wakes = Wakes::default();
            self.held_back.take_all(&mut wakes);
            reactor.wake_all(wakes);
        }
    }
}

/// Queues a datagram, with a job to send it if there is none.
pub(super) fn push<T: DatagramSocket>(
    carrier: &Rc<Carrier<T>>,
    payload: Payload,
    envelope: T::Envelope,
) -> SendingTo {
    let queue = &carrier.queue;
    let outcome = Rc::<Outcome>::default();
    let cost = payload.len() + COST_OF_LETTER + T::weight(&envelope);
    queue.bytes.set(queue.bytes.get() + payload.len());
    queue.cost.set(queue.cost.get() + cost);
    let letter = Letter { payload, envelope, outcome: Rc::clone(&outcome), cost };
    queue.letters.borrow_mut().push_back(letter);
    if !queue.has_job.replace(true) {
        let sender = Sender(Rc::clone(carrier));
        let facts = Facts { kind: JobKind::Task, location: Location::caller() };
        context::here(|here| JoinHandle::spawn(here, send_all(sender), facts));
    }
    SendingTo(State::Queued(outcome))
}

/// The job's hold on the socket. What it has not sent when it ends nobody will.
struct Sender<T: DatagramSocket>(Rc<Carrier<T>>);

impl<T: DatagramSocket> Sender<T> {
    fn next(&self) -> Option<Letter<T::Envelope>> {
        self.0.queue.letters.borrow_mut().pop_front()
    }
}

impl<T: DatagramSocket> Drop for Sender<T> {
    fn drop(&mut self) {
        while let Some(letter) = self.next() {
            drop(letter);
        }
        let queue = &self.0.queue;
        queue.bytes.set(0);
        queue.cost.set(0);
        queue.has_job.set(false);
        queue.let_go(&self.0.reactor);
    }
}

async fn send_all<T: DatagramSocket>(sender: Sender<T>) {
    while let Some(letter) = sender.next() {
        let result = send_patiently(&sender.0, &letter).await;
        let queue = &sender.0.queue;
        queue.bytes.set(queue.bytes.get() - letter.payload.len());
        queue.cost.set(queue.cost.get() - letter.cost);
        letter.outcome.result.set(Some(result));
        drop(letter);
        queue.let_go(&sender.0.reactor);
    }
}

/// Sends a datagram as soon as there is room for it.
async fn send_patiently<T: DatagramSocket>(
    carrier: &Carrier<T>,
    letter: &Letter<T::Envelope>,
) -> io::Result<()> {
    let (mut fruitless, mut rest) = (0, FIRST_REST);
    loop {
        match carrier.try_send(&letter.payload, &letter.envelope) {
            Err(error)
                if error.kind() == io::ErrorKind::WouldBlock
                    && (T::WAITS_FOR_PEER || fruitless < FRUITLESS_MOST) => {}
            result => return result,
        }
        if fruitless > 0 {
            // The socket said that it has room: it is the peer that has none, or there is too little.
            sleep(rest).await;
            rest = LONGEST_REST.min(rest * 2);
        }
        fruitless += 1;
        carrier.fd.writable().await?;
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
    pub(in crate::net) fn sent(result: io::Result<()>) -> SendingTo {
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
