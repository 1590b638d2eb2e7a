//! One turn: take mail, submit, wait, reap, hand over.
mod timers;
