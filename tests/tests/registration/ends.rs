//! How registrations end: stop, reclaim, `on_end`, and the end of the runtime.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use aem::{End, Next, Registration, block_on, on, on_async, on_each, spawn, yield_now};
use aem_tests::watch::{Tracked, keep, watched, watched_outside};
use futures::channel::mpsc;
use futures::stream::LocalBoxStream;
use futures::{Stream, StreamExt, stream};

use super::{Seen, settle};

#[test]
fn stop_drops_event_and_handler_before_it_returns() {
    watched(async |watch| {
        let (in_plain, in_async) = (watch.tracked(), watch.tracked());
        let plain = on(stream::pending::<()>(), move |()| keep(&in_plain));
        let tracker = watch.clone();
        let one = on_async(stream::repeat(()), async move |()| {
            let _event = (tracker.tracked(), &in_async);
            std::future::pending::<()>().await;
        });
        settle().await;
        assert_eq!(watch.live(), 3);
        plain.stop();
        assert_eq!(watch.live(), 2);
        one.stop();
        assert_eq!(watch.live(), 0);
        assert_eq!((plain.await.unwrap(), one.await.unwrap()), (End::Stopped, End::Stopped));
    });
}

#[test]
fn a_source_is_reclaimed_with_all_it_holds_however_it_ended() {
    watched(async |_| {
        let rest = async |registration: Registration<stream::Iter<_>>| -> Option<Vec<i32>> {
            Some(registration.reclaim()?.collect().await)
        };
        let numbers = || stream::iter(0..5);
        let fresh = on(numbers(), |_| ());
        assert_eq!(rest(fresh).await.unwrap(), [0, 1, 2, 3, 4]);

        let mut said = on(numbers(), |number| if number == 1 { Next::Stop } else { Next::Keep });
        (&mut said).await.unwrap();
        assert_eq!(rest(said).await.unwrap(), [2, 3, 4]);

        let stopped = on(numbers(), |_| ());
        stopped.stop();
        assert_eq!(rest(stopped).await.unwrap(), [0, 1, 2, 3, 4]);

        let mut failed = on(numbers(), |_| Err::<(), _>("no"));
        (&mut failed).await.unwrap_err();
        assert_eq!(rest(failed).await.unwrap(), [1, 2, 3, 4]);

        let mut panicked = on(numbers(), |number| assert!(number < 2, "a panic that is meant"));
        (&mut panicked).await.unwrap_err();
        assert_eq!(rest(panicked).await.unwrap(), [3, 4]);

        let mut exhausted = on(numbers(), |_| ());
        (&mut exhausted).await.unwrap();
        assert!(rest(exhausted).await.is_none());
    });
}

