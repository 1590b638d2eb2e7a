//! Destructors at the end: they run at home, once each, and may do what they like.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use aem::End;
use aem_tests::bounded::within;
use futures::channel::mpsc;

use super::{LIMIT, Noted, OnDrop, runtime};

#[test]
fn every_job_is_dropped_once_and_before_the_runtime_is_gone() {
    within(LIMIT, || {
        let log = Rc::new(RefCell::new(Vec::new()));
        let runtime = runtime();
        let (sender, receiver) = mpsc::unbounded::<()>();
        let kept = runtime.block_on(async {
            let value = Noted::new("waits", &log);
            aem::spawn(async move {
                let _value = value;
                std::future::pending::<()>().await;
            });
            let value = Noted::new("sleeps", &log);
            aem::spawn(async move {
                aem::time::sleep(Duration::from_secs(3600)).await;
                drop(value);
            });
            let value = Noted::new("handles", &log);
            aem::on(receiver, move |()| value.hold()).detach();
            let value = Noted::new("yields", &log);
            aem::spawn(async move {
                let _value = value;
                loop {
                    aem::yield_now().await;
                }
            });
            aem::yield_now().await;
            // Two that have never run.
            let value = Noted::new("is new", &log);
            aem::spawn(async move { drop(value) });
            let value = Noted::new("is held", &log);
            aem::spawn(async move { drop(value) })
        });
        assert!(log.borrow().is_empty());
        drop(runtime);
        let mut dropped = log.borrow().clone();
        dropped.sort_unstable();
        assert_eq!(dropped, ["handles", "is held", "is new", "sleeps", "waits", "yields"]);
        assert!(kept.is_finished());
        assert!(sender.is_closed(), "the source was dropped");
        let result = aem_tests::elsewhere::wait_for(kept);
        assert!(result.expect_err("it never ran").is_cancelled());
    });
}

#[test]
fn the_output_of_a_job_that_nobody_took_is_dropped_at_home() {
    within(LIMIT, || {
        let log = Rc::new(RefCell::new(Vec::new()));
        let runtime = runtime();
        let value = Noted::new("the output", &log);
        let handle = runtime.block_on(async {
            let handle = aem::spawn(async move { value });
            aem::yield_now().await;
            handle
        });
        drop(runtime);
        assert!(log.borrow().is_empty(), "its handle has it");
        drop(handle);
        assert_eq!(*log.borrow(), ["the output"]);
    });
}

#[test]
fn on_end_hears_of_the_end_of_the_runtime() {
    within(LIMIT, || {
        let heard = Rc::new(Cell::new(None));
        let runtime = runtime();
        let (_sender, receiver) = mpsc::unbounded::<()>();
        let hear = heard.clone();
        runtime.block_on(async move {
            aem::on(receiver, |()| ())
                .on_end(move |end| hear.set(end.as_ref().ok().copied()))
                .detach();
            aem::yield_now().await;
        });
        drop(runtime);
        assert_eq!(heard.get(), Some(End::Stopped));
    });
}

/// All that a destructor may ask of a runtime that ends. Each call must return, and none may panic.
fn ask_for_everything(log: &Rc<RefCell<Vec<&'static str>>>) {
    let value = Noted::new("spawned", log);
    let job = aem::spawn(async move { drop(value) });
    assert!(!job.is_finished() || aem_tests::elsewhere::wait_for(job).is_err());
    let value = Noted::new("registered", log);
    aem::on(futures::stream::repeat(()), move |()| value.hold()).detach();
    let value = Noted::new("registered and stopped", log);
    let registration = aem::on_async(futures::stream::repeat(()), async move |()| value.hold());
    registration.stop();
    drop(registration);
    let scope = aem::Scope::new();
    let value = Noted::new("in a scope", log);
    drop(scope.spawn(async move { drop(value) }));
    scope.stop();
    let state = aem::State::new(0);
    state.with(|number| *number += 1);
    aem::Handle::current().shutdown();
    drop(aem::Handle::current().spawn(async {}));
    assert!(aem::Handle::try_current().is_some());
    drop(aem::time::sleep(Duration::from_secs(1)));
    drop(aem::time::every(Duration::from_secs(1)));
    assert!(aem::metrics().jobs < 1_000);
    assert!(aem::jobs().len() < 1_000);
    match aem::net::TcpListener::bind("127.0.0.1:0") {
        Ok(listener) => drop(listener.incoming()),
        Err(error) => drop(error),
    }
    let nested = std::panic::catch_unwind(|| aem::block_on(async {}));
    assert!(nested.is_err(), "block_on inside a runtime panics at the end too");
}

#[test]
fn a_destructor_may_ask_for_everything_and_gets_nothing() {
    within(LIMIT, || {
        let log = Rc::new(RefCell::new(Vec::new()));
        let asked = Rc::new(Cell::new(0));
        let runtime = runtime();
        runtime.block_on(async {
            let (log, count) = (log.clone(), asked.clone());
            aem::spawn(async move {
                let _asks = OnDrop(move || {
                    ask_for_everything(&log);
                    count.set(count.get() + 1);
                });
                std::future::pending::<()>().await;
            });
            aem::yield_now().await;
        });
        drop(runtime);
        assert_eq!(asked.get(), 1);
        let mut dropped = log.borrow().clone();
        dropped.sort_unstable();
        assert_eq!(dropped, ["in a scope", "registered", "registered and stopped", "spawned"]);
    });
}

