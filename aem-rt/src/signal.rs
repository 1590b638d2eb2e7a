//! Signals as events: how a program hears that it should end.
//!
//! Nothing is installed before somebody asks, and the previous disposition comes back when the last who
//! asked is gone. Listening begins with the call, not with the first poll: a signal that comes before the
//! future is awaited is not lost (KEPT). Several listeners, in several runtimes, hear each signal.
//!
//! ```no_run
//! #[aem::main]
//! async fn main() -> aem::Result {
//!     let asked = aem::signal::shutdown_requested();
//!     let listener = aem::net::TcpListener::bind("127.0.0.1:7000")?;
//!     let serving = aem::on_ok(listener.incoming(), |(stream, _peer)| { stream.send("hello\n"); });
//!     asked.await;
//!     serving.stop();
//!     Ok(())
//! }
//! ```

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use futures::future::FusedFuture;

use crate::backend::{Attach, Op};
use crate::reactor::{Completion, Reactor, Sink, Token, Wakes, home};
use crate::runtime::context;
use crate::sys::signal::{self, Listening};

/// Hears the next SIGINT, which ctrl-c sends to the program in the foreground.
///
/// # Panics
/// Outside of a runtime; if the process is out of descriptors.
#[track_caller]
pub fn ctrl_c() -> CtrlC {
    CtrlC { heard: Heard::new(&[libc::SIGINT]) }
}

/// Hears that the program should end: the next SIGTERM or SIGINT, or
/// [`Handle::shutdown`](crate::Handle::shutdown), also if that was called before.
///
/// # Panics
/// Outside of a runtime; if the process is out of descriptors.
#[track_caller]
pub fn shutdown_requested() -> ShutdownRequested {
    let heard = Heard::new(&[libc::SIGTERM, libc::SIGINT]);
    ShutdownRequested { heard, waiting: None }
}

/// The future of [`ctrl_c`].
///
/// # Cancel safety
/// It can be lent to an await that is given up; dropping it ends the listening.
#[must_use = "futures do nothing unless awaited"]
pub struct CtrlC {
    heard: Heard,
}

/// The future of [`shutdown_requested`].
///
/// # Cancel safety
/// It can be lent to an await that is given up; dropping it ends the listening.
#[must_use = "futures do nothing unless awaited"]
pub struct ShutdownRequested {
    heard: Heard,
    /// The place among those who wait for the end of the runtime.
    waiting: Option<usize>,
}

/// A listener for some signals on one reactor.
struct Heard {
    reactor: Rc<Reactor>,
    bell: Rc<Bell>,
    token: Option<Token>,
    /// Each signal, and how often it had come when the listening began.
    signals: Vec<(libc::c_int, u64)>,
    _listening: Vec<Listening>,
    done: bool,
}

/// What the reactor rings.
#[derive(Default)]
struct Bell {
    waker: Cell<Option<Waker>>,
}

impl Sink for Bell {
    fn complete(self: Rc<Self>, _: Completion, wakes: &mut Wakes) {
        // Whatever the answer is: the counters tell.
        wakes.extend(self.waker.take());
    }
}

impl Heard {
    #[track_caller]
    fn new(signals: &[libc::c_int]) -> Self {
        let reactor = context::reactor();
        match Heard::try_new(reactor, signals) {
            Ok(heard) => heard,
            Err(error) => panic!("cannot listen to signals: {error}"),
        }
    }

    fn try_new(reactor: Rc<Reactor>, signals: &[libc::c_int]) -> io::Result<Self> {
        // Counted before the handler is in, so that a signal just after it is seen.
        let counts = signals.iter().map(|&signal| (signal, signal::count(signal))).collect();
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
        Ok(Heard { reactor, bell, token, signals: counts, _listening: listening, done: false })
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.done {
            return Poll::Pending;
        }
        // Once its runtime has ended it is as good as any other future: nothing wakes it.
        if self.reactor.check_open().is_ok()
            && let Err(error) = home::check(&self.reactor)
        {
            panic!("cannot listen to signals: {error}");
        }
        // First the waker, then the look: a signal in between rings for it.
        let before = self.bell.waker.replace(Some(context.waker().clone()));
        drop(before);
        let heard = |&(number, before): &(libc::c_int, u64)| signal::count(number) != before;
        if self.signals.iter().any(heard) {
            self.done = true;
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        if let Some(token) = self.token.take() {
            self.reactor.cancel(token);
        }
    }
}

impl Future for CtrlC {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.get_mut().heard.poll(context)
    }
}

impl FusedFuture for CtrlC {
    fn is_terminated(&self) -> bool {
        self.heard.done
    }
}

impl Future for ShutdownRequested {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let Heard { reactor, done, .. } = &mut this.heard;
        if !*done {
            reactor.shutdown_waiters().register(&mut this.waiting, context.waker());
            if reactor.shutdown_is_requested() {
                *done = true;
                return Poll::Ready(());
            }
        }
        this.heard.poll(context)
    }
}

impl FusedFuture for ShutdownRequested {
    fn is_terminated(&self) -> bool {
        self.heard.done
    }
}

impl Drop for ShutdownRequested {
    fn drop(&mut self) {
        self.heard.reactor.shutdown_waiters().remove(&mut self.waiting);
    }
}

impl fmt::Debug for CtrlC {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CtrlC")
    }
}

impl fmt::Debug for ShutdownRequested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShutdownRequested")
    }
}

#[cfg(test)]
mod tests;