#[test]
fn a_source_whose_poll_panicked_is_dropped_and_not_given_back() {
    struct Broken(#[expect(dead_code, reason = "its drop is counted")] Tracked);
    impl Stream for Broken {
        type Item = ();
        fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<()>> {
            panic!("a panic that is meant");
        }
    }
    watched(async |watch| {
        let mut registration = on(Broken(watch.tracked()), |()| ());
        assert!((&mut registration).await.unwrap_err().is_panic());
        assert_eq!(watch.live(), 0);
        assert!(registration.reclaim().is_none());
    });
}

#[test]
fn reclaim_from_outside_drops_the_event_in_progress() {
    watched(async |watch| {
        let tracker = watch.clone();
        let registration = on_async(stream::iter(0..3), async move |_| {
            let _event = tracker.tracked();
            std::future::pending::<()>().await;
        });
        settle().await;
        assert_eq!(watch.live(), 1);
        let source = registration.reclaim().unwrap();
        assert_eq!(watch.live(), 0);
        assert_eq!(source.collect::<Vec<_>>().await, [1, 2]);
    });
}

#[test]
fn reclaimed_in_its_async_handler_the_event_runs_to_its_end() {
    watched(async |watch| {
        let slot = Rc::new(RefCell::new(None::<Registration<stream::Iter<std::ops::Range<i32>>>>));
        let log = Seen::default();
        let (inner, writer, token) = (slot.clone(), log.clone(), watch.tracked());
        let registration = on_async(stream::iter(0..4), async move |number| {
            let _ = &token;
            if number == 1 {
                let registration = inner.borrow_mut().take().unwrap();
                let rest: Vec<i32> = registration.reclaim().unwrap().collect().await;
                settle().await;
                writer.borrow_mut().extend(rest);
            }
            writer.borrow_mut().push(10 + number);
        });
        let control = registration.control();
        *slot.borrow_mut() = Some(registration);
        settle().await;
        settle().await;
        settle().await;
        assert_eq!(*log.borrow(), [10, 2, 3, 11]);
        assert!(control.is_ended());
    });
}

#[test]
fn on_end_hears_how_it_ended_once_and_before_the_awaiter() {
    watched(async |_| {
        let log = Seen::default();
        let listen = |what: &'static str| {
            let log = log.clone();
            move |end: &Result<End, aem::HandlerError>| {
                let end = end.as_ref().map_or_else(ToString::to_string, |end| format!("{end:?}"));
                log.borrow_mut().push(format!("{what} {end}"));
            }
        };
        on(stream::iter(0..1), |_| ()).on_end(listen("exhausted")).await.unwrap();
        on(stream::iter(0..1), |_| Next::Stop).on_end(listen("said")).await.unwrap();
        let failing = on(stream::iter(0..1), |_| Err::<(), _>("oh")).on_end(listen("failed"));
        failing.await.unwrap_err();
        drop(on(stream::pending::<()>(), |()| ()).paused().on_end(listen("dropped")));
        settle().await;
        on(stream::iter(0..1), |_| ()).on_end(listen("first")).on_end(listen("second")).detach();
        settle().await;
        let wanted = ["exhausted Exhausted", "said Stopped", "failed oh", "dropped Stopped"];
        assert_eq!(log.borrow()[..4], wanted);
        assert_eq!(log.borrow()[4..], ["second Exhausted"], "the second takes the first's place");
    });
}

#[test]
fn on_end_set_when_it_has_ended_is_called_all_the_same() {
    watched(async |_| {
        let heard = Rc::new(Cell::new(0));
        let listen = || {
            let heard = heard.clone();
            move |_: &Result<End, aem::HandlerError>| heard.set(heard.get() + 1)
        };
        let registration = on(stream::iter(0..1), |_| ());
        settle().await;
        assert!(registration.is_ended());
        registration.on_end(listen()).await.unwrap();
        assert_eq!(heard.get(), 1);

        // And set by an `on_end`, it is called after that one.
        let slot = Rc::new(RefCell::new(None::<Registration<stream::Iter<std::ops::Range<i32>>>>));
        let (inner, again) = (slot.clone(), listen());
        let registration = on(stream::iter(0..1), |_| ()).on_end(move |_| {
            let registration = inner.borrow_mut().take().unwrap();
            *inner.borrow_mut() = Some(registration.on_end(again));
        });
        *slot.borrow_mut() = Some(registration);
        settle().await;
        assert_eq!(heard.get(), 2);
        assert!(slot.borrow().as_ref().unwrap().is_ended());
    });
}

#[test]
fn detached_it_lives_until_its_source_ends() {
    watched(async |watch| {
        let token = watch.tracked();
        let (sender, receiver) = mpsc::unbounded::<u32>();
        on(receiver, move |_| keep(&token)).detach();
        settle().await;
        sender.unbounded_send(1).unwrap();
        settle().await;
        assert_eq!(watch.live(), 1);
        drop(sender);
        settle().await;
        assert_eq!(watch.live(), 0);
    });
}

/// DRAIN: what is still there when the runtime ends is dropped, once, at home.
#[test]
#[expect(clippy::async_yields_async, reason = "the registration goes out of its runtime")]
fn the_end_of_the_runtime_ends_them_all() {
    watched_outside(|watch| {
        let heard = Rc::new(Cell::new(0));
        let held = block_on(async {
            let listen = || {
                let heard = heard.clone();
                move |end: &Result<End, aem::HandlerError>| {
                    assert_eq!(*end.as_ref().unwrap(), End::Stopped);
                    heard.set(heard.get() + 1);
                }
            };
            let source = |token: Tracked| stream::repeat(()).map(move |()| keep(&token));
            let (first, second, third) = (watch.tracked(), watch.tracked(), watch.tracked());
            on(source(watch.tracked()), move |()| keep(&first)).on_end(listen()).detach();
            on_async(source(watch.tracked()), async move |()| {
                let _ = &second;
                std::future::pending::<()>().await;
            })
            .on_end(listen())
            .detach();
            let (tracker, each) = (watch.clone(), source(watch.tracked()));
            let held = on_each(each, 7, async move |()| {
                let _event = (tracker.tracked(), &third);
                std::future::pending::<()>().await;
            });
            let held = held.on_end(listen());
            settle().await;
            assert_eq!(watch.live(), 13);
            held
        });
        assert_eq!((watch.live(), heard.get()), (0, 3));
        assert!(held.is_ended());
        drop(held);
    });
}

