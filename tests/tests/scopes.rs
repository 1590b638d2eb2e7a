//! Each promise of `Scope` and `ScopeHandle`, in a test of its own.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use aem::{CloseReport, End, Scope, on, on_async, spawn, yield_now};
use aem_tests::watch::{keep, watched, watched_outside};
use futures::channel::mpsc;
use futures::{FutureExt, StreamExt, stream};

/// Long for a test; nothing in here waits for so long unless it fails.
const LONG: Duration = Duration::from_secs(20);

async fn settle() {
    for _ in 0..8 {
        yield_now().await;
    }
}

#[test]
fn ten_thousand_are_stopped_by_one_word() {
    const MEMBERS: usize = 10_000;
    watched(async |watch| {
        let scope = Scope::new();
        let mut senders = Vec::new();
        let ends = Rc::new(Cell::new(0));
        for number in 0..MEMBERS {
            let (sender, receiver) = mpsc::unbounded::<u32>();
            let (token, count) = (watch.tracked(), ends.clone());
            let handler = move |_| keep(&token);
            scope.add(on(receiver, handler).on_end(move |end| {
                assert_eq!(*end.as_ref().unwrap(), End::Stopped);
                count.set(count.get() + 1);
            }));
            if number % 2 == 0 {
                sender.unbounded_send(1).unwrap();
            }
            senders.push(sender);
        }
        assert_eq!(scope.len(), MEMBERS);
        yield_now().await;
        assert_eq!(watch.live(), MEMBERS as isize);
        scope.stop();
        assert_eq!((watch.live(), scope.len()), (0, 0), "before it returns");
        assert!(senders.iter().all(mpsc::UnboundedSender::is_closed));
        settle().await;
        assert_eq!(ends.get(), MEMBERS);
        // And it can be used again.
        scope.on(stream::iter(0..3), |_| ());
        scope.idle().await;
    });
}

#[test]
fn a_dropped_scope_stops_all() {
    watched(async |watch| {
        let scope = Scope::new();
        let (first, second, third) = (watch.tracked(), watch.tracked(), watch.tracked());
        let control = scope.on(stream::pending::<()>(), move |()| keep(&first));
        scope.on_async(stream::repeat(()), async move |()| {
            let _ = &second;
            pending::<()>().await;
        });
        let task = scope.spawn(async move {
            let _third = third;
            pending::<()>().await;
        });
        settle().await;
        assert_eq!((watch.live(), scope.len()), (3, 3));
        drop(scope);
        assert_eq!(watch.live(), 1, "handlers at once, the task at its next turn");
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(watch.live(), 0);
        assert!(control.is_ended());
    });
}

#[test]
fn members_leave_when_they_end() {
    watched(async |_| {
        let scope = Scope::new();
        assert!(scope.is_empty());
        scope.on(stream::iter(0..3), |_| ());
        scope.on_async(stream::iter(0..3), async |_| yield_now().await);
        scope.add(on(stream::iter(0..3), |_| Err::<(), _>("not a matter of the scope")));
        scope.spawn(async { panic!("not a matter of the scope either") });
        // Dropping the handle leaves the task in the scope.
        drop(scope.spawn(settle()));
        let kept = scope.spawn(async { 7 });
        assert_eq!(scope.len(), 6);
        scope.idle().await;
        assert!(scope.is_empty());
        assert_eq!(kept.await.unwrap(), 7);
        // One that has ended before it is added does not stay.
        let ended = on(stream::iter(0..1), |_| ());
        settle().await;
        assert!(scope.add(ended).is_ended());
        assert!(scope.is_empty());
    });
}

#[test]
fn the_scope_s_pause_and_its_member_s_both_hold() {
    watched(async |_| {
        let scope = Scope::new();
        let count = Rc::new(Cell::new(0));
        let (sender, receiver) = mpsc::unbounded::<u32>();
        let counter = count.clone();
        let control = scope.on(receiver, move |_| counter.set(counter.get() + 1));
        settle().await;
        scope.pause();
        control.pause();
        sender.unbounded_send(1).unwrap();
        for resumed in ["neither", "member"] {
            if resumed == "member" {
                control.resume();
            }
            settle().await;
            assert_eq!(count.get(), 0, "{resumed}");
        }
        control.pause();
        scope.resume();
        settle().await;
        assert_eq!(count.get(), 0, "its own pause holds");
        control.resume();
        settle().await;
        assert_eq!(count.get(), 1);
        // Who comes into a paused scope is paused; its tasks are not.
        scope.pause();
        let counter = count.clone();
        scope.on(stream::iter(0..1), move |_| counter.set(counter.get() + 10));
        assert_eq!(scope.spawn(async { 3 }).await.unwrap(), 3);
        settle().await;
        assert_eq!(count.get(), 1);
        scope.resume();
        settle().await;
        assert_eq!(count.get(), 11);
        scope.stop();
    });
}

