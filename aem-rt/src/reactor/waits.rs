//! Which sink an op's completions go to.
//!
//! A table beside the backend's ledger: the same slots, the same tokens. It holds sinks weakly, so
//! that an op keeps no source alive.

use std::rc::{Rc, Weak};

use super::Sink;
use crate::backend::Token;

/// The sinks of all ops that are under way.
#[derive(Default)]
pub(super) struct Waits {
    sinks: Vec<Option<(Token, Weak<dyn Sink>)>>,
}

impl Waits {
    /// Notes where the completions of an op go.
    pub(super) fn insert(&mut self, token: Token, sink: Weak<dyn Sink>) {
        let index = token.index();
        if self.sinks.len() <= index {
            self.sinks.resize_with(index + 1, || None);
        }
        self.sinks[index] = Some((token, sink));
    }

    /// Has the completions of an op go to another sink from now on; false if it is over.
    pub(super) fn redirect(&mut self, token: Token, sink: Weak<dyn Sink>) -> bool {
        match self.sinks.get_mut(token.index()) {
            Some(Some((held, place))) if *held == token => {
                *place = sink;
                true
            }
            _ => false,
        }
    }

    /// The sink of an op, if it is still there; forgotten if no more completions follow.
    #[inline]
    pub(super) fn find(&mut self, token: Token, more: bool) -> Option<Rc<dyn Sink>> {
        let place = self.sinks.get_mut(token.index())?;
        let sink = match place {
            Some((held, sink)) if *held == token => sink.upgrade(),
            _ => return None,
        };
        if !more {
            *place = None;
        }
        sink
    }
}
