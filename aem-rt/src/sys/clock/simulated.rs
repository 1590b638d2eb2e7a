//! The time of a simulated kernel: it passes when that kernel says so, and not else.
//!
//! It begins at the system's, so that its instants are ordinary ones, and runs ahead of it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::{Reading, Scale};

/// A time that is moved by hand. Clones are the same time.
#[derive(Clone, Debug)]
pub(crate) struct Time(Rc<State>);

#[derive(Debug)]
struct State {
    scale: Scale,
    now: Cell<Reading>,
}

impl Time {
    /// A time that begins now.
    pub(crate) fn new() -> Time {
        let scale = Scale::new();
        Time(Rc::new(State { scale, now: Cell::new(scale.zero) }))
    }

    /// What it is.
    pub(crate) fn now(&self) -> Reading {
        self.0.now.get()
    }

    /// What its readings are as instants. Whoever asks gets the same scale, so that no two parts of a
    /// worker differ by the time that lies between two readings of the system's clock.
    pub(super) fn scale(&self) -> Scale {
        self.0.scale
    }

    /// Moves it on to `then`; never back.
    pub(crate) fn advance_to(&self, then: Reading) {
        self.0.now.set(self.now().max(then));
    }
}

impl Reading {
    /// No clock says less.
    pub(crate) const START: Reading = Reading(0);

    /// No clock ever says this.
    pub(crate) const NEVER: Reading = Reading(u64::MAX);

    /// The reading so much later; [`NEVER`](Self::NEVER) if that is too far away to be counted.
    pub(crate) fn after(self, duration: Duration) -> Reading {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Reading(self.0.saturating_add(nanos))
    }
}
