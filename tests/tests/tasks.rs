//! Tasks and the runtime around them: `JoinHandle` from any thread, `Handle`, the order of the end.

#[path = "tasks/outside.rs"]
mod outside;
#[path = "tasks/runtimes.rs"]
mod runtimes;

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use aem::{
    Handle, JobKind, JoinHandle, Priority, Runtime, block_on, spawn, spawn_blocking, yield_now,
};
use aem_tests::elsewhere::wait_for;
use aem_tests::watch::{keep, watched, watched_outside};
use futures::future::FusedFuture;
use futures::{FutureExt, stream};

async fn settle() {
    for _ in 0..8 {
        yield_now().await;
    }
}

#[test]
fn a_handle_gives_the_output_once_and_is_fused() {
    watched(async |_| {
        let mut handle = spawn(async {
            settle().await;
            Rc::new(7)
        });
        assert!(!handle.is_terminated() && !handle.is_finished());
        assert!((&mut handle).now_or_never().is_none(), "given up, and taken up again");
        assert_eq!(*(&mut handle).await.unwrap(), 7);
        assert!(handle.is_terminated() && handle.is_finished());
        assert!((&mut handle).now_or_never().is_none());
        handle.abort();
    });
}

#[test]
fn abort_drops_the_future_instead_of_polling_it() {
    watched(async |watch| {
        let token = watch.tracked();
        let never = spawn(async move { panic!("{token:?} was polled") });
        never.abort();
        never.abort();
        let error = never.await.unwrap_err();
        assert!(error.is_cancelled() && !error.is_panic());
        assert_eq!(error.to_string(), "the job was cancelled");
        assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::Other);
        assert_eq!(watch.live(), 0);
        // Too late for one that has ended.
        let done = spawn(async { 3 });
        settle().await;
        done.abort();
        assert_eq!(done.await.unwrap(), 3);
    });
}

#[test]
fn a_task_may_abort_itself_and_ends_at_its_next_await() {
    watched(async |_| {
        let slot = Rc::new(Cell::new(None::<JoinHandle<()>>));
        let (inner, steps) = (slot.clone(), Rc::new(Cell::new(0)));
        let count = steps.clone();
        let handle = spawn(async move {
            let handle = inner.take().unwrap();
            handle.abort();
            inner.set(Some(handle));
            count.set(1);
            yield_now().await;
            count.set(2);
        });
        slot.set(Some(handle));
        yield_now().await;
        settle().await;
        assert_eq!(steps.get(), 1);
        assert!(slot.take().unwrap().await.unwrap_err().is_cancelled());
    });
}

#[test]
fn dropped_it_detaches_unless_told_to_abort() {
    watched(async |watch| {
        let (first, second) = (watch.tracked(), watch.tracked());
        let done = Rc::new(Cell::new(false));
        let set = done.clone();
        drop(spawn(async move {
            let _first = first;
            settle().await;
            set.set(true);
        }));
        drop(
            spawn(async move {
                let _second = second;
                pending::<()>().await;
            })
            .abort_on_drop(),
        );
        settle().await;
        settle().await;
        assert!(done.get());
        assert_eq!(watch.live(), 0);
    });
}

#[test]
fn an_output_is_dropped_at_home_when_nobody_wants_it() {
    watched(async |watch| {
        let tracker = watch.clone();
        let early = spawn(async move { tracker.tracked() });
        drop(early);
        let tracker = watch.clone();
        let late = spawn(async move { tracker.tracked() });
        settle().await;
        assert_eq!(watch.live(), 1);
        drop(late);
        assert_eq!(watch.live(), 0);
    });
}

/// A runtime on a thread of its own, until the closure has done its work on this one.
fn beside<T>(work: impl FnOnce(&Handle) -> T) -> T {
    let (give, take) = mpsc::channel();
    let (end, ended) = futures::channel::oneshot::channel::<()>();
    let worker = thread::spawn(move || {
        block_on(async move {
            give.send(Handle::current()).unwrap();
            let _ = ended.await;
        });
    });
    let output = work(&take.recv().unwrap());
    drop(end);
    worker.join().unwrap();
    output
}

