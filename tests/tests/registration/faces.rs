//! `replace` in its three forms: any face may follow any other, and no event is lost or seen twice.

use std::cell::RefCell;
use std::rc::Rc;

use aem::{End, Registration, on, on_async, on_each, yield_now};
use aem_tests::random::Random;
use aem_tests::watch::{keep, watched};
use futures::channel::mpsc::{self, UnboundedReceiver};

use super::{Seen, settle};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Plain,
    Async,
    Each,
}

const FORMS: [Form; 3] = [Form::Plain, Form::Async, Form::Each];

/// An event, and by which handler it was seen.
type Sightings = Seen<(u32, u32)>;

type Numbers = Registration<UnboundedReceiver<u32>>;

fn register(form: Form, hand: u32, source: UnboundedReceiver<u32>, seen: &Sightings) -> Numbers {
    let seen = seen.clone();
    match form {
        Form::Plain => on(source, move |number| seen.borrow_mut().push((number, hand))),
        Form::Async => on_async(source, async move |number| {
            yield_now().await;
            seen.borrow_mut().push((number, hand));
        }),
        Form::Each => on_each(source, 2, async move |number| {
            yield_now().await;
            seen.borrow_mut().push((number, hand));
        }),
    }
}

fn replace(form: Form, hand: u32, registration: &Numbers, seen: &Sightings) -> bool {
    let seen = seen.clone();
    match form {
        Form::Plain => registration.replace(move |number| seen.borrow_mut().push((number, hand))),
        Form::Async => registration.replace_async(async move |number| {
            yield_now().await;
            seen.borrow_mut().push((number, hand));
        }),
        Form::Each => registration.replace_each(2, async move |number| {
            yield_now().await;
            seen.borrow_mut().push((number, hand));
        }),
    }
}

#[test]
fn any_face_may_follow_any_other_amid_the_traffic() {
    for first in FORMS {
        for second in FORMS {
            watched(async |_| follow(first, second).await);
        }
    }
}

async fn follow(first: Form, second: Form) {
    let seen = Sightings::default();
    let (sender, receiver) = mpsc::unbounded();
    let registration = register(first, 0, receiver, &seen);
    let mut random = Random::new(7);
    for number in 0..1_000 {
        sender.unbounded_send(number).unwrap();
        if random.one_in(3) {
            yield_now().await;
        }
        if number % 100 == 50 {
            let hand = number / 100 + 1;
            let form = if hand % 2 == 1 { second } else { first };
            assert!(replace(form, hand, &registration, &seen), "{first:?} {second:?}");
        }
    }
    drop(sender);
    assert_eq!(registration.await.unwrap(), End::Exhausted);
    // Tasks of a cloner that was replaced run on beside the new one.
    settle().await;
    let mut seen = seen.take();
    if first != Form::Each && second != Form::Each {
        assert!(seen.is_sorted_by_key(|(number, _)| *number), "in order: {first:?} {second:?}");
        assert!(seen.is_sorted_by_key(|(_, hand)| *hand), "one hand after the other");
    }
    seen.sort_unstable();
    let numbers: Vec<u32> = seen.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (0..1_000).collect::<Vec<_>>(), "{first:?} {second:?}");
}

#[test]
fn replaced_from_inside_each_form_the_event_ends_with_the_old_one() {
    for form in FORMS {
        watched(async |_| replace_inside(form).await);
    }
}

async fn replace_inside(form: Form) {
    let seen = Sightings::default();
    let slot: Rc<RefCell<Option<Numbers>>> = Rc::default();
    let (sender, receiver) = mpsc::unbounded();
    (0..4).for_each(|number| sender.unbounded_send(number).unwrap());
    let change = {
        let (slot, seen) = (slot.clone(), seen.clone());
        move |number: u32| {
            if number == 1 {
                let slot = slot.borrow();
                assert!(replace(Form::Plain, 1, slot.as_ref().unwrap(), &seen));
            }
        }
    };
    let log = seen.clone();
    let registration = match form {
        Form::Plain => on(receiver, move |number| {
            change(number);
            log.borrow_mut().push((number, 0));
        }),
        Form::Async => on_async(receiver, async move |number| {
            change(number);
            yield_now().await;
            log.borrow_mut().push((number, 0));
        }),
        Form::Each => on_each(receiver, 1, async move |number| {
            change(number);
            yield_now().await;
            log.borrow_mut().push((number, 0));
        }),
    };
    *slot.borrow_mut() = Some(registration);
    drop(sender);
    settle().await;
    let registration = slot.borrow_mut().take().unwrap();
    assert_eq!(registration.await.unwrap(), End::Exhausted);
    settle().await;
    let mut seen = seen.take();
    if form == Form::Each {
        // The old one's task runs on beside the new handler.
        seen.sort_unstable();
    }
    assert_eq!(seen, [(0, 0), (1, 0), (2, 1), (3, 1)], "{form:?}");
}

#[test]
fn once_it_has_ended_there_is_nothing_to_replace() {
    watched(async |watch| {
        for form in FORMS {
            let seen = Sightings::default();
            let (sender, receiver) = mpsc::unbounded();
            let registration = register(form, 0, receiver, &seen);
            registration.stop();
            let token = watch.tracked();
            assert!(!registration.replace(move |_| keep(&token)));
            assert_eq!(watch.live(), 0, "the new handler is dropped");
            drop(sender);
            settle().await;
            assert!(!replace(form, 1, &registration, &seen));
            assert!(registration.reclaim().is_some());
        }
    });
}

#[test]
fn a_successor_that_never_came_to_run_is_dropped_once() {
    watched(async |watch| {
        let (sender, receiver) = mpsc::unbounded::<u32>();
        let registration = on_async(receiver, async |_| std::future::pending::<()>().await);
        sender.unbounded_send(1).unwrap();
        settle().await;
        let (first, second) = (watch.tracked(), watch.tracked());
        assert!(registration.replace(move |_| keep(&first)));
        assert!(registration.replace(move |_| keep(&second)));
        assert_eq!(watch.live(), 1, "a second successor takes the place of the first");
        registration.stop();
        assert_eq!(watch.live(), 0);
    });
}