/// Spawns another of itself when it is dropped.
struct Hydra(Rc<Cell<usize>>, usize);

impl Drop for Hydra {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
        for _ in 0..self.1 {
            let head = Hydra(self.0.clone(), self.1);
            drop(aem::spawn(async move {
                let _head = head;
                std::future::pending::<()>().await;
            }));
        }
    }
}

fn hydra(heads: usize) -> usize {
    let heads = within(LIMIT, move || {
        let count = Rc::new(Cell::new(0));
        let runtime = runtime();
        runtime.block_on(async {
            let head = Hydra(count.clone(), heads);
            aem::spawn(async move {
                let _head = head;
                std::future::pending::<()>().await;
            });
            aem::yield_now().await;
        });
        let start = Instant::now();
        drop(runtime);
        println!("{} heads in {:?}", count.get(), start.elapsed());
        count.get()
    });
    assert!(heads > 100, "only {heads}");
    heads
}

#[test]
fn a_destructor_that_keeps_spawning_is_left_after_a_while() {
    hydra(1);
}

#[test]
fn destructors_that_multiply_are_left_after_a_while() {
    hydra(2);
}

/// A chain that ends: all of it is dropped.
#[test]
fn a_destructor_that_spawns_for_a_while_is_waited_for() {
    struct Chain(Rc<Cell<usize>>);
    impl Drop for Chain {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
            if self.0.get() < 500 {
                let next = Chain(self.0.clone());
                drop(aem::spawn(async move { drop(next) }));
            }
        }
    }
    within(LIMIT, || {
        let count = Rc::new(Cell::new(0));
        let runtime = runtime();
        runtime.block_on(async {
            let first = Chain(count.clone());
            aem::spawn(async move {
                let _first = first;
                std::future::pending::<()>().await;
            });
            aem::yield_now().await;
        });
        drop(runtime);
        assert_eq!(count.get(), 500);
        assert_eq!(Rc::strong_count(&count), 1, "all of it is gone");
    });
}

#[test]
fn panics_at_the_end_are_contained() {
    within(LIMIT, || {
        let log = Rc::new(RefCell::new(Vec::new()));
        let runtime = runtime();
        let (_sender, receiver) = mpsc::unbounded::<()>();
        runtime.block_on(async {
            for _ in 0..3 {
                let value = Noted::new("beside a panic", &log);
                aem::spawn(async move {
                    let _value = value;
                    let _panics = OnDrop(|| panic!("in a destructor, on purpose"));
                    std::future::pending::<()>().await;
                });
            }
            let panics = OnDrop(|| panic!("in a handler's destructor, on purpose"));
            aem::on(receiver, move |()| panics.hold()).detach();
            let (_sender, receiver) = mpsc::unbounded::<()>();
            aem::on(receiver, |()| ()).on_end(|_| panic!("in on_end, on purpose")).detach();
            let value = Noted::new("after them all", &log);
            aem::spawn(async move {
                let _value = value;
                std::future::pending::<()>().await;
            });
            aem::yield_now().await;
            std::mem::forget(_sender);
        });
        drop(runtime);
        let dropped = log.borrow().clone();
        assert_eq!(dropped.iter().filter(|name| **name == "beside a panic").count(), 3);
        assert_eq!(dropped.len(), 4);
    });
}

#[test]
fn a_runtime_may_be_dropped_while_its_thread_panics() {
    within(LIMIT, || {
        let log = Rc::new(RefCell::new(Vec::new()));
        let value = Noted::new("a task's", &log);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let runtime = runtime();
            runtime.block_on(async {
                aem::spawn(async move {
                    let _value = value;
                    let _panics = OnDrop(|| panic!("a second one, on purpose"));
                    std::future::pending::<()>().await;
                });
                aem::yield_now().await;
                panic!("the main future, on purpose");
            });
        }));
        assert!(panicked.is_err());
        assert_eq!(*log.borrow(), ["a task's"]);
        assert!(aem::Handle::try_current().is_none(), "the thread has left the runtime");
        // And may enter another.
        assert_eq!(aem::block_on(async { 3 }), 3);
    });
}

#[test]
fn wakers_that_panic_as_they_go_are_contained_at_the_end() {
    struct Bomb(Arc<AtomicUsize>);
    impl Wake for Bomb {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Bomb {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
            panic!("in a waker's destructor, on purpose");
        }
    }
    within(LIMIT, || {
        let runtime = runtime();
        let dropped = Arc::new(AtomicUsize::new(0));
        let sleeps = runtime.block_on(async {
            [(); 3].map(|()| {
                let mut sleep = Box::pin(aem::time::sleep(Duration::from_secs(3_600)));
                let waker = Waker::from(Arc::new(Bomb(dropped.clone())));
                assert!(sleep.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                // The last reference is the runtime's.
                drop(waker);
                sleep
            })
        });
        drop(runtime);
        assert_eq!(dropped.load(Ordering::Relaxed), 3);
        drop(sleeps);
    });
}
