//! Blocking closures: what is queued is cancelled, what runs is waited for, for five seconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use aem_tests::bounded::within;

use super::{LIMIT, OnDrop, runtime};

/// The pool's own number.
const THREADS: usize = 64;

#[test]
fn queued_closures_are_cancelled_and_running_ones_waited_for() {
    let (began, ended, handles) = within(LIMIT, || {
        let (began, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let runtime = runtime();
        let handles = runtime.block_on(async {
            let submit = |_| {
                let (began, ended) = (began.clone(), ended.clone());
                aem::spawn_blocking(move || {
                    began.fetch_add(1, Ordering::AcqRel);
                    thread::sleep(Duration::from_millis(200));
                    ended.fetch_add(1, Ordering::AcqRel);
                })
            };
            let handles: Vec<_> = (0..3 * THREADS).map(submit).collect();
            while began.load(Ordering::Acquire) == 0 {
                aem::time::sleep(Duration::from_millis(1)).await;
            }
            handles
        });
        drop(runtime);
        (began.load(Ordering::Acquire), ended.load(Ordering::Acquire), handles)
    });
    assert_eq!(began, ended, "those that had begun were waited for");
    assert!((1..=THREADS).contains(&began), "{began} began");
    // What the handles of the others say is that they were cancelled; they are dropped unread.
    for handle in handles {
        let result = aem_tests::elsewhere::wait_for(handle);
        assert!(result.expect_err("its job is gone").is_cancelled());
    }
}

#[test]
fn a_closure_that_runs_on_and_on_is_left_alone_after_five_seconds() {
    let took = within(LIMIT, || {
        let runtime = runtime();
        let (release, gate) = mpsc::channel::<()>();
        let (began, beginning) = mpsc::channel();
        let (done, end) = mpsc::channel();
        runtime.block_on(async move {
            drop(aem::spawn_blocking(move || {
                began.send(()).expect("the test waits");
                let _ = gate.recv();
                let _ = done.send(());
            }));
            beginning.recv_timeout(LIMIT).expect("it began");
        });
        let start = Instant::now();
        drop(runtime);
        let took = start.elapsed();
        // It is alone, and well.
        release.send(()).expect("it waits");
        end.recv_timeout(LIMIT).expect("it ended");
        took
    });
    assert!(took >= Duration::from_secs(5), "left alone after {took:?}");
    assert!(took < Duration::from_secs(7), "the end took {took:?}");
}

#[test]
fn a_closure_submitted_by_a_destructor_never_runs() {
    for _ in 0..50 {
        let ran = Arc::new(AtomicBool::new(false));
        let flag = ran.clone();
        within(LIMIT, || {
            let runtime = runtime();
            runtime.block_on(async {
                // There is a thread, and it waits for work.
                aem::spawn_blocking(|| ()).await.expect("no panic");
                aem::spawn(async move {
                    let _late = OnDrop(move || {
                        let flag = flag.clone();
                        drop(aem::spawn_blocking(move || flag.store(true, Ordering::Release)));
                        // As long as the thread needs to take it, were it there to be taken.
                        thread::sleep(Duration::from_micros(300));
                    });
                    std::future::pending::<()>().await;
                });
                aem::yield_now().await;
            });
        });
        assert!(!ran.load(Ordering::Acquire), "new jobs are born cancelled");
    }
}

#[test]
fn a_closure_submitted_after_shutdown_never_runs() {
    let ran = Arc::new(AtomicUsize::new(0));
    let count = ran.clone();
    within(LIMIT, move || {
        runtime().block_on(async move {
            aem::spawn_blocking(|| ()).await.expect("no panic");
            aem::Handle::current().shutdown();
            for _ in 0..50 {
                let count = count.clone();
                let job = aem::spawn_blocking(move || count.fetch_add(1, Ordering::AcqRel));
                thread::sleep(Duration::from_micros(300));
                assert!(job.await.expect_err("born cancelled").is_cancelled());
            }
        });
    });
    assert_eq!(ran.load(Ordering::Acquire), 0);
}

#[test]
fn a_closure_may_use_the_handle_of_its_ending_runtime() {
    within(LIMIT, || {
        let runtime = runtime();
        let handle = runtime.handle();
        let (began, beginning) = mpsc::channel();
        let (said, hear) = mpsc::channel();
        runtime.block_on(async {
            drop(aem::spawn_blocking(move || {
                began.send(()).expect("the test waits");
                let deadline = Instant::now() + Duration::from_secs(3);
                while !handle.is_closed() && Instant::now() < deadline {
                    thread::sleep(Duration::from_millis(1));
                }
                let job = handle.spawn(async { 1 });
                said.send(aem_tests::elsewhere::wait_for(job).is_err()).expect("the test waits");
            }));
            beginning.recv_timeout(LIMIT).expect("it began");
        });
        drop(runtime);
        assert_eq!(hear.recv_timeout(LIMIT), Ok(true), "cancelled, and told so");
    });
}
