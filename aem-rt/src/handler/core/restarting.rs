//! Another handler after one that failed.

use std::pin::Pin;
use std::task::Context;

use futures::Stream;

use super::super::face::{BoxFace, discard};
use super::super::restart::Supervisor;
use super::{Core, ENDED, ENDING, LAST, PAUSED, RESTING, SCOPE_PAUSED, STOPPED, Verdict, tell};
use crate::error::HandlerError;
use crate::job::contain;
use crate::runtime::Fate;

impl<S: Stream + 'static> Core<S> {
    /// Has a handler that fails followed by another.
    pub(in super::super) fn set_supervisor(&self, supervisor: Supervisor<S::Item>) {
        if self.has(STOPPED | ENDING | ENDED) {
            return discard(supervisor);
        }
        discard(self.rarely(|rare| rare.supervisor.replace(Box::new(supervisor))));
    }

    /// Whether another handler may follow one that failed. Not if the source went with it, or will not be
    /// asked any more.
    pub(super) fn is_supervised(self: Pin<&Self>) -> bool {
        !self.has(STOPPED | LAST)
            && !self.project_ref().source.is_empty()
            && self.of_rare(|rare| rare.supervisor.is_some())
    }

    /// The handler has failed: after a rest another takes its place, unless that was once too often.
    #[cold]
    pub(super) fn try_again(&self, face: BoxFace<S::Item>, error: HandlerError) -> Verdict {
        let Some(mut supervisor) = self.of_rare(|rare| rare.supervisor.take()) else {
            return self.conclude(face, Err(error));
        };
        let Some(rest) = supervisor.rest_after_failure() else {
            let verdict = self.conclude(face, Err(error));
            discard(supervisor);
            return verdict;
        };
        self.rarely(|rare| rare.restarts = rare.restarts.saturating_add(1));
        discard(face);
        tell(error, Fate::Restarts(rest));
        let made = contain(|| supervisor.make());
        self.put_supervisor_back(supervisor);
        match made {
            Ok(face) => {
                self.note_face(&face);
                self.face.set(Some(face));
                self.set(RESTING);
                Verdict::Go
            }
            Err(panic) => {
                self.set(ENDING);
                Verdict::End(Err(HandlerError::new_panic(panic)))
            }
        }
    }

    /// Whether there is a pause, or a rest that has not passed.
    #[cold]
    pub(super) fn must_wait(&self, context: &mut Context<'_>) -> bool {
        if self.has(PAUSED | SCOPE_PAUSED) {
            return true;
        }
        let Some(mut supervisor) = self.of_rare(|rare| rare.supervisor.take()) else {
            self.clear(RESTING);
            return false;
        };
        // A waker is cloned in here, which is foreign code.
        let rests = supervisor.poll_rested(context).is_pending();
        self.put_supervisor_back(supervisor);
        if !rests {
            self.clear(RESTING);
        }
        rests
    }

    fn put_supervisor_back(&self, supervisor: Box<Supervisor<S::Item>>) {
        let is_wanted = !self.has(STOPPED | ENDING);
        self.put_back(supervisor, is_wanted, |rare| &mut rare.supervisor);
    }
}
