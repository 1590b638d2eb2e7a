//! User code that turns back on the jobs it is part of: from poll, from destructors, from wakers. It may do
//! anything; nothing is borrowed while it runs (OUTSIDE), and the job runs neither twice at a time (SINGLE)
//! nor once too seldom (AGAIN).

use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Wake, Waker};

use crate::job::join::JoinHandle;
use crate::job::owner::FINISH_ROUNDS;
use crate::job::rig::{Count, Rig, Slot, counting_waker, poll_with};

/// Does something as it is dropped.
struct Last(Option<Box<dyn FnOnce()>>);

impl Last {
    fn new(act: impl FnOnce() + 'static) -> Last {
        Last(Some(Box::new(act)))
    }
}

impl Drop for Last {
    fn drop(&mut self) {
        if let Some(act) = self.0.take() {
            act();
        }
    }
}

#[test]
fn wakes_during_a_run_cause_one_more() {
    let rig = Rig::new();
    let runs = Count::default();
    let counted = runs.clone();
    let handle = rig.spawn(poll_fn(move |context| {
        if counted.up() < 3 {
            for _ in 0..5 {
                context.waker().wake_by_ref();
                #[expect(clippy::waker_clone_wake, reason = "the by-value path is meant")]
                context.waker().clone().wake();
            }
        }
        Poll::<()>::Pending
    }));
    assert_eq!(rig.turn(), 3);
    assert_eq!(runs.get(), 3);
    drop(handle.abort_on_drop());
    rig.turn();
    rig.end().assert_free();
}

#[test]
fn wake_before_the_first_run_adds_none() {
    let rig = Rig::new();
    let job = rig.job(pending::<()>());
    job.waker.wake_by_ref();
    job.waker.wake();
    assert_eq!(rig.turn(), 1);
    drop(job.handle);
    rig.end().assert_free();
}

#[test]
fn job_that_aborts_itself_is_not_polled_again() {
    let rig = Rig::new();
    let (own, local, runs) = (Slot::<JoinHandle<()>>::default(), rig.local(), Count::default());
    let (inside, counted) = (own.clone(), runs.clone());
    own.put(rig.spawn(poll_fn(move |context| {
        local.use_it();
        counted.up();
        if let Some(handle) = inside.take() {
            handle.abort();
            context.waker().wake_by_ref();
            inside.put(handle);
        }
        Poll::Pending
    })));
    assert_eq!(rig.turn(), 2);
    assert_eq!(runs.get(), 1);
    let mut handle = own.take().unwrap();
    let waker = counting_waker(&rig, &Count::default());
    assert!(matches!(poll_with(&mut handle, &waker), Poll::Ready(Err(e)) if e.is_cancelled()));
    drop((handle, waker));
    rig.end().assert_free();
}

#[test]
fn job_that_aborts_itself_and_is_done_was_done() {
    let rig = Rig::new();
    let own = Slot::<JoinHandle<u32>>::default();
    let inside = own.clone();
    own.put(rig.spawn(poll_fn(move |_| {
        let handle = inside.take().unwrap();
        handle.abort();
        inside.put(handle);
        Poll::Ready(9)
    })));
    assert_eq!(rig.turn(), 1);
    let mut handle = own.take().unwrap();
    let waker = counting_waker(&rig, &Count::default());
    assert!(matches!(poll_with(&mut handle, &waker), Poll::Ready(Ok(9))));
    drop((handle, waker));
    rig.end().assert_free();
}

#[test]
fn job_that_drops_its_own_handle_and_waker_lives_on() {
    let rig = Rig::new();
    let (own, kept) = (Slot::<JoinHandle<()>>::default(), Slot::<Waker>::default());
    let (inside, waker, local) = (own.clone(), kept.clone(), rig.local());
    let job = rig.job(poll_fn(move |_| {
        drop(inside.take());
        local.use_it();
        match waker.take() {
            // The last reference but the worker's own: the run goes on with it.
            Some(waker) => {
                waker.wake_by_ref();
                drop(waker);
                Poll::Pending
            }
            None => Poll::Ready(()),
        }
    }));
    own.put(job.handle);
    kept.put(job.waker);
    assert_eq!(rig.turn(), 2);
    assert_eq!(rig.home.registered(), 0);
    rig.end().assert_free();
}

