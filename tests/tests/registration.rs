//! Each promise of `Registration` and `Control`, in a test of its own.
//!
//! What may be done from where is the matter of `reentrancy.rs`; here it is what each method does. HOME: the
//! guard around each test counts what was captured, and where it is dropped.

#[path = "registration/cloners.rs"]
mod cloners;
#[path = "registration/ends.rs"]
mod ends;
#[path = "registration/faces.rs"]
mod faces;
#[path = "registration/policies.rs"]
mod policies;
#[path = "registration/reports.rs"]
mod reports;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use aem::{End, JobKind, Next, Priority, Registration, block_on, on, on_async, on_ok, yield_now};
use aem_tests::watch::{watched, watched_on};
use futures::channel::mpsc;
use futures::future::FusedFuture;
use futures::{FutureExt, StreamExt, stream};

/// Lets all that is ready run, a few times over.
async fn settle() {
    for _ in 0..8 {
        yield_now().await;
    }
}

/// A list to write to from several places.
type Seen<T> = Rc<RefCell<Vec<T>>>;

#[test]
fn a_handler_may_return_whatever_is_a_next() {
    watched(async |_| {
        let numbers = || stream::iter(0..3);
        assert_eq!(on(numbers(), |_| ()).await.unwrap(), End::Exhausted);
        assert_eq!(on(numbers(), |_| Next::Keep).await.unwrap(), End::Exhausted);
        assert_eq!(on(numbers(), |_| Next::Stop).await.unwrap(), End::Stopped);
        let fine = on(numbers(), |_| -> aem::Result<Next> { Ok(Next::Stop) });
        assert_eq!(fine.await.unwrap(), End::Stopped);
        let parsed = on(numbers(), |_| "x".parse::<u8>().map(drop)).await.unwrap_err();
        assert!(parsed.failed().unwrap().is::<std::num::ParseIntError>());
        let never = on(numbers(), |_| -> ! { panic!("never") }).await.unwrap_err();
        assert!(never.is_panic() && never.failed().is_none());
    });
}

#[test]
fn on_ok_ends_with_the_first_error_and_keeps_the_rest() {
    watched(async |_| {
        let seen = Seen::default();
        let writer = seen.clone();
        let source = stream::iter([Ok(1), Err("broken"), Ok(2), Err("again")]);
        let mut registration = on_ok(source, move |number: i32| writer.borrow_mut().push(number));
        let error = (&mut registration).await.unwrap_err();
        assert_eq!(error.to_string(), "broken");
        assert_eq!(*seen.borrow(), [1]);
        let rest: Vec<_> = registration.reclaim().unwrap().collect().await;
        assert_eq!(rest, [Ok(2), Err("again")]);
    });
}

#[test]
fn pauses_are_not_counted_and_lose_nothing() {
    watched(async |_| {
        let seen = Seen::default();
        let writer = seen.clone();
        let (sender, receiver) = mpsc::unbounded();
        let registration = on(receiver, move |number: u32| writer.borrow_mut().push(number));
        settle().await;
        registration.pause();
        registration.pause();
        (0..100).for_each(|number| sender.unbounded_send(number).unwrap());
        settle().await;
        assert!(seen.borrow().is_empty());
        registration.control().resume();
        settle().await;
        assert_eq!(seen.borrow().len(), 100);
        drop(sender);
        assert_eq!(registration.await.unwrap(), End::Exhausted);
        assert_eq!(*seen.borrow(), (0..100).collect::<Vec<_>>());
    });
}

#[test]
fn a_handler_born_paused_never_polls_its_source() {
    watched(async |_| {
        let polls = Rc::new(Cell::new(0));
        let count = polls.clone();
        let source = stream::poll_fn(move |_| {
            count.set(count.get() + 1);
            std::task::Poll::Ready(None::<()>)
        });
        let registration = on(source, |()| ()).paused();
        settle().await;
        assert_eq!(polls.get(), 0);
        assert!(!registration.is_ended());
        registration.resume();
        assert_eq!(registration.await.unwrap(), End::Exhausted);
        assert_eq!(polls.get(), 1);
    });
}

#[test]
fn next_pause_pauses_until_resume() {
    watched(async |_| {
        let seen = Seen::default();
        let writer = seen.clone();
        let registration = on(stream::iter(0..3), move |number| {
            writer.borrow_mut().push(number);
            Next::Pause
        });
        for events in 1..=3 {
            settle().await;
            assert_eq!(seen.borrow().len(), events);
            registration.resume();
        }
        assert_eq!(registration.await.unwrap(), End::Exhausted);
    });
}