#[test]
fn while_the_runtime_ends_they_are_born_cancelled() {
    /// Registers and spawns when it is dropped.
    struct Late(Rc<Cell<u32>>, #[expect(dead_code, reason = "its drop is counted")] Tracked);
    impl Drop for Late {
        fn drop(&mut self) {
            let heard = self.0.clone();
            on(stream::iter(0..3), |_| panic!("a handler born cancelled was called"))
                .on_end(move |end| {
                    assert_eq!(*end.as_ref().unwrap(), End::Stopped);
                    heard.set(heard.get() + 1);
                })
                .detach();
            drop(on(stream::iter(0..3), |_| ()));
            spawn(async { panic!("a task born cancelled was polled") });
        }
    }
    watched_outside(|watch| {
        let heard = Rc::new(Cell::new(0));
        block_on(async {
            let late = Late(heard.clone(), watch.tracked());
            on(stream::pending::<()>(), move |()| keep(&late)).detach();
            yield_now().await;
        });
        assert_eq!(heard.get(), 1);
    });
}

#[test]
fn after_shutdown_they_are_born_cancelled() {
    watched(async |watch| {
        let token = watch.tracked();
        let running = on(stream::repeat(()), move |()| keep(&token));
        settle().await;
        aem::Handle::current().shutdown();
        assert_eq!(running.await.unwrap(), End::Stopped);
        assert_eq!(watch.live(), 0);
        let late = on(stream::iter(0..3), |_| panic!("a handler born cancelled was called"));
        assert_eq!(late.await.unwrap(), End::Stopped);
        assert!(spawn(async {}).await.unwrap_err().is_cancelled());
    });
}

#[test]
fn a_handler_that_its_predecessors_destructor_stops_never_runs() {
    watched(async |_| {
        struct Stops(Rc<RefCell<Option<aem::Control>>>);
        impl Drop for Stops {
            fn drop(&mut self) {
                if let Some(control) = &*self.0.borrow() {
                    control.stop();
                }
            }
        }
        // The source replaces the handler in the very poll that gives the event.
        let slot = Rc::new(RefCell::new(None::<Registration<LocalBoxStream<'static, ()>>>));
        let (control, ran) = (Rc::new(RefCell::new(None)), Rc::new(Cell::new(false)));
        let (replaced, counted) = (slot.clone(), ran.clone());
        let source = stream::poll_fn(move |_| {
            let Some(registration) = &*replaced.borrow() else { return Poll::Pending };
            let counted = counted.clone();
            registration.replace(move |()| counted.set(true));
            Poll::Ready(Some(()))
        });
        let source = source.boxed_local();
        let stops = Stops(control.clone());
        let registration = on(source, move |()| keep(&stops));
        *control.borrow_mut() = Some(registration.control());
        *slot.borrow_mut() = Some(registration);
        settle().await;
        assert!(!ran.get(), "it was stopped before it could run");
        let registration = slot.borrow_mut().take().unwrap();
        assert_eq!(registration.await.unwrap(), End::Stopped);
        control.borrow_mut().take();
    });
}

#[test]
fn on_end_after_all_is_over_is_called_at_once() {
    watched(async |_| {
        let mut registration = on(stream::iter(0..2), |_| ());
        assert_eq!((&mut registration).await.unwrap(), End::Exhausted);
        let heard = Rc::new(Cell::new(None));
        let hears = heard.clone();
        let _over = registration.on_end(move |end| hears.set(Some(*end.as_ref().unwrap())));
        assert_eq!(heard.get(), Some(End::Exhausted));
    });
}
