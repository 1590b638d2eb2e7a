//! Wakes a worker from another thread, and counts what that costs in system calls: `ringer busy|idle`.
//!
//! It prints `WRITES SLEEPS`: how often something was written, and how often the worker fell asleep.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};

const WAKES: usize = 20_000;

fn writes() -> u64 {
    aem_tests::proc::doings(std::process::id()).expect("/proc").calls.1
}

/// A task that counts its runs, and its waker.
async fn sleeper(runs: Rc<Cell<usize>>) -> Waker {
    let (sender, receiver) = futures::channel::oneshot::channel();
    let mut sender = Some(sender);
    drop(aem::spawn(std::future::poll_fn(move |cx| {
        runs.set(runs.get() + 1);
        if let Some(sender) = sender.take() {
            let _ = sender.send(cx.waker().clone());
        }
        Poll::<()>::Pending
    })));
    receiver.await.expect("it has run")
}

#[aem::main]
async fn main() {
    let busy = std::env::args().nth(1).as_deref() == Some("busy");
    let runs = Rc::new(Cell::new(0));
    let waker = sleeper(runs.clone()).await;
    let done = Arc::new(AtomicBool::new(false));
    let mark = done.clone();
    let (told, end) = futures::channel::oneshot::channel();
    let (before, slept) = (writes(), aem::metrics().sleeps);
    let other = std::thread::spawn(move || {
        for _ in 0..WAKES {
            waker.wake_by_ref();
            // Time for the worker to see some of them singly.
            (0..200).for_each(|_| std::hint::spin_loop());
        }
        mark.store(true, Ordering::Release);
        let _ = told.send(());
    });
    while busy && !done.load(Ordering::Acquire) {
        aem::yield_now().await;
    }
    end.await.expect("a thread");
    let (after, sleeps) = (writes(), aem::metrics().sleeps - slept);
    other.join().expect("a thread");
    assert!(runs.get() > 2, "it was woken {} times", runs.get());
    println!("{} {sleeps}", after - before);
}