#[test]
fn close_asks_waits_and_reports() {
    watched(async |_| {
        let scope = Scope::new();
        let handle = scope.handle();
        let closing = handle.closing();
        let task = scope.spawn(async move {
            closing.await;
            settle().await;
            "heard"
        });
        let done = Rc::new(Cell::new(0));
        let count = done.clone();
        let busy = scope.on_async(stream::iter(0..100), async move |_| {
            settle().await;
            count.set(count.get() + 1);
        });
        let waiting = scope.on(stream::pending::<()>(), |()| ());
        let paused = scope.add(on(stream::iter(0..3), |_| panic!("it is paused")).paused());
        yield_now().await;
        yield_now().await;
        let report = scope.close(LONG).await;
        assert_eq!(report, CloseReport { ended: 4, cancelled: Vec::new() });
        assert_eq!(task.await.unwrap(), "heard");
        assert_eq!(done.get(), 1, "its event ended, and it took no more");
        assert!(busy.is_ended() && waiting.is_ended() && paused.is_ended());
    });
}

#[test]
fn close_names_those_that_did_not_end_in_time() {
    watched(async |watch| {
        let scope = Scope::new();
        let (deaf, slow) = (watch.tracked(), watch.tracked());
        let task_line = line!() + 1;
        let task = scope.spawn(async move {
            let _deaf = deaf;
            pending::<()>().await;
        });
        let slow = on_async(stream::iter(0..3), async move |_| {
            let _ = &slow;
            pending::<()>().await;
        });
        scope.add(slow.name("slow"));
        scope.on(stream::pending::<()>(), |()| ());
        settle().await;
        let started = Instant::now();
        let limit = Duration::from_millis(20);
        let report = scope.close(limit).await;
        assert!(started.elapsed() >= limit);
        assert_eq!(report.ended, 1);
        assert_eq!(report.cancelled.len(), 2, "{report:?}");
        assert!(report.cancelled[0].starts_with(&format!("{}:{task_line}", file!())), "{report:?}");
        assert_eq!(report.cancelled[1], "slow");
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(watch.live(), 0);
        assert!(scope.is_empty());
    });
}

#[test]
fn the_youngest_is_stopped_first() {
    watched(async |_| {
        struct Noted(u32, Rc<RefCell<Vec<u32>>>);
        impl Drop for Noted {
            fn drop(&mut self) {
                self.1.borrow_mut().push(self.0);
            }
        }
        let order = Rc::new(RefCell::new(Vec::new()));
        let writer = order.clone();
        let fill = move |scope: &Scope| {
            for number in 0..4 {
                let noted = Noted(number, writer.clone());
                if number % 2 == 0 {
                    scope.on(stream::pending::<()>(), move |()| keep(&noted));
                } else {
                    scope.spawn(async move {
                        let _noted = noted;
                        pending::<()>().await;
                    });
                }
            }
        };
        let scope = Scope::new();
        fill(&scope);
        settle().await;
        scope.stop();
        assert_eq!(order.take(), [2, 0], "handlers at once");
        settle().await;
        assert_eq!(order.take(), [3, 1], "tasks in their next runs");
        // One scope may be a member's own: it ends with the member.
        let outer = Scope::new();
        outer.spawn(async move {
            fill(&scope);
            pending::<()>().await;
        });
        settle().await;
        drop(outer);
        settle().await;
        assert_eq!(order.take(), [2, 0, 3, 1]);
    });
}

#[test]
fn every_way_to_register_is_there_in_a_scope() {
    watched(async |_| {
        let scope = Scope::new();
        let count = Rc::new(Cell::new(0));
        let (ok, each) = (count.clone(), count.clone());
        let source = stream::iter([Ok(1), Ok(2), Err("the end"), Ok(4)]);
        scope.on_ok(source, move |number: i32| ok.set(ok.get() + number));
        scope.on_each(stream::iter([10, 20]), 2, async move |number| {
            yield_now().await;
            each.set(each.get() + number);
        });
        scope.idle().await;
        assert_eq!(count.get(), 33);
    });
}

