//! Pushes against each other, against taking, sleeping and closing.

use std::ptr::NonNull;
use std::sync::Arc as StdArc;

use crate::queue::inject::{Inject, Post, Pushed};
use crate::sync::testing::spawn;
use crate::sync::{Cell, UnsafeCell, model};

/// A letter, with something plain to read.
#[repr(align(8))]
struct Letter {
    link: Cell<usize>,
    content: UnsafeCell<usize>,
}

#[derive(Clone, Copy)]
struct Sent(NonNull<Letter>);

// SAFETY: the addresses of boxes, which are 8-aligned; the queue alone touches the link of a pushed one.
unsafe impl Post for Sent {
    fn into_word(self) -> usize {
        self.0.as_ptr().expose_provenance()
    }

    unsafe fn from_word(word: usize) -> Self {
        let letter = std::ptr::with_exposed_provenance_mut(word);
        Sent(NonNull::new(letter).expect("made by into_word"))
    }

    unsafe fn link<'a>(self) -> &'a Cell<usize> {
        // SAFETY: alive by the caller's word.
        &unsafe { self.0.as_ref() }.link
    }
}

struct Office(Inject);

// SAFETY: the queue is made of one atomic word; the models check what it says of the letters.
unsafe impl Send for Office {}
// SAFETY: as above.
unsafe impl Sync for Office {}

impl Office {
    fn open() -> StdArc<Office> {
        StdArc::new(Office(Inject::new()))
    }

    /// Sends a letter, written on this thread. What was not taken is thrown away.
    fn send(&self, content: usize) -> Pushed {
        let letter = Letter { link: Cell::new(0), content: UnsafeCell::new(content) };
        let letter = Box::into_raw(Box::new(letter));
        let sent = Sent(NonNull::new(letter).expect("a box is not null"));
        // SAFETY: new, and nobody's but the queue's from here on.
        let pushed = unsafe { self.0.push(sent) };
        if pushed == Pushed::Closed {
            // SAFETY: not taken, so still ours.
            drop(unsafe { Box::from_raw(letter) });
        }
        pushed
    }

    /// Reads all the mail there is.
    fn read(&self, into: &mut Vec<usize>) {
        let mut batch = self.0.take::<Sent>();
        while let Some(Sent(letter)) = batch.pop() {
            // SAFETY: made by `send`, and ours since the pop.
            let letter = unsafe { Box::from_raw(letter.as_ptr()) };
            letter.link.set(0);
            // SAFETY: as above.
            into.push(letter.content.with(|content| unsafe { *content }));
        }
    }
}

#[test]
fn two_pushers_lose_nothing_and_keep_their_order() {
    model(|| {
        let office = Office::open();
        let others = [10, 20].map(|from| {
            let office = StdArc::clone(&office);
            spawn(move || {
                assert_ne!(office.send(from), Pushed::Closed);
                assert_ne!(office.send(from + 1), Pushed::Closed);
            })
        });
        let mut mail = Vec::new();
        office.read(&mut mail);
        office.read(&mut mail);
        others.into_iter().for_each(|other| other.join().unwrap());
        office.read(&mut mail);
        assert_eq!(mail.len(), 4);
        for from in [10, 20] {
            let order: Vec<_> = mail.iter().filter(|&&letter| letter / 10 * 10 == from).collect();
            assert_eq!(order, [&from, &(from + 1)]);
        }
    });
}

#[test]
fn push_against_take() {
    model(|| {
        let office = Office::open();
        let remote = StdArc::clone(&office);
        let other = spawn(move || assert_eq!(remote.send(7), Pushed::Quiet));
        let mut mail = Vec::new();
        office.read(&mut mail);
        other.join().unwrap();
        office.read(&mut mail);
        assert_eq!(mail, [7]);
    });
}

#[test]
fn push_against_sleep_wakes_or_keeps_awake() {
    model(|| {
        let office = Office::open();
        let remote = StdArc::clone(&office);
        let other = spawn(move || remote.send(7));
        let asleep = office.0.sleep();
        let pushed = other.join().unwrap();
        assert_eq!(
            pushed == Pushed::Wake,
            asleep,
            "slept through a push, or woken without a sleep"
        );
        let mut mail = Vec::new();
        office.read(&mut mail);
        assert_eq!(mail, [7]);
        office.0.awake();
        assert!(office.0.sleep());
    });
}

