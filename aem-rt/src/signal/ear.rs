//! What all listeners have: their signals' handlers, and a bell that rings when one has run.

use std::cell::Cell;
use std::io;
use std::rc::{Rc, Weak};
use std::task::{Context, Waker};

use crate::backend::{Attach, Op};
use crate::reactor::{Completion, Reactor, Sink, Token, Wakes, home};
use crate::runtime::context;
use crate::sys::signal::{self, Listening, Records};

/// A listener for some signals on one reactor. What came is asked of the records, which are the process's;
/// this is who wakes for them.
pub(super) struct Ear {
    reactor: Rc<Reactor>,
    bell: Rc<Bell>,
    token: Option<Token>,
    listening: Vec<Listening>,
}

/// What the reactor rings.
#[derive(Default)]
struct Bell {
    waker: Cell<Option<Waker>>,
}

impl Sink for Bell {
    fn complete(self: Rc<Self>, _: Completion, wakes: &mut Wakes) {
        // Whatever the answer is: the records tell.
        wakes.extend(self.waker.take());
    }
}

impl Ear {
    /// Listens from now on, and says how often each of them had come before.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub(super) fn new(signals: &[libc::c_int]) -> io::Result<(Ear, Vec<u64>)> {
        let reactor = context::reactor();
        // Counted before the handler is in, so that a signal just after it is seen.
        let before = signals.iter().map(|&signal| signal::count(signal)).collect();
        let listening = signals.iter().map(|&signal| signal::listen(signal));
        let listening = listening.collect::<io::Result<Vec<_>>>()?;
        let bell = Rc::<Bell>::default();
        // A runtime that ends has no turns to come; it hears of its end as this is polled.
        let mut token = None;
        if reactor.check_open().is_ok() {
            let descriptor = reactor.adopt(signal::bell()?, Attach::Now)?;
            let sink: Weak<dyn Sink> = Rc::downgrade(&(Rc::clone(&bell) as Rc<dyn Sink>));
            token = Some(reactor.submit(Op::Changes { descriptor }, sink)?);
        }
        Ok((Ear { reactor, bell, token, listening }, before))
    }

    pub(super) fn reactor(&self) -> &Rc<Reactor> {
        &self.reactor
    }

    /// How often each of the signals has come.
    pub(super) fn counts(&self) -> impl Iterator<Item = u64> + '_ {
        self.listening.iter().map(|listening| listening.records().count())
    }

    /// What came with the first of them.
    pub(super) fn records(&self) -> &'static Records {
        self.listening[0].records()
    }

    /// Whether its runtime has not ended.
    pub(super) fn is_open(&self) -> bool {
        self.reactor.check_open().is_ok()
    }

    /// Has the waker called when a signal has come. To be followed by a look at the records: one that came in
    /// between has rung for it.
    ///
    /// # Panics
    /// Under another runtime than its own; but once that has ended nothing wakes it, as any other future.
    pub(super) fn listen(&self, context: &Context<'_>) {
        if self.is_open()
            && let Err(error) = home::check(&self.reactor)
        {
            panic!("cannot listen to signals: {error}");
        }
        let before = self.bell.waker.replace(Some(context.waker().clone()));
        drop(before);
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        if let Some(token) = self.token.take() {
            self.reactor.cancel(token);
        }
    }
}
