//! Signals, which this process sends to itself.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use aem::signal::{SignalInfo, SignalKind, Signals, ctrl_c, shutdown_requested, watch};
use futures::StreamExt;
use futures::stream::{LocalBoxStream, unfold};

use super::Rig;

fn raise(signal: libc::c_int) {
    // SAFETY: takes an integer. Somebody listens, so that it ends nobody.
    assert_eq!(unsafe { libc::raise(signal) }, 0);
}

/// Asserts that a signal would end the process, as it did before anybody listened.
#[track_caller]
fn has_default(signal: libc::c_int) {
    // SAFETY: zero is a value that all fields may have.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: nothing is set; what is written lives.
    assert_eq!(unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) }, 0);
    assert_eq!(action.sa_sigaction, libc::SIG_DFL, "signal {signal}");
}

/// `ctrl_c`: the next listener is there before the one that has heard is gone.
pub(super) struct Interrupts(Cell<usize>);

impl Rig for Interrupts {
    type Source = LocalBoxStream<'static, ()>;

    const ENDS: bool = false;
    const MERGES: bool = true;

    async fn new() -> (Rc<Self>, Self::Source) {
        let source = unfold(ctrl_c(), async |mut heard| {
            (&mut heard).await;
            Some(((), ctrl_c()))
        });
        (Rc::new(Interrupts(Cell::new(0))), source.boxed_local())
    }

    fn cause(&self, _: usize) {
        raise(libc::SIGINT);
    }

    fn numbers(&self, (): ()) -> io::Result<Vec<usize>> {
        Ok(vec![self.0.replace(self.0.get() + 1)])
    }

    async fn has_gone(&self) {
        has_default(libc::SIGINT);
    }
}

/// `shutdown_requested`, by either signal.
pub(super) struct Requests(Cell<usize>);

impl Rig for Requests {
    type Source = LocalBoxStream<'static, ()>;

    const ENDS: bool = false;
    const MERGES: bool = true;

    async fn new() -> (Rc<Self>, Self::Source) {
        let source = unfold(shutdown_requested(), async |mut heard| {
            (&mut heard).await;
            Some(((), shutdown_requested()))
        });
        (Rc::new(Requests(Cell::new(0))), source.boxed_local())
    }

    fn cause(&self, number: usize) {
        raise(if number.is_multiple_of(2) { libc::SIGTERM } else { libc::SIGINT });
    }

    fn numbers(&self, (): ()) -> io::Result<Vec<usize>> {
        Ok(vec![self.0.replace(self.0.get() + 1)])
    }

    async fn has_gone(&self) {
        has_default(libc::SIGINT);
        has_default(libc::SIGTERM);
    }
}

/// `watch`, of a signal that carries a number.
pub(super) struct Sent;

impl Sent {
    fn signal() -> SignalKind {
        SignalKind::from_raw(libc::SIGRTMIN() + 3)
    }
}

impl Rig for Sent {
    type Source = Signals;

    const ENDS: bool = false;
    // Two that are on their way at once may be taken by two threads, and change places.
    const MERGES: bool = true;

    async fn new() -> (Rc<Self>, Signals) {
        (Rc::new(Sent), watch(Sent::signal()).expect("it can be listened to"))
    }

    fn cause(&self, number: usize) {
        let value = libc::sigval { sival_ptr: std::ptr::without_provenance_mut(number) };
        // SAFETY: takes nothing.
        let own = unsafe { libc::getpid() };
        // SAFETY: takes numbers. Somebody listens, so that it ends nobody.
        let sent = unsafe { libc::sigqueue(own, Sent::signal().as_raw(), value) };
        assert_eq!(sent, 0);
    }

    fn numbers(&self, info: SignalInfo) -> io::Result<Vec<usize>> {
        assert_eq!((info.merged, info.pid), (0, Some(std::process::id() as i32)));
        Ok(vec![info.value.expect("it was sent along")])
    }

    async fn has_gone(&self) {
        has_default(Sent::signal().as_raw());
    }
}
