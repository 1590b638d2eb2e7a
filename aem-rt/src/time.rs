//! Sleeps, timeouts and ticks.
