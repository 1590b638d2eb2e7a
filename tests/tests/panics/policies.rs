//! What a panic that nobody reads does to the program: one line, the end of the runtime, the end of the
//! process. In child processes, as it is standard error that is looked at.

use std::future::pending;

use aem::{PanicPolicy, Runtime, on, spawn, spawn_blocking, yield_now};
use aem_tests::rerun::rerun;
use aem_tests::watch::keep;
use futures::stream;

/// Lets all that is ready run, and a turn end: panics are attended to between two of them.
async fn settle() {
    for _ in 0..8 {
        yield_now().await;
    }
    aem::time::sleep(std::time::Duration::from_micros(10)).await;
}

fn run(policy: PanicPolicy, main: impl AsyncFnOnce()) {
    let runtime = Runtime::builder().on_panic(policy).build().expect("a runtime");
    runtime.block_on(main());
}

#[test]
fn report_says_one_line_for_each_and_the_others_run_on() {
    let said = rerun("policies::child_report");
    let lines = said.fine();
    assert_eq!(lines.len(), 4, "{lines:?}");
    for (line, text) in lines.iter().zip(["in a task", "in a closure", "in on_end", "in a drop"]) {
        assert!(line.contains(" made at tests/tests/panics/policies.rs:"), "{lines:?}");
        assert!(line.ends_with(&format!("panicked, and nobody asked for its result: {text}")));
    }
}

#[test]
#[ignore = "speaks on stderr: run in a child by the test above"]
fn child_report() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in a drop");
        }
    }
    run(PanicPolicy::Report, async || {
        drop(spawn(async { panic!("in a task") }));
        settle().await;
        let closure = spawn_blocking(|| panic!("in a closure"));
        while !closure.is_finished() {
            aem::time::sleep(std::time::Duration::from_micros(50)).await;
        }
        drop(closure);
        settle().await;
        on(stream::iter(0..1), |_| ()).on_end(|_| panic!("in on_end")).await.unwrap();
        let bomb = Bomb;
        on(stream::iter(0..1), move |_| keep(&bomb)).await.unwrap();
        // Those that are read are not reported.
        assert!(spawn(async { panic!("read") }).await.unwrap_err().is_panic());
        assert!(on(stream::iter(0..1), |_| panic!("read too")).await.unwrap_err().is_panic());
        assert_eq!(aem::metrics().panics, 4);
    });
}

#[test]
fn a_storm_is_counted_and_not_printed() {
    let said = rerun("policies::child_storm");
    let lines = said.fine();
    assert!((1..=20).contains(&lines.len()), "{} lines of a thousand", lines.len());
}

#[test]
#[ignore = "speaks on stderr: run in a child by the test above"]
fn child_storm() {
    std::panic::set_hook(Box::new(|_| {}));
    run(PanicPolicy::Report, async || {
        (0..1_000).for_each(|_| drop(spawn(async { panic!("one of a thousand") })));
        settle().await;
        assert_eq!(aem::metrics().panics, 1_000);
    });
}

#[test]
fn shutdown_says_the_line_and_block_on_resumes_the_panic() {
    for child in ["task", "handler", "destructor"] {
        let said = rerun(&format!("policies::child_shutdown_{child}"));
        let lines = said.fine();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].ends_with(": the reason"), "{lines:?}");
    }
}

fn shuts_down(break_it: fn()) {
    let runtime = Runtime::builder().on_panic(PanicPolicy::Shutdown).build().expect("a runtime");
    let dropped = std::rc::Rc::new(std::cell::Cell::new(false));
    struct Sets(std::rc::Rc<std::cell::Cell<bool>>);
    impl Drop for Sets {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let sets = Sets(dropped.clone());
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        runtime.block_on(async move {
            drop(spawn(async move {
                let _sets = sets;
                pending::<()>().await;
            }));
            settle().await;
            break_it();
            // Nobody cuts the main future: it ends as it is asked to.
            aem::signal::shutdown_requested().await;
        });
    }));
    let panic = caught.expect_err("block_on resumes it");
    assert_eq!(*panic.downcast::<&str>().expect("the panic's own value"), "the reason");
    drop(runtime);
    assert!(dropped.get(), "the other jobs are dropped in order");
}

#[test]
#[ignore = "speaks on stderr: run in a child by the test above"]
fn child_shutdown_task() {
    // One that is read does not count.
    run(PanicPolicy::Shutdown, async || {
        assert!(spawn(async { panic!("read") }).await.unwrap_err().is_panic());
    });
    shuts_down(|| drop(spawn(async { panic!("the reason") })));
}

#[test]
#[ignore = "speaks on stderr: run in a child by the test above"]
fn child_shutdown_handler() {
    run(PanicPolicy::Shutdown, async || {
        assert!(on(stream::iter(0..1), |_| panic!("read")).await.unwrap_err().is_panic());
    });
    shuts_down(|| on(stream::iter(0..1), |_| panic!("the reason")).detach());
}

