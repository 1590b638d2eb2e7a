//! What outlives a runtime: wakers, join handles, handles, registrations, other threads that are in the
//! middle of something.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use aem::fd::AsyncFd;
use aem_tests::bounded::within;
use aem_tests::elsewhere::wait_for;
use aem_tests::keepers;
use futures::FutureExt;

use super::{LIMIT, Noted, runtime};

#[test]
fn wakers_outlive_the_runtime() {
    within(LIMIT, || {
        let wakers: Arc<Mutex<Vec<Waker>>> = Arc::default();
        let runtime = runtime();
        runtime.block_on(async {
            for _ in 0..100 {
                let wakers = wakers.clone();
                aem::spawn(std::future::poll_fn(move |cx| {
                    wakers.lock().expect("no panic").push(cx.waker().clone());
                    Poll::<()>::Pending
                }));
            }
            aem::yield_now().await;
        });
        drop(runtime);
        let wakers = std::mem::take(&mut *wakers.lock().expect("no panic"));
        assert_eq!(wakers.len(), 100);
        let (here, there) = wakers.split_at(50);
        let there = there.to_vec();
        let other = thread::spawn(move || {
            for waker in there {
                waker.wake_by_ref();
                waker.clone().wake();
            }
        });
        for waker in here {
            waker.wake_by_ref();
            drop(waker.clone());
        }
        other.join().expect("a thread");
    });
}

#[test]
fn join_handles_outlive_the_runtime() {
    within(LIMIT, || {
        let runtime = runtime();
        let (waits, done, panicked) = runtime.block_on(async {
            let waits = aem::spawn(std::future::pending::<u8>());
            let done = aem::spawn(async { String::from("done") });
            let panicked = aem::spawn(async { panic!("on purpose") });
            aem::yield_now().await;
            (waits, done, panicked)
        });
        drop(runtime);
        let other = thread::spawn(move || {
            assert!(waits.is_finished());
            waits.abort();
            assert!(wait_for(waits).expect_err("it never ended").is_cancelled());
            assert_eq!(wait_for(done).expect("it had ended"), "done");
            // Under another runtime as well.
            let error: aem::JoinError = aem::block_on(panicked).expect_err("it panicked");
            assert!(error.is_panic());
        });
        other.join().expect("a thread");
    });
}

#[test]
fn who_waits_elsewhere_for_a_job_hears_of_the_end() {
    within(LIMIT, || {
        let runtime = runtime();
        let jobs: Vec<_> = runtime.block_on(async {
            let jobs = (0..4).map(|_| aem::spawn(std::future::pending::<()>())).collect();
            aem::yield_now().await;
            jobs
        });
        let waiters: Vec<_> = jobs
            .into_iter()
            .enumerate()
            .map(|(index, job)| {
                thread::spawn(
                    move || {
                        if index % 2 == 0 { wait_for(job) } else { aem::block_on(job) }
                    },
                )
            })
            .collect();
        // Some will have sent their wish by now, others come when the runtime has ended.
        thread::sleep(Duration::from_millis(5));
        drop(runtime);
        for waiter in waiters {
            let result = waiter.join().expect("a thread");
            assert!(result.expect_err("it never ended").is_cancelled());
        }
    });
}

#[test]
fn a_spawn_after_the_end_is_cancelled_and_dropped_where_it_was_made() {
    within(LIMIT, || {
        let runtime = runtime();
        let handle = runtime.handle();
        drop(runtime);
        assert!(handle.is_closed());
        handle.shutdown();
        let value = Arc::new(());
        let held = value.clone();
        let job = handle.spawn(async move { drop(held) });
        assert_eq!(Arc::strong_count(&value), 1, "the future is gone");
        assert!(job.is_finished());
        assert!(wait_for(job).expect_err("born cancelled").is_cancelled());
        let held = value.clone();
        let job = handle.spawn_with(move || async move { drop(held) });
        assert_eq!(Arc::strong_count(&value), 1);
        assert!(aem::block_on(job).expect_err("born cancelled").is_cancelled());
        assert_eq!(handle.workers(), 1);
        let _ = (handle.metrics(), handle.backend(), handle.worker(0));
    });
}