#[test]
fn destructor_of_a_future_may_turn_on_its_job() {
    let rig = Rig::new();
    let (own, kept) = (Slot::<JoinHandle<()>>::default(), Slot::<Waker>::default());
    let (inside, waker) = (own.clone(), kept.clone());
    let last = Last::new(move || {
        let handle: JoinHandle<()> = inside.take().unwrap();
        assert!(!handle.is_finished());
        handle.abort();
        let waker: Waker = waker.take().unwrap();
        waker.wake_by_ref();
        drop(handle.abort_on_drop());
        #[expect(clippy::waker_clone_wake, reason = "the by-value path is meant")]
        waker.clone().wake();
        drop(waker);
    });
    let job = rig.job(async move {
        let _last = last;
    });
    own.put(job.handle);
    kept.put(job.waker);
    assert_eq!(rig.turn(), 1);
    assert_eq!(rig.home.registered(), 0);
    rig.end().assert_free();
}

#[test]
fn destructor_of_a_cancelled_future_may_turn_on_its_job() {
    let rig = Rig::new();
    let kept = Slot::<Waker>::default();
    let waker = kept.clone();
    let last = Last::new(move || waker.take().unwrap().wake());
    let job = rig.job(async move {
        let _last = last;
        pending::<()>().await;
    });
    kept.put(job.waker);
    rig.turn();
    job.handle.abort();
    assert_eq!(rig.turn(), 1);
    assert!(job.handle.is_finished());
    drop(job.handle);
    rig.end().assert_free();
}

#[test]
fn output_that_nobody_wants_may_spawn_and_drop_siblings() {
    let rig = Rc::new(Rig::new());
    let sibling = rig.job(pending::<()>());
    let (maker, ran) = (Rc::clone(&rig), Count::default());
    let counted = ran.clone();
    let last = Last::new(move || {
        sibling.handle.abort();
        sibling.waker.wake();
        drop(maker.spawn(async move { counted.up() }));
    });
    let mut last = Some(last);
    drop(rig.spawn(poll_fn(move |_| Poll::Ready(last.take()))));
    rig.turn();
    assert_eq!(ran.get(), 1);
    assert_eq!(rig.home.registered(), 0);
    Rc::into_inner(rig).unwrap().end().assert_free();
}

/// A waker that does something when it is woken, and something else when it goes.
struct Busy(Slot<Box<dyn FnOnce() + Send>>);

impl Wake for Busy {
    fn wake(self: Arc<Self>) {
        if let Some(act) = self.0.take() {
            act();
        }
    }
}

#[test]
fn waker_of_a_joiner_may_turn_on_the_job_that_wakes_it() {
    let rig = Rig::new();
    let job = rig.job(async { 3 });
    let (act, own) = (Slot::<Box<dyn FnOnce() + Send>>::default(), Slot::default());
    let mut handle = job.handle;
    assert!(poll_with(&mut handle, &Waker::from(Arc::new(Busy(act.clone())))).is_pending());
    own.put(handle);
    let (inside, waker) = (own.clone(), job.waker);
    act.put(Box::new(move || {
        let handle: JoinHandle<i32> = inside.take().unwrap();
        assert!(handle.is_finished());
        handle.abort();
        waker.wake_by_ref();
        // The last handle and the last waker: the cell lives to the end of its run all the same.
        drop((handle, waker));
    }));
    rig.turn();
    assert_eq!(rig.home.registered(), 0);
    rig.end().assert_free();
}

#[test]
fn destructors_that_spawn_are_followed_to_their_end() {
    fn spawn_chain(rig: &Rc<Rig>, left: usize, dropped: Count) {
        let again = Rc::clone(rig);
        let last = Last::new(move || {
            dropped.up();
            if left > 1 {
                spawn_chain(&again, left - 1, dropped);
            }
        });
        drop(rig.spawn(async move {
            let _last = last;
            pending::<()>().await;
        }));
    }
    let (rig, dropped) = (Rc::new(Rig::new()), Count::default());
    let length = FINISH_ROUNDS / 2;
    spawn_chain(&rig, length, dropped.clone());
    assert_eq!(rig.home.finish(), 0);
    assert_eq!(dropped.get(), length);
    Rc::into_inner(rig).unwrap().end().assert_free();
}

