//! Fair by count: how many jobs run between an event and its handler, however busy the worker is.
//!
//! A thousand tasks that yield for ever are always ready. Between a timer's deadline, a socket's readiness
//! or a message and its handler, at most [`TURN_JOBS`] jobs run before the kernel is looked at, and then
//! those that were ready before it. Nothing in here measures time: jobs are counted (BOUND).

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use aem::fd::{AsyncFd, Interest};
use aem::{LOW_AGE, NORMAL_AGE, Next, Priority, RUN_EVENTS, TURN_JOBS};
use aem_tests::watch::watched;
use futures::channel::{mpsc, oneshot};
use futures::{FutureExt, Stream, StreamExt};

/// Tasks that are always ready.
const YIELDERS: usize = 1_000;

/// How often each kind of event is tried.
const ROUNDS: usize = 20;

/// The main future, the handler's own job, and the task that made the event.
const OTHERS: usize = 3;

/// Jobs that run before the kernel is looked at, and those that were ready before the event.
const BOUND: usize = TURN_JOBS + YIELDERS + OTHERS;

/// A crowd of tasks that yield for ever, and the number of their runs.
struct Crowd {
    runs: Rc<Cell<usize>>,
    /// Set by whoever wants to be told of the run in which this instant has passed.
    watch: Rc<Cell<Option<Instant>>>,
    passed_at: Rc<Cell<usize>>,
    tasks: Vec<aem::JoinHandle<()>>,
}

impl Crowd {
    fn gather() -> Crowd {
        let (runs, passed_at) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let watch: Rc<Cell<Option<Instant>>> = Rc::default();
        let member = |_| {
            let (runs, watch, passed_at) = (runs.clone(), watch.clone(), passed_at.clone());
            aem::spawn(async move {
                loop {
                    runs.set(runs.get() + 1);
                    if watch.get().is_some_and(|at| Instant::now() >= at) {
                        watch.set(None);
                        passed_at.set(runs.get());
                    }
                    aem::yield_now().await;
                }
            })
        };
        let tasks = (0..YIELDERS).map(member).collect();
        Crowd { runs, watch, passed_at, tasks }
    }

    fn disperse(self) {
        self.tasks.iter().for_each(aem::JoinHandle::abort);
    }
}

#[test]
fn a_timer_reaches_its_handler_within_the_bound() {
    watched(async |_| {
        let crowd = Crowd::gather();
        // A timer is due when the tick of the wheel that its deadline lies in has come: never early.
        let tick = Duration::from_nanos(1 << 14);
        let mut worst = 0;
        for _ in 0..ROUNDS {
            let deadline = aem::time::now() + Duration::from_millis(3);
            crowd.watch.set(Some(deadline + tick));
            let (runs, seen) = (crowd.runs.clone(), Rc::new(Cell::new(0)));
            let seen_at = seen.clone();
            let timer = Box::pin(aem::time::sleep_until(deadline).into_stream());
            aem::on(timer, move |()| seen_at.set(runs.get())).await.expect("the handler");
            assert_ne!(seen.get(), 0);
            // The handler may even come before the crowd sees the instant; then nothing ran between.
            if crowd.watch.take().is_none() {
                worst = worst.max(seen.get().saturating_sub(crowd.passed_at.get()));
            }
        }
        println!("at most {worst} jobs between a deadline and its handler; the bound is {BOUND}");
        assert!(worst <= BOUND, "{worst} jobs ran first");
        crowd.disperse();
    });
}

#[test]
fn a_ready_socket_reaches_its_handler_within_the_bound() {
    watched(async |_| {
        let crowd = Crowd::gather();
        let listener = aem::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let mut theirs = TcpStream::connect(address).expect("a connection");
        let (ours, _peer) = listener.accept().await.expect("a connection");
        let (sender, mut receiver) = mpsc::unbounded();
        let runs = crowd.runs.clone();
        aem::on_ok(ours.chunks(), move |_byte| {
            sender.unbounded_send(runs.get()).expect("the test listens");
        })
        .detach();
        let mut worst = 0;
        for _ in 0..ROUNDS {
            aem::time::sleep(Duration::from_millis(1)).await;
            let written_at = crowd.runs.get();
            theirs.write_all(b"x").expect("a byte");
            let seen_at = receiver.next().await.expect("the handler lives");
            worst = worst.max(seen_at - written_at);
        }
        println!("at most {worst} jobs between a byte and its handler; the bound is {BOUND}");
        assert!(worst <= BOUND, "{worst} jobs ran first");
        crowd.disperse();
    });
}

