//! Entering a runtime, and tasks: the lines of the public contract, one by one.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use aem::{Handle, JoinError, JoinHandle, Runtime};
use aem_tests::bounded::within;
use futures::future::FusedFuture;

const LIMIT: Duration = Duration::from_secs(20);

/// Types are told apart by whether a trait's own constant hides an inherited one.
mod traits {
    use std::marker::PhantomData;

    pub(crate) struct Is<T>(PhantomData<T>);

    pub(crate) trait Neither {
        const SEND: bool = false;
        const SYNC: bool = false;
    }

    impl<T> Neither for Is<T> {}

    impl<T: Send> Is<T> {
        pub(crate) const SEND: bool = true;
    }

    impl<T: Sync> Is<T> {
        pub(crate) const SYNC: bool = true;
    }
}

#[test]
fn what_travels_and_what_stays() {
    use traits::{Is, Neither};
    const {
        assert!(!Is::<Runtime>::SEND && !Is::<Runtime>::SYNC);
        assert!(Is::<Handle>::SEND && Is::<Handle>::SYNC);
        assert!(Is::<JoinHandle<u8>>::SEND && !Is::<JoinHandle<Rc<u8>>>::SEND);
        assert!(Is::<JoinError>::SEND && Is::<JoinError>::SYNC);
        assert!(Is::<aem::HandlerError>::SEND && Is::<aem::HandlerError>::SYNC);
        assert!(Is::<aem::Chunk>::SEND && Is::<aem::Chunk>::SYNC);
        assert!(Is::<aem::Metrics>::SEND && Is::<aem::BackendReport>::SEND);
        assert!(!Is::<aem::Registration>::SEND && !Is::<aem::Control>::SEND);
        assert!(!Is::<aem::State<u8>>::SEND && !Is::<aem::Scope>::SEND);
        assert!(!Is::<aem::net::TcpStream>::SEND && !Is::<aem::net::TcpListener>::SEND);
    }
    fn is_unpin<T: Unpin>() {}
    fn is_error<T: Error + Into<io::Error> + 'static>() {}
    is_unpin::<JoinHandle<std::marker::PhantomPinned>>();
    is_unpin::<aem::Registration<std::marker::PhantomPinned>>();
    is_error::<JoinError>();
    is_error::<aem::HandlerError>();
    is_error::<aem::time::Elapsed>();
}

#[test]
fn block_on_borrows_what_it_likes() {
    let (text, count) = (String::from("local"), Cell::new(0));
    let length = aem::block_on(async {
        aem::yield_now().await;
        count.set(1);
        text.len()
    });
    assert_eq!((length, count.get()), (5, 1));
    let runtime = Runtime::new().expect("a runtime");
    for round in 2..5 {
        runtime.block_on(async { count.set(round) });
        assert_eq!(count.get(), round);
    }
}

#[aem::test]
async fn a_handle_says_what_it_is_of() {
    let handle = Handle::current();
    assert_eq!(handle.workers(), 1);
    let report = handle.worker(0).backend();
    assert!(report.reason.starts_with(&report.kind.to_string()), "{report:?}");
    assert_eq!(report.reason.lines().count(), 1, "{report:?}");
    assert!(Handle::try_current().is_some() && !handle.is_closed());
    // Sums are as they stood at the last turn.
    aem::time::sleep(Duration::from_millis(1)).await;
    let (before, job) = (handle.metrics(), aem::spawn(std::future::pending::<()>()));
    aem::time::sleep(Duration::from_millis(1)).await;
    let after = aem::metrics();
    assert_eq!(after.jobs, before.jobs + 1);
    assert!(after.turns > before.turns && after.sleeps > before.sleeps);
    job.abort();
}

#[aem::test]
async fn a_task_stays_on_its_thread_and_need_not_travel() {
    let local = Rc::new(RefCell::new(Vec::new()));
    let thread = std::thread::current().id();
    let jobs: Vec<_> = (0..10)
        .map(|index| {
            let local = local.clone();
            aem::spawn(async move {
                aem::yield_now().await;
                assert_eq!(std::thread::current().id(), thread);
                local.borrow_mut().push(index);
                Rc::new(index)
            })
        })
        .collect();
    for (index, job) in jobs.into_iter().enumerate() {
        assert_eq!(*job.await.expect("it ran"), index);
    }
    assert_eq!(*local.borrow(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], "in order of arrival");
}

#[aem::test]
async fn yielding_lets_everybody_else_run_first() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let writer = |name: char| {
        let log = log.clone();
        async move {
            for _ in 0..3 {
                log.borrow_mut().push(name);
                aem::yield_now().await;
            }
        }
    };
    let jobs = [aem::spawn(writer('a')), aem::spawn(writer('b')), aem::spawn(writer('c'))];
    for job in jobs {
        job.await.expect("it ran");
    }
    assert_eq!(log.borrow().iter().collect::<String>(), "abcabcabc");
}

#[aem::test]
async fn a_dropped_handle_lets_its_job_run() {
    let ran = Rc::new(Cell::new(false));
    let flag = ran.clone();
    drop(aem::spawn(async move {
        aem::yield_now().await;
        flag.set(true);
    }));
    while !ran.get() {
        aem::yield_now().await;
    }
}

