//! The work that all contenders are given, written once.
//!
//! Where it says nothing else the work runs in a spawned task, as that is where peers are at their
//! best: some enter the kernel whenever their main future is woken.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::hint::{black_box, spin_loop};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, TryRecvError};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crate::contenders::{Runtime, wake_self};
use crate::meter::{Cost, Meter};

/// How many tasks the workloads of many have.
pub const TASKS: usize = 1000;

/// Runs `work` in a task.
pub(crate) fn in_a_task<R: Runtime, T: 'static>(
    work: impl Future<Output = T> + 'static,
) -> io::Result<T> {
    let cost = Rc::new(Cell::new(None));
    let slot = Rc::clone(&cost);
    R::block_on(async move {
        R::spawn(async move {
            slot.set(Some(work.await));
            0
        })
        .await;
    })?;
    Ok(cost.take().expect("the task has run"))
}

async fn spawn_and_await<R: Runtime>(count: usize) -> Cost {
    let meter = Meter::start();
    for number in 0..count as u64 {
        R::spawn(async move { black_box(number) }).await;
    }
    meter.stop(count)
}

/// Spawns a task and awaits it, one at a time.
pub fn spawn_one<R: Runtime>(count: usize) -> io::Result<Cost> {
    in_a_task::<R, _>(async move {
        spawn_and_await::<R>(count / 10).await;
        spawn_and_await::<R>(count).await
    })
}

/// The same from the main future.
pub fn spawn_one_from_main<R: Runtime>(count: usize) -> io::Result<Cost> {
    R::block_on(async move {
        spawn_and_await::<R>(count / 10).await;
        spawn_and_await::<R>(count).await
    })
}

/// Spawns [`TASKS`] tasks, then awaits them, `count` tasks in all.
pub fn spawn_many<R: Runtime>(count: usize) -> io::Result<Cost> {
    in_a_task::<R, _>(async move {
        let mut handles = Vec::with_capacity(TASKS);
        let mut cost = Cost::default();
        let batches = (count / TASKS).max(1);
        // The first batch warms up.
        for batch in 0..=batches {
            let meter = Meter::start();
            for number in 0..TASKS as u64 {
                handles.push(R::spawn(async move { black_box(number) }));
            }
            for handle in handles.drain(..) {
                handle.await;
            }
            let one = meter.stop(TASKS * batches);
            if batch > 0 {
                cost.nanos += one.nanos;
                cost.allocations += one.allocations;
                cost.bytes += one.bytes;
            }
        }
        cost
    })
}

/// [`TASKS`] tasks that give way, `count` times in all, in the contender's own way.
pub fn yield_own<R: Runtime>(count: usize) -> io::Result<Cost> {
    yield_many::<R, _>(count, R::yield_now)
}

/// The same by waking themselves.
pub fn yield_by_waking<R: Runtime>(count: usize) -> io::Result<Cost> {
    yield_many::<R, _>(count, wake_self)
}

fn yield_many<R: Runtime, Y: Future<Output = ()>>(
    count: usize,
    give_way: impl Fn() -> Y + Copy + 'static,
) -> io::Result<Cost> {
    let each = (count / TASKS).max(1);
    in_a_task::<R, _>(async move {
        let spawn = |_| {
            R::spawn(async move {
                for _ in 0..each {
                    give_way().await;
                }
                0
            })
        };
        let handles: Vec<_> = (0..TASKS).map(spawn).collect();
        let meter = Meter::start();
        for handle in handles {
            handle.await;
        }
        meter.stop(TASKS * each)
    })
}

/// A ball and two players.
#[derive(Default)]
struct Table {
    turn: Cell<usize>,
    waiting: [Cell<Option<Waker>>; 2],
}

