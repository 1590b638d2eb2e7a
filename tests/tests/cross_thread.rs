//! From other threads: wakes, messages, spawns and joins, against a worker that sleeps and one that is busy.
//!
//! No wake is lost (AWAKE): each test that could lose one would hang, and each is bounded in time.

#![expect(clippy::waker_clone_wake, reason = "each way to use a waker is tried")]

use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use aem::time::{sleep, timeout};
use aem_tests::child::Program;
use aem_tests::elsewhere::wait_for;
use aem_tests::scale::scaled_count;
use aem_tests::watch::{watched, watched_outside};
use futures::channel::{mpsc, oneshot};
use futures::future::poll_fn;
use futures::task::AtomicWaker;
use futures::{Stream, StreamExt};

const THREADS: usize = 4;
const LIMIT: Duration = Duration::from_secs(60);

/// How often each thread wakes.
fn wakes_each() -> usize {
    scaled_count(100_000, 20_000)
}

/// A number that grows elsewhere, and the waker of who waits for it.
#[derive(Default)]
struct Count {
    number: AtomicUsize,
    waker: AtomicWaker,
}

impl Count {
    fn grow(&self) {
        self.number.fetch_add(1, Ordering::Release);
        self.waker.wake();
    }

    /// Waits until it is at least `wanted`; any lost wake makes this wait for ever.
    async fn reach(&self, wanted: usize) {
        poll_fn(|cx| {
            self.waker.register(cx.waker());
            let reached = self.number.load(Ordering::Acquire) >= wanted;
            if reached { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// Four threads wake a task a hundred thousand times each, with or without other work for its worker.
async fn wakes_from_four_threads(busy: bool) {
    let count = Arc::new(Count::default());
    let busy = Cell::new(busy);
    let noise = aem::spawn(async move {
        while busy.get() {
            aem::yield_now().await;
        }
    });
    let waker = |_| {
        let count = count.clone();
        thread::spawn(move || (0..wakes_each()).for_each(|_| count.grow()))
    };
    let threads: Vec<_> = (0..THREADS).map(waker).collect();
    // Ever again asleep, woken and asleep: the last wake is the one that must not be lost.
    let all = THREADS * wakes_each();
    timeout(LIMIT, count.reach(all)).await.expect("no wake is lost");
    threads.into_iter().for_each(|thread| thread.join().expect("a thread"));
    noise.abort();
}

#[test]
fn no_wake_of_a_sleeping_worker_is_lost() {
    watched(async |_| {
        wakes_from_four_threads(false).await;
    });
}

#[test]
fn no_wake_of_a_busy_worker_is_lost() {
    watched(async |_| {
        wakes_from_four_threads(true).await;
    });
}

/// How often another thread's wakes were a system call, and how often the worker slept.
fn ring(how: &str) -> (u64, u64) {
    let mut child = Program::start(env!("CARGO_BIN_EXE_ringer"), &[how]);
    let line = child.line(LIMIT);
    let (status, errors) = child.end(LIMIT);
    assert!(status.success(), "{errors}");
    let (writes, sleeps) = line.split_once(' ').expect("two numbers");
    (writes.parse().expect("a number"), sleeps.parse().expect("a number"))
}

#[test]
fn a_wake_is_a_system_call_only_if_it_ends_a_sleep() {
    watched_outside(|_| {
        let (writes, sleeps) = ring("busy");
        println!("busy: {writes} writes, {sleeps} sleeps in 20,000 wakes");
        // The worker may sleep once, for the end of the thread.
        assert!(writes <= 1, "{writes} writes to a worker that is awake");
        let (writes, sleeps) = ring("idle");
        println!("idle: {writes} writes, {sleeps} sleeps in 20,000 wakes");
        // The last sleep may not be among the sums of the last turn.
        assert!(writes <= sleeps + 1, "{writes} writes for {sleeps} sleeps");
    });
}

/// One thread answers each step of the task with one wake: a single lost one stops it.
#[test]
fn each_of_a_hundred_thousand_single_wakes_arrives() {
    watched(async |_| {
        let rounds = scaled_count(100_000, 10_000);
        let (asked, answered) = (Arc::new(AtomicUsize::new(0)), Arc::new(Count::default()));
        let (ask, answer) = (asked.clone(), answered.clone());
        let partner = thread::spawn(move || {
            for round in 1..=rounds {
                while ask.load(Ordering::Acquire) < round {
                    std::hint::spin_loop();
                    if round % 64 == 0 {
                        thread::yield_now();
                    }
                }
                answer.grow();
            }
        });
        let dialogue = async {
            for round in 1..=rounds {
                asked.store(round, Ordering::Release);
                answered.reach(round).await;
            }
        };
        timeout(LIMIT, dialogue).await.expect("no wake is lost");
        partner.join().expect("a thread");
    });
}

/// A source whose wakers are cloned, woken by reference and dropped on other threads.
struct Away {
    given: Arc<AtomicUsize>,
    wakers: mpsc::UnboundedSender<Waker>,
    left: usize,
}

impl Stream for Away {
    type Item = ();

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<()>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        if self.given.swap(0, Ordering::Acquire) == 1 {
            self.left -= 1;
            return Poll::Ready(Some(()));
        }
        let _ = self.wakers.unbounded_send(cx.waker().clone());
        Poll::Pending
    }
}

#[test]
fn wakers_may_be_cloned_woken_and_dropped_elsewhere() {
    watched(async |_| {
        let given = Arc::new(AtomicUsize::new(0));
        let (wakers, mut received) = mpsc::unbounded::<Waker>();
        let give = given.clone();
        let other = thread::spawn(move || {
            wait_for(async move {
                while let Some(waker) = received.next().await {
                    let copy = waker.clone();
                    drop(waker);
                    give.store(1, Ordering::Release);
                    copy.wake_by_ref();
                    copy.clone().wake();
                }
            });
        });
        let rounds = scaled_count(100_000, 5_000);
        let events = Arc::new(AtomicUsize::new(0));
        let counted = events.clone();
        let source = Away { given, wakers, left: rounds };
        let handler = aem::on(source, move |()| {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        timeout(LIMIT, handler).await.expect("no wake is lost").expect("it ends");
        assert_eq!(events.load(Ordering::Relaxed), rounds);
        other.join().expect("a thread");
    });
}

#[test]
fn messages_of_four_threads_reach_a_handler_in_their_order() {
    watched(async |_| {
        let (sender, receiver) = mpsc::unbounded();
        let send = |thread: usize| {
            let sender = sender.clone();
            thread::spawn(move || {
                for number in 0..wakes_each() {
                    sender.unbounded_send((thread, number)).expect("the handler lives");
                }
            })
        };
        let threads: Vec<_> = (0..THREADS).map(send).collect();
        drop(sender);
        let mut next = [0; THREADS];
        let (done, end) = oneshot::channel();
        let mut done = Some(done);
        let handler = aem::on(receiver, move |(thread, number): (usize, usize)| {
            assert_eq!(number, next[thread], "in the order in which they were sent");
            next[thread] += 1;
            if next.iter().all(|number| *number == wakes_each())
                && let Some(done) = done.take()
            {
                let _ = done.send(());
            }
        });
        let ended = timeout(LIMIT, handler).await.expect("no message is lost").expect("no panic");
        assert_eq!(ended, aem::End::Exhausted);
        end.await.expect("all came");
        threads.into_iter().for_each(|thread| thread.join().expect("a thread"));
    });
}

/// Spawns from four threads, each awaited or dropped; all must run, once.
async fn spawn_storm(busy: bool) {
    let per_thread = scaled_count(50_000, 5_000);
    let (handle, ran) = (aem::Handle::current(), Arc::new(AtomicUsize::new(0)));
    let busy = Cell::new(busy);
    let noise = aem::spawn(async move {
        while busy.get() {
            aem::yield_now().await;
        }
    });
    let storm = |_| {
        let (handle, ran) = (handle.clone(), ran.clone());
        thread::spawn(move || {
            let mut last = None;
            for index in 0..per_thread {
                let count = ran.clone();
                let job = handle.spawn(async move { count.fetch_add(1, Ordering::Relaxed) });
                // Now and then slowly, so that the worker falls asleep between.
                if index % 1_000 == 0 {
                    thread::sleep(Duration::from_micros(200));
                }
                last = Some(job);
            }
            let last = last.expect("some were spawned");
            wait_for(last).expect("the last one ran");
        })
    };
    let threads: Vec<_> = (0..THREADS).map(storm).collect();
    let done = aem::spawn_blocking(move || {
        threads.into_iter().for_each(|thread| thread.join().expect("a thread"));
    });
    timeout(LIMIT, done).await.expect("no spawn is lost").expect("no panic");
    while ran.load(Ordering::Relaxed) < THREADS * per_thread {
        sleep(Duration::from_millis(1)).await;
    }
    noise.abort();
}

#[test]
fn a_storm_of_spawns_wakes_a_sleeping_worker() {
    watched(async |_| {
        timeout(LIMIT, spawn_storm(false)).await.expect("all ran");
    });
}

#[test]
fn a_storm_of_spawns_reaches_a_busy_worker() {
    watched(async |_| {
        timeout(LIMIT, spawn_storm(true)).await.expect("all ran");
    });
}

#[test]
fn what_spawn_with_makes_need_not_travel() {
    watched(async |_| {
        use std::rc::Rc;
        let handle = aem::Handle::current();
        let home = thread::current().id();
        let job = thread::spawn(move || {
            handle.spawn_with(move || {
                let local = Rc::new(thread::current().id());
                async move {
                    aem::yield_now().await;
                    *local
                }
            })
        });
        let job = job.join().expect("a thread");
        assert_eq!(job.await.expect("it ran"), home);
    });
}

#[test]
fn join_handles_are_awaited_on_other_threads_and_in_other_runtimes() {
    watched(async |_| {
        let rounds = scaled_count(2_000, 200);
        for round in 0..rounds {
            let (slow, quick) = (
                aem::spawn(async move {
                    aem::yield_now().await;
                    aem::yield_now().await;
                    round
                }),
                aem::spawn(async move { round + 1 }),
            );
            let waiter = thread::spawn(move || {
                let first = if round % 2 == 0 { wait_for(slow) } else { aem::block_on(slow) };
                let second = aem::block_on(async { aem::spawn(quick).await });
                (first.expect("it ran"), second.expect("it ran").expect("it ran"))
            });
            while !waiter.is_finished() {
                aem::yield_now().await;
            }
            assert_eq!(waiter.join().expect("a thread"), (round, round + 1));
        }
    });
}

#[test]
fn a_panic_is_heard_on_another_thread() {
    watched(async |_| {
        let job = aem::spawn(async { panic!("on purpose") });
        let waiter = thread::spawn(move || wait_for(job));
        while !waiter.is_finished() {
            sleep(Duration::from_millis(1)).await;
        }
        let result: Result<(), aem::JoinError> = waiter.join().expect("a thread");
        let panic = result.expect_err("it panicked").into_panic();
        assert_eq!(panic.downcast_ref(), Some(&"on purpose"));
    });
}

#[test]
fn jobs_are_aborted_from_other_threads() {
    watched(async |_| {
        struct OnHome(thread::ThreadId, Arc<AtomicU64>);
        impl Drop for OnHome {
            fn drop(&mut self) {
                assert_eq!(thread::current().id(), self.0, "dropped at home (HOME)");
                self.1.fetch_add(1, Ordering::Relaxed);
            }
        }
        let dropped = Arc::new(AtomicU64::new(0));
        let rounds = scaled_count(10_000, 1_000);
        let mut jobs = Vec::new();
        for _ in 0..rounds {
            let held = OnHome(thread::current().id(), dropped.clone());
            jobs.push(aem::spawn(async move {
                let _held = held;
                std::future::pending::<()>().await;
            }));
        }
        aem::yield_now().await;
        let aborter = thread::spawn(move || {
            for (index, job) in jobs.into_iter().enumerate() {
                match index % 3 {
                    0 => job.abort(),
                    1 => drop(job.abort_on_drop()),
                    _ => {
                        job.abort();
                        let result = wait_for(job);
                        assert!(result.expect_err("aborted").is_cancelled());
                    }
                }
            }
        });
        let all = async {
            while dropped.load(Ordering::Relaxed) < rounds as u64 {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(LIMIT, all).await.expect("all were aborted");
        aborter.join().expect("a thread");
    });
}

/// At most so many threads run closures; the number is the pool's own.
const BLOCKING_THREADS: usize = 64;

#[test]
fn a_thousand_blocking_closures_run_on_a_bounded_pool() {
    watched(async |_| {
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let closures = scaled_count(1_000, 1_000);
        let jobs: Vec<_> = (0..closures)
            .map(|index| {
                let (running, most) = (running.clone(), most.clone());
                aem::spawn_blocking(move || {
                    let now = running.fetch_add(1, Ordering::AcqRel) + 1;
                    most.fetch_max(now, Ordering::AcqRel);
                    thread::sleep(Duration::from_millis(2));
                    running.fetch_sub(1, Ordering::AcqRel);
                    index
                })
            })
            .collect();
        for (index, job) in jobs.into_iter().enumerate() {
            let result = timeout(LIMIT, job).await.expect("it runs").expect("no panic");
            assert_eq!(result, index);
        }
        let most = most.load(Ordering::Acquire);
        println!("{most} blocking closures at once");
        assert!((2..=BLOCKING_THREADS).contains(&most), "{most} at once");
    });
}

/// Closures that each wait for the one before: were they taken in any other order, all threads would
/// sooner or later wait for one that is still queued.
#[test]
fn blocking_closures_are_taken_in_the_order_of_arrival() {
    watched_outside(|_| {
        let runtime = aem::Runtime::new().expect("a runtime");
        let done = Arc::new(AtomicUsize::new(0));
        runtime.block_on(async {
            let jobs: Vec<_> = (0..1_000)
                .map(|index| {
                    let done = done.clone();
                    aem::spawn_blocking(move || {
                        while done.load(Ordering::Acquire) != index {
                            thread::sleep(Duration::from_micros(20));
                        }
                        done.store(index + 1, Ordering::Release);
                    })
                })
                .collect();
            for job in jobs {
                timeout(LIMIT, job).await.expect("in order").expect("no panic");
            }
        });
        assert_eq!(done.load(Ordering::Acquire), 1_000);
    });
}

#[test]
fn a_blocking_closure_that_has_not_begun_is_cancelled() {
    watched(async |_| {
        let gate = Arc::new(AtomicBool::new(false));
        let blockers: Vec<_> = (0..BLOCKING_THREADS)
            .map(|_| {
                let gate = gate.clone();
                aem::spawn_blocking(move || {
                    while !gate.load(Ordering::Acquire) {
                        thread::sleep(Duration::from_millis(1));
                    }
                })
            })
            .collect();
        let ran = Arc::new(AtomicBool::new(false));
        let flag = ran.clone();
        let late = aem::spawn_blocking(move || flag.store(true, Ordering::Release));
        late.abort();
        assert!(late.await.expect_err("cancelled").is_cancelled());
        gate.store(true, Ordering::Release);
        for blocker in blockers {
            blocker.await.expect("no panic");
        }
        // The queue is behind us: one more closure has gone through it.
        aem::spawn_blocking(|| ()).await.expect("no panic");
        assert!(!ran.load(Ordering::Acquire));
    });
}

#[test]
fn a_panic_of_a_blocking_closure_is_its_jobs_own() {
    watched(async |_| {
        let error = aem::spawn_blocking(|| panic!("in a closure")).await.expect_err("it panicked");
        assert_eq!(error.into_panic().downcast_ref(), Some(&"in a closure"));
        assert_eq!(aem::spawn_blocking(|| 7).await.expect("the pool works on"), 7);
    });
}