#[test]
fn a_ready_descriptor_reaches_its_handler_within_the_bound() {
    watched(async |_| {
        let crowd = Crowd::gather();
        let (ours, mut theirs) = UnixStream::pair().expect("a pair of sockets");
        ours.set_nonblocking(true).expect("nonblocking");
        let ours = AsyncFd::new(ours).expect("a registration");
        let (sender, mut receiver) = mpsc::unbounded();
        let (runs, socket) = (crowd.runs.clone(), ours.clone());
        let _handler = aem::on_ok(ours.readiness(Interest::READABLE), move |_| {
            if let Ok(1) = socket.get_ref().read(&mut [0]) {
                sender.unbounded_send(runs.get()).expect("the test listens");
            }
        });
        let mut worst = 0;
        for _ in 0..ROUNDS {
            aem::time::sleep(Duration::from_millis(1)).await;
            let written_at = crowd.runs.get();
            theirs.write_all(b"x").expect("a byte");
            let seen_at = receiver.next().await.expect("the handler lives");
            worst = worst.max(seen_at - written_at);
        }
        println!("at most {worst} jobs between readiness and its handler; the bound is {BOUND}");
        assert!(worst <= BOUND, "{worst} jobs ran first");
        crowd.disperse();
    });
}

#[test]
fn a_message_reaches_its_handler_after_those_that_were_ready() {
    watched(async |_| {
        let crowd = Crowd::gather();
        let (sender, receiver) = mpsc::unbounded::<usize>();
        let (echo, mut seen) = mpsc::unbounded();
        let runs = crowd.runs.clone();
        aem::on(receiver, move |sent_at| {
            echo.unbounded_send(runs.get() - sent_at).expect("the test listens");
        })
        .detach();
        let mut worst = 0;
        for _ in 0..ROUNDS {
            sender.unbounded_send(crowd.runs.get()).expect("the handler lives");
            worst = worst.max(seen.next().await.expect("the handler lives"));
        }
        // Of this thread, so the kernel need not be looked at.
        assert!(worst <= YIELDERS + OTHERS, "{worst} jobs ran first");

        let mut from_outside = 0;
        for _ in 0..ROUNDS {
            let (sender, sent_at) = (sender.clone(), crowd.runs.get());
            let other = std::thread::spawn(move || sender.unbounded_send(sent_at));
            other.join().expect("a thread").expect("the handler lives");
            from_outside = from_outside.max(seen.next().await.expect("the handler lives"));
        }
        println!("at most {worst} jobs before a message of this thread, {from_outside} of another");
        assert!(from_outside <= BOUND, "{from_outside} jobs ran first");
        crowd.disperse();
    });
}

/// A source without an event that is polled again and again: a handler on it runs for ever.
struct Restless(Priority, Rc<RefCell<Vec<Priority>>>);

