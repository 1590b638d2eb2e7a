//! Each promise of `State` and `WeakState`, in a test of its own.

use std::cell::RefCell;
use std::rc::Rc;

use aem::{End, Next, Registration, State, WeakState, spawn, yield_now};
use aem_tests::watch::{Tracked, watched};
use futures::channel::mpsc::{self, UnboundedReceiver};
use futures::stream;

async fn settle() {
    for _ in 0..8 {
        yield_now().await;
    }
}

#[test]
fn many_handlers_share_one_value() {
    watched(async |_| {
        let state = State::new(Vec::new());
        let all: Vec<_> = (0..100_u32)
            .map(|one| state.on(stream::iter(0..10), move |seen, n| seen.push(one * 10 + n)))
            .collect();
        for registration in all {
            assert_eq!(registration.await.unwrap(), End::Exhausted);
        }
        let mut seen = state.with(std::mem::take);
        seen.sort_unstable();
        assert_eq!(seen, (0..1_000).collect::<Vec<_>>());
    });
}

#[test]
fn handlers_of_a_state_return_what_others_do() {
    watched(async |_| {
        let state = State::new(0);
        let stopped = state.on(stream::iter(0..9), |sum, n| {
            *sum += n;
            if n == 3 { Next::Stop } else { Next::Keep }
        });
        assert_eq!(stopped.await.unwrap(), End::Stopped);
        let failed = state.on(stream::iter(0..9), |_, _| Err::<(), _>("no"));
        assert_eq!(failed.await.unwrap_err().to_string(), "no");
        assert_eq!(state.with(|sum| *sum), 6);
    });
}

#[test]
fn nested_with_panics_and_says_why_try_with_gives_none() {
    watched(async |_| {
        let state = State::new(1);
        let (inner, held) = (state.clone(), state.clone());
        state.with(|_| assert!(inner.try_with(|n| *n += 1).is_none()));
        let nested = spawn(async move { held.with(|_| held.with(|n| *n += 1)) });
        let panic = nested.await.unwrap_err().into_panic();
        let text = panic.downcast::<&str>().map_or_else(|_| String::new(), |text| text.to_string());
        assert!(text.contains("further up the stack") && text.contains("try_with"), "{text}");
        assert_eq!(state.try_with(|n| *n), Some(1), "and it can be used again");
    });
}

#[test]
fn inside_its_own_handler_the_state_is_in_use() {
    watched(async |_| {
        let state = State::new(0);
        let inner = state.clone();
        let tried = state.on(stream::iter(0..3), move |n, _| {
            assert!(inner.try_with(|_| ()).is_none());
            assert_eq!(format!("{inner:?}"), "State(in use)");
            *n += 1;
        });
        tried.await.unwrap();
        let inner = state.clone();
        let error = state.on(stream::iter(0..3), move |_, _| inner.with(|_| ())).await.unwrap_err();
        assert!(error.to_string().contains("further up the stack"), "{error}");
        assert_eq!(format!("{state:?}"), "State(3)");
    });
}

#[test]
fn a_panic_does_not_poison() {
    watched(async |_| {
        let state = State::new(0);
        let error = state.on(stream::iter(0..3), |n, event| {
            *n += 1;
            assert!(event < 1, "a panic that is meant");
        });
        assert!(error.await.unwrap_err().is_panic());
        assert_eq!(state.with(|n| *n), 2);
        state.on(stream::iter(0..3), |n, _| *n += 1).await.unwrap();
        assert_eq!(state.with(|n| *n), 5);
    });
}

#[test]
fn a_registration_keeps_the_state_and_a_weak_one_does_not() {
    watched(async |watch| {
        let state = State::new(watch.tracked());
        let strong = state.on(stream::pending::<()>(), |_, ()| ());
        let weak = state.downgrade();
        let ends = weak.on(stream::pending::<()>(), |_, ()| ());
        drop(state);
        settle().await;
        assert!(weak.upgrade().is_some() && !ends.is_ended());
        strong.stop();
        assert!(weak.upgrade().is_none());
        assert_eq!(watch.live(), 0);
        assert_eq!(ends.await.unwrap(), End::Stopped);
        // Where there is no state any more, a handler is stopped at once.
        let late = weak.on(stream::iter(0..3), |_, _| panic!("it was called"));
        assert_eq!(late.await.unwrap(), End::Stopped);
    });
}

#[test]
fn a_state_may_hold_its_own_registrations() {
    struct Server {
        own: Vec<Registration<UnboundedReceiver<u32>>>,
        sum: u32,
        _tracked: Tracked,
    }
    watched(async |watch| {
        let state = State::new(Server { own: Vec::new(), sum: 0, _tracked: watch.tracked() });
        let weak = state.downgrade();
        let senders: Vec<_> = (0..10)
            .map(|_| {
                let (sender, receiver) = mpsc::unbounded();
                let registration = weak.on(receiver, |server, n| server.sum += n);
                state.with(|server| server.own.push(registration));
                sender
            })
            .collect();
        senders.iter().for_each(|sender| sender.unbounded_send(3).unwrap());
        settle().await;
        assert_eq!(state.with(|server| server.sum), 30);
        drop(state);
        assert_eq!(watch.live(), 0, "no circle keeps it");
        assert!(senders.iter().all(mpsc::UnboundedSender::is_closed));
    });
}

#[test]
fn the_last_reference_may_go_inside_a_handler_of_it() {
    watched(async |watch| {
        let state = State::new((watch.tracked(), 0));
        let weak: WeakState<_> = state.downgrade();
        let slot = Rc::new(RefCell::new(None));
        let inner = slot.clone();
        let registration = weak.on(stream::iter(0..5), move |(_, n), _| {
            *n += 1;
            drop(inner.borrow_mut().take());
            assert_eq!(*n, 1, "it is never called again");
        });
        *slot.borrow_mut() = Some(state);
        assert_eq!(registration.await.unwrap(), End::Stopped);
        assert!(weak.upgrade().is_none());
        assert_eq!(watch.live(), 0);
    });
}

#[test]
fn the_value_s_own_destructor_finds_no_state() {
    struct Looks(Option<WeakState<Looks>>, Rc<RefCell<Option<bool>>>);
    impl Drop for Looks {
        fn drop(&mut self) {
            let Some(weak) = self.0.take() else { return };
            *self.1.borrow_mut() = Some(weak.upgrade().is_none());
            drop(weak.on(stream::iter(0..3), |_, _| panic!("it was called")));
        }
    }
    watched(async |_| {
        let seen = Rc::new(RefCell::new(None));
        let state = State::new(Looks(None, seen.clone()));
        let weak = state.downgrade();
        state.with(|looks| looks.0 = Some(weak));
        drop(state);
        assert_eq!(*seen.borrow(), Some(true));
    });
}

#[test]
fn ended_weak_handlers_do_not_pile_up() {
    watched(async |watch| {
        let state = State::new(0_u64);
        let weak = state.downgrade();
        for _ in 0..2_000 {
            let token = watch.tracked();
            let registration = weak.on(stream::iter(0..1), move |n, _| {
                let _ = &token;
                *n += 1;
            });
            registration.await.unwrap();
        }
        assert_eq!(state.with(|n| *n), 2_000);
        assert_eq!(watch.live(), 0);
    });
}
