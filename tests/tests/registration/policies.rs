//! What becomes of events that come faster than they are handled, and of handlers that fail.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Duration;

use aem::{End, HandlerError, Registration, Restart, Runtime, on, on_async, on_each, supervise};
use aem_tests::watch::{keep, watched, watched_on};
use futures::channel::mpsc;
use futures::{StreamExt, stream};

use super::{Seen, settle};

/// A source with these events in it already, and the way to send more.
fn full_of(numbers: &[u32]) -> (mpsc::UnboundedSender<u32>, mpsc::UnboundedReceiver<u32>) {
    let (sender, receiver) = mpsc::unbounded();
    for number in numbers {
        sender.unbounded_send(*number).unwrap();
    }
    (sender, receiver)
}

fn note(seen: &Seen<u32>) -> impl FnMut(u32) + 'static {
    let seen = seen.clone();
    move |number| seen.borrow_mut().push(number)
}

#[test]
fn events_are_counted_and_those_that_did_not_wait() {
    watched(async |_| {
        let (sender, receiver) = full_of(&[1, 2, 3]);
        let registration = on(receiver, drop);
        settle().await;
        assert_eq!((registration.stats().events, registration.stats().overruns), (3, 2));
        for _ in 0..10 {
            sender.unbounded_send(4).unwrap();
            settle().await;
        }
        let stats = registration.stats();
        assert_eq!((stats.events, stats.overruns), (13, 2), "each of these was waited for");
        assert_eq!(aem::jobs().iter().find(|job| job.id == registration.id()).unwrap().events, 13);
    });
}

#[test]
fn more_events_than_a_run_takes_are_overruns_all_the_same() {
    watched(async |_| {
        let registration = on(stream::iter(0..1_000), drop);
        let control = registration.control();
        let ended = registration.on_end(move |_| {
            let stats = control.stats();
            assert_eq!((stats.events, stats.overruns), (1_000, 999));
        });
        ended.await.unwrap();
    });
}

#[test]
fn what_comes_while_an_async_handler_is_at_work_is_an_overrun() {
    watched(async |_| {
        let (sender, receiver) = full_of(&[1]);
        let gate = Rc::new(Cell::new(false));
        let open = gate.clone();
        let registration = on_async(receiver, async move |_| {
            while !open.get() {
                aem::yield_now().await;
            }
        });
        settle().await;
        sender.unbounded_send(2).unwrap();
        sender.unbounded_send(3).unwrap();
        settle().await;
        assert_eq!((registration.stats().events, registration.stats().overruns), (1, 0));
        gate.set(true);
        settle().await;
        assert_eq!((registration.stats().events, registration.stats().overruns), (3, 2));
    });
}

#[test]
fn what_comes_in_a_pause_is_no_overrun() {
    watched(async |_| {
        let (sender, receiver) = full_of(&[1]);
        let registration = on(receiver, drop);
        settle().await;
        registration.pause();
        sender.unbounded_send(2).unwrap();
        settle().await;
        registration.resume();
        settle().await;
        assert_eq!((registration.stats().events, registration.stats().overruns), (2, 0));
    });
}

#[test]
fn the_latest_is_kept_of_those_that_wait() {
    watched(async |_| {
        let seen = Seen::default();
        let (sender, receiver) = full_of(&[1, 2, 3, 4, 5]);
        let registration = on(receiver, note(&seen)).keep_latest();
        settle().await;
        assert_eq!(*seen.borrow(), [5]);
        assert_eq!((registration.stats().events, registration.stats().overruns), (5, 4));
        for number in 6..8 {
            sender.unbounded_send(number).unwrap();
            settle().await;
        }
        assert_eq!(*seen.borrow(), [5, 6, 7], "a handler that keeps pace gets them all");
        drop(sender);
        assert_eq!(registration.await.unwrap(), End::Exhausted);
    });
}

#[test]
fn an_async_handler_gets_the_latest_of_those_that_came_while_it_was_at_work() {
    watched(async |_| {
        let seen = Seen::default();
        let writer = seen.clone();
        let (sender, receiver) = full_of(&[1]);
        let registration = on_async(receiver, async move |number| {
            aem::time::sleep(Duration::from_millis(1)).await;
            writer.borrow_mut().push(number);
        });
        let registration = registration.keep_latest();
        settle().await;
        for number in 2..5 {
            sender.unbounded_send(number).unwrap();
        }
        drop(sender);
        assert_eq!(registration.await.unwrap(), End::Exhausted);
        assert_eq!(*seen.borrow(), [1, 4]);
    });
}

