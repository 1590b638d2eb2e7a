//! The clock that deadlines are measured by.
//!
//! `CLOCK_MONOTONIC`, which is what [`Instant`] reads and what the kernel counts a wait by. A reading
//! costs about as much as waking a task, so a turn takes one and shares it.

use std::time::Instant;

/// Reads the clock.
pub(crate) fn now() -> Instant {
    Instant::now()
}
