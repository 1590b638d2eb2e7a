//! The end of a runtime (DRAIN): what is dropped, what is sent, what is waited for, and for how long.
//!
//! Everything that a program holds beyond the end, a waker, a join handle, a handle, goes on to be safe and
//! says that it is over. Whatever a destructor does meanwhile, the end comes in a bounded time (BOUND).

#![expect(clippy::async_yields_async, reason = "handles outlive the runtime in here")]
#![expect(clippy::waker_clone_wake, reason = "each way to use a waker is tried")]

#[path = "shutdown/closures.rs"]
mod closures;
#[path = "shutdown/destructors.rs"]
mod destructors;
#[path = "shutdown/flush.rs"]
mod flush;
#[path = "shutdown/many.rs"]
mod many;
#[path = "shutdown/outliving.rs"]
mod outliving;
#[path = "shutdown/policies.rs"]
mod policies;
#[path = "shutdown/signals.rs"]
mod signals;

use std::cell::RefCell;
use std::rc::Rc;
use std::thread::{self, ThreadId};
use std::time::Duration;

/// Far longer than any end of a runtime may take.
const LIMIT: Duration = Duration::from_secs(20);

fn runtime() -> aem::Runtime {
    aem::Runtime::new().expect("a runtime")
}

/// A local value that notes its drop, and insists on being at home (HOME).
struct Noted {
    name: &'static str,
    home: ThreadId,
    log: Rc<RefCell<Vec<&'static str>>>,
}

impl Noted {
    fn new(name: &'static str, log: &Rc<RefCell<Vec<&'static str>>>) -> Noted {
        Noted { name, home: thread::current().id(), log: log.clone() }
    }
}

impl Noted {
    /// Has a closure hold it.
    fn hold(&self) {}
}

impl Drop for Noted {
    fn drop(&mut self) {
        assert_eq!(thread::current().id(), self.home);
        self.log.borrow_mut().push(self.name);
    }
}

/// Runs a closure when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> OnDrop<F> {
    /// Has a closure hold it.
    fn hold(&self) {}
}

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
