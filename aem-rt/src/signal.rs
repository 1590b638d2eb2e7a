//! Signals as events: any of them with its sender, and how a program hears that it should end.
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
//!
//! [`watch`] makes a source of any signal, with who sent it:
//!
//! ```
//! use aem::signal::{SignalKind, watch};
//! use futures::StreamExt;
//!
//! # aem::block_on(async {
//! let mut reload = watch(SignalKind::HUP)?;
//! # std::process::Command::new("kill").args(["-HUP", &std::process::id().to_string()]).status()?;
//! let signal = reload.next().await.expect("its runtime has not ended");
//! println!("{} from process {:?}", signal.kind, signal.pid);
//! # Ok::<(), std::io::Error>(())
//! # }).unwrap();
//! ```

mod ear;
mod kind;
mod signals;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::FusedFuture;

use ear::Ear;
pub use kind::SignalKind;
pub use signals::{SignalInfo, Signals, watch};

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

/// A listener for the next of some signals.
struct Heard {
    ear: Ear,
    /// How often each signal had come when the listening began.
    before: Vec<u64>,
    done: bool,
}

impl Heard {
    #[track_caller]
    fn new(signals: &[libc::c_int]) -> Self {
        match Ear::new(signals) {
            Ok((ear, before)) => Heard { ear, before, done: false },
            Err(error) => panic!("cannot listen to signals: {error}"),
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.done {
            return Poll::Pending;
        }
        self.ear.listen(context);
        if self.ear.counts().zip(&self.before).any(|(now, before)| now != *before) {
            self.done = true;
            return Poll::Ready(());
        }
        Poll::Pending
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
        let Heard { ear, done, .. } = &mut this.heard;
        let reactor = ear.reactor();
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
        self.heard.ear.reactor().shutdown_waiters().remove(&mut self.waiting);
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
