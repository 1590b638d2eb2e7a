//! What wakes a listener that is short of descriptors.
//!
//! A listener out of descriptors waits for a timer, or for a descriptor of ours to be closed,
//! whichever comes first. Both can only call a waker, and the wakers of those who wait for a
//! connection may not be cloned in a turn, so they call this one, which calls them.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::Wake;

use crate::job::contain;
use crate::job::registry::Lost;
use crate::net::waiters::{WaitList, Waiters};

/// The waiters of one listener, to be woken as one.
#[derive(Debug, Default)]
pub(super) struct Bell {
    rung: AtomicBool,
    pub(super) waiters: Mutex<Waiters>,
}

impl Bell {
    /// Whether it rang since this was last asked.
    pub(super) fn take_rung(&self) -> bool {
        // Relaxed: it is rung and asked by one thread; it is an atomic as wakers are Send.
        self.rung.swap(false, Relaxed)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Relaxed);
        let mut wakes = Vec::new();
        self.waiters.with(|waiters| waiters.wake_all(&mut wakes));
        for waker in wakes {
            // One that panics keeps the others from nothing.
            if let Err(panic) = contain(|| waker.wake()) {
                Lost::anonymous(panic).tell();
            }
        }
    }
}
