//! A panic ends its job only: wherever it comes from, whoever holds the job, the others run on.
//!
//! Each test lets something panic in the middle of other work and then asks the same runtime for more
//! ([`others_run_on`]). Who reads the result gets the panic; if nobody does, it is counted and becomes one
//! line on stderr, which child processes show. The policies are tried in children too.

#[path = "panics/policies.rs"]
mod policies;

use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use aem::{End, JoinHandle, Scope, on, on_async, on_each, spawn, spawn_blocking, yield_now};
use aem_tests::watch::{Tracked, Watch, watched};
use futures::channel::mpsc;
use futures::{FutureExt, Stream, StreamExt, stream};

async fn settle() {
    for _ in 0..8 {
        yield_now().await;
    }
}

/// Panics when it is dropped.
struct Bomb(#[expect(dead_code, reason = "its drop is counted")] Tracked);

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("a destructor that panics, as is meant");
        }
    }
}

/// What a panic said, if it was one of ours.
fn text(panic: Box<dyn std::any::Any + Send>) -> String {
    let text = panic.downcast::<&str>().map(|text| text.to_string());
    text.unwrap_or_else(|panic| panic.downcast::<String>().map_or_else(|_| "?".into(), |t| *t))
}

/// Runs a test beside work that must not notice, and asks for more work afterwards.
fn others_run_on(panics: u64, test: impl AsyncFnOnce(Watch)) {
    watched(async |watch| {
        let (sender, receiver) = mpsc::unbounded::<u32>();
        let beside = on(receiver, |_| ());
        let (task, ticks) = (spawn(settle()), aem::time::every(Duration::from_micros(100)));
        let ticking = on(ticks, |_| ());
        test(watch).await;
        settle().await;
        // They are attended to between two turns; those of other threads come when they come.
        let deadline = aem::time::now() + Duration::from_secs(10);
        aem::time::sleep(Duration::from_micros(10)).await;
        while aem::metrics().panics < panics && aem::time::now() < deadline {
            aem::time::sleep(Duration::from_micros(100)).await;
        }
        assert_eq!(aem::metrics().panics, panics, "panics that nobody read");
        sender.unbounded_send(1).unwrap();
        settle().await;
        assert!(!beside.is_ended() && !ticking.is_ended());
        drop(sender);
        assert_eq!(beside.await.unwrap(), End::Exhausted);
        task.await.unwrap();
        aem::time::sleep(Duration::from_micros(10)).await;
        assert_eq!(spawn_blocking(|| 7).await.unwrap(), 7);
        drop(ticking);
    });
}

/// A task, joined: the result is the panic; detached: it is counted.
fn joined_and_detached<T: 'static>(make: impl Fn(&Watch) -> JoinHandle<T>, says: &str) {
    others_run_on(0, async |watch| {
        let error = make(&watch).await.err().expect("it panicked");
        assert!(error.is_panic() && !error.is_cancelled());
        assert_eq!(text(error.into_panic()), says);
    });
    others_run_on(1, async |watch| {
        drop(make(&watch));
        settle().await;
        aem::time::sleep(Duration::from_millis(1)).await;
    });
    // Dropped unread after the end is the same as detached.
    others_run_on(1, async |watch| {
        let handle = make(&watch);
        while !handle.is_finished() {
            aem::time::sleep(Duration::from_micros(50)).await;
        }
        drop(handle);
    });
}

#[test]
fn in_a_poll() {
    joined_and_detached(
        |watch| {
            let token = watch.tracked();
            spawn(async move {
                let _token = token;
                yield_now().await;
                panic!("in a poll");
            })
        },
        "in a poll",
    );
}

#[test]
fn in_the_destructor_of_a_future_that_is_done() {
    joined_and_detached(
        |watch| {
            let bomb = Bomb(watch.tracked());
            let mut polls = 0;
            spawn(poll_fn(move |context| {
                let _ = &bomb;
                polls += 1;
                context.waker().wake_by_ref();
                if polls == 2 { Poll::Ready(3) } else { Poll::Pending }
            }))
        },
        "a destructor that panics, as is meant",
    );
}