#[aem::test]
async fn an_abort_ends_a_job_and_leaves_a_done_one_alone() {
    let job = aem::spawn(std::future::pending::<()>());
    assert!(!job.is_finished());
    job.abort();
    job.abort();
    let error = job.await.expect_err("aborted");
    assert!(error.is_cancelled() && !error.is_panic());
    assert!(error.to_string().contains("cancelled"), "{error}");

    let job = aem::spawn(async { 6 });
    while !job.is_finished() {
        aem::yield_now().await;
    }
    job.abort();
    assert_eq!(job.await.expect("it was done"), 6);

    let ran = Rc::new(Cell::new(false));
    let flag = ran.clone();
    let held = aem::spawn(async move {
        aem::yield_now().await;
        flag.set(true);
    });
    drop(held.abort_on_drop());
    aem::time::sleep(Duration::from_millis(1)).await;
    assert!(!ran.get());

    // A job that aborts itself ends at its next await.
    let own: Rc<RefCell<Option<JoinHandle<()>>>> = Rc::default();
    let (mine, log) = (own.clone(), Rc::new(Cell::new(0)));
    let count = log.clone();
    *own.borrow_mut() = Some(aem::spawn(async move {
        aem::yield_now().await;
        mine.borrow().as_ref().expect("set").abort();
        count.set(1);
        aem::yield_now().await;
        count.set(2);
    }));
    aem::time::sleep(Duration::from_millis(1)).await;
    let job = own.take().expect("set");
    assert!(job.await.expect_err("aborted").is_cancelled());
    assert_eq!(log.get(), 1);
}

#[aem::test]
async fn a_handle_is_fused_and_may_be_given_up_and_taken_up() {
    let mut job = aem::spawn(async {
        aem::time::sleep(Duration::from_millis(3)).await;
        9
    });
    assert!(!job.is_terminated());
    let soon = Duration::from_micros(100);
    assert!(aem::time::timeout(soon, &mut job).await.is_err());
    // Polled by another task in between, it wakes who asked last.
    let result = (&mut job).await;
    assert_eq!(result.expect("it ran"), 9);
    assert!(job.is_terminated());
    let again = poll_fn(|cx| Poll::Ready(std::pin::Pin::new(&mut job).poll(cx).is_pending()));
    assert!(again.await, "taken once");
}

#[aem::test]
async fn ids_never_repeat_and_are_ordered() {
    let mut ids = Vec::new();
    for round in 0..1_000 {
        let job = aem::spawn(async {});
        ids.push(job.id());
        if round % 2 == 0 {
            job.await.expect("it ran");
        }
    }
    assert!(ids.is_sorted());
    ids.dedup();
    assert_eq!(ids.len(), 1_000);
    let handle = Handle::current();
    let others = std::thread::spawn(move || {
        (0..1_000).map(|_| handle.spawn(async {}).id()).collect::<Vec<_>>()
    });
    ids.extend(others.join().expect("a thread"));
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 2_000);
}

#[aem::test]
async fn errors_of_jobs_turn_into_those_of_io() {
    let job = aem::spawn(async { panic!("by number {}", 5) });
    let result: Result<(), JoinError> = job.await;
    let error = result.expect_err("it panicked");
    assert!(error.is_panic() && !error.is_cancelled());
    let error = io::Error::from(error);
    assert!(error.to_string().contains("by number 5"), "{error}");
    let inner = error.into_inner().expect("the join error");
    let inner = inner.downcast::<JoinError>().expect("the join error");
    let panic = inner.into_panic();
    // Text that the compiler could put together is no String.
    let text = panic.downcast_ref::<String>().map(String::as_str);
    assert_eq!(text.or(panic.downcast_ref().copied()), Some("by number 5"));
}

#[aem::test]
async fn a_blocking_closure_may_have_a_runtime_of_its_own() {
    let number = aem::spawn_blocking(|| {
        assert!(Handle::try_current().is_none());
        aem::block_on(async {
            aem::time::sleep(Duration::from_millis(1)).await;
            aem::spawn(async { 11 }).await
        })
    });
    assert_eq!(number.await.expect("no panic").expect("it ran"), 11);
}

#[aem::test]
async fn the_unwanted_result_of_a_blocking_closure_is_dropped() {
    struct Loud(std::sync::mpsc::Sender<()>);
    impl Drop for Loud {
        fn drop(&mut self) {
            self.0.send(()).expect("the test listens");
            if !std::thread::panicking() {
                panic!("in the drop of a result, on purpose");
            }
        }
    }
    let (begun, beginning) = std::sync::mpsc::channel();
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let (dropped, heard) = std::sync::mpsc::channel();
    let job = aem::spawn_blocking(move || {
        begun.send(()).expect("the test listens");
        gate.recv().expect("the test");
        Loud(dropped)
    });
    beginning.recv_timeout(LIMIT).expect("it began");
    job.abort();
    assert!(job.await.is_err_and(|error| error.is_cancelled()));
    go.send(()).expect("it waits");
    heard.recv_timeout(LIMIT).expect("dropped");
    assert_eq!(aem::spawn_blocking(|| 1).await.expect("the pool works on"), 1);
}

/// A hundred thousand jobs that hold each other's handles: their end is no recursion.
#[test]
fn long_chains_of_jobs_end_without_a_deep_stack() {
    within(LIMIT, || {
        aem::block_on(async {
            let mut next = aem::spawn(std::future::pending::<()>()).abort_on_drop();
            for _ in 0..100_000 {
                next = aem::spawn(async move {
                    let _ = next.await;
                })
                .abort_on_drop();
            }
            aem::yield_now().await;
            drop(next);
            while aem::jobs().len() > 1 {
                aem::time::sleep(Duration::from_millis(1)).await;
            }
            // Not taken down here, but by the end of the runtime.
            let mut next = aem::spawn(std::future::pending::<()>()).abort_on_drop();
            for _ in 0..100_000 {
                next = aem::spawn(async move {
                    let _ = next.await;
                })
                .abort_on_drop();
            }
            drop(aem::spawn(next));
            aem::yield_now().await;
        });
    });
}
