//! Handlers on streams that need no kernel: order, replacement, ends, re-entrancy.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures::channel::mpsc;
use futures::stream::{self, Stream, StreamExt};

use crate::{
    End, Next, Registration, State, block_on, on, on_async, on_each, on_ok, spawn, yield_now,
};

type Log = Rc<RefCell<Vec<u32>>>;

fn log() -> (Log, impl Fn(u32) + Clone) {
    let log = Log::default();
    let writer = log.clone();
    (log, move |number| writer.borrow_mut().push(number))
}

#[test]
fn a_handler_sees_every_event_in_order() {
    block_on(async {
        let (seen, note) = log();
        assert_eq!(on(stream::iter(0..1000), note).await.unwrap(), End::Exhausted);
        assert_eq!(*seen.borrow(), (0..1000).collect::<Vec<_>>());
    });
}

#[test]
fn next_stop_ends_and_the_rest_can_be_reclaimed() {
    block_on(async {
        let (seen, note) = log();
        let mut registration = on(stream::iter(0..10), move |number| {
            note(number);
            if number == 3 { Next::Stop } else { Next::Keep }
        });
        assert_eq!((&mut registration).await.unwrap(), End::Stopped);
        let rest = registration.reclaim().expect("it was stopped with events left");
        assert_eq!(rest.collect::<Vec<_>>().await, (4..10).collect::<Vec<_>>());
        assert_eq!(*seen.borrow(), [0, 1, 2, 3]);
    });
}

#[test]
fn an_error_of_the_handler_comes_out_unchanged() {
    block_on(async {
        let registration =
            on(stream::iter(0..10), |_| Err::<(), _>(std::io::Error::from_raw_os_error(98)));
        let error: std::io::Error = registration.await.unwrap_err().into();
        assert_eq!(error.raw_os_error(), Some(98));
        let source = stream::iter([Ok(1), Err("broken"), Ok(2)]);
        let error = on_ok(source, |_: i32| ()).await.unwrap_err();
        assert_eq!(error.to_string(), "broken");
    });
}

#[test]
fn a_panic_of_the_handler_is_its_own() {
    block_on(async {
        let registration = on(stream::iter(0..10), |_| panic!("oh"));
        let error = registration.await.unwrap_err();
        assert_eq!(*error.into_panic().downcast::<&str>().unwrap(), "oh");
    });
}

#[test]
fn replaced_from_inside_the_new_one_gets_the_next_event() {
    block_on(async {
        let (seen, note) = log();
        let slot: Rc<RefCell<Option<Registration<_>>>> = Rc::default();
        let inner = slot.clone();
        let (sender, receiver) = mpsc::unbounded();
        let first = note.clone();
        *slot.borrow_mut() = Some(on(receiver, move |number: u32| {
            first(number);
            if number == 2 {
                let second = note.clone();
                assert!(
                    inner.borrow().as_ref().unwrap().replace(move |number| second(100 + number))
                );
            }
        }));
        (0..5).for_each(|number| sender.unbounded_send(number).unwrap());
        drop(sender);
        while !slot.borrow().as_ref().unwrap().is_ended() {
            yield_now().await;
        }
        let mut registration = slot.borrow_mut().take().unwrap();
        assert_eq!((&mut registration).await.unwrap(), End::Exhausted);
        assert_eq!(*seen.borrow(), [0, 1, 2, 103, 104]);
        assert!(!registration.replace(|_| ()));
    });
}

#[test]
fn async_handlers_never_overlap_and_stop_at_the_next_await() {
    block_on(async {
        let (seen, note) = log();
        let registration = on_async(stream::iter(0..4), async move |number| {
            note(number);
            yield_now().await;
            note(10 + number);
        });
        registration.await.unwrap();
        assert_eq!(*seen.borrow(), [0, 10, 1, 11, 2, 12, 3, 13]);
    });
}

#[test]
fn on_each_keeps_its_limit_and_ends_with_the_last_task() {
    block_on(async {
        let (now, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let (active, peak) = (now.clone(), most.clone());
        let registration = on_each(stream::iter(0..20), 3, async move |_| {
            active.set(active.get() + 1);
            peak.set(peak.get().max(active.get()));
            for _ in 0..5 {
                yield_now().await;
            }
            active.set(active.get() - 1);
        });
        assert_eq!(registration.await.unwrap(), End::Exhausted);
        assert_eq!((now.get(), most.get()), (0, 3));
    });
}

#[test]
fn on_end_comes_after_the_handler_is_dropped_and_before_awaiters() {
    block_on(async {
        let (seen, note) = log();
        struct Token<F: Fn(u32)>(F);
        impl<F: Fn(u32)> Drop for Token<F> {
            fn drop(&mut self) {
                (self.0)(1);
            }
        }
        let token = Token(note.clone());
        let ended = note.clone();
        let registration = on(stream::iter(0..1), move |_| {
            let _token = &token;
        })
        .on_end(move |ending| {
            assert!(matches!(ending, Ok(End::Exhausted)));
            ended(2);
        });
        registration.await.unwrap();
        note(3);
        assert_eq!(*seen.borrow(), [1, 2, 3]);
    });
}

#[test]
fn paused_handlers_lose_nothing() {
    block_on(async {
        let (seen, note) = log();
        let (sender, receiver) = mpsc::unbounded();
        let registration = on(receiver, note).paused();
        (0..3).for_each(|number| sender.unbounded_send(number).unwrap());
        for _ in 0..10 {
            yield_now().await;
        }
        assert!(seen.borrow().is_empty());
        registration.resume();
        drop(sender);
        registration.await.unwrap();
        assert_eq!(*seen.borrow(), [0, 1, 2]);
    });
}

#[test]
fn a_source_may_stop_its_own_handler() {
    struct Selfish(Rc<RefCell<Option<crate::Control>>>, u32);
    impl Stream for Selfish {
        type Item = u32;
        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u32>> {
            self.1 += 1;
            if self.1 == 3 {
                self.0.borrow().as_ref().unwrap().stop();
            }
            Poll::Ready(Some(self.1))
        }
    }
    block_on(async {
        let (seen, note) = log();
        let control = Rc::new(RefCell::new(None));
        let registration = on(Selfish(control.clone(), 0), note);
        *control.borrow_mut() = Some(registration.control());
        assert_eq!(registration.await.unwrap(), End::Stopped);
        assert_eq!(*seen.borrow(), [1, 2]);
    });
}

#[test]
fn a_state_ends_its_weak_handlers() {
    block_on(async {
        let state = State::new(0);
        let (_sender, receiver) = mpsc::unbounded::<i32>();
        let registration = state.downgrade().on(receiver, |sum, number| *sum += number);
        let ends = spawn(registration);
        yield_now().await;
        drop(state);
        assert_eq!(ends.await.unwrap().unwrap(), End::Stopped);
    });
}