impl Stream for Restless {
    type Item = ();

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<()>> {
        self.1.borrow_mut().push(self.0);
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// The longest stretch of `log` without `wanted`, counting only those that are more urgent.
fn longest_wait(log: &[Priority], wanted: Priority) -> usize {
    let waits = log.split(|ran| *ran == wanted);
    waits.map(|wait| wait.iter().filter(|ran| **ran < wanted).count()).max().unwrap_or(0)
}

/// Runs a few restless handlers of each of the priorities, and gives the order in which they ran.
async fn order_of(priorities: &[Priority]) -> Vec<Priority> {
    let log = Rc::new(RefCell::new(Vec::new()));
    let scope = aem::Scope::new();
    for priority in priorities {
        for _ in 0..3 {
            let source = Restless(*priority, log.clone());
            scope.add(aem::on(source, |()| ()).priority(*priority));
        }
    }
    while log.borrow().len() < 20_000 {
        aem::time::sleep(Duration::from_millis(1)).await;
        // The main future takes a turn of the normal ones.
        log.borrow_mut().push(Priority::Normal);
    }
    scope.stop();
    // Each handler's first run has the place of its making, before it was given a priority.
    log.take().split_off(1_000)
}

#[test]
fn the_lower_priorities_age() {
    watched(async |_| {
        use Priority::{High, Low, Normal};
        let (normal_age, low_age) = (NORMAL_AGE as usize, LOW_AGE as usize);
        let all = order_of(&[High, Normal, Low]).await;
        assert!(longest_wait(&all, Normal) <= normal_age);
        assert!(longest_wait(&all, Low) <= low_age);
        // A thirty-third goes to those that age, and the start is in order of arrival.
        let urgent = all.iter().filter(|ran| **ran == High).count();
        assert!(urgent * 100 > all.len() * 90, "urgent work had {urgent} runs of {}", all.len());
        let low = order_of(&[High, Low]).await;
        assert!(longest_wait(&low, Low) <= low_age);
        assert!(low.contains(&Low));
        let low = order_of(&[Normal, Low]).await;
        assert!(longest_wait(&low, Low) <= low_age);
        assert!(low.contains(&Low));
    });
}

#[test]
fn urgent_work_runs_before_a_thousand_others() {
    watched(async |_| {
        let ran = Rc::new(RefCell::new(Vec::new()));
        let (mut sources, mut held) = (Vec::new(), Vec::new());
        for index in 0..1_000 {
            let (sender, receiver) = mpsc::unbounded::<()>();
            let ran = ran.clone();
            let handler = aem::on(receiver, move |()| ran.borrow_mut().push(index));
            held.push(handler.priority(Priority::Low).erase());
            sources.push(sender);
        }
        let (urgent, receiver) = mpsc::unbounded::<()>();
        let log = ran.clone();
        held.push(
            aem::on(receiver, move |()| log.borrow_mut().push(usize::MAX))
                .priority(Priority::High)
                .erase(),
        );
        aem::time::sleep(Duration::from_millis(1)).await;
        for source in &sources {
            source.unbounded_send(()).expect("a handler");
        }
        urgent.unbounded_send(()).expect("a handler");
        while ran.borrow().len() < 1_001 {
            aem::yield_now().await;
        }
        let ran = ran.take();
        assert_eq!(ran[0], usize::MAX);
        let arrival: Vec<usize> = (0..1_000).collect();
        assert_eq!(&ran[1..], arrival, "within a priority, in order of arrival");
    });
}

/// The most that others must see of one endless source between two of their own runs, for each face.
#[test]
fn a_source_that_is_always_ready_starves_nobody() {
    watched(async |_| {
        let events = Rc::new(Cell::new(0_usize));
        let scope = aem::Scope::new();
        let count = events.clone();
        scope.add(aem::on(futures::stream::repeat(()), move |()| count.set(count.get() + 1)));
        let count = events.clone();
        scope.add(aem::on_async(futures::stream::repeat(()), async move |()| {
            count.set(count.get() + 1);
        }));
        let state = aem::State::new(events.clone());
        scope.add(state.on(futures::stream::repeat(()), |count, ()| count.set(count.get() + 1)));
        let count = events.clone();
        scope.add(aem::on_each(futures::stream::repeat(()), RUN_EVENTS, async move |()| {
            count.set(count.get() + 1);
        }));
        let mut worst = 0;
        let mut before = 0;
        for _ in 0..1_000 {
            aem::yield_now().await;
            worst = worst.max(events.get() - before);
            before = events.get();
        }
        assert!(before > 1_000, "they ran: {before}");
        // The fourth source's events are tasks: those of its last run, and those that it starts in this one.
        let bound = 4 * RUN_EVENTS + RUN_EVENTS;
        println!("at most {worst} events of four endless sources between two runs of another job");
        assert!(worst <= bound, "{worst} events between two runs");
        // Timers are reached as well, and the end.
        aem::time::timeout(Duration::from_secs(5), aem::time::sleep(Duration::from_millis(1)))
            .await
            .expect("the timer came");
        scope.stop();
    });
}

#[test]
fn a_storm_of_mail_starves_nobody() {
    watched(async |_| {
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let handle = aem::Handle::current();
        let storm = |_| {
            let (stop, handle) = (stop.clone(), handle.clone());
            std::thread::spawn(move || {
                let mut sent = 0_u64;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    drop(handle.spawn(async {}));
                    sent += 1;
                    // A bounded lead, so that memory is not what this test is about.
                    if sent.is_multiple_of(1_000) {
                        let (done, wait) = std::sync::mpsc::channel();
                        drop(handle.spawn(async move { done.send(()).expect("a storm") }));
                        let _ = wait.recv_timeout(Duration::from_secs(10));
                    }
                }
                sent
            })
        };
        let threads: Vec<_> = (0..3).map(storm).collect();
        for _ in 0..50 {
            let late = aem::time::timeout(
                Duration::from_secs(5),
                aem::time::sleep(Duration::from_millis(1)),
            );
            late.await.expect("a timer comes through the storm");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let (ended, end) = oneshot::channel();
        aem::spawn_blocking(move || {
            let sent: u64 = threads.into_iter().map(|t| t.join().expect("a storm")).sum();
            let _ = ended.send(sent);
        })
        .await
        .expect("joined");
        println!("{} spawns from three threads meanwhile", end.await.expect("a number"));
    });
}

#[test]
fn a_paused_or_stopped_endless_handler_costs_no_run() {
    watched(async |_| {
        let count = Rc::new(Cell::new(0_u32));
        let counted = count.clone();
        let handler = aem::on(futures::stream::repeat(()), move |()| {
            counted.set(counted.get() + 1);
            if counted.get() == 100 { Next::Pause } else { Next::Keep }
        });
        aem::time::sleep(Duration::from_millis(5)).await;
        assert_eq!(count.get(), 100);
        let runs = handler.stats().runs;
        assert_eq!(runs, 100_u64.div_ceil(RUN_EVENTS as u64), "runs of at most RUN_EVENTS events");
        aem::time::sleep(Duration::from_millis(5)).await;
        assert_eq!(handler.stats().runs, runs);
        handler.stop();
        assert_eq!(handler.await.expect("stopped"), aem::End::Stopped);
    });
}
