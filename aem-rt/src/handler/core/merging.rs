//! One event of several: what is done where a handler is slower than its source.
//!
//! It stands between the source and the handler: what the source gives is kept and added to, until the
//! source has no more for now; then the one event that came of it goes on to the handler. So no event is kept
//! in here when a run ends, and none is lost to who reclaims the source.

use std::ops::ControlFlow;
use std::task::Poll;

use futures::Stream;

use super::super::face::discard;
use super::{Core, ENDED, ENDING, LAST, MERGING, PAUSED, RUN_EVENTS, SCOPE_PAUSED, STOPPED};
use crate::job::contain;

/// So many events become one with another before that goes to the handler: a source that is always ready
/// would else never let it be called.
const EVENT_MERGES: u32 = 1_024;

/// Adds an event to one that waits.
pub(in super::super) type Merge<I> = Box<dyn FnMut(&mut I, I)>;

/// The event that others are added to.
pub(super) struct Kept<I> {
    event: I,
    merged: u32,
}

impl<S: Stream + 'static> Core<S> {
    /// Has waiting events made one of, or no longer.
    pub(in super::super) fn set_merge(&self, merge: Option<Merge<S::Item>>) {
        if self.has(STOPPED | ENDING | ENDED) {
            // What belongs to the handler has gone, here, and nothing may follow it (HOME).
            return discard(merge);
        }
        // An event that is kept goes on first, also if no more are to be added to it.
        if merge.is_some() || self.of_rare(|rare| rare.kept.is_some()) {
            self.set(MERGING);
        } else {
            self.clear(MERGING);
        }
        discard(self.rarely(|rare| std::mem::replace(&mut rare.merge, merge)));
    }

    /// Takes what the source said; says it, or what is to be said instead, unless the source must be asked
    /// again. A panic of what adds events comes out.
    #[cold]
    pub(super) fn merge(
        &self,
        polled: Poll<Option<S::Item>>,
        left: &mut usize,
    ) -> ControlFlow<Poll<Option<S::Item>>> {
        let (kept, is_over) = self.of_rare(|rare| (rare.kept.take(), rare.merge.is_none()));
        let kept = match (kept, polled) {
            (Some(kept), Poll::Ready(Some(next))) if is_over => {
                self.rarely(|rare| rare.kept = Some(Kept { event: next, merged: 0 }));
                return ControlFlow::Break(Poll::Ready(Some(kept.event)));
            }
            (kept, polled) if is_over => {
                self.clear(MERGING);
                let kept = kept.map(|kept| Poll::Ready(Some(kept.event)));
                return ControlFlow::Break(kept.unwrap_or(polled));
            }
            (Some(kept), Poll::Ready(Some(next))) => self.add(kept, next),
            (None, Poll::Ready(Some(event))) => Kept { event, merged: 0 },
            (Some(kept), _) => return ControlFlow::Break(Poll::Ready(Some(kept.event))),
            (None, polled) => return ControlFlow::Break(polled),
        };
        if kept.merged as usize >= RUN_EVENTS {
            // That was as much as a run may do.
            *left = 0;
        }
        let asks_again = kept.merged < EVENT_MERGES
            && self.has(MERGING)
            && !self.has(STOPPED | LAST | PAUSED | SCOPE_PAUSED);
        if !asks_again {
            return ControlFlow::Break(Poll::Ready(Some(kept.event)));
        }
        self.rarely(|rare| rare.kept = Some(kept));
        ControlFlow::Continue(())
    }

    fn add(&self, mut kept: Kept<S::Item>, next: S::Item) -> Kept<S::Item> {
        kept.merged += 1;
        // Out of its place while it is called, as a handler is.
        let Some(mut merge) = self.of_rare(|rare| rare.merge.take()) else {
            kept.event = next;
            return kept;
        };
        let merged = contain(|| merge(&mut kept.event, next));
        self.put_back(merge, self.has(MERGING), |rare| &mut rare.merge);
        match merged {
            Ok(()) => kept,
            Err(panic) => {
                discard(kept.event);
                std::panic::resume_unwind(panic)
            }
        }
    }
}