impl Table {
    async fn turn(&self, player: usize) {
        poll_fn(|context| {
            if self.turn.get() == player {
                return Poll::Ready(());
            }
            self.waiting[player].set(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    fn pass(&self, player: usize) {
        self.turn.set(player);
        if let Some(waker) = self.waiting[player].take() {
            waker.wake();
        }
    }
}

/// Two tasks that wake each other in turn: a waker cloned, woken, and the switch.
pub fn wake_and_switch<R: Runtime>(count: usize) -> io::Result<Cost> {
    in_a_task::<R, _>(async move {
        let table = Rc::new(Table::default());
        let play = |player: usize| {
            let table = Rc::clone(&table);
            R::spawn(async move {
                for _ in 0..count / 2 {
                    table.turn(player).await;
                    table.pass(1 - player);
                }
                0
            })
        };
        let players = [play(0), play(1)];
        let meter = Meter::start();
        for player in players {
            player.await;
        }
        meter.stop(count / 2 * 2)
    })
}

/// How long a worker is busy at most. Some senders wait for it when its queue is full: compio's turn
/// round until there is a place, which their figure then shows.
const BUSY: Duration = Duration::from_millis(200);

/// A task that counts its runs until it is told to end. Its waker comes out at its first run.
async fn count_runs(
    wakers: Rc<RefCell<Vec<Waker>>>,
    runs: Arc<AtomicUsize>,
    ends: Rc<Cell<bool>>,
) -> u64 {
    let mut is_known = false;
    poll_fn(|context| {
        if !is_known {
            is_known = true;
            wakers.borrow_mut().push(context.waker().clone());
        } else {
            runs.fetch_add(1, Ordering::Relaxed);
        }
        if ends.get() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    0
}

/// Runs `send` on another thread with the wakers of `tasks` counting tasks, and gives what it cost
/// there. `meanwhile` is what the worker's own task does between two looks at whether it is done.
async fn from_afar<R: Runtime>(
    tasks: usize,
    send: impl FnOnce(&[Waker], &AtomicUsize) -> Cost + Send + 'static,
    is_busy: bool,
) -> Cost {
    let wakers = Rc::new(RefCell::new(Vec::new()));
    let runs = Arc::new(AtomicUsize::new(0));
    let ends = Rc::new(Cell::new(false));
    let spawn = |_| R::spawn(count_runs(Rc::clone(&wakers), Arc::clone(&runs), Rc::clone(&ends)));
    let handles: Vec<_> = (0..tasks).map(spawn).collect();
    while wakers.borrow().len() < tasks {
        wake_self().await;
    }
    let (own, counted) = (wakers.borrow().clone(), Arc::clone(&runs));
    let (done, result) = mpsc::channel();
    let driver = poll_fn(|context| Poll::Ready(context.waker().clone())).await;
    let sender = thread::spawn(move || {
        let cost = send(&own, &counted);
        done.send(cost).expect("the worker waits");
        driver.wake();
    });
    let start = Instant::now();
    while is_busy && !sender.is_finished() && start.elapsed() < BUSY {
        spin_loop();
    }
    let cost = poll_fn(|_| match result.try_recv() {
        Err(TryRecvError::Empty) => Poll::Pending,
        cost => Poll::Ready(cost),
    });
    let cost = cost.await;
    sender.join().expect("the sender ends");
    let cost = cost.expect("the sender has sent");
    ends.set(true);
    wakers.borrow().iter().for_each(Waker::wake_by_ref);
    for handle in handles {
        handle.await;
    }
    cost
}

/// What it costs another thread to wake [`TASKS`] tasks, each once, while the worker is busy.
pub fn wake_busy_worker<R: Runtime>(_count: usize) -> io::Result<Cost> {
    in_a_task::<R, _>(from_afar::<R>(
        TASKS,
        |wakers, _| {
            let meter = Meter::start();
            wakers.iter().for_each(Waker::wake_by_ref);
            meter.stop(wakers.len())
        },
        true,
    ))
}

/// What it costs another thread to wake one task again and again, while the worker runs it.
pub fn wake_again<R: Runtime>(count: usize) -> io::Result<Cost> {
    in_a_task::<R, _>(from_afar::<R>(
        1,
        move |wakers, _| {
            let meter = Meter::start();
            (0..count).for_each(|_| wakers[0].wake_by_ref());
            meter.stop(count)
        },
        false,
    ))
}

/// What it costs another thread to wake a task of a worker that sleeps: the median of single wakes,
/// by the wall clock.
pub fn wake_sleeping_worker<R: Runtime>(count: usize) -> io::Result<Cost> {
    /// Long enough for a worker to fall asleep after it has run the task.
    const SETTLE: Duration = Duration::from_micros(60);
    /// Then the task did not run, and the round is void.
    const LOST: Duration = Duration::from_secs(2);
    in_a_task::<R, _>(from_afar::<R>(
        1,
        move |wakers, runs| {
            let mut costs = Vec::with_capacity(count);
            for _ in 0..count {
                let before = runs.load(Ordering::Relaxed);
                let start = Instant::now();
                wakers[0].wake_by_ref();
                costs.push(start.elapsed().as_nanos() as f64);
                while runs.load(Ordering::Relaxed) == before {
                    assert!(start.elapsed() < LOST, "a wake was lost");
                    spin_loop();
                }
                thread::sleep(SETTLE);
            }
            Cost { nanos: crate::rounds::quartiles(&costs)[1], ..Cost::default() }
        },
        false,
    ))
}