#[test]
fn in_the_destructor_of_a_future_that_is_aborted() {
    joined_and_detached(
        |watch| {
            let bomb = Bomb(watch.tracked());
            let handle = spawn(async move {
                let _bomb = bomb;
                pending::<()>().await;
            });
            handle.abort();
            handle
        },
        "a destructor that panics, as is meant",
    );
}

#[test]
fn in_the_destructor_of_an_output() {
    // Joined, the output is the reader's, and so is the panic of its drop.
    others_run_on(0, async |watch| {
        let bomb = Bomb(watch.tracked());
        let output = spawn(async move { bomb }).await.unwrap();
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(output))).is_err());
    });
    // Detached before it is done, and dropped with the handle afterwards.
    for early in [true, false] {
        others_run_on(1, async |watch| {
            let bomb = Bomb(watch.tracked());
            let handle = spawn(async move { bomb });
            if !early {
                settle().await;
                assert!(handle.is_finished());
            }
            drop(handle);
        });
    }
    // Done before it was aborted.
    others_run_on(1, async |watch| {
        let bomb = Bomb(watch.tracked());
        let handle = spawn(async move { bomb }).abort_on_drop();
        settle().await;
        drop(handle);
    });
}

#[test]
fn in_a_handler() {
    others_run_on(1, async |watch| {
        let numbers = || stream::iter(0..5);
        let token = watch.tracked();
        let plain = on(numbers(), move |number| {
            let _ = &token;
            assert!(number < 2, "in a handler");
        });
        let token = watch.tracked();
        let one = on_async(numbers(), async move |number| {
            let _ = &token;
            yield_now().await;
            assert!(number < 2, "in a handler");
        });
        for registration in [plain, one] {
            let error = registration.await.unwrap_err();
            assert!(error.is_panic());
            assert_eq!(text(error.into_panic()), "in a handler");
        }
        assert_eq!(watch.live(), 0);
        // The task of an event: reported, and the others of the same cloner go on.
        let token = watch.tracked();
        let each = on_each(numbers(), 2, async move |number| {
            let _ = &token;
            assert!(number != 2, "in the task of an event");
        });
        assert_eq!(each.await.unwrap(), End::Exhausted);
    });
}

#[test]
fn in_a_timer_handler() {
    others_run_on(0, async |_| {
        let after = on(aem::time::after(Duration::from_micros(10)), |_| panic!("in a timer"));
        let mut count = 0;
        let every = on(aem::time::every(Duration::from_micros(10)), move |_| {
            count += 1;
            assert!(count < 3, "in a timer");
        });
        assert_eq!(text(after.await.unwrap_err().into_panic()), "in a timer");
        assert_eq!(text(every.await.unwrap_err().into_panic()), "in a timer");
    });
}

#[test]
fn of_a_detached_handler_it_is_an_error_of_the_handler() {
    others_run_on(2, async |_| {
        on(stream::iter(0..1), |_| panic!("in a detached handler")).detach();
        let dropped = on(stream::iter(0..1), |_| panic!("in one that is dropped unread"));
        settle().await;
        drop(dropped);
        assert_eq!(aem::metrics().handler_errors, 2);
    });
}

