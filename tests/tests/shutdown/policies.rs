//! What a panic that nobody reads does to the runtime, and how a program ends by it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use aem::PanicPolicy;
use aem_tests::bounded::within;

use super::{LIMIT, runtime};

fn with_policy(policy: PanicPolicy) -> aem::Runtime {
    aem::Runtime::builder().on_panic(policy).build().expect("a runtime")
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> &'static str {
    panic.downcast_ref::<&'static str>().copied().unwrap_or("no text")
}

#[test]
fn by_default_a_panic_is_reported_and_the_others_run_on() {
    within(LIMIT, || {
        runtime().block_on(async {
            let before = aem::metrics().panics;
            drop(aem::spawn(async { panic!("unread, on purpose") }));
            aem::time::sleep(Duration::from_millis(1)).await;
            assert_eq!(aem::spawn(async { 2 }).await.expect("it ran"), 2);
            assert_eq!(aem::metrics().panics, before + 1);
            // One that is read is nobody's business.
            let read: Result<(), _> = aem::spawn(async { panic!("read, on purpose") }).await;
            assert!(read.expect_err("it panicked").is_panic());
            aem::time::sleep(Duration::from_millis(1)).await;
            assert_eq!(aem::metrics().panics, before + 1);
        });
    });
}

#[test]
fn under_shutdown_a_panic_comes_out_of_block_on() {
    within(LIMIT, || {
        let runtime = with_policy(PanicPolicy::Shutdown);
        let ended = std::cell::Cell::new(false);
        let attempt = catch_unwind(AssertUnwindSafe(|| {
            runtime.block_on(async {
                let other = aem::spawn(std::future::pending::<()>());
                drop(aem::spawn(async { panic!("fatal, on purpose") }));
                // The main future is not cut: it hears of the end, and comes to its own.
                aem::signal::shutdown_requested().await;
                assert!(other.await.expect_err("cancelled").is_cancelled());
                aem::time::sleep(Duration::from_millis(2)).await;
                ended.set(true);
            });
        }));
        assert_eq!(text_of(&*attempt.expect_err("resumed")), "fatal, on purpose");
        assert!(ended.get());
        // It has shut down: what is spawned now is cancelled.
        let late = runtime.block_on(async { aem::spawn(async {}).await });
        assert!(late.expect_err("born cancelled").is_cancelled());
    });
}

#[test]
fn a_panic_of_the_main_future_always_comes_out() {
    for policy in [PanicPolicy::Report, PanicPolicy::Shutdown] {
        within(LIMIT, move || {
            let runtime = with_policy(policy);
            let attempt = catch_unwind(AssertUnwindSafe(|| {
                runtime.block_on(async {
                    aem::yield_now().await;
                    panic!("the main future, on purpose");
                });
            }));
            assert_eq!(text_of(&*attempt.expect_err("resumed")), "the main future, on purpose");
            // The runtime may be used again.
            assert_eq!(runtime.block_on(async { aem::spawn(async { 4 }).await }).ok(), Some(4));
        });
    }
}
