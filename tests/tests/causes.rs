//! What led to an event: the chain of jobs behind it can be followed.

use std::cell::RefCell;
use std::rc::Rc;

use aem::net::{TcpListener, TcpStream};
use aem::{JobId, JobInfo, cause, jobs, on, on_async, spawn, yield_now};
use aem_tests::watch::{watched, watched_on};
use futures::channel::mpsc;

fn traced(test: impl AsyncFnOnce()) {
    watched_on(aem::Runtime::builder().trace_causes(true), async |_| test().await);
}

async fn settle() {
    for _ in 0..8 {
        yield_now().await;
    }
}

fn main_job() -> JobId {
    jobs().iter().find(|job| job.kind == aem::JobKind::Main).unwrap().id
}

fn info(id: JobId) -> JobInfo {
    jobs().into_iter().find(|job| job.id == id).unwrap()
}

type Causes = Rc<RefCell<Vec<Option<JobId>>>>;

/// Three handlers in a row, each of which sends to the next.
#[test]
fn a_chain_of_events_can_be_followed_back_to_its_beginning() {
    traced(async || {
        let causes = Causes::default();
        let (first, source) = mpsc::unbounded::<u32>();
        let (second, middle) = mpsc::unbounded::<u32>();
        let (third, last) = mpsc::unbounded::<u32>();
        let handlers = [(source, Some(second)), (middle, Some(third)), (last, None)];
        let handlers = handlers.map(|(source, next)| {
            let causes = causes.clone();
            on(source, move |number| {
                causes.borrow_mut().push(cause());
                if let Some(next) = &next {
                    next.unbounded_send(number).unwrap();
                }
            })
        });
        settle().await;
        let task = spawn(async move { first.unbounded_send(7).map(|()| first) });
        let task_id = task.id();
        let _first = task.await.unwrap().unwrap();
        settle().await;
        let [a, b, c] = [0, 1, 2].map(|place: usize| handlers[place].id());
        assert_eq!(*causes.borrow(), [Some(task_id), Some(a), Some(b)]);
        let mut chain = vec![c];
        while let Some(job) = jobs().iter().find(|job| job.id == chain[chain.len() - 1]) {
            match job.woken_by {
                Some(waker) if !chain.contains(&waker) => chain.push(waker),
                _ => break,
            }
        }
        assert_eq!(chain, [c, b, a, task_id]);
        assert!(handlers.iter().all(|handler| info(handler.id()).parent == Some(main_job())));
    });
}

#[test]
fn behind_an_event_of_the_kernel_is_the_job_that_registered_for_it() {
    traced(async || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let causes = Causes::default();
        let writer = causes.clone();
        let registrar = spawn(async move {
            Some(on(listener.incoming(), move |_| writer.borrow_mut().push(cause())))
        });
        let id = registrar.id();
        let _handler = registrar.await.unwrap();
        settle().await;
        let _stream = TcpStream::connect(address).await.unwrap();
        while causes.borrow().is_empty() {
            aem::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        assert_eq!(*causes.borrow(), [Some(id)]);
        let handler = jobs().into_iter().find(|job| job.parent == Some(id)).unwrap();
        assert_eq!(handler.woken_by, None, "the kernel");
    });
}

#[test]
fn what_another_thread_sends_has_no_job_behind_it() {
    traced(async || {
        let handle = aem::Handle::current();
        let sent = std::thread::spawn(move || handle.spawn(async { cause() })).join().unwrap();
        assert_eq!(sent.await.unwrap(), None);
    });
}

#[test]
fn what_an_async_handler_awaits_counts_too() {
    traced(async || {
        let (sender, receiver) = mpsc::unbounded::<()>();
        let causes = Causes::default();
        let writer = causes.clone();
        let handler = on_async(receiver, async move |()| {
            let task = spawn(yield_now());
            let id = task.id();
            task.await.unwrap();
            writer.borrow_mut().extend([Some(id), cause()]);
        });
        sender.unbounded_send(()).unwrap();
        settle().await;
        let seen = causes.borrow().clone();
        assert_eq!((seen.len(), seen[0]), (2, seen[1]), "the end of the task woke it");
        drop(handler);
    });
}

#[test]
fn a_place_that_is_taken_again_keeps_nothing_of_the_job_before() {
    traced(async || {
        for _ in 0..3 {
            let task = spawn(async { cause() });
            assert_eq!(task.await.unwrap(), Some(main_job()));
            let handle = aem::Handle::current();
            let posted = std::thread::spawn(move || handle.spawn(async { cause() }));
            assert_eq!(posted.join().unwrap().await.unwrap(), None);
        }
    });
}

#[test]
fn causes_are_noted_only_while_that_is_asked_for() {
    watched(async |_| {
        let seen = || async { spawn(async { cause() }).await.unwrap() };
        assert_eq!(seen().await, None);
        aem::trace_causes(true);
        yield_now().await;
        assert_eq!(seen().await, Some(main_job()));
        assert_eq!(info(main_job()).parent, None);
        aem::trace_causes(false);
        assert_eq!(seen().await, None);
        assert!(jobs().iter().all(|job| (job.parent, job.woken_by) == (None, None)));
    });
}
