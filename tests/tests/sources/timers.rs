//! Timers: nobody has their events happen but time.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use aem::time::{Missed, Tick, Ticks, after, every, now, sleep};
use futures::StreamExt;
use futures::stream::{LocalBoxStream, once};

use super::Rig;

const PERIOD: Duration = Duration::from_millis(1);

/// `every`, and no tick is left out.
pub(super) struct Clock {
    /// Of the last tick that was taken.
    scheduled: Cell<Option<Instant>>,
    count: Cell<usize>,
}

impl Rig for Clock {
    type Source = Ticks;

    const ENDS: bool = false;

    async fn new() -> (Rc<Self>, Ticks) {
        let (scheduled, count) = Default::default();
        (Rc::new(Clock { scheduled, count }), every(PERIOD).missed(Missed::Burst))
    }

    fn cause(&self, _: usize) {}

    fn numbers(&self, tick: Tick) -> io::Result<Vec<usize>> {
        assert!(tick.scheduled <= now(), "{tick:?} is early");
        let before = self.scheduled.replace(Some(tick.scheduled));
        assert!(before.is_none_or(|before| before + PERIOD == tick.scheduled), "after {before:?}");
        Ok(vec![self.count.replace(self.count.get() + 1)])
    }
}

/// `after`.
pub(super) struct OneTick {
    start: Instant,
}

impl Rig for OneTick {
    type Source = Ticks;

    const EVENTS: usize = 1;
    const ENDS: bool = true;
    const ENDS_BY_ITSELF: bool = true;

    async fn new() -> (Rc<Self>, Ticks) {
        (Rc::new(OneTick { start: now() }), after(PERIOD))
    }

    fn cause(&self, _: usize) {}

    fn numbers(&self, tick: Tick) -> io::Result<Vec<usize>> {
        assert!(tick.scheduled <= now() && self.start.elapsed() >= PERIOD, "{tick:?} is early");
        Ok(vec![0])
    }
}

/// `sleep`.
pub(super) struct Sleeper {
    start: Instant,
}

impl Rig for Sleeper {
    type Source = LocalBoxStream<'static, ()>;

    const EVENTS: usize = 1;
    const ENDS: bool = true;
    const ENDS_BY_ITSELF: bool = true;

    async fn new() -> (Rc<Self>, Self::Source) {
        (Rc::new(Sleeper { start: now() }), once(sleep(PERIOD)).fuse().boxed_local())
    }

    fn cause(&self, _: usize) {}

    fn numbers(&self, (): ()) -> io::Result<Vec<usize>> {
        assert!(self.start.elapsed() >= PERIOD, "it is early");
        Ok(vec![0])
    }
}
