//! What some registrations have, and what few have: each costs the others a word.
//!
//! What is in here is a user's, so that it is moved in and out with nothing else going on, and used and
//! dropped after that (OUTSIDE).

use futures::Stream;

use super::super::face::{BoxFace, discard};
use super::super::restart::Supervisor;
use super::super::scope::Membership;
use super::merging::{Kept, Merge};
use super::{Core, Ending, MERGING, OnEnd, SUCCEEDED};

/// What some have beside their handler.
pub(super) struct Beside<I> {
    pub(super) on_end: Option<OnEnd>,
    pub(super) membership: Option<Membership>,
    rare: Option<Box<Rare<I>>>,
}

impl<I> Default for Beside<I> {
    fn default() -> Self {
        Beside { on_end: None, membership: None, rare: None }
    }
}

/// What few have.
pub(super) struct Rare<I> {
    /// The handler that follows when the event in progress has ended.
    pub(super) successor: Option<BoxFace<I>>,
    pub(super) ending: Option<Ending>,
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
            merge: None,
            kept: None,
            supervisor: None,
            restarts: 0,
        }
    }
}

impl<S: Stream + 'static> Core<S> {
    /// Has `act` move something in or out of what is beside the handler; what it takes is used after that.
    pub(super) fn beside<R>(&self, act: impl FnOnce(&mut Beside<S::Item>) -> R) -> R {
        let mut beside = self.beside.take().unwrap_or_default();
        let result = act(&mut beside);
        self.beside.set(Some(beside));
        result
    }

    /// The same to take something out, or to look whether it is there.
    pub(super) fn of_beside<R: Default>(&self, act: impl FnOnce(&mut Beside<S::Item>) -> R) -> R {
        let Some(mut beside) = self.beside.take() else { return R::default() };
        let result = act(&mut beside);
        self.beside.set(Some(beside));
        result
    }

    /// As [`beside`](Self::beside), for the rare parts of it.
    pub(super) fn rarely<R>(&self, act: impl FnOnce(&mut Rare<S::Item>) -> R) -> R {
        self.beside(|beside| act(beside.rare.get_or_insert_default()))
    }

    /// As [`of_beside`](Self::of_beside), for the rare parts of it.
    pub(super) fn of_rare<R: Default>(&self, act: impl FnOnce(&mut Rare<S::Item>) -> R) -> R {
        self.of_beside(|beside| beside.rare.as_mut().map_or_else(R::default, |rare| act(rare)))
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