#[test]
fn close_with_no_time_at_all_still_lets_the_ready_ones_go() {
    watched(async |_| {
        let scope = Scope::new();
        assert_eq!(scope.close(Duration::ZERO).await, CloseReport::default());
        let scope = Scope::new();
        scope.on(stream::pending::<()>(), |()| ());
        let report = scope.close(Duration::MAX).await;
        assert_eq!((report.ended, report.cancelled.len()), (1, 0));
    });
}

#[test]
fn nobody_is_let_into_a_scope_that_closes() {
    watched(async |watch| {
        let scope = Scope::new();
        let handle = scope.handle();
        scope.close(LONG).await;
        let (first, second, third) = (watch.tracked(), watch.tracked(), watch.tracked());
        let controls = [
            scope.on(stream::iter(0..3), move |_| panic!("{first:?} was called")),
            handle.on(stream::iter(0..3), move |_| panic!("{second:?} was called")),
        ];
        let task = scope.spawn(async move { panic!("{third:?} was polled") });
        assert!(scope.is_empty());
        assert!(task.await.unwrap_err().is_cancelled());
        settle().await;
        assert!(controls.iter().all(aem::Control::is_ended));
        assert_eq!(watch.live(), 0);
    });
}

#[test]
fn a_close_that_is_given_up_leaves_the_members_in() {
    watched(async |_| {
        let scope = Scope::new();
        let handle = scope.handle();
        let task = scope.spawn(pending::<()>());
        let mut closing = handle.closing();
        settle().await;
        assert!((&mut closing).now_or_never().is_none());
        assert!(aem::time::timeout(Duration::from_millis(1), scope.close(LONG)).await.is_err());
        closing.await;
        assert_eq!(scope.len(), 1);
        assert!(!task.is_finished());
        let report = scope.close(Duration::from_millis(1)).await;
        assert_eq!((report.ended, report.cancelled.len()), (0, 1));
    });
}

#[test]
fn a_handle_of_a_scope_that_is_gone_stops_at_once() {
    watched(async |watch| {
        let handle = Scope::new().handle();
        let (first, second) = (watch.tracked(), watch.tracked());
        let control = handle.on(stream::iter(0..3), move |_| panic!("{first:?} was called"));
        let added = handle.clone().add(on(stream::iter(0..3), |_| panic!("it was called")));
        let task = handle.spawn(async move { panic!("{second:?} was polled") });
        assert!(task.await.unwrap_err().is_cancelled());
        handle.closing().await;
        settle().await;
        assert!(control.is_ended() && added.is_ended());
        assert_eq!(watch.live(), 0);
    });
}

#[test]
fn a_handle_does_not_keep_its_scope() {
    watched(async |watch| {
        let scope = Scope::new();
        let (handle, token) = (scope.handle(), watch.tracked());
        handle.on(stream::pending::<()>(), move |()| keep(&token));
        assert_eq!(scope.len(), 1);
        let waits = spawn(handle.closing());
        settle().await;
        assert!(!waits.is_finished());
        drop(scope);
        assert_eq!(watch.live(), 0);
        waits.await.unwrap();
    });
}

/// A waker that counts, and whose references can be counted.
#[derive(Default)]
struct Counting(std::sync::atomic::AtomicUsize);