#[test]
fn waiting_events_are_merged_in_order_and_none_is_lost() {
    watched(async |_| {
        let seen = Seen::default();
        let writer = seen.clone();
        let source = stream::iter(0..5_000).map(|number| vec![number]);
        let registration = on(source, move |numbers: Vec<u32>| {
            assert!(numbers.len() <= 1_025, "a source that is always ready lets its handler run");
            writer.borrow_mut().extend(numbers);
        });
        let registration = registration.merge(|numbers, more| numbers.extend(more));
        assert_eq!(registration.await.unwrap(), End::Exhausted);
        assert_eq!(*seen.borrow(), (0..5_000).collect::<Vec<_>>());
    });
}

#[test]
fn a_source_that_is_always_ready_cannot_starve_its_handler_or_others() {
    watched(async |_| {
        let calls = Rc::new(Cell::new(0));
        let counter = calls.clone();
        let endless = stream::repeat(1_u32);
        let registration = on(endless, move |_| counter.set(counter.get() + 1)).keep_latest();
        aem::time::sleep(Duration::from_millis(2)).await;
        assert!(calls.get() > 0);
        registration.stop();
    });
}

#[test]
fn keep_all_undoes_what_was_said_before() {
    watched(async |_| {
        let seen = Seen::default();
        let (_sender, receiver) = full_of(&[1, 2, 3]);
        let _registration = on(receiver, note(&seen)).keep_latest().keep_all();
        settle().await;
        assert_eq!(*seen.borrow(), [1, 2, 3]);
    });
}

#[test]
fn a_panic_while_merging_is_the_handler_s() {
    watched(async |watch| {
        let (_sender, receiver) = mpsc::unbounded();
        for _ in 0..3 {
            _sender.unbounded_send(watch.tracked()).unwrap();
        }
        let captured = watch.tracked();
        let registration = on(receiver, drop).merge(move |_, _| {
            keep(&captured);
            panic!("no sum")
        });
        let error = registration.await.unwrap_err();
        assert!(error.is_panic() && error.to_string().ends_with("no sum"), "{error}");
    });
}

/// A registration that what it owns can get at.
type Own<S> = Rc<RefCell<Option<Registration<S>>>>;

#[test]
fn merging_may_do_anything_to_its_own_registration() {
    type Numbers = mpsc::UnboundedReceiver<u32>;
    let deeds: [fn(&Own<Numbers>); 5] = [
        |own| own.borrow().as_ref().unwrap().stop(),
        |own| own.borrow().as_ref().unwrap().pause(),
        |own| assert!(own.borrow().as_ref().unwrap().replace(|_| ())),
        |own| drop(own.take()),
        |own| drop(own.take().unwrap().reclaim()),
    ];
    for deed in deeds {
        watched(async |watch| {
            let own = Own::default();
            let (_sender, receiver) = full_of(&[1, 2, 3]);
            let (inner, captured) = (own.clone(), watch.tracked());
            let registration = on(receiver, drop).merge(move |_, _| {
                keep(&captured);
                if inner.borrow().is_some() {
                    deed(&inner);
                }
            });
            *own.borrow_mut() = Some(registration);
            settle().await;
            drop(own.take());
        });
    }
}

/// A supervision that loses no time.
fn at_once(times: u32) -> Restart {
    Restart::new().times(times).back_off(Duration::ZERO, Duration::ZERO)
}

/// A runtime that keeps what its handlers failed with.
fn told<T>(test: impl AsyncFnOnce(aem_tests::watch::Watch) -> T) -> (T, Vec<String>) {
    let told = Seen::default();
    let writer = told.clone();
    let builder = Runtime::builder().on_error(move |job, error: &HandlerError| {
        assert_eq!(job.location.file(), file!());
        writer.borrow_mut().push(error.to_string());
    });
    let output = watched_on(builder, test);
    let told = told.borrow().clone();
    (output, told)
}