#[test]
fn an_event_in_progress_goes_on_through_a_pause() {
    watched(async |_| {
        let done = Rc::new(Cell::new(0));
        let count = done.clone();
        let registration = on_async(stream::iter(0..2), async move |_| {
            settle().await;
            count.set(count.get() + 1);
        });
        yield_now().await;
        registration.pause();
        settle().await;
        settle().await;
        assert_eq!(done.get(), 1);
        registration.resume();
        registration.await.unwrap();
        assert_eq!(done.get(), 2);
    });
}

#[test]
fn a_control_owns_nothing_and_does_nothing_after_the_end() {
    watched(async |watch| {
        let token = watch.tracked();
        let registration = on(stream::iter(0..3), move |_| {
            let _ = &token;
        });
        let control = registration.control();
        let (id, other) = (registration.id(), control.clone());
        registration.await.unwrap();
        assert_eq!(watch.live(), 0, "the handler is gone, whoever has a control");
        for control in [control, other] {
            control.pause();
            control.resume();
            control.stop();
            assert!(control.is_ended());
            assert_eq!(control.id(), id);
            assert_eq!(control.stats().runs, 1);
        }
    });
}

#[test]
fn a_control_may_outlive_its_runtime() {
    aem_tests::watch::watched_outside(|watch| {
        let token = watch.tracked();
        let (control, registration) = block_on(async {
            let registration = on(stream::pending::<()>(), move |()| {
                let _ = &token;
            });
            settle().await;
            (registration.control(), registration)
        });
        assert_eq!(watch.live(), 0);
        assert!(control.is_ended() && registration.is_ended());
        control.pause();
        control.resume();
        control.stop();
        assert!(!registration.replace(|()| ()));
        assert!(registration.reclaim().is_none(), "the runtime is gone");
    });
}

#[test]
fn awaited_by_value_and_cancelled_it_stops_awaited_by_reference_it_lives() {
    watched(async |watch| {
        let token = watch.tracked();
        let (sender, receiver) = mpsc::unbounded::<u32>();
        let mut registration = on(receiver, move |_| {
            let _ = &token;
        });
        for _ in 0..3 {
            assert!((&mut registration).now_or_never().is_none());
            settle().await;
        }
        sender.unbounded_send(1).unwrap();
        settle().await;
        assert!(!registration.is_ended());
        assert_eq!(watch.live(), 1);
        assert!(registration.now_or_never().is_none());
        assert_eq!(watch.live(), 0, "the handler went with the await");
        settle().await;
        assert!(sender.is_closed(), "and so did the source");
    });
}

#[test]
fn it_is_a_fused_future() {
    watched(async |_| {
        let mut registration = on(stream::iter(0..3), |_| ());
        assert!(!registration.is_terminated());
        while !registration.is_ended() {
            yield_now().await;
        }
        assert!(!registration.is_terminated(), "ended, but nobody has heard of it");
        assert_eq!((&mut registration).await.unwrap(), End::Exhausted);
        assert!(registration.is_terminated());
        assert!((&mut registration).now_or_never().is_none(), "it is told once");
    });
}

#[test]
fn registrations_fit_into_select() {
    watched(async |_| {
        let mut never = on(stream::pending::<()>(), |()| ());
        let mut soon = on(stream::iter(0..3), |_| Next::Stop);
        let ended = futures::future::select(&mut never, &mut soon).await;
        assert!(matches!(ended, futures::future::Either::Right((Ok(End::Stopped), _))));
        assert!(!never.is_ended());
    });
}

#[test]
fn erased_it_does_all_but_replace_and_reclaim() {
    watched(async |watch| {
        let (sender, receiver) = mpsc::unbounded::<u32>();
        let (first, second) = (watch.tracked(), watch.tracked());
        let mut list: Vec<Registration> = vec![
            on(receiver, move |_| {
                let _ = &first;
            })
            .erase(),
            on(stream::pending::<u8>(), move |_| {
                let _ = &second;
            })
            .name("quiet")
            .erase(),
        ];
        settle().await;
        list[0].pause();
        sender.unbounded_send(1).unwrap();
        settle().await;
        list[0].resume();
        drop(sender);
        assert_eq!(list.remove(0).await.unwrap(), End::Exhausted);
        assert_eq!(
            aem::jobs().iter().filter(|job| job.name.as_deref() == Some("quiet")).count(),
            1
        );
        drop(list);
        assert_eq!(watch.live(), 0);
    });
}