#[test]
fn destructors_that_spawn_for_ever_are_left_behind() {
    fn spawn_for_ever(rig: &Rc<Rig>, dropped: Count) {
        let again = Rc::clone(rig);
        let last = Last::new(move || {
            if dropped.up() < 2 * FINISH_ROUNDS {
                spawn_for_ever(&again, dropped);
            }
        });
        drop(rig.spawn(async move {
            let _last = last;
            pending::<()>().await;
        }));
    }
    let (rig, dropped) = (Rc::new(Rig::new()), Count::default());
    spawn_for_ever(&rig, dropped.clone());
    // BOUND: the end gives up, and says how many are left.
    assert_eq!(rig.home.finish(), 1);
    assert_eq!(dropped.get(), FINISH_ROUNDS);
    // It was not for ever, and a second go ends it, so that this test leaks nothing.
    assert_eq!(rig.home.finish(), 0);
    Rc::into_inner(rig).unwrap().end().assert_free();
}

#[test]
fn jobs_run_by_priority_in_the_order_in_which_they_became_ready() {
    use crate::queue::Priority::{High, Low, Normal};
    let rig = Rig::new();
    let order = Rc::new(std::cell::RefCell::new(Vec::new()));
    let jobs: Vec<_> = [Low, Normal, High, Low, Normal, High]
        .into_iter()
        .enumerate()
        .map(|(name, priority)| {
            let order = Rc::clone(&order);
            let job = rig.make(async move { order.borrow_mut().push(name) });
            job.set_priority(priority);
            job.wake();
            job
        })
        .collect();
    rig.turn();
    assert_eq!(*order.borrow(), [2, 5, 1, 4, 0, 3]);
    drop(jobs);
    rig.end().assert_free();
}

/// References made elsewhere and dropped here, so that fewer are counted here than there are.
fn owe<const N: usize>(rig: &Rig, waker: &Waker) {
    drop(rig.away(|| [(); N].map(|()| waker.clone())));
}

#[test]
fn waker_that_drops_the_handle_merges_the_counts_of_a_job_that_completes() {
    /// Drops the handle whose job wakes it.
    struct Drops(Slot<JoinHandle<()>>);
    impl Wake for Drops {
        fn wake(self: Arc<Self>) {
            drop(self.0.take());
        }
    }
    let rig = Rig::new();
    let job = rig.job(async {});
    owe::<2>(&rig, &job.waker);
    let slot = Slot::default();
    let mut handle = job.handle;
    let joiner = Waker::from(Arc::new(Drops(slot.clone())));
    assert!(poll_with(&mut handle, &joiner).is_pending());
    slot.put(handle);
    rig.turn();
    assert!(slot.take().is_none(), "it was woken");
    assert_eq!(rig.home.registered(), 0, "it is nobody's any more");
    assert_eq!(job.probe.read(), 0, "its waker keeps it");
    drop((job.waker, joiner, slot));
    assert_eq!(job.probe.read(), 1, "it is freed with its last reference");
    rig.end().assert_free();
}

#[test]
fn output_that_holds_a_waker_merges_the_counts_of_a_job_that_was_left() {
    let rig = Rig::new();
    let held = Slot::<Waker>::default();
    let inside = held.clone();
    let job = rig.job(async move { inside.take() });
    let last = rig.away(|| job.waker.clone());
    owe::<2>(&rig, &job.waker);
    held.put(job.waker);
    let handle = job.handle;
    rig.away(|| drop(handle));
    // It is done before the letter is read, so that who reads it drops the output.
    rig.run_ready();
    rig.turn();
    assert_eq!(rig.home.registered(), 0, "it is nobody's any more");
    assert_eq!(job.probe.read(), 0, "a waker keeps it");
    drop((last, held));
    assert_eq!(job.probe.read(), 1, "it is freed with its last reference");
    rig.end().assert_free();
}