#[test]
fn in_the_destructor_of_a_handler_or_of_its_event() {
    // Ended by its source, by stop, by its drop, by replacement, by its own panic.
    others_run_on(5, async |watch| {
        let make = |count: i32| {
            let bomb = Bomb(watch.tracked());
            on(stream::iter(0..count).chain(stream::pending()), move |_| {
                let _ = &bomb;
            })
        };
        let bomb = Bomb(watch.tracked());
        let ended = on(stream::iter(0..2), move |_| {
            let _ = &bomb;
        });
        assert_eq!(ended.await.unwrap(), End::Exhausted);
        let stopped = make(2);
        stopped.stop();
        assert_eq!(stopped.await.unwrap(), End::Stopped);
        let replaced = make(2);
        settle().await;
        assert!(replaced.replace(|_| ()));
        drop(replaced);
        let dropped = make(2);
        settle().await;
        drop(dropped);
        let bomb = Bomb(watch.tracked());
        let panicked = on(stream::iter(0..2), move |_| {
            let _ = &bomb;
            panic!("in the handler");
        });
        assert_eq!(text(panicked.await.unwrap_err().into_panic()), "in the handler");
    });
    others_run_on(2, async |watch| {
        // An event in progress, of an async handler and of a cloner.
        let tracker = watch.clone();
        let one = on_async(stream::iter(0..2), async move |_| {
            let _bomb = Bomb(tracker.tracked());
            pending::<()>().await;
        });
        let tracker = watch.clone();
        let each = on_each(stream::iter(0..1), 2, async move |_| {
            let _bomb = Bomb(tracker.tracked());
            pending::<()>().await;
        });
        settle().await;
        one.stop();
        each.stop();
        assert_eq!(watch.live(), 0);
    });
}

#[test]
fn in_on_end() {
    others_run_on(2, async |_| {
        let registration = on(stream::iter(0..1), |_| ()).on_end(|_| panic!("in on_end"));
        assert_eq!(registration.await.unwrap(), End::Exhausted, "the result is another matter");
        let ended = on(stream::iter(0..1), |_| ());
        settle().await;
        let ended = ended.on_end(|_| panic!("in on_end, called late"));
        assert_eq!(ended.await.unwrap(), End::Exhausted);
    });
}

#[test]
fn in_a_source() {
    struct Broken(u32, #[expect(dead_code, reason = "its drop panics")] Option<Bomb>);
    impl Stream for Broken {
        type Item = u32;
        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u32>> {
            self.0 += 1;
            assert!(self.0 < 3, "in poll_next");
            Poll::Ready(Some(self.0))
        }
    }
    others_run_on(0, async |_| {
        let seen = on(Broken(0, None), |number| assert!(number < 3)).await.unwrap_err();
        assert_eq!(text(seen.into_panic()), "in poll_next");
        let ready = on_async(Broken(0, None), async |_| ()).await.unwrap_err();
        assert_eq!(text(ready.into_panic()), "in poll_next");
        let each = on_each(Broken(0, None), 1, async |_| ()).await.unwrap_err();
        assert_eq!(text(each.into_panic()), "in poll_next");
    });
    // And in its destructor: of one that is dropped, of one that is detached and ends.
    others_run_on(2, async |watch| {
        let source = Broken(0, Some(Bomb(watch.tracked())));
        drop(on(source, |_| ()).paused());
        let source = Broken(0, Some(Bomb(watch.tracked())));
        on(source, |_| aem::Next::Stop).detach();
        settle().await;
        assert_eq!(watch.live(), 0);
    });
}

#[test]
fn in_the_text_or_the_destructor_of_an_error() {
    #[derive(Debug)]
    struct Mute(bool);
    impl std::fmt::Display for Mute {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            assert!(self.0, "in the text of an error");
            f.write_str("an error whose destructor panics")
        }
    }
    impl std::error::Error for Mute {}
    impl Drop for Mute {
        fn drop(&mut self) {
            assert!(!self.0 || std::thread::panicking(), "in the destructor of an error");
        }
    }
    let fail = |speaks| move |_| Err::<(), _>(Mute(speaks));
    let fail_all = async |speaks| {
        on(stream::iter(0..1), fail(speaks)).detach();
        settle().await;
        let unread = on(stream::iter(0..1), fail(speaks));
        settle().await;
        drop(unread);
        let each = on_each(stream::iter(0..1), 1, async move |_| Err::<(), _>(Mute(speaks)));
        assert_eq!(each.await.unwrap(), End::Exhausted);
    };
    others_run_on(3, async |_| fail_all(true).await);
    watched(async |_| {
        fail_all(false).await;
        // A text is asked for only while the limit on lines lets it through.
        assert!(aem::metrics().panics <= 3);
    });
}