#[test]
fn jobs_are_listed_with_name_place_kind_and_exact_runs() {
    watched(async |_| {
        let (sender, receiver) = mpsc::unbounded::<usize>();
        let line = line!() + 1;
        let registration = on(receiver, |_| ()).name("numbers").priority(Priority::High);
        // The first run finds nothing; each event after it is a run, as it comes alone.
        settle().await;
        for number in 1..=1_000 {
            sender.unbounded_send(number).unwrap();
            yield_now().await;
        }
        let jobs = aem::jobs();
        assert_eq!(jobs.len(), 2);
        assert!(jobs.iter().any(|job| job.kind == JobKind::Main));
        let job = jobs.iter().find(|job| job.kind == JobKind::Handler).unwrap();
        assert_eq!((job.id, job.runs), (registration.id(), 1_001));
        assert_eq!((job.name.as_deref(), job.priority), (Some("numbers"), Priority::High));
        assert_eq!((job.location.file(), job.location.line()), (file!(), line));
        let stats = registration.stats();
        assert_eq!(stats.runs, 1_001);
        assert!(stats.longest <= stats.running && !stats.running.is_zero());
        assert_eq!(registration.control().stats().runs, 1_001);
    });
}

#[test]
fn run_counts_stay_exact_beyond_what_a_header_holds() {
    watched(async |_| {
        const RUNS: u64 = 3 * 65_536 + 17;
        let registration = on_async(stream::iter(0..1), async |_| {
            for _ in 1..RUNS {
                yield_now().await;
            }
        });
        let control = registration.control();
        registration.await.unwrap();
        assert_eq!(control.stats().runs, RUNS);
    });
}

#[test]
fn ids_never_repeat() {
    watched(async |_| {
        let mut ids: Vec<aem::JobId> = Vec::new();
        for _ in 0..1_000 {
            let registration = on(stream::iter(0..1), |_| ());
            ids.push(registration.id());
            registration.await.unwrap();
            let task = aem::spawn(async {});
            ids.push(task.id());
            task.await.unwrap();
        }
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 2_000);
    });
}

#[test]
fn of_a_thousand_low_and_one_high_the_high_one_runs_next() {
    watched(async |_| {
        const LOW: usize = 1_000;
        let order = Seen::default();
        let mut senders = Vec::new();
        let mut registrations = Vec::new();
        for number in 0..=LOW {
            let (sender, receiver) = mpsc::unbounded::<()>();
            let writer = order.clone();
            let priority = if number == LOW { Priority::High } else { Priority::Low };
            let handler = move |()| writer.borrow_mut().push(number);
            registrations.push(on(receiver, handler).priority(priority));
            senders.push(sender);
        }
        settle().await;
        // All of them become ready in order, the high one last.
        senders.iter().for_each(|sender| sender.unbounded_send(()).unwrap());
        while order.borrow().len() <= LOW {
            yield_now().await;
        }
        let order = order.borrow();
        assert_eq!(order[0], LOW, "the high one first");
        assert_eq!(order[1..], (0..LOW).collect::<Vec<_>>(), "the others in their order");
    });
}

#[test]
fn low_is_never_starved() {
    watched(async |_| {
        let endless = |priority| on(stream::repeat(()), |()| ()).priority(priority);
        let busy: Vec<_> =
            (0..10).map(|n| endless([Priority::High, Priority::Normal][n % 2])).collect();
        let controls: Vec<_> = busy.iter().map(Registration::control).collect();
        let runs = move || controls.iter().map(|busy| busy.stats().runs).sum::<u64>();
        let (sender, receiver) = mpsc::unbounded::<u64>();
        let (waits, count) = (Seen::default(), runs.clone());
        let writer = waits.clone();
        let low = on(receiver, move |since| writer.borrow_mut().push(count() - since));
        let low = low.priority(Priority::Low);
        settle().await;
        for round in 1..=20 {
            sender.unbounded_send(runs()).unwrap();
            while waits.borrow().len() < round {
                yield_now().await;
            }
        }
        let most = waits.borrow().iter().copied().max().unwrap();
        // One more, as the ages of Normal and Low may come to an end together.
        assert!(most <= u64::from(aem::LOW_AGE) + 1, "{most} runs of others before it");
        drop((busy, low));
    });
}