#[test]
fn from_another_thread_a_handle_joins_aborts_and_detaches() {
    watched_outside(|watch| {
        beside(|handle| {
            // Joined by a thread without a runtime.
            let joined = handle.spawn_with(async || {
                aem::time::sleep(Duration::from_millis(1)).await;
                7
            });
            assert!(handle.workers() == 1 && !joined.is_terminated());
            assert_eq!(wait_for(joined).unwrap(), 7);
            // Many, at once.
            let many: Vec<_> =
                (0..1_000_u32).map(|number| handle.spawn(async move { number })).collect();
            for (number, joined) in (0..).zip(many) {
                assert_eq!(wait_for(joined).unwrap(), number);
            }
            // Aborted.
            let token = watch.traveller();
            let aborted = handle.spawn(async move {
                let _token = token;
                pending::<()>().await;
            });
            aborted.abort();
            assert!(wait_for(aborted).unwrap_err().is_cancelled());
            // A panic is carried over, with its value.
            let panicked = handle.spawn(async { std::panic::panic_any(42_u8) });
            let error = wait_for(panicked).map(|(): ()| ()).unwrap_err();
            assert_eq!(*error.into_panic().downcast::<u8>().unwrap(), 42);
            // Detached, it runs on.
            let (tell, told) = mpsc::channel();
            drop(handle.spawn(async move { tell.send(3).unwrap() }));
            assert_eq!(told.recv().unwrap(), 3);
            // Polled with one waker after the other, the last one is woken.
            let (open, opened) = futures::channel::oneshot::channel::<()>();
            let mut patient = handle.spawn(async move { opened.await.is_ok() });
            for _ in 0..100 {
                let mut context = Context::from_waker(Waker::noop());
                assert!(patient.poll_unpin(&mut context).is_pending());
            }
            open.send(()).unwrap();
            assert!(wait_for(patient).unwrap());
        });
    });
}

#[test]
fn a_future_that_cannot_travel_is_made_at_home() {
    watched_outside(|watch| {
        let tracker = watch.clone();
        beside(|handle| {
            let made = handle.spawn_with(move || {
                let local = Rc::new(tracker.tracked());
                async move {
                    settle().await;
                    Rc::strong_count(&local)
                }
            });
            assert_eq!(wait_for(made).unwrap(), 1);
            let broken =
                handle.spawn_with(|| -> std::future::Ready<()> { panic!("in the making") });
            assert!(wait_for(broken).unwrap_err().is_panic());
        });
    });
}

#[test]
fn a_task_waits_for_one_of_another_runtime() {
    watched_outside(|_| {
        beside(|handle| {
            let there = handle.spawn_with(async || {
                aem::time::sleep(Duration::from_millis(1)).await;
                7
            });
            let here = block_on(async move { spawn(there).await.unwrap().unwrap() });
            assert_eq!(here, 7);
        });
    });
}

#[test]
fn handles_and_wakers_may_outlive_the_runtime() {
    watched_outside(|watch| {
        let token = watch.tracked();
        let waker = Rc::new(Cell::new(None::<Waker>));
        let leak = waker.clone();
        let (handle, unfinished, finished, unread) = block_on(async {
            let unfinished = spawn(async move {
                let _token = token;
                poll_fn(|context| {
                    leak.set(Some(context.waker().clone()));
                    Poll::<()>::Pending
                })
                .await;
            });
            let finished = spawn(async { 7 });
            let unread = spawn(async { String::from("dropped with its handle") });
            settle().await;
            (Handle::current(), unfinished, finished, unread)
        });
        assert_eq!(watch.live(), 0, "the future went with the runtime");
        let waker = waker.take().unwrap();
        waker.wake_by_ref();
        let clone = waker.clone();
        thread::spawn(move || clone.wake()).join().unwrap();
        assert!(unfinished.is_finished());
        unfinished.abort();
        assert!(wait_for(unfinished).unwrap_err().is_cancelled());
        assert_eq!(thread::spawn(move || wait_for(finished)).join().unwrap().unwrap(), 7);
        drop(unread);
        // Who comes too late is cancelled on the spot.
        assert!(handle.is_closed());
        let late = watch.tracked();
        let rejected = handle.spawn(poll_fn(move |_| {
            let _ = &late;
            Poll::Ready(())
        }));
        assert!(rejected.is_finished());
        assert!(wait_for(rejected).unwrap_err().is_cancelled());
        let token = watch.tracked();
        let made = handle.spawn_with(move || async move { drop(token) });
        assert!(wait_for(made).unwrap_err().is_cancelled());
        handle.shutdown();
    });
}

#[test]
fn shutdown_cancels_all_but_the_main_future() {
    watched_outside(|watch| {
        for from_outside in [false, true] {
            let runtime = Runtime::new().unwrap();
            let handle = runtime.handle();
            let tokens = (watch.tracked(), watch.tracked(), watch.clone());
            let ended = runtime.block_on(async move {
                let (first, second, tracker) = tokens;
                let task = spawn(async move {
                    let _first = first;
                    pending::<()>().await;
                });
                let handler = aem::on(stream::pending::<()>(), move |()| keep(&second));
                settle().await;
                if from_outside {
                    thread::spawn(move || handle.shutdown()).join().unwrap();
                } else {
                    handle.shutdown();
                }
                assert!(task.await.unwrap_err().is_cancelled());
                assert_eq!(handler.await.unwrap(), aem::End::Stopped);
                assert_eq!(tracker.live(), 0);
                // The main future goes on as long as it likes; timers still work for it.
                aem::time::sleep(Duration::from_micros(10)).await;
                let late = tracker.tracked();
                let late = spawn(async move { drop(late) });
                assert!(late.await.unwrap_err().is_cancelled());
                assert!(spawn_blocking(|| ()).await.unwrap_err().is_cancelled());
                "ended by itself"
            });
            assert_eq!(ended, "ended by itself");
        }
    });
}