#[test]
fn a_new_handler_goes_on_where_one_has_failed() {
    let ((), told) = told(async |watch| {
        let seen = Seen::default();
        let makes = Rc::new(Cell::new(0));
        let (writer, counter) = (seen.clone(), makes.clone());
        let make = move || {
            counter.set(counter.get() + 1);
            let (mut calls, writer, captured) = (0, writer.clone(), watch.tracked());
            move |number: u32| -> aem::Result {
                keep(&captured);
                calls += 1;
                writer.borrow_mut().push(number * 10 + calls);
                match number {
                    2 => Err("two".into()),
                    4 => panic!("four"),
                    _ => Ok(()),
                }
            }
        };
        let first = make();
        let registration = on(stream::iter(1..=5), first).restart(at_once(5), make);
        let control = registration.control();
        let registration = registration.on_end(move |_| assert_eq!(control.stats().restarts, 2));
        assert_eq!(registration.await.unwrap(), End::Exhausted);
        assert_eq!(*seen.borrow(), [11, 22, 31, 42, 51], "each begins with a state of its own");
        assert_eq!(makes.get(), 3, "the first, and two more");
    });
    assert_eq!(told, ["two", "the handler panicked: four"]);
}

#[test]
fn once_too_often_is_the_end() {
    let ((), told) = told(async |_| {
        let (_sender, receiver) = full_of(&[1, 2, 3, 4, 5]);
        let fail = || |number: u32| Err::<(), _>(format!("no {number}"));
        let mut registration = on(receiver, fail()).restart(at_once(2), fail);
        let error = (&mut registration).await.unwrap_err();
        assert_eq!(error.to_string(), "no 3");
        let rest = registration.reclaim().expect("the source stays");
        assert_eq!(rest.take(2).collect::<Vec<_>>().await, [4, 5]);
    });
    assert_eq!(told, ["no 1", "no 2"], "the third is told to who awaits it");
}

#[test]
fn a_failed_handler_rests_and_its_events_wait() {
    let rest = Duration::from_millis(5);
    let ((), told) = told(async |_| {
        let seen = Seen::default();
        let writer = seen.clone();
        let make = move || {
            let writer = writer.clone();
            move |number: u32| -> aem::Result {
                if number == 1 {
                    return Err("one".into());
                }
                writer.borrow_mut().push(number);
                Ok(())
            }
        };
        let (sender, receiver) = full_of(&[1, 2]);
        let start = aem::time::now();
        let restart = Restart::new().back_off(rest, rest);
        let registration = on(receiver, make()).restart(restart, make);
        settle().await;
        assert!(seen.borrow().is_empty());
        sender.unbounded_send(3).unwrap();
        drop(sender);
        assert_eq!(registration.await.unwrap(), End::Exhausted);
        assert!(aem::time::now() - start >= rest);
        assert_eq!(*seen.borrow(), [2, 3]);
    });
    assert_eq!(told, ["one"]);
}

#[test]
fn a_handler_that_rests_can_be_stopped_reclaimed_and_dropped() {
    let long = Duration::from_secs(3600);
    async fn resting(rest: Duration) -> Option<Registration<mpsc::UnboundedReceiver<u32>>> {
        let fail = || |_: u32| Err::<(), _>("broken");
        let (sender, receiver) = full_of(&[1, 2]);
        drop(sender);
        let registration = on(receiver, fail()).restart(Restart::new().back_off(rest, rest), fail);
        settle().await;
        assert_eq!(registration.stats().restarts, 1);
        Some(registration)
    }
    let ((), told) = told(async |_| {
        let registration = resting(long).await.unwrap();
        registration.stop();
        assert_eq!(registration.await.unwrap(), End::Stopped);

        let source = resting(long).await.unwrap().reclaim().expect("it holds an event");
        assert_eq!(source.collect::<Vec<_>>().await, [2]);

        drop(resting(long).await.unwrap());

        let scope = aem::Scope::new();
        scope.add(resting(long).await.unwrap());
        let report = scope.close(Duration::from_secs(5)).await;
        assert_eq!((report.ended, report.cancelled.len()), (1, 0));
    });
    assert_eq!(told, ["broken"; 4]);
}