#[test]
fn errors_of_detached_handlers_go_to_on_error() {
    let heard = Seen::default();
    let writer = heard.clone();
    let builder = aem::Runtime::builder().on_error(move |job, error| {
        let name = job.name.as_deref().unwrap_or("?").to_owned();
        writer.borrow_mut().push(format!("{name}: {error}"));
    });
    watched_on(builder, async |_| {
        let fail = |text: &'static str| move |_: i32| Err::<(), _>(text);
        on(stream::iter(0..1), fail("one")).name("detached").detach();
        let ended = on(stream::iter(0..1), fail("two")).name("ended and dropped");
        let awaited = on(stream::iter(0..1), fail("three")).name("awaited");
        settle().await;
        assert!(ended.is_ended());
        drop(ended);
        assert_eq!(awaited.await.unwrap_err().to_string(), "three");
        let scope = aem::Scope::new();
        scope.add(on(stream::iter(0..1), fail("four")).name("in a scope"));
        let reset = || Err::<(), _>(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        on(stream::iter(0..1), move |_| reset()).name("reset").detach();
        scope.idle().await;
        settle().await;
        let metrics = aem::metrics();
        assert_eq!((metrics.handler_errors, metrics.connection_losses), (4, 0));
    });
    let heard = heard.borrow();
    assert_eq!(heard[..2], ["detached: one", "ended and dropped: two"]);
    assert_eq!(heard.len(), 4);
    assert!(heard.contains(&"in a scope: four".to_owned()));
    assert!(heard.iter().any(|line| line.starts_with("reset: ")));
}

#[test]
fn resets_are_only_counted_unless_somebody_listens() {
    watched(async |_| {
        use std::io::{Error, ErrorKind};
        for kind in
            [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe, ErrorKind::ConnectionAborted]
        {
            on(stream::iter(0..1), move |_| Err::<(), _>(Error::from(kind))).detach();
        }
        settle().await;
        let metrics = aem::metrics();
        assert_eq!((metrics.handler_errors, metrics.connection_losses), (0, 3));
    });
}

#[test]
fn an_io_error_comes_out_as_it_went_in() {
    watched(async |_| {
        let failing =
            on(stream::iter(0..1), |_| Err::<(), _>(std::io::Error::from_raw_os_error(98)));
        let error: std::io::Error = failing.await.unwrap_err().into();
        assert_eq!(error.raw_os_error(), Some(98));
        let other = on(stream::iter(0..1), |_| Err::<(), _>("text")).await.unwrap_err();
        let other: std::io::Error = other.into();
        assert_eq!((other.kind(), other.to_string()), (std::io::ErrorKind::Other, "text".into()));
    });
}

/// Between enter and leave of a handler nothing else runs; of an async one, nothing between two awaits.
#[test]
fn handlers_of_a_worker_never_overlap() {
    watched(async |_| {
        let inside = Rc::new(Cell::new(None::<usize>));
        let runs = Rc::new(Cell::new(0_usize));
        let section = |number: usize| {
            let (inside, runs) = (inside.clone(), runs.clone());
            move || {
                assert_eq!(inside.replace(Some(number)), None, "a handler inside another");
                // What wakes others, and might run them on the spot in a lesser runtime.
                drop(aem::spawn(async {}));
                drop(on(stream::iter(0..1), |_| ()).paused());
                runs.set(runs.get() + 1);
                assert_eq!(inside.replace(None), Some(number));
            }
        };
        let mut all = Vec::new();
        for number in 0..30 {
            let enter = section(number);
            all.push(match number % 3 {
                0 => on(stream::iter(0..100), move |_| enter()).erase(),
                1 => on_async(stream::iter(0..100), async move |_| {
                    enter();
                    yield_now().await;
                    enter();
                })
                .erase(),
                _ => aem::on_each(stream::iter(0..100), 4, async move |_| enter()).erase(),
            });
        }
        for registration in all {
            assert_eq!(registration.await.unwrap(), End::Exhausted);
        }
        assert_eq!(runs.get(), 10 * 100 + 10 * 200 + 10 * 100);
    });
}

/// Arguments are made just before the handler and dropped just after it, on every path.
#[test]
fn an_event_lives_from_just_before_to_just_after_its_handler() {
    struct Event(u32, Seen<String>);
    impl Drop for Event {
        fn drop(&mut self) {
            self.1.borrow_mut().push(format!("drop {}", self.0));
        }
    }
    watched(async |_| {
        let log = Seen::default();
        let source = |count: u32| {
            let log = log.clone();
            stream::iter(0..count).map(move |number| {
                log.borrow_mut().push(format!("make {number}"));
                Event(number, log.clone())
            })
        };
        let enter = |event: &Event| event.1.borrow_mut().push(format!("enter {}", event.0));
        let both = ["make 0", "enter 0", "drop 0", "make 1", "enter 1", "drop 1"];
        on(source(2), move |event| enter(&event)).await.unwrap();
        assert_eq!(log.take(), both);
        on_async(source(2), async move |event| {
            enter(&event);
            yield_now().await;
        })
        .await
        .unwrap();
        assert_eq!(log.take(), both);
        let panics = on(source(2), move |event| {
            enter(&event);
            assert!(event.0 < 1, "a panic that is meant");
        });
        panics.await.unwrap_err();
        assert_eq!(log.take(), both);
        let stops = on(source(9), move |event| {
            enter(&event);
            if event.0 == 1 { Next::Stop } else { Next::Keep }
        });
        stops.await.unwrap();
        assert_eq!(log.take(), both);
        let waits = on_async(source(9), async move |event| {
            enter(&event);
            std::future::pending::<()>().await;
        });
        settle().await;
        waits.stop();
        assert_eq!(log.take(), both[..3]);
    });
}
