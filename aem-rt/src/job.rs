//! The unit that runs: a future to poll or a handler to call, in one kind of cell.
//!
//! A job lives in one heap cell: a header of at most 72 bytes, then the work itself. The cell is biased to
//! its *owner*, the worker on whose thread the job was made and on which alone it runs (biased reference
//! counting: Choi, Shull and Torrellas, 2018). The owner counts references, wakes and completes with plain
//! loads and stores; other threads use one atomic word beside it, and whatever they want done becomes a
//! message in the owner's inject queue. So there is no handshake in which two threads write and look
//! crosswise.
//!
//! | file | what it holds |
//! |-|-|
//! | [`state`] | the two state words; every transition is a named function there |
//! | [`cell`] | the cell, its life from birth to free, what the owner does with it |
//! | [`task`] | the work of a future: poll it, keep its output |
//! | [`slot`] | a pinned value used in place by one at a time |
//! | [`waker`] | references and wakers, on the owner's thread and on others |
//! | [`join`] | `JoinHandle`: the output, from any thread |
//! | [`owner`] | the block of a worker: ready queue, inject queue, registry |
//! | [`memory`] | what cells are made of: pieces that a worker keeps for its next jobs |
//! | [`id`] | identities that are never given twice |
//! | [`registry`] | cold facts of each job: id, name, place of birth, statistics |
//!
//! # Invariants
//! 1. References (wakers, handles, notes, the worker's own until done) = local count + remote count. Either
//!    alone may be zero or less: a reference made on one side may be dropped on the other.
//! 2. What another thread wants is a message; only the owner acts on it.
//! 3. QUEUED: the cell is in the inject queue or about to be, and the queue keeps it alive. A drain clears
//!    it, or the pusher that was turned away.
//! 4. Not merged and remote count below zero implies QUEUED.
//! 5. MERGED implies DONE and is for ever: the remote count is then the whole count, the last reference on
//!    any thread frees the cell, and the cell keeps the worker's block alive.
//! 6. Who finds the inject queue closed (Acquire) sees every job of that worker done.
//! 7. The owner alone polls and drops the work. The output belongs to the `JoinHandle` from DONE on, or to
//!    the owner if the handle is gone.

pub(crate) mod cell;
pub(crate) mod id;
pub(crate) mod join;
mod memory;
pub(crate) mod owner;
pub(crate) mod registry;
pub(crate) mod slot;
pub(crate) mod state;
pub(crate) mod task;
pub(crate) mod waker;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a panic carried.
pub(crate) type Payload = Box<dyn Any + Send>;

/// Runs user code so that its panic ends here, as a value.
pub(crate) fn contain<R>(code: impl FnOnce() -> R) -> Result<R, Payload> {
    catch_unwind(AssertUnwindSafe(code))
}

/// So many panics one may carry inside the other before the innermost is leaked: nobody needs two.
const NESTED_PANICS: usize = 8;

/// Throws away what a panic carried. It is a value of the user's, and may panic in its turn.
pub(crate) fn dispose(mut panic: Payload) {
    for _ in 0..NESTED_PANICS {
        match contain(|| drop(panic)) {
            Ok(()) => return,
            Err(again) => panic = again,
        }
    }
    std::mem::forget(panic);
}

#[cfg(test)]
mod loom_tests;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod tests;