impl Wake for Counting {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

#[test]
fn futures_that_are_dropped_leave_no_waker_behind() {
    watched(async |_| {
        let scope = Scope::new();
        let _member = scope.spawn(pending::<()>());
        let handle = scope.handle();
        let counting = Arc::new(Counting::default());
        let waker = Waker::from(counting.clone());
        for _ in 0..100 {
            let (mut idle, mut closing) = (pin!(scope.idle()), pin!(handle.closing()));
            let mut context = Context::from_waker(&waker);
            for _ in 0..3 {
                assert!(idle.as_mut().poll(&mut context).is_pending());
                assert!(closing.as_mut().poll(&mut context).is_pending());
            }
        }
        assert_eq!(Arc::strong_count(&counting), 2, "a task that ended would be kept by each");
        scope.stop();
    });
}

#[test]
fn all_who_wait_for_the_same_thing_are_told() {
    watched(async |_| {
        let scope = Rc::new(Scope::new());
        let handle = scope.handle();
        let waiting: Vec<_> = (0..100)
            .map(|number| {
                let (scope, closing) = (scope.clone(), handle.closing());
                spawn(
                    async move { if number % 2 == 0 { scope.idle().await } else { closing.await } },
                )
            })
            .collect();
        let member = scope.spawn(pending::<()>());
        settle().await;
        // Those who were polled before there was a member found the scope idle.
        member.abort();
        settle().await;
        scope.close(LONG).await;
        for task in waiting {
            task.await.unwrap();
        }
    });
}

#[test]
fn a_member_may_stop_its_scope_and_destructors_may_add_to_it() {
    struct Adds(Rc<RefCell<Option<Scope>>>, aem::ScopeHandle, bool);
    impl Drop for Adds {
        fn drop(&mut self) {
            self.1.on(stream::repeat(()), |()| panic!("added by a destructor while it stops"));
            self.1.spawn(async { panic!("spawned by a destructor while it stops") });
            if let Some(scope) = &*self.0.borrow()
                && self.2
            {
                scope.stop();
            }
        }
    }
    watched(async |_| {
        let slot = Rc::new(RefCell::new(None));
        let scope = Scope::new();
        for number in 0..10 {
            let adds = Adds(slot.clone(), scope.handle(), number % 3 == 1);
            scope.on(stream::pending::<()>(), move |()| keep(&adds));
        }
        let (inner, log) = (slot.clone(), Rc::new(Cell::new(0)));
        let count = log.clone();
        scope.on(stream::iter(0..5), move |number| {
            count.set(number + 1);
            if number == 2 {
                inner.borrow().as_ref().unwrap().stop();
            }
        });
        *slot.borrow_mut() = Some(scope);
        settle().await;
        assert_eq!(log.get(), 3);
        assert!(slot.borrow().as_ref().unwrap().is_empty());
        aem::time::sleep(Duration::from_micros(10)).await;
        let metrics = aem::metrics();
        assert_eq!((metrics.panics, metrics.handler_errors), (0, 0), "no newcomer ran");
        let scope = slot.borrow_mut().take();
        drop(scope);
    });
}

#[test]
fn a_scope_may_be_held_by_its_own_member() {
    watched(async |watch| {
        let (scope, token) = (Rc::new(Scope::new()), watch.tracked());
        let own = scope.clone();
        scope.spawn(async move {
            let _token = token;
            own.handle().spawn(pending::<()>());
            yield_now().await;
            // The last one: the scope stops all, this task among them.
            drop(own);
            yield_now().await;
            panic!("it was cancelled before this");
        });
        drop(scope);
        settle().await;
        assert_eq!(watch.live(), 0);
    });
}

#[test]
fn a_scope_may_outlive_its_runtime() {
    watched_outside(|watch| {
        let token = watch.tracked();
        let scope = aem::block_on(async {
            let scope = Scope::new();
            scope.on(stream::pending::<()>(), move |()| keep(&token));
            scope.spawn(pending::<()>());
            yield_now().await;
            scope
        });
        assert_eq!(watch.live(), 0);
        assert!(scope.is_empty(), "all have ended with the runtime");
        scope.stop();
        scope.pause();
    });
}

#[test]
fn events_go_on_while_a_scope_waits_for_its_idle() {
    watched(async |_| {
        let scope = Scope::new();
        let (sender, receiver) = mpsc::unbounded::<u32>();
        let sum = Rc::new(Cell::new(0));
        let total = sum.clone();
        scope.on(receiver, move |number| total.set(total.get() + number));
        spawn(async move {
            for number in 0..10 {
                sender.unbounded_send(number).unwrap();
                yield_now().await;
            }
        });
        let mut polls = 0;
        let mut idle = pin!(scope.idle());
        poll_fn(|context| {
            polls += 1;
            idle.as_mut().poll(context)
        })
        .await;
        assert_eq!((sum.get(), polls), (45, 2), "woken once, at the end");
        assert_eq!(stream::iter(0..0).collect::<Vec<u8>>().await, []);
    });
}

#[test]
fn an_erased_registration_may_be_added() {
    watched(async |_| {
        let scope = Scope::new();
        let heard = Rc::new(Cell::new(0));
        let hears = heard.clone();
        let list = vec![on(stream::iter(0..3), move |_| hears.set(hears.get() + 1)).erase()];
        for registration in list {
            scope.add(registration);
        }
        scope.idle().await;
        assert_eq!(heard.get(), 3);
    });
}
