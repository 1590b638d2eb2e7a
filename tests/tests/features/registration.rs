//! Features 1 to 14: registration and control.

use std::cell::Cell;
use std::io::Write;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use aem::net::{TcpListener, TcpStream};
use aem::{End, Next, Priority, Scope, State, jobs, on, on_ok, spawn};
use aem_tests::scale::scaled_count;
use aem_tests::watch::keep;
use futures::{Stream, StreamExt, stream};

use super::{Log, full_of, on_both, settle};

#[test]
fn feature_01_the_system_runs_a_registered_callback() {
    on_both(async |_| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let visitors = std::thread::spawn(move || {
            (0..5).map(|_| std::net::TcpStream::connect(address).unwrap()).collect::<Vec<_>>()
        });
        // No code here asks whether anybody came.
        let mut count = 0;
        let accepting = on_ok(listener.incoming(), move |(_stream, peer)| {
            assert!(peer.ip().is_loopback());
            count += 1;
            if count == 5 { Next::Stop } else { Next::Keep }
        });
        assert_eq!(accepting.await.unwrap(), End::Stopped);
        drop(visitors.join().unwrap());
    });
}

#[test]
fn feature_02_the_handler_gets_complete_typed_data() {
    const BYTES: usize = 1 << 20;
    on_both(async |_| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let sender = std::thread::spawn(move || {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            let bytes: Vec<u8> = (0..BYTES).map(|place| (place % 251) as u8).collect();
            stream.write_all(&bytes).unwrap();
        });
        let (stream, _peer) = listener.accept().await.unwrap();
        let received = State::new(0);
        let receiving = received.on(stream.chunks(), |place, chunk| -> aem::Result {
            for byte in &chunk?[..] {
                assert_eq!(usize::from(*byte), *place % 251);
                *place += 1;
            }
            Ok(())
        });
        assert_eq!(receiving.await.unwrap(), End::Exhausted);
        assert_eq!(received.with(|place| *place), BYTES);
        sender.join().unwrap();
    });
}

/// A source of somebody else's, with an event of its own.
struct Countdown(u32);