#[test]
fn push_against_awake_wakes_or_is_found() {
    model(|| {
        let office = Office::open();
        assert!(office.0.sleep());
        let remote = StdArc::clone(&office);
        let other = spawn(move || remote.send(7));
        // The kernel ended the sleep for reasons of its own.
        office.0.awake();
        let mut mail = Vec::new();
        office.read(&mut mail);
        let asleep = office.0.sleep();
        if !asleep {
            office.read(&mut mail);
            assert_eq!(mail, [7], "an empty queue lets its owner sleep");
        }
        let pushed = other.join().unwrap();
        if asleep && mail.is_empty() {
            assert_eq!(pushed, Pushed::Wake);
        }
        office.read(&mut mail);
        assert_eq!(mail, [7]);
    });
}

#[test]
fn two_pushers_wake_a_sleeper_once() {
    model(|| {
        let office = Office::open();
        assert!(office.0.sleep());
        let others = [1, 2].map(|letter| {
            let office = StdArc::clone(&office);
            spawn(move || office.send(letter))
        });
        let pushed = others.map(|other| other.join().unwrap());
        assert_eq!(pushed.iter().filter(|&pushed| *pushed == Pushed::Wake).count(), 1);
        let mut mail = Vec::new();
        office.read(&mut mail);
        mail.sort_unstable();
        assert_eq!(mail, [1, 2]);
    });
}

#[test]
fn close_against_a_push_takes_it_or_refuses_it() {
    model(|| {
        let office = Office::open();
        let (remote, mut mail) = (StdArc::clone(&office), Vec::new());
        let other = spawn(move || remote.send(7) == Pushed::Closed);
        while !office.0.close() {
            office.read(&mut mail);
        }
        let refused = other.join().unwrap();
        assert_eq!(refused, mail.is_empty());
        assert!(office.0.is_closed());
        assert_eq!(office.send(8), Pushed::Closed);
    });
}

#[test]
fn close_against_two_pushers() {
    model(|| {
        let office = Office::open();
        let mut mail = Vec::new();
        let others = [1, 2].map(|letter| {
            let office = StdArc::clone(&office);
            spawn(move || office.send(letter) != Pushed::Closed)
        });
        while !office.0.close() {
            office.read(&mut mail);
        }
        let taken = others.map(|other| other.join().unwrap());
        assert_eq!(taken.iter().filter(|&&taken| taken).count(), mail.len());
    });
}

/// Something that the owner writes before it closes.
struct Work(UnsafeCell<usize>);

// SAFETY: that it is read after it was written is what the models check.
unsafe impl Send for Work {}
// SAFETY: as above.
unsafe impl Sync for Work {}

impl Work {
    fn undone() -> StdArc<Work> {
        StdArc::new(Work(UnsafeCell::new(0)))
    }

    fn finish(&self) {
        // SAFETY: as above.
        self.0.with_mut(|work| unsafe { *work = 1 });
    }

    fn is_done(&self) -> bool {
        // SAFETY: as above.
        self.0.with(|work| unsafe { *work == 1 })
    }
}

#[test]
fn refused_push_sees_all_that_was_done() {
    model(|| {
        let (office, work) = (Office::open(), Work::undone());
        let (remote, seen) = (StdArc::clone(&office), StdArc::clone(&work));
        let other = spawn(move || {
            if remote.send(7) == Pushed::Closed {
                assert!(seen.is_done());
            }
        });
        work.finish();
        let mut mail = Vec::new();
        while !office.0.close() {
            office.read(&mut mail);
        }
        other.join().unwrap();
    });
}

#[test]
fn closed_queue_means_that_all_is_done() {
    model(|| {
        let (office, work) = (Office::open(), Work::undone());
        let (remote, seen) = (StdArc::clone(&office), StdArc::clone(&work));
        let other = spawn(move || {
            if remote.0.is_closed() {
                assert!(seen.is_done());
            }
        });
        work.finish();
        assert!(office.0.close());
        other.join().unwrap();
    });
}