#[test]
#[ignore = "speaks on stderr: run in a child by the test above"]
fn child_shutdown_destructor() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("the reason");
        }
    }
    shuts_down(|| {
        let bomb = Bomb;
        on(stream::pending::<()>(), move |()| keep(&bomb)).stop_and_forget();
    });
}

/// Stops a registration and lets it go.
trait StopAndForget {
    fn stop_and_forget(self);
}

impl<S> StopAndForget for aem::Registration<S> {
    fn stop_and_forget(self) {
        self.stop();
        self.detach();
    }
}

#[test]
fn abort_says_the_line_and_the_process_is_gone() {
    use std::os::unix::process::ExitStatusExt;
    for child in ["task", "handler", "on_each", "on_end"] {
        let said = rerun(&format!("policies::child_abort_{child}"));
        assert_eq!(said.status.signal(), Some(libc::SIGABRT), "{}: {}", said.status, said.stderr);
        let lines = said.lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].ends_with(": the reason"), "{lines:?}");
        assert!(!said.stderr.contains("survived"), "{}", said.stderr);
    }
}

#[test]
#[ignore = "aborts: run in a child by the test above"]
fn child_abort_task() {
    run(PanicPolicy::Abort, async || {
        assert!(spawn(async { panic!("read") }).await.unwrap_err().is_panic());
        drop(spawn(async { panic!("the reason") }));
        settle().await;
        aem::time::sleep(std::time::Duration::from_millis(1)).await;
        eprintln!("survived");
    });
}

#[test]
#[ignore = "aborts: run in a child by the test above"]
fn child_abort_handler() {
    run(PanicPolicy::Abort, async || {
        on(stream::iter(0..1), |_| panic!("the reason")).detach();
        settle().await;
        eprintln!("survived");
    });
}

#[test]
#[ignore = "aborts: run in a child by the test above"]
fn child_abort_on_each() {
    run(PanicPolicy::Abort, async || {
        let each = aem::on_each(stream::iter(0..1), 1, async |_| panic!("the reason"));
        assert_eq!(each.await.unwrap(), aem::End::Exhausted);
        settle().await;
        eprintln!("survived");
    });
}

#[test]
fn what_a_panic_carries_may_panic_when_it_is_dropped() {
    let said = rerun("policies::child_payload");
    assert_eq!(said.fine().len(), 2, "{}", said.stderr);
}

#[test]
#[ignore = "speaks on stderr: run in a child by the test above"]
fn child_payload() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in the drop of what a panic carried");
        }
    }
    run(PanicPolicy::Report, async || {
        drop(spawn(async { std::panic::panic_any(Bomb) }));
        settle().await;
        on(stream::iter(0..1), |_| std::panic::panic_any(Bomb)).detach();
        settle().await;
        assert_eq!(aem::metrics().panics, 2);
    });
}

#[test]
#[ignore = "aborts: run in a child by the test above"]
fn child_abort_on_end() {
    run(PanicPolicy::Abort, async || {
        on(stream::iter(0..1), |_| ()).on_end(|_| panic!("the reason")).detach();
        settle().await;
        aem::time::sleep(std::time::Duration::from_millis(1)).await;
        eprintln!("survived");
    });
}

#[test]
fn a_panic_of_the_main_future_always_comes_out() {
    let _alone = aem_tests::watch::alone();
    for policy in [PanicPolicy::Report, PanicPolicy::Shutdown, PanicPolicy::Abort] {
        let caught = std::panic::catch_unwind(|| {
            run(policy, async || {
                drop(spawn(pending::<()>()));
                settle().await;
                panic!("of the main future");
            });
        });
        let text = *caught.expect_err("it comes out").downcast::<&str>().expect("its own value");
        assert_eq!(text, "of the main future");
    }
}

#[test]
fn a_closure_that_panics_after_its_job_was_aborted_is_reported() {
    let said = rerun("policies::child_aborted_closure");
    let lines = said.fine();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].ends_with("nobody asked for its result: aborted, and then this"), "{lines:?}");
}

#[test]
#[ignore = "speaks on stderr: run in a child by the test above"]
fn child_aborted_closure() {
    run(PanicPolicy::Report, async || {
        let (entered, inside) = futures::channel::oneshot::channel();
        let (go_on, wait) = std::sync::mpsc::channel::<()>();
        let closure = spawn_blocking(move || {
            entered.send(()).expect("it is awaited");
            wait.recv().expect("it is told");
            panic!("aborted, and then this");
        });
        inside.await.expect("it runs");
        closure.abort();
        assert!(closure.await.unwrap_err().is_cancelled());
        go_on.send(()).expect("it waits");
        // The end of the runtime waits for it.
    });
}
