//! Sleeps, timeouts and ticks on a real clock.

use std::cell::RefCell;
use std::future::{Future, pending, ready};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use futures::future::{FusedFuture, join_all};
use futures::stream::FusedStream;
use futures::{FutureExt, Stream, StreamExt};

use super::*;
use crate::runtime::{block_on, context, spawn};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A waker that counts what happens to it.
#[derive(Default)]
struct Counting(AtomicUsize);

impl Wake for Counting {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn sleep_is_never_early_and_soon_after() {
    block_on(async {
        for us in [0, 1, 15, 50, 999, 3_000, 20_000] {
            let before = Instant::now();
            sleep(Duration::from_micros(us)).await;
            let slept = before.elapsed();
            assert!(slept >= Duration::from_micros(us), "{slept:?} for {us} µs");
            assert!(slept < Duration::from_micros(us) + ms(500), "{slept:?} for {us} µs");
        }
    });
}

#[test]
fn sleep_until_the_past_ends() {
    block_on(async {
        sleep_until(now() - ms(5)).await;
        sleep_until(now()).await;
    });
}

#[test]
fn sleeps_end_in_the_order_of_their_deadlines() {
    block_on(async {
        let order = Rc::new(RefCell::new(Vec::new()));
        let start = now();
        let tasks = [9, 3, 7, 1, 5].map(|n| {
            let order = Rc::clone(&order);
            spawn(async move {
                sleep_until(start + ms(n)).await;
                order.borrow_mut().push(n);
            })
        });
        join_all(tasks).await;
        assert_eq!(*order.borrow(), [1, 3, 5, 7, 9]);
    });
}

#[test]
fn duration_max_is_never() {
    block_on(async {
        let mut never = sleep(Duration::MAX);
        assert_eq!(never.deadline(), None);
        assert!(timeout(ms(5), &mut never).await.is_err());
        assert_eq!(context::reactor().timers(), 0);
        assert!(timeout(Duration::MAX, ready(())).await.is_ok());
        assert!(timeout(ms(5), every(Duration::MAX).tick()).await.is_err());
        assert!(timeout(ms(5), after(Duration::MAX).next()).await.is_err());
    });
}

#[test]
fn dropped_sleep_leaves_no_timer() {
    block_on(async {
        let reactor = context::reactor();
        let counting = Arc::new(Counting::default());
        let waker = Waker::from(Arc::clone(&counting));
        let mut cx = Context::from_waker(&waker);
        for _ in 0..100 {
            let mut sleep = sleep(ms(1));
            assert_eq!(reactor.timers(), 0, "it registers when it is polled");
            assert!(sleep.poll_unpin(&mut cx).is_pending());
            assert!(sleep.poll_unpin(&mut cx).is_pending());
            assert_eq!(reactor.timers(), 1);
        }
        assert_eq!(reactor.timers(), 0);
        drop(waker);
        assert_eq!(Arc::strong_count(&counting), 1, "a waker is still held");
        sleep(ms(3)).await;
        assert_eq!(counting.0.load(Ordering::Relaxed), 0);
    });
}

#[test]
fn last_waker_is_the_one_that_is_woken() {
    block_on(async {
        let (first, last) = (Arc::new(Counting::default()), Arc::new(Counting::default()));
        let mut waiting = sleep(ms(2));
        for counting in [&first, &last] {
            let waker = Waker::from(Arc::clone(counting));
            assert!(waiting.poll_unpin(&mut Context::from_waker(&waker)).is_pending());
        }
        sleep(ms(4)).await;
        let woken = [first, last].map(|counting| counting.0.load(Ordering::Relaxed));
        assert_eq!(woken, [0, 1]);
        assert!(waiting.now_or_never().is_some());
    });
}

/// A waker's drop may do anything, even sleep anew: nothing is borrowed then (OUTSIDE).
#[test]
fn wakers_are_dropped_outside_of_the_wheel() {
    struct Meddling;
    impl Wake for Meddling {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Meddling {
        fn drop(&mut self) {
            let mut other = sleep(ms(1));
            let _ = other.poll_unpin(&mut Context::from_waker(Waker::noop()));
        }
    }
    block_on(async {
        let mut waiting = sleep(ms(50));
        for _ in 0..3 {
            let waker = Waker::from(Arc::new(Meddling));
            let _ = waiting.poll_unpin(&mut Context::from_waker(&waker));
        }
        drop(waiting);
        assert_eq!(context::reactor().timers(), 0);
    });
}

#[test]
fn sleep_can_begin_again() {
    block_on(async {
        let mut sleep = sleep(ms(1));
        assert!(!sleep.is_terminated());
        (&mut sleep).await;
        assert!(sleep.is_terminated());
        let before = Instant::now();
        sleep.reset_after(ms(3));
        assert!(!sleep.is_terminated());
        (&mut sleep).await;
        assert!(before.elapsed() >= ms(3));
        // Put off while it waits.
        sleep.reset_after(ms(2));
        assert!((&mut sleep).now_or_never().is_none());
        sleep.reset(now() + ms(6));
        let before = Instant::now();
        sleep.await;
        assert!(before.elapsed() >= ms(5));
    });
}

#[test]
fn sleep_moves_to_the_runtime_that_polls_it() {
    let mut moving = sleep(ms(3));
    block_on(async {
        assert!((&mut moving).now_or_never().is_none());
    });
    block_on(async {
        (&mut moving).await;
        assert_eq!(context::reactor().timers(), 0);
    });
}

#[test]
fn timeout_gives_what_was_in_time() {
    block_on(async {
        assert_eq!(timeout(Duration::ZERO, ready(7)).await, Ok(7));
        let elapsed = timeout(ms(2), pending::<()>()).await.unwrap_err();
        assert_eq!(io::Error::from(elapsed).kind(), io::ErrorKind::TimedOut);
        assert!(timeout(Duration::ZERO, pending::<()>()).await.is_err());
        assert_eq!(timeout(ms(1000), async { sleep(ms(1)).await }).await, Ok(()));
        assert_eq!(context::reactor().timers(), 0);
    });
}

#[test]
fn timeout_without_a_wait_costs_no_timer() {
    block_on(async {
        let mut polled = pin!(timeout(ms(100), pending::<()>()));
        assert_eq!(context::reactor().timers(), 0);
        assert!(polled.as_mut().now_or_never().is_none());
        assert_eq!(context::reactor().timers(), 1);
    });
}

#[test]
#[should_panic(expected = "period longer than zero")]
fn period_of_zero_panics() {
    block_on(async { drop(every(Duration::ZERO)) });
}

#[test]
fn after_gives_one_tick_and_ends() {
    block_on(async {
        let start = now();
        let mut once = after(ms(2));
        assert!(!once.is_terminated());
        let tick = once.next().await.unwrap();
        assert!(tick.scheduled >= start + ms(2));
        assert_eq!(tick.missed, 0);
        assert!(once.is_terminated());
        assert_eq!(once.next().await, None);
        assert_eq!(once.size_hint(), (0, Some(0)));
        assert!(timeout(ms(2), once.tick()).await.is_err());
    });
}

#[test]
fn ticks_do_not_drift() {
    block_on(async {
        let period = Duration::from_micros(500);
        let start = now();
        let mut ticks = every(period);
        let first = ticks.tick().await;
        assert!(first.scheduled >= start + period);
        let mut expected = first.scheduled + period * (first.missed as u32 + 1);
        for _ in 0..50 {
            let tick = ticks.tick().await;
            assert_eq!(tick.scheduled, expected);
            assert!(tick.scheduled + tick.late <= Instant::now());
            expected += period * (tick.missed as u32 + 1);
        }
    });
}

#[test]
fn missed_ticks_are_treated_as_asked() {
    block_on(async {
        for policy in [Missed::Skip, Missed::Burst, Missed::Delay] {
            let period = ms(4);
            let mut ticks = every(period).missed(policy);
            std::thread::sleep(ms(18));
            let first = ticks.tick().await;
            assert!(first.late >= ms(14));
            let taken = first.scheduled + first.late;
            let second = ticks.tick().await;
            match policy {
                Missed::Burst => {
                    assert_eq!(first.missed, 0);
                    assert_eq!(second.scheduled, first.scheduled + period);
                    assert!(second.late >= ms(10));
                }
                Missed::Skip => {
                    assert!(first.missed >= 3);
                    assert!(second.scheduled > taken);
                    let periods = first.missed as u32 + 1;
                    assert_eq!(second.scheduled, first.scheduled + period * periods);
                }
                Missed::Delay => {
                    assert!(first.missed >= 3);
                    assert_eq!(second.scheduled, taken + period);
                }
            }
        }
    });
}

#[test]
fn cancelled_tick_is_kept() {
    block_on(async {
        let mut ticks = every(ms(2));
        let dropped = ticks.tick().now_or_never();
        assert_eq!(dropped, None);
        sleep(ms(3)).await;
        let tick = ticks.tick().now_or_never().expect("a tick that came is there");
        assert!(tick.late >= ms(1) || tick.missed > 0);
    });
}

#[test]
fn now_is_there_without_a_runtime() {
    let before = Instant::now();
    assert!(now() >= before);
    let made_outside = sleep(ms(1));
    block_on(made_outside);
}

#[test]
fn polled_to_its_end_it_stays_there() {
    block_on(async {
        let mut sleep = sleep(ms(1));
        (&mut sleep).await;
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(sleep.poll_unpin(&mut cx), Poll::Ready(()));
        let _: &dyn Future<Output = ()> = &sleep;
    });
}
