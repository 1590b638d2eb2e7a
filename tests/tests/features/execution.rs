//! Features 15 to 22 and 28 to 30: how handlers run.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use aem::net::{TcpListener, TcpStream};
use aem::time::Missed;
use aem::{jobs, on, on_async, on_ok, spawn, spawn_blocking, yield_now};
use aem_tests::scale::scaled_count;
use aem_tests::watch::keep;
use futures::channel::mpsc;
use futures::{StreamExt, stream};

use super::{Log, full_of, on_both, settle};

#[test]
fn feature_15_events_come_in_the_order_of_their_arrival() {
    let many = scaled_count(1_000_000, 50_000) as u64;
    on_both(async |_| {
        let (sender, receiver) = mpsc::unbounded::<u64>();
        let mut expected = 0;
        let counting = on(receiver, move |number| {
            assert_eq!(number, expected);
            expected += 1;
        });
        let sending = std::thread::spawn(move || {
            (0..many).for_each(|number| sender.unbounded_send(number).unwrap());
        });
        counting.await.unwrap();
        sending.join().unwrap();
        // Across sources, in the order in which their jobs became ready.
        let order = Log::default();
        let sources: Vec<_> = (0..10).map(|_| full_of::<()>([])).collect();
        let (senders, receivers): (Vec<_>, Vec<_>) = sources.into_iter().unzip();
        let mut held = Vec::new();
        for (number, receiver) in receivers.into_iter().enumerate() {
            let writer = order.clone();
            held.push(on(receiver, move |()| writer.borrow_mut().push(number)));
        }
        settle().await;
        let arrival = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7];
        arrival.iter().for_each(|number| senders[*number].unbounded_send(()).unwrap());
        settle().await;
        assert_eq!(*order.borrow(), arrival);
    });
}

#[test]
fn feature_16_two_handlers_never_overlap() {
    on_both(async |_| {
        let inside = Rc::new(Cell::new(false));
        let mut held = Vec::new();
        for _ in 0..50 {
            let inside = inside.clone();
            held.push(on(stream::iter(0..200), move |_| {
                assert!(!inside.replace(true), "another one is at work");
                std::hint::black_box(jobs().len());
                inside.set(false);
            }));
        }
        for handler in held {
            handler.await.unwrap();
        }
    });
}

#[test]
fn feature_17_handlers_run_in_the_program_s_own_flow() {
    on_both(async |_| {
        let thread = std::thread::current().id();
        let seen = Log::default();
        let writer = seen.clone();
        let (sender, receiver) = full_of([]);
        let _handler = on(receiver, move |number| {
            assert_eq!(std::thread::current().id(), thread);
            writer.borrow_mut().push(number);
        });
        for number in 0..3 {
            sender.unbounded_send(2 * number).unwrap();
            settle().await;
            seen.borrow_mut().push(2 * number + 1);
        }
        assert_eq!(*seen.borrow(), [0, 1, 2, 3, 4, 5], "the flow goes on between the handlers");
    });
}

#[test]
fn feature_18_a_handler_may_do_anything_to_anything_itself_included() {
    on_both(async |watch| {
        let own = Rc::new(Cell::new(None));
        let (inner, seen) = (own.clone(), Log::default());
        let writer = seen.clone();
        let (sender, receiver) = full_of([1, 2, 3, 4]);
        let captured = watch.tracked();
        let registration = on(receiver, move |number: u32| {
            keep(&captured);
            let registration: aem::Registration<mpsc::UnboundedReceiver<u32>> =
                inner.take().unwrap();
            match number {
                1 => {
                    // It registers another one, pauses itself and goes on.
                    let other = writer.clone();
                    on(stream::iter([10]), move |ten| other.borrow_mut().push(ten)).detach();
                    registration.pause();
                    registration.resume();
                    inner.set(Some(registration));
                }
                _ => {
                    // It replaces itself; the next one asks for its own source, and it is dropped so.
                    let (next, last) = (inner.clone(), writer.clone());
                    registration.replace(move |number| {
                        last.borrow_mut().push(number * 100);
                        let registration = next.take().unwrap();
                        let left = registration.reclaim();
                        assert!(left.is_some());
                    });
                    inner.set(Some(registration));
                }
            }
            writer.borrow_mut().push(number);
        });
        own.set(Some(registration));
        settle().await;
        assert_eq!(*seen.borrow(), [1, 2, 300, 10]);
        assert!(own.take().is_none());
        assert!(sender.is_closed());
    });
}

#[test]
fn feature_19_a_handler_runs_to_its_end() {
    on_both(async |_| {
        let log = Log::default();
        let (first, second) = (log.clone(), log.clone());
        let (sender, receiver) = full_of([]);
        let woken = on(receiver, move |()| second.borrow_mut().push("woken"));
        let waking = on(stream::iter(0..3), move |_| {
            first.borrow_mut().push("enter");
            sender.unbounded_send(()).unwrap();
            spawn(async {});
            first.borrow_mut().push("leave");
        });
        waking.await.unwrap();
        settle().await;
        drop(woken);
        let log = log.borrow();
        for (place, what) in log.iter().enumerate().filter(|(_, what)| **what == "enter") {
            assert_eq!((*what, log[place + 1]), ("enter", "leave"));
        }
        assert_eq!(log.len(), 9);
    });
}

