//! What a handle can do to a core without knowing its source.

use std::pin::Pin;

use futures::Stream;

use super::super::face::{discard, report_if_lost};
use super::super::scope::Membership;
use super::{
    Core, ENDED, ENDING, Ending, HELD, LAST, OnEnd, PAUSED, POLLED, PROMPT, READ, RUNNING,
    SCOPE_PAUSED, STOPPED, VISIBLE,
};
use crate::error::HandlerError;
use crate::job::contain;

/// The verbs. Those that say so let the job run if it must look.
pub(in super::super) trait Operate {
    /// Sets or clears a pause; true if the job should run.
    #[must_use]
    fn set_paused(&self, by: Pauser, paused: bool) -> bool;
    /// Drops handler and event in progress, now or when they are back; true if the job should run.
    #[must_use]
    fn stop(self: Pin<&Self>) -> bool;
    /// Ends after the event in progress; true if the job should run.
    #[must_use]
    fn finish(self: Pin<&Self>) -> bool;
    /// Whether it never came to polling its source, though nobody kept it from that.
    fn is_unused(&self) -> bool;
    /// The holder goes; the error that nobody read comes back.
    #[must_use]
    fn let_go(self: Pin<&Self>, detached: bool) -> Option<HandlerError>;
    fn set_on_end(&self, on_end: OnEnd);
    fn set_membership(&self, membership: Membership);
    fn is_ended(&self) -> bool;
    /// The ending, once it is visible, to the one who asks first.
    fn take_ending(&self) -> Option<Ending>;
    fn is_read(&self) -> bool;
}

/// Who holds a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Pauser {
    Registration,
    Scope,
}

impl<S: Stream + 'static> Operate for Core<S> {
    fn set_paused(&self, by: Pauser, paused: bool) -> bool {
        let mark = match by {
            Pauser::Registration => PAUSED,
            Pauser::Scope => SCOPE_PAUSED,
        };
        if paused {
            // What comes meanwhile does not wait for the handler.
            self.clear(PROMPT);
            self.set(mark);
        } else {
            self.clear(mark);
        }
        !paused
    }

    fn stop(self: Pin<&Self>) -> bool {
        if self.has(ENDED | ENDING | STOPPED) {
            return false;
        }
        self.set(STOPPED);
        if !self.has(RUNNING) {
            discard(self.face.take());
        }
        self.discard_rest();
        true
    }

    fn finish(self: Pin<&Self>) -> bool {
        if self.has(ENDED | ENDING | STOPPED | LAST) {
            return false;
        }
        self.set(LAST);
        true
    }

    fn is_unused(&self) -> bool {
        !self.has(POLLED | STOPPED | ENDED | PAUSED | SCOPE_PAUSED)
    }

    fn let_go(self: Pin<&Self>, detached: bool) -> Option<HandlerError> {
        self.clear(HELD);
        if !detached || self.has(ENDED) {
            self.clear_source();
        }
        if !self.has(VISIBLE) {
            // Whoever makes it visible reports an error.
            return None;
        }
        self.take_kept_ending()?.err()
    }

    fn set_on_end(&self, on_end: OnEnd) {
        if self.has(VISIBLE) {
            // Too late to be a run of its own; it is called all the same, as it was promised.
            if let Some(ending) = self.take_kept_ending() {
                let called = contain(|| on_end(&ending));
                self.keep_ending(ending);
                report_if_lost(called);
            }
        } else {
            discard(self.beside(|beside| beside.on_end.replace(on_end)));
        }
    }

    fn set_membership(&self, membership: Membership) {
        if self.has(VISIBLE) {
            discard(membership);
        } else {
            discard(self.beside(|beside| beside.membership.replace(membership)));
        }
    }

    fn is_ended(&self) -> bool {
        self.has(VISIBLE)
    }

    fn take_ending(&self) -> Option<Ending> {
        if !self.has(VISIBLE) || self.has(READ) {
            return None;
        }
        self.set(READ);
        let ending = self.take_kept_ending()?;
        if let Ok(end) = ending {
            // Of an end without an error an `on_end` may hear later still.
            self.keep_ending(Ok(end));
        }
        Some(ending)
    }

    fn is_read(&self) -> bool {
        self.has(READ)
    }
}
