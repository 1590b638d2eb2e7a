//! A limit of time for what may hang.

use std::panic::resume_unwind;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// Runs a closure on a thread of its own, and gives what it returns.
///
/// # Panics
/// If it takes longer than `limit`; and as the closure does.
#[track_caller]
pub fn within<R: Send + 'static>(
    limit: Duration,
    closure: impl FnOnce() -> R + Send + 'static,
) -> R {
    let (sender, receiver) = channel();
    let thread = thread::spawn(move || drop(sender.send(closure())));
    match receiver.recv_timeout(limit) {
        Ok(result) => {
            // Its thread-locals have destructors too.
            thread.join().expect("it has returned");
            result
        }
        Err(RecvTimeoutError::Timeout) => panic!("it took longer than {limit:?}"),
        Err(RecvTimeoutError::Disconnected) => match thread.join() {
            Ok(()) => unreachable!("it sends what it returns"),
            Err(panic) => resume_unwind(panic),
        },
    }
}