#[test]
fn feature_20_what_comes_during_a_run_makes_one_more_run() {
    on_both(async |_| {
        let (sender, receiver) = mpsc::unbounded::<u32>();
        let again = sender.clone();
        let seen = Log::default();
        let writer = seen.clone();
        let handler = on_async(receiver, async move |number| {
            writer.borrow_mut().push(number);
            if number == 0 {
                // Ten wakes while it runs.
                (1..=10).for_each(|number| again.unbounded_send(number).unwrap());
                yield_now().await;
            }
        });
        settle().await;
        let before = handler.stats().runs;
        sender.unbounded_send(0).unwrap();
        settle().await;
        assert_eq!(*seen.borrow(), (0..=10).collect::<Vec<_>>(), "none is lost");
        assert_eq!(handler.stats().runs - before, 2, "the run, and one more");
    });
}

#[test]
fn feature_21_a_slow_handler_is_named_with_its_line() {
    on_both(async |_| {
        let slow = Duration::from_millis(3);
        let (sender, receiver) = full_of([()]);
        let line = line!() + 1;
        let handler = on(receiver, move |()| std::thread::sleep(slow)).name("slow");
        settle().await;
        let longest = jobs().into_iter().max_by_key(|job| job.longest).unwrap();
        assert_eq!((longest.id, longest.location.line()), (handler.id(), line));
        assert_eq!(longest.location.file(), file!());
        assert_eq!(longest.name.as_deref(), Some("slow"));
        assert!(longest.longest >= slow && longest.running >= slow);
        // The remedy.
        let elsewhere = spawn_blocking(|| std::thread::current().id()).await.unwrap();
        assert_ne!(elsewhere, std::thread::current().id());
        drop(sender);
    });
}

#[test]
fn feature_22_sequential_and_event_code_mixed_in_one_routine() {
    on_both(async |_| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = spawn(async move {
            let (stream, _peer) = listener.accept().await?;
            // In sequence: a greeting is awaited. Then by events.
            let greeting = stream.recv().await?;
            let reply = stream.clone();
            let echo = on_ok(stream.chunks(), move |chunk| drop(reply.send(chunk)));
            stream.send(greeting).await?;
            echo.await?;
            aem::Result::<()>::Ok(())
        });
        let client = TcpStream::connect(address).await.unwrap();
        for text in ["hello", "one", "two"] {
            client.send(text).await.unwrap();
            assert_eq!(client.recv().await.unwrap()[..], *text.as_bytes());
        }
        client.close().await.unwrap();
        server.await.unwrap().unwrap();
    });
}

#[test]
fn feature_29_a_clock_does_not_drift_and_counts_what_it_missed() {
    let ticks = scaled_count(100_000, 2_000) as u32;
    let period = Duration::from_micros(50);
    on_both(async |_| {
        let start = Instant::now();
        let mut clock = aem::time::every(period).missed(Missed::Skip);
        let mut told = 0;
        while told < u64::from(ticks) {
            let tick = clock.tick().await;
            // It stands for itself and for those that it says were missed after it.
            let due = tick.scheduled.duration_since(start);
            let beat = u32::try_from(told + 1).unwrap() * period;
            told += 1 + tick.missed;
            // The schedule began a moment after the first reading of the clock, and stays with it.
            assert!(due >= beat && due < beat + Duration::from_millis(50), "{due:?} for {beat:?}");
        }
        // A handler that sleeps through ten of them is told so, and gets them in no bunch.
        let mut clock = aem::time::every(Duration::from_millis(1)).missed(Missed::Skip);
        clock.tick().await;
        std::thread::sleep(Duration::from_millis(10));
        let late = clock.tick().await;
        assert!(late.missed >= 8, "{late:?}");
        assert_eq!(clock.tick().await.missed, 0);
    });
}

#[test]
fn feature_30_everything_is_cleaned_up_with_and_without_panics() {
    on_both(async |watch| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let tracker = watch.clone();
        let serving = on_ok(listener.incoming(), move |(stream, _peer)| {
            let (reply, captured) = (stream.clone(), tracker.tracked());
            let mut count = 0;
            on_ok(stream.chunks(), move |chunk: aem::Chunk| {
                keep(&captured);
                count += 1;
                assert!(chunk[0] != b'p' || count < 2, "as it was asked to");
                drop(reply.send(chunk));
            })
            .detach();
        });
        let visits = (0..40).map(|number| async move {
            let text = if number % 2 == 0 { "panic" } else { "peace" };
            let stream = TcpStream::connect(address).await.unwrap();
            for _ in 0..2 {
                stream.send(text);
                if stream.recv().await.is_ok_and(|chunk| chunk.is_empty()) {
                    break;
                }
            }
        });
        stream::iter(visits).for_each_concurrent(10, |visit| visit).await;
        drop(serving);
        // The guard around this test asks for the jobs, values, descriptors, operations and timers.
    });
}
