//! Timers that are set and taken back before they fire, as timeouts are.
//!
//! A timer is inserted by making a contender's sleep and polling it once: whichever of the two puts
//! it into the runtime's order, and a reading of the clock, are in the cost. It is cancelled by
//! dropping it. The place the futures stand in was written to before, so that its page faults are
//! nobody's cost; what a runtime grows of its own is its own.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::contenders::Timers;
use crate::meter::Meter;
use crate::workloads::in_a_task;

/// No deadline is nearer than this: no round takes that long, so no timer fires.
const NEAREST: Duration = Duration::from_secs(600);

/// Deadlines lie between [`NEAREST`] and so much later, without order.
const SPREAD: Duration = Duration::from_secs(3600);

/// The deadline of a timeout, where all have the same.
const TIMEOUT: Duration = Duration::from_secs(1000);

/// Nanoseconds a timer.
#[derive(Clone, Copy, Debug, Default)]
pub struct InsertAndCancel {
    /// Making it and its first poll.
    pub insert: f64,
    /// Dropping it.
    pub cancel: f64,
}

/// What a runtime's first million costs, and what the next one does.
#[derive(Clone, Copy, Debug, Default)]
pub struct FirstAndLater {
    /// With all the growing.
    pub first: InsertAndCancel,
    /// In the memory that the first had.
    pub later: InsertAndCancel,
}

/// Inserts `count` timers with deadlines in no order, then cancels them; and the same once more.
pub fn insert_all_cancel_all<R: Timers>(count: usize) -> io::Result<FirstAndLater> {
    in_a_task::<R, _>(async move {
        let mut number: u64 = 0x2545_f491_4f6c_dd1d;
        let mut unordered = || {
            // Marsaglia's xorshift: the same deadlines for all contenders.
            number ^= number << 13;
            number ^= number >> 7;
            number ^= number << 17;
            NEAREST + Duration::from_nanos(number % SPREAD.as_nanos() as u64)
        };
        let mut slots = Slots::new(count);
        let first = slots.round(|| R::sleep(unordered())).await;
        let later = slots.round(|| R::sleep(unordered())).await;
        FirstAndLater { first, later }
    })
}

/// Inserts a timer and cancels it, `count` times, as a timeout does around what is ready at once.
pub fn insert_cancel_each<R: Timers>(count: usize) -> io::Result<f64> {
    in_a_task::<R, _>(async move {
        // A nearer one stands by, or each would be the next to fire, which runtimes act upon.
        let (mut nearer, mut slots) = (Slots::new(1), Slots::new(1));
        poll_fn(|context| {
            nearer.fill(context, || R::sleep(NEAREST));
            let meter = Meter::start();
            for _ in 0..count {
                slots.fill(context, || R::sleep(TIMEOUT));
                slots.empty();
            }
            Poll::Ready(meter.stop(count).nanos)
        })
        .await
    })
}

/// Places in which futures are pinned.
struct Slots<S> {
    slots: Pin<Box<[Option<S>]>>,
}

impl<S: Future> Slots<S> {
    fn new(count: usize) -> Slots<S> {
        let mut slots = Vec::with_capacity(count);
        slots.resize_with(count, || None);
        Slots { slots: Box::into_pin(slots.into_boxed_slice()) }
    }

    fn each(&mut self) -> impl Iterator<Item = Pin<&mut Option<S>>> {
        // SAFETY: the slice is only taken apart into places that stay pinned.
        let slots = unsafe { self.slots.as_mut().get_unchecked_mut() };
        // SAFETY: a place of a pinned slice; nothing moves out of one, for `each` is the only way
        // in.
        slots.iter_mut().map(|slot| unsafe { Pin::new_unchecked(slot) })
    }

    fn fill(&mut self, context: &mut Context<'_>, mut sleep: impl FnMut() -> S) {
        for mut slot in self.each() {
            slot.set(Some(sleep()));
            let is_pending = slot.as_pin_mut().is_some_and(|it| it.poll(context).is_pending());
            assert!(is_pending, "a deadline of minutes is not over");
        }
    }

    fn empty(&mut self) {
        self.each().for_each(|mut slot| slot.set(None));
    }

    async fn round(&mut self, mut sleep: impl FnMut() -> S) -> InsertAndCancel {
        let count = self.slots.len();
        poll_fn(|context| {
            let meter = Meter::start();
            self.fill(context, &mut sleep);
            let insert = meter.stop(count).nanos;
            let meter = Meter::start();
            self.empty();
            Poll::Ready(InsertAndCancel { insert, cancel: meter.stop(count).nanos })
        })
        .await
    }
}
