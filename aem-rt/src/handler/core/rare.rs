//! What few registrations have: it costs the others a word.
//!
//! What is in here is a user's, so that it is moved in and out with nothing else going on, and used and
//! dropped after that (OUTSIDE).

use futures::Stream;

use super::super::face::{BoxFace, discard};
use super::super::restart::Supervisor;
use super::super::scope::Membership;
use super::merging::{Kept, Merge};
use super::{Core, Ending, MERGING, OnEnd, SUCCEEDED};

/// What few have while they run. It costs the others a word.
pub(super) struct Rare<I> {
    /// The handler that follows when the event in progress has ended.
    pub(super) successor: Option<BoxFace<I>>,
    pub(super) ending: Option<Ending>,
    pub(super) on_end: Option<OnEnd>,
    pub(super) membership: Option<Membership>,
    /// What makes one event of two.
    pub(super) merge: Option<Merge<I>>,
    /// What it adds to.
    pub(super) kept: Option<Kept<I>>,
    pub(super) supervisor: Option<Box<Supervisor<I>>>,
    pub(super) restarts: u32,
}

impl<I> Default for Rare<I> {
    fn default() -> Self {
        Rare {
            successor: None,
            ending: None,
            on_end: None,
            membership: None,
            merge: None,
            kept: None,
            supervisor: None,
            restarts: 0,
        }
    }
}

impl<S: Stream + 'static> Core<S> {
    /// Has `act` move something in or out of the rare parts; what it takes is used after that.
    pub(super) fn rarely<R>(&self, act: impl FnOnce(&mut Rare<S::Item>) -> R) -> R {
        let mut rare = self.rare.take().unwrap_or_default();
        let result = act(&mut rare);
        self.rare.set(Some(rare));
        result
    }

    /// The same to take something out, or to look whether it is there.
    pub(super) fn of_rare<R: Default>(&self, act: impl FnOnce(&mut Rare<S::Item>) -> R) -> R {
        let Some(mut rare) = self.rare.take() else { return R::default() };
        let result = act(&mut rare);
        self.rare.set(Some(rare));
        result
    }

    #[cold]
    pub(super) fn take_successor(&self) -> Option<BoxFace<S::Item>> {
        self.clear(SUCCEEDED);
        self.of_rare(|rare| rare.successor.take())
    }

    #[cold]
    pub(super) fn set_successor(&self, new: BoxFace<S::Item>) {
        let old = self.rarely(|rare| rare.successor.replace(new));
        self.set(SUCCEEDED);
        discard(old);
    }

    /// Drops what belongs to the handler beside itself.
    pub(super) fn discard_rest(&self) {
        self.clear(SUCCEEDED | MERGING);
        let (successor, merge, kept, supervisor) = self.of_rare(|rare| {
            (rare.successor.take(), rare.merge.take(), rare.kept.take(), rare.supervisor.take())
        });
        discard(successor);
        discard(merge);
        discard(kept);
        discard(supervisor);
    }

    /// Puts back what was out of its place while it was used, unless nobody wants it any more or somebody has
    /// put another there.
    pub(super) fn put_back<T>(
        &self,
        value: T,
        is_wanted: bool,
        place: impl FnOnce(&mut Rare<S::Item>) -> &mut Option<T>,
    ) {
        let unwanted = if is_wanted {
            self.rarely(|rare| {
                let place = place(rare);
                if place.is_some() {
                    return Some(value);
                }
                *place = Some(value);
                None
            })
        } else {
            Some(value)
        };
        discard(unwanted);
    }

    pub(super) fn take_kept_ending(&self) -> Option<Ending> {
        self.of_rare(|rare| rare.ending.take())
    }

    pub(super) fn keep_ending(&self, ending: Ending) {
        self.rarely(|rare| rare.ending = Some(ending));
    }
}
