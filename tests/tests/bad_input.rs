//! Bad input: each mistake is an `io::Error` or a panic that says what to do; never a hang, never an abort.

#[path = "bad_input/addresses.rs"]
mod addresses;
#[path = "bad_input/builder.rs"]
mod builder;
#[path = "bad_input/descriptors.rs"]
mod descriptors;
#[path = "bad_input/durations.rs"]
mod durations;
#[path = "bad_input/elsewhere.rs"]
mod elsewhere;
#[path = "bad_input/limits.rs"]
mod limits;
#[path = "bad_input/outside.rs"]
mod outside;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Each mistake is found out well within this.
const LIMIT: Duration = Duration::from_secs(20);

/// What a closure panics with.
#[track_caller]
fn panic_of<R>(closure: impl FnOnce() -> R) -> String {
    let Err(panic) = catch_unwind(AssertUnwindSafe(closure)) else { panic!("it did not panic") };
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => (*panic.downcast_ref::<&str>().expect("a text")).to_owned(),
    }
}

/// Waits for a future in a fresh runtime, for a limited time.
#[track_caller]
fn run<F: AsyncFnOnce() -> R + Send + 'static, R: Send + 'static>(test: F) -> R {
    aem_tests::bounded::within(LIMIT, || aem::block_on(test()))
}
