//! The clock that deadlines are measured by.
//!
//! `CLOCK_MONOTONIC`, which is what [`Instant`] reads and what the kernel counts a wait by. A reading
//! costs about as much as waking a task, so a turn takes one and shares it.
//!
//! What the runtime reads for itself it keeps as a number of nanoseconds, a [`Reading`]: it takes
//! differences of them at every run of a handler, and those of an [`Instant`] cost as much again as
//! the reading does. A [`Scale`] makes instants of readings where a user's deadline meets one.
//!
//! Which clock a worker reads its keeper says ([`Clock`]): a simulated kernel has a time of its own.

#[cfg(test)]
pub(crate) mod simulated;

use std::time::{Duration, Instant};

/// What a worker reads for the time. Where there is only one kind it is no data and no branch.
#[derive(Clone, Debug)]
pub(crate) enum Clock {
    /// The system's.
    Monotonic,
    /// A number that a simulated kernel moves.
    #[cfg(test)]
    Simulated(simulated::Time),
}

#[cfg(not(test))]
const _: () = assert!(size_of::<Clock>() == 0, "it costs real keepers nothing");

impl Clock {
    /// Reads it.
    #[inline]
    pub(crate) fn read(&self) -> Reading {
        match self {
            Clock::Monotonic => Reading::take(),
            #[cfg(test)]
            Clock::Simulated(time) => time.now(),
        }
    }

    /// Reads it as an instant.
    pub(crate) fn now(&self) -> Instant {
        match self {
            Clock::Monotonic => Instant::now(),
            #[cfg(test)]
            Clock::Simulated(time) => time.scale().instant(time.now()),
        }
    }

    /// A scale for its readings, from now on.
    pub(crate) fn scale(&self) -> Scale {
        match self {
            Clock::Monotonic => Scale::new(),
            #[cfg(test)]
            Clock::Simulated(time) => time.scale(),
        }
    }
}

/// What the clock said, in nanoseconds; 584 years are enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reading(u64);

impl Reading {
    /// Reads the clock.
    #[inline]
    pub(crate) fn take() -> Reading {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is a live local that the kernel writes to. This clock always exists, so
        // there is no error to look at.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
        Reading(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
    }

    /// Nanoseconds from an earlier reading to this one; none if it is a later one.
    #[inline]
    pub(crate) fn since(self, earlier: Reading) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// What turns readings into instants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    start: Instant,
    zero: Reading,
}

impl Scale {
    /// A scale for readings that are taken from now on.
    pub(crate) fn new() -> Scale {
        // In this order, so that an instant is never later than its reading was taken: what waits
        // for a deadline is not woken before it.
        let start = Instant::now();
        Scale { start, zero: Reading::take() }
    }

    /// When a reading was taken, or some nanoseconds before.
    pub(crate) fn instant(&self, reading: Reading) -> Instant {
        self.start + Duration::from_nanos(reading.since(self.zero))
    }
}

#[cfg(test)]
mod tests;