#[test]
fn in_a_blocking_closure() {
    joined_and_detached(|_| spawn_blocking(|| -> u8 { panic!("in a closure") }), "in a closure");
    // One that was cancelled before it began is dropped, wherever; its destructor may panic.
    others_run_on(0, async |watch| {
        let token = watch.traveller();
        let handle = spawn_blocking(move || drop(token));
        handle.abort();
        let _ = handle.await;
    });
}

/// A waker of somebody else's, with a bad day.
struct Foreign {
    woken: AtomicBool,
}

impl Wake for Foreign {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        panic!("in a foreign waker");
    }
}

fn foreign() -> (Arc<Foreign>, Waker) {
    let foreign = Arc::new(Foreign { woken: AtomicBool::new(false) });
    (foreign.clone(), Waker::from(foreign))
}

#[test]
fn in_a_foreign_waker() {
    // Of whoever waits for a task, and for a handler.
    others_run_on(2, async |_| {
        let (seen, waker) = foreign();
        let mut task = spawn(settle());
        assert!(task.poll_unpin(&mut Context::from_waker(&waker)).is_pending());
        let mut handler = on(aem::time::after(Duration::from_micros(10)), |_| ());
        assert!(handler.poll_unpin(&mut Context::from_waker(&waker)).is_pending());
        while !(task.is_finished() && handler.is_ended()) {
            aem::time::sleep(Duration::from_micros(50)).await;
        }
        assert!(seen.woken.load(Ordering::SeqCst));
        task.await.unwrap();
        handler.await.unwrap();
    });
    // Of whoever waits for a scope: the others are told all the same.
    others_run_on(2, async |_| {
        let scope = Rc::new(Scope::new());
        let member = scope.spawn(pending::<()>());
        let (seen, waker) = foreign();
        let handle = scope.handle();
        let (mut idle, mut closing) = (pin!(scope.idle()), pin!(handle.closing()));
        assert!(idle.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert!(closing.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let (after, asked) = (scope.clone(), scope.handle());
        let told = spawn(async move {
            asked.closing().await;
            after.idle().await;
        });
        settle().await;
        let closer = scope.clone();
        let closed = spawn(async move { closer.close(Duration::from_secs(10)).await });
        settle().await;
        member.abort();
        told.await.unwrap();
        assert_eq!(closed.await.unwrap().ended, 1);
        assert!(seen.woken.load(Ordering::SeqCst));
    });
}

#[test]
fn in_a_foreign_waker_of_a_timer_the_other_timers_go_off() {
    watched(async |_| {
        let (seen, waker) = foreign();
        let deadline = aem::time::now() + Duration::from_millis(1);
        let mut first = pin!(aem::time::sleep_until(deadline));
        assert!(first.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let others: Vec<_> = (0..100).map(|_| spawn(aem::time::sleep_until(deadline))).collect();
        for other in others {
            other.await.unwrap();
        }
        assert!(seen.woken.load(Ordering::SeqCst));
        first.await;
    });
}

#[test]
fn a_second_panic_while_the_first_unwinds_is_kept_in() {
    // A handler panics, its destructor panics, the source's destructor panics, `on_end` panics.
    struct Source(#[expect(dead_code, reason = "its drop panics")] Bomb);
    impl Stream for Source {
        type Item = ();
        fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<()>> {
            Poll::Ready(Some(()))
        }
    }
    others_run_on(3, async |watch| {
        let (bomb, source) = (Bomb(watch.tracked()), Source(Bomb(watch.tracked())));
        let registration = on(source, move |()| {
            let _ = &bomb;
            panic!("the first");
        });
        let registration = registration.on_end(|_| panic!("in on_end"));
        let error = registration.await.unwrap_err();
        assert_eq!(text(error.into_panic()), "the first");
        assert_eq!(watch.live(), 0);
    });
}
