//! Many runtimes: one after the other, inside each other's tasks, on many threads at once.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use aem_tests::bounded::within;
use aem_tests::child::Program;

use super::{LIMIT, Noted, OnDrop, runtime};

#[test]
fn two_runtimes_follow_each_other_on_one_thread() {
    within(LIMIT, || {
        for round in 0..100 {
            let runtime = runtime();
            let number = runtime.block_on(async {
                aem::time::sleep(Duration::from_micros(10)).await;
                aem::spawn(async move { round }).await.expect("it ran")
            });
            assert_eq!(number, round);
            assert!(aem::Handle::try_current().is_none());
        }
    });
}

#[test]
fn two_runtimes_take_turns_on_one_thread() {
    within(LIMIT, || {
        let (first, second) = (runtime(), runtime());
        let count = Rc::new(Cell::new(0));
        let ticker = |runtime: &aem::Runtime| {
            let count = count.clone();
            runtime.block_on(async {
                aem::spawn(async move {
                    loop {
                        count.set(count.get() + 1);
                        aem::yield_now().await;
                    }
                })
            })
        };
        let _jobs = (ticker(&first), ticker(&second));
        for _ in 0..10 {
            first.block_on(aem::yield_now());
            let between = count.get();
            // Between two block_ons nothing runs.
            thread::sleep(Duration::from_millis(1));
            assert_eq!(count.get(), between);
            second.block_on(aem::yield_now());
            assert!(count.get() > between);
        }
        drop(first);
        let between = count.get();
        second.block_on(aem::yield_now());
        assert!(count.get() > between, "the other one lives");
    });
}

#[test]
fn a_runtime_is_dropped_in_a_task_of_another() {
    within(LIMIT, || {
        let log = Rc::new(RefCell::new(Vec::new()));
        let (inner, innermost) = (runtime(), runtime());
        let value = Noted::new("innermost", &log);
        innermost.block_on(async {
            aem::spawn(async move {
                let _value = value;
                std::future::pending::<()>().await;
            });
            aem::yield_now().await;
        });
        let value = Noted::new("inner", &log);
        let job = inner.block_on(async {
            // It owns the innermost one, and ends with it.
            let job = aem::spawn(async move {
                let _value = value;
                let _innermost = innermost;
                std::future::pending::<()>().await;
            });
            aem::yield_now().await;
            job
        });
        aem::block_on(async {
            let here = aem::Handle::current();
            let task = aem::spawn(async move {
                drop(inner);
                // This thread is the outer one's again.
                aem::time::sleep(Duration::from_millis(1)).await;
                aem::spawn(async { 5 }).await.expect("it ran")
            });
            assert_eq!(task.await.expect("it ran"), 5);
            assert!(job.await.expect_err("it was cancelled").is_cancelled());
            assert!(!here.is_closed());
        });
        assert_eq!(*log.borrow(), ["innermost", "inner"]);
    });
}

#[test]
fn a_runtime_in_a_thread_local_ends_with_its_thread() {
    thread_local! {
        static HELD: RefCell<Option<aem::Runtime>> = const { RefCell::new(None) };
    }
    // Its destructor runs after those of the library's own variables, or before them.
    for held_first in [true, false] {
        let (said, hear) = std::sync::mpsc::channel();
        within(LIMIT, move || {
            if held_first {
                HELD.with(|_| ());
            }
            let runtime = runtime();
            runtime.block_on(async {
                aem::spawn(async move {
                    // The runtime is still there for what the destructor does.
                    let at_the_end = move || {
                        let here = aem::Handle::current();
                        said.send(here.is_closed()).expect("the test waits");
                    };
                    let _says = OnDrop(at_the_end);
                    std::future::pending::<()>().await;
                });
                aem::yield_now().await;
            });
            HELD.with(|held| *held.borrow_mut() = Some(runtime));
        });
        hear.recv_timeout(LIMIT).expect("its task was dropped");
    }
}

#[test]
fn block_on_inside_a_runtime_says_what_to_do() {
    aem::block_on(async {
        let other = runtime();
        for attempt in [
            std::panic::catch_unwind(|| aem::block_on(async {})),
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| other.block_on(async {}))),
        ] {
            let panic = attempt.expect_err("it panics");
            let text = panic.downcast_ref::<&str>().expect("a text");
            assert!(text.contains(".await") && text.contains("aem::spawn"), "{text}");
        }
        // The runtime is none the worse for it.
        assert_eq!(aem::spawn(async { 1 }).await.expect("it ran"), 1);
    });
}

/// In a process of its own, as other tests open and close descriptors too.
#[test]
fn a_thousand_runtimes_on_many_threads_leave_nothing_behind() {
    let mut child = Program::start(env!("CARGO_BIN_EXE_thousand"), &[]);
    println!("{}", child.line(Duration::from_secs(120)));
    let (status, errors) = child.end(LIMIT);
    assert!(status.success(), "{errors}");
    assert_eq!(errors, "");
}