#[test]
fn a_blocking_closure_that_has_not_begun_is_cancelled_with_its_job() {
    watched(async |watch| {
        // As many as there are threads, and more.
        let (open, gate) = mpsc::channel::<()>();
        let gate = std::sync::Arc::new(std::sync::Mutex::new(gate));
        let busy: Vec<_> = (0..64)
            .map(|_| {
                let gate = gate.clone();
                spawn_blocking(move || keep(&gate.lock().unwrap().recv()))
            })
            .collect();
        let token = watch.traveller();
        let queued = spawn_blocking(move || panic!("{token:?}: it was cancelled before"));
        settle().await;
        queued.abort();
        assert!(queued.await.unwrap_err().is_cancelled());
        assert_eq!(watch.live(), 0);
        drop(open);
        for closure in busy {
            closure.await.unwrap();
        }
    });
}

#[test]
fn a_panic_unread_on_another_thread_is_reported_at_home() {
    watched_outside(|_| {
        beside(|handle| {
            let early = handle.spawn(async { panic!("its handle is gone before it runs") });
            drop(early);
            let late = handle.spawn(async { panic!("its handle is dropped when it has run") });
            while !late.is_finished() {
                thread::yield_now();
            }
            drop(late);
            while handle.metrics().panics < 2 {
                // Each is a letter to the worker, which reads it in its next turn.
                wait_for(handle.spawn(async {})).unwrap();
            }
            assert_eq!(handle.metrics().panics, 2);
        });
    });
}

#[test]
fn a_job_that_came_by_mail_is_listed_where_it_was_sent() {
    watched(async |_| {
        let handle = Handle::current();
        let line = line!() + 2;
        let sent = thread::scope(|scope| {
            let send = scope.spawn(|| handle.spawn(pending::<()>()));
            send.join().unwrap()
        });
        // Mail is read between two turns.
        aem::time::sleep(Duration::from_micros(10)).await;
        let jobs = aem::jobs();
        let job = jobs.iter().find(|job| job.id == sent.id()).expect("listed");
        assert_eq!(job.kind, JobKind::Task);
        assert_eq!((job.location.file(), job.location.line()), (file!(), line));
        sent.abort();
    });
}

#[test]
fn a_task_may_have_a_name_and_a_priority_given_from_any_thread() {
    watched(async |_| {
        let here = spawn(pending::<()>()).name("here").priority(Priority::Low);
        let handle = Handle::current();
        let there = thread::spawn(move || {
            handle.spawn(pending::<()>()).name("there").priority(Priority::High)
        });
        let there = there.join().unwrap();
        // Mail is read when nothing is ready.
        aem::time::sleep(Duration::from_millis(1)).await;
        let jobs = aem::jobs();
        for (task, name, priority) in
            [(&here, "here", Priority::Low), (&there, "there", Priority::High)]
        {
            let job = jobs.iter().find(|job| job.id == task.id()).unwrap();
            assert_eq!((job.name.as_deref(), job.priority), (Some(name), priority));
        }
        here.abort();
        there.abort();
        drop(here.name("it has not ended yet").priority(Priority::High));
        assert!(there.await.unwrap_err().is_cancelled());
    });
    // Of a job that has ended, and of a runtime that has, there is nothing to be said.
    let runtime = Runtime::new().unwrap();
    let handle = runtime.handle();
    let ended = runtime.block_on(async {
        let task = spawn(async { 7 });
        yield_now().await;
        Some(task.name("over").priority(Priority::High))
    });
    drop(runtime);
    let refused = handle.spawn(async { 7 }).name("never").priority(Priority::High);
    assert_eq!(block_on(ended.unwrap()).unwrap(), 7);
    assert!(block_on(refused).unwrap_err().is_cancelled());
}

#[test]
fn the_tasks_of_a_cloner_are_as_urgent_as_it_is() {
    watched(async |_| {
        let each = aem::on_each(stream::iter(0..2), 2, async |_| pending::<()>().await);
        let each = each.priority(Priority::High);
        settle().await;
        let jobs = aem::jobs();
        let tasks = jobs.iter().filter(|job| job.kind == JobKind::Task);
        let priorities: Vec<_> = tasks.map(|job| job.priority).collect();
        assert_eq!(priorities, [Priority::High; 2]);
        each.stop();
    });
}