#[derive(Debug, PartialEq)]
enum Launch {
    Seconds(u32),
    LiftOff { witnesses: Vec<&'static str> },
}

impl Stream for Countdown {
    type Item = Launch;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Launch>> {
        let left = self.0;
        self.0 = left.wrapping_sub(1);
        Poll::Ready(match left {
            u32::MAX => None,
            0 => Some(Launch::LiftOff { witnesses: vec!["all"] }),
            left => Some(Launch::Seconds(left)),
        })
    }
}

#[test]
fn feature_03_the_signature_of_a_handler_belongs_to_its_source() {
    on_both(async |_| {
        let seen = Log::default();
        let writer = seen.clone();
        on(Countdown(2), move |launch: Launch| writer.borrow_mut().push(launch)).await.unwrap();
        let lift_off = Launch::LiftOff { witnesses: vec!["all"] };
        assert_eq!(*seen.borrow(), [Launch::Seconds(2), Launch::Seconds(1), lift_off]);
    });
}

/// An event that tells of its end.
struct Mortal(u32, Log<(&'static str, u32)>);

impl Drop for Mortal {
    fn drop(&mut self) {
        self.1.borrow_mut().push(("destructed", self.0));
    }
}

#[test]
fn feature_04_an_event_is_made_just_before_its_handler_and_ends_just_after() {
    on_both(async |_| {
        let log = Log::default();
        let (maker, handler) = (log.clone(), log.clone());
        let events = stream::iter(1..=3).map(move |number| {
            maker.borrow_mut().push(("constructed", number));
            Mortal(number, maker.clone())
        });
        let handling = on(events, move |event: Mortal| {
            handler.borrow_mut().push(("handled", event.0));
            match event.0 {
                2 => Next::Stop,
                _ => Next::Keep,
            }
        });
        assert_eq!(handling.await.unwrap(), End::Stopped);
        let panicking = log.clone();
        let maker = log.clone();
        let events = stream::iter(7..9).map(move |number| Mortal(number, maker.clone()));
        let error = on(events, move |event| {
            panicking.borrow_mut().push(("handled", event.0));
            panic!("with the event in hand")
        });
        assert!(error.await.unwrap_err().is_panic());
        let life = |number| ["constructed", "handled", "destructed"].map(|what| (what, number));
        let expected = [&life(1)[..], &life(2)[..], &[("handled", 7), ("destructed", 7)]].concat();
        assert_eq!(*log.borrow(), expected);
    });
}

#[test]
fn feature_05_one_object_holds_all_of_a_handler() {
    on_both(async |watch| {
        let before = jobs().len();
        for round in 0..1_000 {
            let (sender, receiver) = full_of([watch.tracked()]);
            let captured = watch.tracked();
            let registration = on(receiver, move |_| keep(&captured));
            if round % 2 == 0 {
                settle().await;
            }
            registration.stop();
            drop(registration);
            drop(sender);
            assert_eq!(watch.live(), 0, "source, events, handler and what it captured");
        }
        settle().await;
        assert_eq!(jobs().len(), before);
    });
}

#[test]
fn feature_06_as_many_events_and_timers_as_there_is_memory() {
    let many = scaled_count(1_000_000, 50_000);
    on_both(async |_| {
        let fired = Rc::new(Cell::new(0));
        let scope = Scope::new();
        for number in 0..many {
            let counter = fired.clone();
            let after = Duration::from_micros(number as u64 % 1_000);
            scope.on(aem::time::after(after), move |_| counter.set(counter.get() + 1));
        }
        assert_eq!(scope.len(), many);
        scope.idle().await;
        assert_eq!(fired.get(), many);
    });
}

#[test]
fn feature_07_registered_disabled_nothing_happens_and_nothing_is_lost() {
    on_both(async |_| {
        let seen = Log::default();
        let writer = seen.clone();
        let (sender, receiver) = full_of([1, 2]);
        let registration = on(receiver, move |number| writer.borrow_mut().push(number)).paused();
        settle().await;
        sender.unbounded_send(3).unwrap();
        settle().await;
        assert!(seen.borrow().is_empty());
        registration.resume();
        settle().await;
        assert_eq!(*seen.borrow(), [1, 2, 3]);
    });
}

#[test]
fn feature_08_one_or_all_are_started_stopped_and_shut_down() {
    const ALL: usize = 10_000;
    on_both(async |watch| {
        let scope = Scope::new();
        let runs = Rc::new(Cell::new(0));
        let mut senders = Vec::new();
        for _ in 0..ALL {
            let (sender, receiver) = full_of([()]);
            let (counter, captured) = (runs.clone(), watch.tracked());
            scope.on(receiver, move |()| {
                keep(&captured);
                counter.set(counter.get() + 1);
            });
            senders.push(sender);
        }
        scope.pause();
        settle().await;
        assert_eq!(runs.get(), 0);
        scope.resume();
        while runs.get() < ALL {
            settle().await;
        }
        scope.stop();
        assert_eq!((scope.len(), watch.live()), (0, 0));
        assert!(senders.iter().all(|sender| sender.is_closed()));
    });
}

#[test]
fn feature_09_ids_are_unique_and_errors_are_numbers() {
    on_both(async |_| {
        let mut ids = std::collections::HashSet::new();
        for _ in 0..10_000 {
            let registration = on(stream::empty::<()>(), drop);
            assert!(ids.insert(registration.id()), "given twice");
            registration.stop();
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let taken = TcpListener::bind(address).unwrap_err();
        assert_eq!(taken.raw_os_error(), Some(libc::EADDRINUSE));
        drop(listener);
        settle().await;
        aem::time::sleep(Duration::from_millis(1)).await;
        let refused = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::ECONNREFUSED));
    });
}

#[test]
fn feature_10_one_shot_or_persistent() {
    on_both(async |_| {
        for (most, expected) in [(1, 1), (usize::MAX, 5)] {
            let runs = Rc::new(Cell::new(0));
            let counter = runs.clone();
            let source = stream::iter(0..5).take(most);
            on(source, move |_| counter.set(counter.get() + 1)).await.unwrap();
            assert_eq!(runs.get(), expected);
        }
    });
}

#[test]
fn feature_11_a_value_of_the_user_reaches_the_handler() {
    on_both(async |watch| {
        let captured = watch.tracked();
        on(stream::iter(0..3), move |_| keep(&captured)).await.unwrap();
        assert_eq!(watch.live(), 0, "dropped once, with the handler");
        // And one value several handlers, without a lock.
        let sum = State::new((0, watch.tracked()));
        let ones = sum.on(stream::iter([1; 10]), |sum, one| sum.0 += one);
        let tens = sum.on(stream::iter([10; 10]), |sum, ten| sum.0 += ten);
        ones.await.unwrap();
        tens.await.unwrap();
        assert_eq!(sum.with(|sum| sum.0), 110);
    });
}

#[test]
fn feature_12_what_is_urgent_comes_first_and_nothing_starves() {
    const LOW: u32 = 1_000;
    on_both(async |_| {
        let order = Log::default();
        let mut held = Vec::new();
        let mut senders = Vec::new();
        for number in 0..=LOW {
            let priority = if number == LOW { Priority::High } else { Priority::Low };
            let (sender, receiver) = full_of([]);
            let writer = order.clone();
            let handler = move |()| writer.borrow_mut().push(number);
            held.push(on(receiver, handler).priority(priority));
            senders.push(sender);
        }
        settle().await;
        aem::time::sleep(Duration::from_millis(1)).await;
        senders.iter().for_each(|sender| sender.unbounded_send(()).unwrap());
        while order.borrow().len() <= LOW as usize {
            aem::yield_now().await;
        }
        assert_eq!(order.borrow()[0], LOW, "the last to become ready, and the first to run");
        assert_eq!(order.borrow()[1..], (0..LOW).collect::<Vec<_>>(), "else in order of arrival");
        // A task as urgent as can be, that never rests, holds up a low one for a bounded time.
        let busy = spawn(async {
            loop {
                aem::yield_now().await;
            }
        });
        let busy = busy.priority(Priority::High);
        let low = on(stream::iter(0..1), |_| ()).priority(Priority::Low);
        assert_eq!(low.await.unwrap(), End::Exhausted);
        busy.abort();
    });
}

#[test]
fn feature_13_the_program_lives_until_a_signal() {
    let _alone = aem_tests::watch::alone();
    for keeper in aem_tests::keepers::both() {
        let mut command =
            aem_tests::keepers::command(keeper, env!("CARGO_BIN_EXE_stopper"), &["serve"]);
        command.env_remove("AEM_TEST_ALONE");
        let mut program = aem_tests::child::Program::run(command);
        let limit = Duration::from_secs(20);
        let address = program.line(limit);
        let mut client = std::net::TcpStream::connect(address.trim()).unwrap();
        client.write_all(b"a request that is never done before the signal").unwrap();
        program.signal(libc::SIGTERM);
        let said = program.line(limit);
        assert!(said.contains("ended, 0 cancelled"), "{said}");
        let (status, _) = program.end(limit);
        assert!(status.success(), "it ends by itself: {status}");
    }
}

#[test]
fn feature_14_registering_does_not_block() {
    on_both(async |_| {
        settle().await;
        let turns = aem::metrics().turns;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let registration = on_ok(listener.incoming(), |(stream, _peer)| {
            let reply = stream.clone();
            on_ok(stream.chunks(), move |chunk| drop(reply.send(chunk))).detach();
        });
        let ticks = on(aem::time::every(Duration::from_secs(3600)), drop);
        assert_eq!(aem::metrics().turns, turns, "nobody was waited for");
        registration.stop();
        ticks.stop();
    });
}
