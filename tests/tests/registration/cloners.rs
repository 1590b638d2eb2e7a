//! `on_each`: a task for each event, at most so many, with one end.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use aem::{End, Next, Registration, Scope, on_each, yield_now};
use aem_tests::watch::{watched, watched_on};
use futures::StreamExt;
use futures::channel::mpsc;
use futures::stream;

use super::{Seen, settle};

#[test]
fn stop_drops_all_events_in_progress_before_it_returns() {
    watched(async |watch| {
        let tracker = watch.clone();
        let registration = on_each(stream::iter(0..5), 3, async move |_| {
            let _event = tracker.tracked();
            std::future::pending::<()>().await;
        });
        settle().await;
        assert_eq!(watch.live(), 3);
        registration.stop();
        assert_eq!(watch.live(), 0);
        let rest: Vec<i32> = registration.reclaim().unwrap().collect().await;
        assert_eq!(rest, [3, 4]);
    });
}

#[test]
fn stopped_from_inside_a_task_that_one_ends_at_its_next_await() {
    watched(async |watch| {
        let (log, tracker) = (Seen::default(), watch.clone());
        let (writer, slot) = (
            log.clone(),
            Rc::new(RefCell::new(None::<Registration<stream::Iter<std::ops::Range<i32>>>>)),
        );
        let inner = slot.clone();
        let registration = on_each(stream::iter(0..3), 3, async move |number| {
            let _event = tracker.tracked();
            if number < 2 {
                std::future::pending::<()>().await;
            }
            yield_now().await;
            inner.borrow().as_ref().unwrap().stop();
            writer.borrow_mut().push(tracker.live());
            yield_now().await;
            writer.borrow_mut().push(-1);
        });
        *slot.borrow_mut() = Some(registration);
        settle().await;
        assert_eq!(*log.borrow(), [1], "the others were dropped at once, this one at its await");
        assert_eq!(watch.live(), 0);
        let registration = slot.borrow_mut().take().unwrap();
        assert_eq!(registration.await.unwrap(), End::Stopped);
    });
}

#[test]
fn reclaimed_from_inside_a_task_that_one_runs_to_its_end() {
    watched(async |watch| {
        let (log, tracker) = (Seen::default(), watch.clone());
        let (writer, slot) = (
            log.clone(),
            Rc::new(RefCell::new(None::<Registration<stream::Iter<std::ops::Range<i32>>>>)),
        );
        let inner = slot.clone();
        let registration = on_each(stream::iter(0..5), 2, async move |number| {
            let _event = tracker.tracked();
            if number == 0 {
                std::future::pending::<()>().await;
            }
            let registration = inner.borrow_mut().take().unwrap();
            let rest: Vec<i32> = registration.reclaim().unwrap().collect().await;
            writer.borrow_mut().extend(rest);
            settle().await;
            writer.borrow_mut().push(i32::try_from(tracker.live()).unwrap());
        });
        *slot.borrow_mut() = Some(registration);
        settle().await;
        settle().await;
        assert_eq!(*log.borrow(), [2, 3, 4, 1]);
        assert_eq!(watch.live(), 0);
    });
}

#[test]
fn an_error_or_a_panic_ends_one_task_and_is_reported() {
    let heard = Seen::default();
    let writer = heard.clone();
    let builder = aem::Runtime::builder()
        .on_error(move |job, error| writer.borrow_mut().push(format!("{:?}: {error}", job.kind)));
    watched_on(builder, async |_| {
        let registration = on_each(stream::iter(0..10), 2, async |number| match number {
            3 => Err("three"),
            5 => panic!("a panic that is meant"),
            _ => Ok(()),
        });
        assert_eq!(registration.await.unwrap(), End::Exhausted);
        assert_eq!((aem::metrics().panics, aem::metrics().handler_errors), (1, 1));
    });
    assert_eq!(*heard.borrow(), ["Task: three"]);
}

#[test]
fn next_stop_of_a_task_stops_all() {
    watched(async |watch| {
        let tracker = watch.clone();
        let registration = on_each(stream::iter(0..100), 3, async move |number| {
            let _event = tracker.tracked();
            if number < 2 {
                std::future::pending::<()>().await;
            }
            Next::Stop
        });
        assert_eq!(registration.await.unwrap(), End::Stopped);
        assert_eq!(watch.live(), 0);
    });
}

#[test]
fn next_stop_is_heard_through_a_pause() {
    watched(async |_| {
        let (sender, receiver) = mpsc::unbounded::<u32>();
        let registration = on_each(receiver, 3, async |_| {
            settle().await;
            Next::Stop
        });
        sender.unbounded_send(1).unwrap();
        yield_now().await;
        registration.pause();
        assert_eq!(registration.await.unwrap(), End::Stopped);
    });
}

