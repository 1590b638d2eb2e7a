//! The list of waits as plain data.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll, Wake, Waker};

use super::*;

#[derive(Default)]
struct Counting(AtomicUsize);

impl Wake for Counting {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

fn wakers<const N: usize>() -> [(Arc<Counting>, Waker); N] {
    std::array::from_fn(|_| {
        let counting = Arc::new(Counting::default());
        (Arc::clone(&counting), Waker::from(counting))
    })
}

fn wait(list: &RefCell<Waiters>, asker: Asker<'_>, position: u64, waker: &Waker) {
    let cx = Context::from_waker(waker);
    let polled: Poll<()> = poll_or_wait(list, asker, &cx, || ControlFlow::Continue(position));
    assert!(polled.is_pending());
}

fn wake_reached(list: &RefCell<Waiters>, position: u64) -> usize {
    let mut wakes = Vec::new();
    list.borrow_mut().wake_reached(position, &mut wakes);
    let woken = wakes.len();
    wakes.into_iter().for_each(Waker::wake);
    woken
}

#[test]
fn waits_end_when_their_position_is_reached() {
    let list = RefCell::new(Waiters::default());
    let mut ids: [WaitId; 4] = Default::default();
    let wakers = wakers::<4>();
    for ((id, (_, waker)), position) in ids.iter_mut().zip(&wakers).zip([30, 10, 20, 10]) {
        wait(&list, Asker::Future(id), position, waker);
    }
    assert_eq!(wake_reached(&list, 9), 0);
    assert_eq!(wake_reached(&list, 10), 2);
    assert_eq!(wake_reached(&list, 25), 1);
    assert_eq!(wake_reached(&list, u64::MAX), 1);
    assert!(list.borrow().is_empty());
    let woken = wakers.each_ref().map(|(counting, _)| counting.0.load(Relaxed));
    assert_eq!(woken, [1; 4]);
}

#[test]
fn dropped_wait_leaves_no_waker() {
    let list = RefCell::new(Waiters::default());
    let wakers = wakers::<5>();
    let mut ids: [WaitId; 5] = Default::default();
    for (id, (_, waker)) in ids.iter_mut().zip(&wakers) {
        wait(&list, Asker::Future(id), ANYTHING, waker);
    }
    for at in [0, 3, 1, 4, 2] {
        list.forget(&ids[at]);
        list.forget(&ids[at]);
    }
    assert!(list.borrow().is_empty());
    assert!(list.borrow().others.is_none());
    assert!(wakers.iter().all(|(counting, _)| Arc::strong_count(counting) == 2));
}

#[test]
fn polled_again_it_waits_once_with_its_last_waker() {
    let list = RefCell::new(Waiters::default());
    let [(first, one), (last, two)] = wakers();
    let mut id = WaitId::default();
    for waker in [&one, &one, &two, &two] {
        wait(&list, Asker::Future(&mut id), ANYTHING, waker);
    }
    assert_eq!(wake_reached(&list, ANYTHING), 1);
    let woken = [first, last].map(|counting| counting.0.load(Relaxed));
    assert_eq!(woken, [0, 1]);
}

#[test]
fn poll_functions_of_many_tasks_are_all_woken() {
    let list = RefCell::new(Waiters::default());
    let wakers = wakers::<3>();
    for (_, waker) in wakers.iter().chain(&wakers) {
        wait(&list, Asker::PollFunction, ANYTHING, waker);
    }
    assert_eq!(wake_reached(&list, ANYTHING), 3);
}

#[test]
fn crowd_of_poll_functions_is_bounded_and_nobody_is_lost() {
    let list = RefCell::new(Waiters::default());
    let mut id = WaitId::default();
    wait(&list, Asker::Future(&mut id), ANYTHING, Waker::noop());
    let wakers: Vec<_> = (0..MOST_POLLERS + 100).map(|_| wakers::<1>()).collect();
    for [(_, waker)] in &wakers {
        wait(&list, Asker::PollFunction, ANYTHING, waker);
    }
    assert!(list.borrow().others.as_ref().is_some_and(|others| others.len() <= MOST_POLLERS));
    wake_reached(&list, ANYTHING);
    assert!(wakers.iter().all(|[(counting, _)]| counting.0.load(Relaxed) == 1));
}

/// What the clone of a waker brings about is seen before it is waited for.
#[test]
fn state_that_a_clone_changes_is_looked_at_again() {
    let list = RefCell::new(Waiters::default());
    let mut id = WaitId::default();
    let mut looks = 0;
    let cx = Context::from_waker(Waker::noop());
    let polled = poll_or_wait(&list, Asker::Future(&mut id), &cx, || {
        looks += 1;
        if looks == 2 { ControlFlow::Break("news") } else { ControlFlow::Continue(ANYTHING) }
    });
    assert_eq!(polled, Poll::Ready("news"));
    assert!(list.borrow().is_empty());
}