#[test]
fn an_async_handler_is_followed_by_another() {
    let ((), told) = told(async |_| {
        let seen = Seen::default();
        let writer = seen.clone();
        let make = move || {
            let writer = writer.clone();
            async move |number: u32| -> aem::Result {
                aem::yield_now().await;
                assert!(number != 2, "no twos");
                writer.borrow_mut().push(number);
                if number == 3 { Err("three".into()) } else { Ok(()) }
            }
        };
        let registration = on_async(stream::iter(1..=4), make());
        let registration = registration.restart_async(at_once(9), make);
        assert_eq!(registration.await.unwrap(), End::Exhausted);
        assert_eq!(*seen.borrow(), [1, 3, 4]);
    });
    assert_eq!(told, ["the handler panicked: no twos", "three"]);
}

#[test]
fn a_source_that_panics_is_gone_and_so_is_its_registration() {
    let ((), told) = told(async |_| {
        let source = stream::iter(0..3).inspect(|number| assert!(*number < 1, "a bad source"));
        let registration = on(source, drop).restart(at_once(5), || drop);
        let error = registration.await.unwrap_err();
        assert!(error.is_panic());
    });
    assert!(told.is_empty());
}

#[test]
fn a_panic_while_the_next_handler_is_made_is_the_end() {
    let ((), told) = told(async |_| {
        let make = || -> fn(u32) -> aem::Result { panic!("no more handlers") };
        let registration = on(stream::iter(0..3), |_| Err::<(), _>("broken"));
        let error = registration.restart(at_once(5), make).await.unwrap_err();
        assert!(error.to_string().ends_with("no more handlers"), "{error}");
    });
    assert_eq!(told, ["broken"]);
}

#[test]
fn an_error_of_one_event_of_a_cloner_needs_no_supervision() {
    let ((), told) = told(async |_| {
        let each = on_each(
            stream::iter(0..3),
            1,
            async |number: u32| {
                if number == 1 { Err("one") } else { Ok(()) }
            },
        );
        assert_eq!(each.await.unwrap(), End::Exhausted);
    });
    assert_eq!(told, ["one"]);
}

#[test]
fn a_supervised_job_is_made_anew_source_and_all() {
    let ((), told) = told(async |watch| {
        let lives = Rc::new(Cell::new(0));
        let counter = lives.clone();
        let job = supervise(at_once(5), move || {
            counter.set(counter.get() + 1);
            let (life, captured) = (counter.get(), watch.tracked());
            on(stream::iter(0..4), move |number| -> aem::Result {
                keep(&captured);
                match (life, number) {
                    (1, 2) => Err("the first".into()),
                    (2, 3) => panic!("the second"),
                    _ => Ok(()),
                }
            })
        });
        assert_eq!(job.await.unwrap().unwrap(), End::Exhausted);
        assert_eq!(lives.get(), 3);
    });
    assert_eq!(told, ["the first", "the handler panicked: the second"]);
}

#[test]
fn a_supervised_job_that_fails_too_often_gives_its_last_error() {
    let ((), told) = told(async |_| {
        let mut life = 0;
        let job = supervise(at_once(2), move || {
            life += 1;
            let life = life;
            async move {
                assert!(life != 2, "life {life}");
                Err::<(), _>(std::io::Error::from_raw_os_error(90 + life))
            }
        });
        let error: std::io::Error = job.await.unwrap().unwrap_err().into();
        assert_eq!(error.raw_os_error(), Some(93));
    });
    assert_eq!(told[1..], ["the handler panicked: life 2"]);
    assert_eq!(told.len(), 2);
}

#[test]
fn an_aborted_supervisor_takes_the_life_that_runs_along() {
    watched(async |watch| {
        let inner = watch.clone();
        let job = supervise(Restart::new(), move || {
            let captured = inner.tracked();
            async move {
                let _captured = captured;
                pending::<Result<(), std::io::Error>>().await
            }
        });
        settle().await;
        assert_eq!(watch.live(), 1);
        job.abort();
        assert!(job.await.unwrap_err().is_cancelled());
        settle().await;
        assert_eq!(watch.live(), 0);
    });
    // One whose maker panics is told of like any other job.
    let job = aem::block_on(async {
        let make = || -> std::future::Ready<aem::Result> { panic!("no life") };
        AssertUnwindSafe(supervise(Restart::new(), make)).0.await
    });
    assert!(job.unwrap_err().is_panic());
}