#[test]
fn a_wish_for_the_end_outweighs_one_for_a_pause() {
    watched(async |_| {
        let registration = on_each(stream::iter(0..2), 2, async |number| {
            // Both speak between two runs of the cloner.
            if number == 0 { Next::Stop } else { Next::Pause }
        });
        assert_eq!(registration.await.unwrap(), End::Stopped);
    });
}

#[test]
fn next_pause_of_a_task_pauses_the_source_only() {
    watched(async |_| {
        let seen = Rc::new(Cell::new(0));
        let count = seen.clone();
        let registration = on_each(stream::iter(0..6), 1, async move |number| {
            count.set(count.get() + 1);
            if number == 2 { Next::Pause } else { Next::Keep }
        });
        for _ in 0..8 {
            settle().await;
        }
        assert_eq!(seen.get(), 3);
        registration.resume();
        assert_eq!(registration.await.unwrap(), End::Exhausted);
        assert_eq!(seen.get(), 6);
    });
}

#[test]
fn exhausted_it_ends_with_the_last_task_also_while_paused() {
    watched(async |_| {
        let registration = on_each(stream::iter(0..2), 5, async |_| settle().await);
        yield_now().await;
        registration.pause();
        assert_eq!(registration.await.unwrap(), End::Exhausted);
    });
}

#[test]
fn asked_to_close_it_takes_no_more_and_lets_its_tasks_end() {
    watched(async |_| {
        let done = Rc::new(Cell::new(0));
        let count = done.clone();
        let (sender, receiver) = mpsc::unbounded::<u32>();
        let scope = Scope::new();
        scope.add(on_each(receiver, 2, async move |_| {
            settle().await;
            count.set(count.get() + 1);
        }));
        (0..10).for_each(|number| sender.unbounded_send(number).unwrap());
        yield_now().await;
        yield_now().await;
        let report = scope.close(Duration::from_secs(10)).await;
        assert_eq!((report.ended, report.cancelled.len()), (1, 0));
        assert_eq!(done.get(), 2, "those that had begun, and no more");
    });
}

#[test]
fn replaced_its_tasks_run_on_beside() {
    watched(async |watch| {
        let tracker = watch.clone();
        let (sender, receiver) = mpsc::unbounded::<u32>();
        let done = Rc::new(Cell::new(0));
        let count = done.clone();
        let registration = on_each(receiver, 2, async move |_| {
            let _event = tracker.tracked();
            settle().await;
            count.set(count.get() + 1);
        });
        sender.unbounded_send(1).unwrap();
        sender.unbounded_send(2).unwrap();
        yield_now().await;
        yield_now().await;
        assert_eq!(watch.live(), 2);
        assert!(registration.replace(|_| ()));
        registration.stop();
        assert_eq!(watch.live(), 2, "they are no longer the registration's");
        settle().await;
        settle().await;
        assert_eq!(done.get(), 2);
    });
}

#[test]
fn replaced_at_its_limit_the_new_handler_goes_on_at_once() {
    watched(async |_| {
        let (sender, receiver) = mpsc::unbounded::<u32>();
        let seen = Seen::default();
        let writer = seen.clone();
        let (open, gate) = futures::channel::oneshot::channel::<()>();
        let gate = RefCell::new(Some(gate));
        let registration = on_each(receiver, 1, async move |_| {
            let gate = gate.borrow_mut().take();
            if let Some(gate) = gate {
                let _ = gate.await;
            }
        });
        (0..3).for_each(|number| sender.unbounded_send(number).unwrap());
        settle().await;
        assert!(registration.replace(move |number| writer.borrow_mut().push(number)));
        settle().await;
        assert_eq!(*seen.borrow(), [1, 2], "though a task of the old one waits on");
        drop(open);
    });
}

#[test]
#[should_panic(expected = "on_each with a limit of zero")]
fn a_limit_of_zero_is_refused() {
    watched(async |_| on_each(stream::iter(0..1), 0, async |_| ()).await).unwrap();
}

#[test]
fn a_cloner_that_closes_waits_for_its_tasks_without_running() {
    watched(async |_| {
        let (sender, receiver) = mpsc::unbounded();
        let (open, gate) = futures::channel::oneshot::channel::<()>();
        let gate = Rc::new(RefCell::new(Some(gate)));
        let scope = Scope::new();
        let control = scope.add(on_each(receiver, 4, async move |()| {
            let gate = gate.borrow_mut().take().expect("one event");
            gate.await.expect("it is opened");
        }));
        sender.unbounded_send(()).unwrap();
        settle().await;
        let before = control.stats().runs;
        let closing = scope.close(Duration::from_secs(10));
        let opening = async {
            settle().await;
            assert!(!control.is_ended());
            let runs = control.stats().runs - before;
            assert!(runs <= 2, "{runs} runs, where it had nothing to do but to hear of its end");
            open.send(()).unwrap();
        };
        let (report, ()) = futures::future::join(closing, opening).await;
        assert!(report.cancelled.is_empty());
        assert!(control.is_ended());
    });
}
