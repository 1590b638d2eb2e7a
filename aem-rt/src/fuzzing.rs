//! Doors for the fuzz targets, which drive the private floors against models.
//!
//! Behind the feature `fuzzing`. This is no interface: it is not documented, it is exempt from semantic
//! versioning, and it may change or go with any release.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::task::Waker;

use crate::backend::ledger;
use crate::job::cell::Birth;
use crate::job::id::JobId;
use crate::job::join::JoinHandle;
use crate::job::owner::{Block, Entered, Home};
use crate::job::registry::{Facts, Kind};
use crate::queue::{Priority, Unpark};
use crate::sync::set_current;

/// Nobody sleeps here.
struct NoSleep;

impl Unpark for NoSleep {
    fn unpark(&self) {}
}

/// The jobs and queues of a worker, without a kernel.
#[derive(Debug)]
pub struct Worker {
    home: Home,
    _entered: Entered,
}

/// What is left of a worker for other threads.
#[derive(Clone, Debug)]
pub struct Sender(Block);

impl Default for Worker {
    /// A worker that is the current one of this thread until it is dropped.
    fn default() -> Self {
        let home = Home::new(Box::new(NoSleep));
        let entered = home.enter();
        Worker { home, _entered: entered }
    }
}

impl Worker {
    /// Makes a job that is ready, and sets the priority that it has from its second readiness on.
    pub fn spawn<F: Future + 'static>(
        &self,
        future: F,
        priority: Priority,
    ) -> (JoinHandle<F::Output>, Waker) {
        let facts = Facts { kind: Kind::Task, location: Location::caller() };
        let (reference, handle) = JoinHandle::spawn_held(self.home.here(), future, facts);
        reference.set_priority(priority);
        (handle, reference.waker())
    }

    /// What makes jobs as other threads do.
    pub fn sender(&self) -> Sender {
        Sender(self.home.block())
    }

    /// Runs the next job, if one is ready.
    pub fn run(&self) -> bool {
        self.home.pop().map(|job| self.home.run(job)).is_some()
    }

    /// Reads at most so much mail.
    pub fn drain(&self, limit: usize) {
        self.home.drain(limit);
    }

    /// Whether the worker may sleep; it is awake again afterwards.
    pub fn may_sleep(&self) -> bool {
        let may = self.home.sleep();
        self.home.awake();
        may
    }

    /// How many jobs are ready.
    pub fn ready(&self) -> usize {
        self.home.ready_len()
    }

    /// How many jobs have a record.
    pub fn registered(&self) -> usize {
        self.home.registered()
    }

    /// How many panics nobody has read since this was last asked.
    pub fn lost(&self) -> usize {
        self.home.take_lost().len()
    }

    /// From here on jobs are born cancelled.
    pub fn begin_closing(&self) {
        self.home.begin_closing();
    }

    /// Ends the worker; how many jobs were left.
    pub fn finish(&self) -> usize {
        self.home.finish()
    }
}

impl Sender {
    /// Sends a job.
    pub fn post<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let location = Location::caller();
        let birth = Birth { id: JobId::next(), kind: Kind::Task, location };
        JoinHandle::post(&self.0, future, birth)
    }
}

/// Does something as a thread would that is no worker.
pub fn away<R>(act: impl FnOnce() -> R) -> R {
    struct Back(usize);
    impl Drop for Back {
        fn drop(&mut self) {
            set_current(self.0);
        }
    }
    let _back = Back(set_current(0));
    act()
}

/// The name of an entry of a [`Ledger`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(ledger::Token);

/// The ops that are under way.
pub struct Ledger<T>(RefCell<ledger::Ledger<T>>);

impl<T> Default for Ledger<T> {
    fn default() -> Self {
        Ledger(RefCell::new(ledger::Ledger::new()))
    }
}

impl<T: Clone> Ledger<T> {
    /// Enters an op.
    pub fn insert(&self, value: T) -> Token {
        Token(self.0.borrow_mut().insert(value))
    }

    /// The op of this token.
    pub fn get(&self, token: Token) -> Option<T> {
        self.0.borrow().get(token.0).cloned()
    }

    /// Changes the op of this token; whether there is one.
    pub fn set(&self, token: Token, value: T) -> bool {
        self.0.borrow_mut().get_mut(token.0).map(|old| *old = value).is_some()
    }

    /// Asks for the end of an op.
    pub fn cancel(&self, token: Token) -> bool {
        self.0.borrow_mut().cancel(token.0)
    }

    /// Takes an op out.
    pub fn remove(&self, token: Token) -> Option<T> {
        self.0.borrow_mut().remove(token.0)
    }

    /// The tokens of all ops, in no particular order.
    pub fn tokens(&self) -> Vec<Token> {
        self.0.borrow().tokens().map(Token).collect()
    }

    /// How many ops are under way.
    pub fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Token {
    /// The slot.
    pub fn index(self) -> usize {
        self.0.index()
    }
}

impl<T> fmt::Debug for Ledger<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("len", &self.0.borrow().len()).finish_non_exhaustive()
    }
}
