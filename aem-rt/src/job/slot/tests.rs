//! Tests of the pinned slot: lent to one at a time, dropped once, in its place, whoever turns on it.

use std::cell::Cell;
use std::marker::PhantomPinned;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::thread::panicking;

use super::*;

/// A value that counts its drop and remembers where it stood when it was first lent.
struct Pinned {
    dropped: Rc<Cell<usize>>,
    place: Cell<usize>,
    on_drop: Option<Box<dyn FnOnce()>>,
    _pinned: PhantomPinned,
}

impl Pinned {
    fn new(dropped: &Rc<Cell<usize>>) -> Pinned {
        let dropped = Rc::clone(dropped);
        Pinned { dropped, place: Cell::new(0), on_drop: None, _pinned: PhantomPinned }
    }

    fn stand(&self) {
        let here = std::ptr::from_ref(self) as usize;
        let before = self.place.replace(here);
        assert!(before == 0 || before == here, "moved while pinned");
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if self.place.get() != 0 {
            self.stand();
        }
        self.dropped.set(self.dropped.get() + 1);
        if let Some(act) = self.on_drop.take() {
            act();
        }
    }
}

fn count() -> Rc<Cell<usize>> {
    Rc::new(Cell::new(0))
}

#[test]
fn lends_in_place_and_takes_back() {
    let dropped = count();
    {
        let slot = pin!(PinSlot::new(Pinned::new(&dropped)));
        let slot = slot.as_ref();
        for turn in 0..3 {
            assert_eq!(
                slot.lend(|value| {
                    value.stand();
                    turn
                }),
                Some(turn)
            );
            assert!(!slot.is_busy() && !slot.is_empty());
        }
        assert_eq!(dropped.get(), 0);
    }
    assert_eq!(dropped.get(), 1);
}

#[test]
fn second_borrower_is_told_busy() {
    let slot = pin!(PinSlot::new(5));
    let slot = slot.as_ref();
    let seen = slot.lend(|_| {
        assert!(slot.is_busy() && !slot.is_empty());
        assert_eq!(slot.lend(|value| *value), None);
        assert_eq!(slot.take(), None);
    });
    assert!(seen.is_some());
    assert_eq!(slot.lend(|value| *value), Some(5));
}

#[test]
fn cleared_at_once_when_nobody_has_it() {
    let dropped = count();
    let slot = pin!(PinSlot::new(Pinned::new(&dropped)));
    let slot = slot.as_ref();
    slot.clear();
    assert_eq!(dropped.get(), 1);
    assert!(slot.is_empty() && !slot.is_busy());
    slot.clear();
    assert!(slot.lend(|_| ()).is_none());
    assert_eq!(dropped.get(), 1);
}

#[test]
fn cleared_by_its_user_goes_when_the_loan_ends() {
    let dropped = count();
    let slot = pin!(PinSlot::new(Pinned::new(&dropped)));
    let slot = slot.as_ref();
    slot.lend(|value| {
        slot.clear();
        slot.clear();
        assert!(slot.is_empty() && slot.is_busy());
        value.stand();
        assert_eq!(dropped.get(), 0);
    });
    assert_eq!(dropped.get(), 1);
    assert!(slot.is_empty() && !slot.is_busy());
}

#[test]
fn taken_out_it_is_the_takers() {
    let slot = pin!(PinSlot::new(Box::new(7)));
    let slot = slot.as_ref();
    assert_eq!(slot.take().as_deref(), Some(&7));
    assert!(slot.is_empty() && !slot.is_busy());
    assert_eq!(slot.take(), None);
    assert!(slot.lend(|_| ()).is_none());
    slot.clear();
}

#[test]
fn user_that_panics_loses_the_value() {
    let dropped = count();
    let slot = pin!(PinSlot::new(Pinned::new(&dropped)));
    let slot = slot.as_ref();
    let lent = || slot.lend(|_| resume_unwind(Box::new("user")));
    assert!(catch_unwind(AssertUnwindSafe(lent)).is_err());
    assert_eq!(dropped.get(), 1);
    assert!(slot.is_empty() && !slot.is_busy());
}

#[test]
fn destructor_finds_the_slot_doomed() {
    let (dropped, found) = (count(), count());
    let slot = Rc::pin(PinSlot::new(Pinned::new(&dropped)));
    let (inside, looked) = (slot.clone(), Rc::clone(&found));
    slot.as_ref().lend(|value| {
        // SAFETY: nothing is moved out.
        let value = unsafe { value.get_unchecked_mut() };
        value.on_drop = Some(Box::new(move || {
            assert!(inside.is_busy() && inside.is_empty());
            assert!(inside.as_ref().lend(|_| ()).is_none());
            inside.as_ref().clear();
            looked.set(1);
        }));
    });
    slot.as_ref().clear();
    assert_eq!((dropped.get(), found.get()), (1, 1));
    assert!(slot.is_empty() && !slot.is_busy());
}

#[test]
fn destructor_that_panics_leaves_the_slot_empty() {
    let dropped = count();
    for user_panics_too in [false, true] {
        let mut value = Pinned::new(&dropped);
        value.on_drop = Some(Box::new(|| {
            if !panicking() {
                resume_unwind(Box::new("destructor"));
            }
        }));
        let slot = pin!(PinSlot::new(value));
        let slot = slot.as_ref();
        let clears = || {
            if user_panics_too {
                slot.lend(|_| resume_unwind(Box::new("user")));
            } else {
                slot.clear();
            }
        };
        assert!(catch_unwind(AssertUnwindSafe(clears)).is_err());
        assert!(slot.is_empty() && !slot.is_busy());
    }
    assert_eq!(dropped.get(), 2);
}

#[test]
fn destructor_that_panics_twice_does_not_end_the_process() {
    let dropped = count();
    let mut value = Pinned::new(&dropped);
    // Dropped by an unwinding `lend`, it panics all the same; `PinSlot` keeps that from being the second
    // panic of an unwinding, which would abort.
    value.on_drop = Some(Box::new(|| resume_unwind(Box::new("destructor"))));
    let slot = pin!(PinSlot::new(value));
    let slot = slot.as_ref();
    let lent = || slot.lend(|_| resume_unwind(Box::new("user")));
    let panic = catch_unwind(AssertUnwindSafe(lent)).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"user"));
    assert_eq!(dropped.get(), 1);
}

#[test]
fn says_what_it_holds() {
    let slot = pin!(PinSlot::new(1));
    let slot = slot.as_ref();
    assert_eq!(format!("{:?}", &*slot), "PinSlot(Full)");
    slot.clear();
    assert_eq!(format!("{:?}", &*slot), "PinSlot(Empty)");
}