#[test]
fn spawns_from_a_storm_of_threads_do_not_hold_up_the_end() {
    let took = within(LIMIT, || {
        let runtime = runtime();
        let (ran, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let storm = |_| {
            let (handle, ran, stop) = (runtime.handle(), ran.clone(), stop.clone());
            thread::spawn(move || {
                let (mut cancelled, mut last) = (0_usize, None);
                while !stop.load(Ordering::Relaxed) {
                    let ran = ran.clone();
                    let job = handle.spawn(async move { ran.fetch_add(1, Ordering::Relaxed) });
                    if job.is_finished() {
                        cancelled += 1;
                    }
                    last = Some(job);
                }
                // Whatever it was, it has an end.
                let _ = last.map(wait_for);
                cancelled
            })
        };
        let threads: Vec<_> = (0..4).map(storm).collect();
        runtime.block_on(aem::time::sleep(Duration::from_millis(20)));
        let start = Instant::now();
        drop(runtime);
        let took = start.elapsed();
        stop.store(true, Ordering::Relaxed);
        let cancelled: usize = threads.into_iter().map(|t| t.join().expect("a thread")).sum();
        println!(
            "the end took {took:?}; {} ran, {cancelled} were refused",
            ran.load(Ordering::Relaxed)
        );
        took
    });
    assert!(took < Duration::from_secs(5), "the end took {took:?}");
}

#[test]
fn wakes_from_a_storm_of_threads_do_not_hold_up_the_end() {
    let took = within(LIMIT, || {
        let runtime = runtime();
        let (wakers, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        runtime.block_on(async {
            for _ in 0..16 {
                let wakers = wakers.clone();
                aem::spawn(std::future::poll_fn(move |cx| {
                    wakers.lock().expect("no panic").push(cx.waker().clone());
                    Poll::<()>::Pending
                }));
            }
            aem::yield_now().await;
        });
        let wakers = std::mem::take(&mut *wakers.lock().expect("no panic"));
        let storm = |_| {
            let (wakers, stop) = (wakers.clone(), stop.clone());
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    wakers.iter().for_each(Waker::wake_by_ref);
                    drop(wakers.clone());
                }
            })
        };
        let threads: Vec<_> = (0..3).map(storm).collect();
        runtime.block_on(aem::time::sleep(Duration::from_millis(20)));
        let start = Instant::now();
        drop(runtime);
        let took = start.elapsed();
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().for_each(|thread| thread.join().expect("a thread"));
        took
    });
    assert!(took < Duration::from_secs(5), "the end took {took:?}");
}

#[test]
fn registrations_and_sources_outlive_the_runtime() {
    within(LIMIT, || {
        let log = Rc::new(RefCell::new(Vec::new()));
        let runtime = runtime();
        let (sender, receiver) = futures::channel::mpsc::unbounded::<()>();
        let (registration, control, scope, state) = runtime.block_on(async {
            let value = Noted::new("the handler", &log);
            let registration = aem::on(receiver, move |()| value.hold());
            let control = registration.control();
            let scope = aem::Scope::new();
            scope.add(aem::on(futures::stream::pending::<()>(), |()| ()));
            aem::yield_now().await;
            (registration, control, scope, aem::State::new(1))
        });
        drop(runtime);
        assert_eq!(*log.borrow(), ["the handler"]);
        assert!(registration.is_ended() && control.is_ended());
        control.pause();
        control.resume();
        control.stop();
        assert!(!registration.replace(|()| ()), "it has ended");
        let _ = (registration.stats(), control.stats(), registration.id());
        assert!(registration.reclaim().is_none(), "the runtime is gone");
        drop(sender);
        scope.stop();
        assert_eq!(state.with(|number| *number), 1);
    });
}

#[test]
fn awaiting_a_registration_after_the_end_tells_that_it_was_stopped() {
    within(LIMIT, || {
        let runtime = runtime();
        let registration = runtime.block_on(async {
            let registration = aem::on(futures::stream::pending::<()>(), |()| ());
            aem::yield_now().await;
            registration
        });
        drop(runtime);
        assert_eq!(aem::block_on(registration).expect("no error"), aem::End::Stopped);
    });
}

#[test]
fn a_handle_shuts_down_from_another_thread() {
    within(LIMIT, || {
        let runtime = runtime();
        let handle = runtime.handle();
        let (log, (said, hear)) = (Rc::new(RefCell::new(Vec::new())), mpsc::channel());
        let value = Noted::new("a task's", &log);
        runtime.block_on(async {
            let task = aem::spawn(async move {
                let _value = value;
                std::future::pending::<()>().await;
            });
            aem::yield_now().await;
            let other = handle.clone();
            thread::spawn(move || {
                other.shutdown();
                said.send(()).expect("the test waits");
            });
            assert!(task.await.expect_err("it was cancelled").is_cancelled());
            assert_eq!(*log.borrow(), ["a task's"]);
            hear.recv().expect("said");
            // The main future goes on, and what it starts is cancelled.
            aem::time::sleep(Duration::from_millis(1)).await;
            assert!(aem::spawn(async {}).await.expect_err("born cancelled").is_cancelled());
            let late = thread::spawn(move || wait_for(handle.spawn(async {})));
            while !late.is_finished() {
                aem::time::sleep(Duration::from_millis(1)).await;
            }
            let late = late.join().expect("a thread");
            assert!(late.expect_err("born cancelled").is_cancelled());
        });
    });
}

/// DRAIN waits for nothing that has come already: the kernel never had this op.
#[test]
fn an_op_of_the_last_turn_does_not_hold_up_the_end() {
    within(LIMIT, || {
        for keeper in keepers::both() {
            let runtime = keepers::builder(keeper).build().expect("a runtime");
            let (ours, _theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
            let watched = runtime.block_on(async {
                let watched = AsyncFd::new(ours).expect("a descriptor");
                assert!(watched.readable().now_or_never().is_none());
                watched
            });
            let begun = Instant::now();
            drop(runtime);
            let taken = begun.elapsed();
            assert!(taken < Duration::from_secs(2), "{}: {taken:?}", keepers::name(keeper));
            drop(watched);
        }
    });
}
