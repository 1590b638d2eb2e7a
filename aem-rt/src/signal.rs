//! Signals as events.
