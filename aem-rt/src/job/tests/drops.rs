//! Every value is dropped once, and at home, however a job ends and whatever its handle does; a destructor
//! that panics ends nothing but itself (HOME).

use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::task::{Poll, Wake, Waker};
use std::thread::panicking;

use crate::job::join::JoinHandle;
use crate::job::rig::{Count, Memory, Output, Rig, poll_with};

/// Panics when it is dropped, if it is armed.
struct Bomb {
    armed: bool,
    _memory: Memory,
}

impl Bomb {
    fn new(rig: &Rig, armed: bool) -> Bomb {
        Bomb { armed, _memory: rig.share() }
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.armed && !panicking() {
            resume_unwind(Box::new("bomb"));
        }
    }
}

/// How a job ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Finishes,
    Panics,
    AbortedBeforeItRan,
    AbortedWhileItWaits,
    AbortedByItself,
    EndOfTheWorker,
}

/// What becomes of its handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    DroppedFirst,
    DroppedLast,
    DroppedAway,
    Joined,
    JoinedAway,
}

/// What panics in a destructor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Armed {
    future: bool,
    output: bool,
}

const ENDINGS: [Ending; 6] = [
    Ending::Finishes,
    Ending::Panics,
    Ending::AbortedBeforeItRan,
    Ending::AbortedWhileItWaits,
    Ending::AbortedByItself,
    Ending::EndOfTheWorker,
];
const FATES: [Fate; 5] =
    [Fate::DroppedFirst, Fate::DroppedLast, Fate::DroppedAway, Fate::Joined, Fate::JoinedAway];

type Product = (Output, Bomb);

fn future(rig: &Rig, ending: Ending, armed: Armed) -> impl Future<Output = Product> + use<> {
    let (local, output, memory) = (rig.local(), rig.output(), rig.share());
    let bomb = Bomb::new(rig, armed.future);
    poll_fn(move |_| {
        local.use_it();
        let _whole = &bomb;
        match ending {
            Ending::Finishes => {
                Poll::Ready((output(1), Bomb { armed: armed.output, _memory: memory.clone() }))
            }
            Ending::Panics => resume_unwind(Box::new(output(2))),
            _ => Poll::Pending,
        }
    })
}

/// Asks for the result and throws it away, whatever happens then.
fn join(rig: &Rig, mut handle: JoinHandle<Product>) {
    let waker = crate::job::rig::counting_waker(rig, &Count::default());
    let Poll::Ready(result) = poll_with(&mut handle, &waker) else {
        panic!("the job has not ended");
    };
    let _ = catch_unwind(AssertUnwindSafe(|| drop(result)));
}

fn end_of(rig: Rig, ending: Ending, fate: Fate, armed: Armed) -> (usize, Memory) {
    let job = rig.job(future(&rig, ending, armed));
    let mut handle = Some(job.handle);
    if ending == Ending::AbortedBeforeItRan {
        handle.as_ref().inspect(|handle| handle.abort());
    } else {
        rig.turn();
    }
    match ending {
        Ending::AbortedWhileItWaits => handle.as_ref().into_iter().for_each(JoinHandle::abort),
        Ending::AbortedByItself => {
            handle = handle.map(JoinHandle::abort_on_drop);
            if fate != Fate::DroppedFirst && fate != Fate::DroppedAway {
                handle.as_ref().into_iter().for_each(JoinHandle::abort);
            }
        }
        _ => {}
    }
    if fate == Fate::DroppedFirst {
        handle = None;
    }
    if ending == Ending::EndOfTheWorker {
        assert_eq!(rig.home.finish(), 0);
    } else {
        rig.turn();
    }
    match (fate, handle) {
        (Fate::DroppedAway, handle) => rig.away(|| drop(handle)),
        (Fate::Joined, Some(handle)) => join(&rig, handle),
        (Fate::JoinedAway, Some(handle)) => rig.away(|| join(&rig, handle)),
        (_, handle) => drop(handle),
    }
    rig.turn();
    drop(job.waker);
    rig.turn();
    let lost = rig.lost();
    (lost, rig.end())
}

#[test]
fn each_value_goes_once_and_at_home() {
    let mut cases = 0;
    for ending in ENDINGS {
        for fate in FATES {
            for arms in 0..4 {
                let armed = Armed { future: arms & 1 != 0, output: arms & 2 != 0 };
                let case = format!("{ending:?}, {fate:?}, {armed:?}");
                let (lost, memory) = end_of(Rig::new(), ending, fate, armed);
                memory.assert_free();
                let panicked = ending == Ending::Panics
                    || armed.future
                    || (ending == Ending::Finishes && armed.output);
                let unread = !matches!(fate, Fate::Joined | Fate::JoinedAway);
                // After the end of the worker there is nobody to write to: a line on stderr says it.
                let told = ending != Ending::EndOfTheWorker || fate == Fate::DroppedFirst;
                assert_eq!(lost, usize::from(panicked && unread && told), "{case}");
                cases += 1;
            }
        }
    }
    assert_eq!(cases, ENDINGS.len() * FATES.len() * 4);
}

/// A waker whose every function that may panic does.
struct Rude {
    _bomb: Bomb,
}

impl Wake for Rude {
    fn wake(self: Arc<Self>) {
        resume_unwind(Box::new("rude"));
    }
}

fn rude_waker(rig: &Rig) -> Waker {
    Waker::from(Arc::new(Rude { _bomb: Bomb::new(rig, true) }))
}

#[test]
fn waker_that_panics_is_lost_and_the_job_goes_on() {
    let rig = Rig::new();
    let mut handle = rig.spawn(async { 5 });
    assert!(poll_with(&mut handle, &rude_waker(&rig)).is_pending());
    rig.turn();
    assert_eq!(rig.lost(), 1);
    let waker = crate::job::rig::counting_waker(&rig, &Count::default());
    assert!(matches!(poll_with(&mut handle, &waker), Poll::Ready(Ok(5))));
    drop((handle, waker));
    rig.end().assert_free();
}

#[test]
fn waker_that_panics_as_it_goes_takes_nothing_along() {
    let rig = Rig::new();
    let job = rig.job(pending::<()>());
    let mut handle = job.handle.abort_on_drop();
    assert!(poll_with(&mut handle, &rude_waker(&rig)).is_pending());
    drop(job.waker);
    // It is the dropper's own waker, and so its own panic; the cell must not notice.
    assert!(catch_unwind(AssertUnwindSafe(|| drop(handle))).is_err());
    rig.turn();
    assert_eq!(rig.home.registered(), 0);
    rig.end().assert_free();
}

#[test]
fn waker_of_a_note_goes_with_its_handle() {
    let rig = Rig::new();
    let job = rig.job(pending::<()>());
    let watch = Arc::new(Quiet);
    let waker = Waker::from(Arc::clone(&watch));
    let mut handle = job.handle;
    assert!(rig.away(|| poll_with(&mut handle, &waker)).is_pending());
    drop(waker);
    // At home, with its note still in the mail.
    drop(handle);
    rig.turn();
    assert_eq!(Arc::strong_count(&watch), 1, "a waker of nobody is kept");
    drop(job.waker);
    rig.end().assert_free();
}

#[test]
fn waker_of_a_note_goes_with_a_handle_dropped_away() {
    let rig = Rig::new();
    let job = rig.job(pending::<()>());
    rig.turn();
    let watch = Arc::new(Quiet);
    let waker = Waker::from(Arc::clone(&watch));
    let mut handle = job.handle;
    rig.away(|| {
        // The cell is in the mail before the note, and takes the news of the drop along.
        job.waker.wake_by_ref();
        assert!(poll_with(&mut handle, &waker).is_pending());
        drop((waker, handle));
    });
    rig.turn();
    assert_eq!(Arc::strong_count(&watch), 1, "a waker of nobody is kept");
    drop(job.waker);
    rig.end().assert_free();
}

struct Quiet;

impl Wake for Quiet {
    fn wake(self: Arc<Self>) {}
}

/// What a panic carries may panic in its turn.
struct Twice(#[expect(dead_code, reason = "it is dropped")] Bomb, Option<Bomb>);

impl Drop for Twice {
    fn drop(&mut self) {
        if let Some(bomb) = self.1.take()
            && !panicking()
        {
            resume_unwind(Box::new(bomb));
        }
    }
}

#[test]
fn panic_that_carries_a_panic_ends_here() {
    let rig = Rig::new();
    let output = Twice(Bomb::new(&rig, false), Some(Bomb::new(&rig, true)));
    let bomb = Bomb::new(&rig, true);
    let mut output = Some(output);
    let handle = rig.spawn(poll_fn(move |_| {
        let _whole = &bomb;
        output.take().map_or(Poll::Pending, Poll::Ready)
    }));
    // The future's destructor panics, so the output is not wanted; it panics too, and so does its panic.
    assert!(catch_unwind(AssertUnwindSafe(|| rig.turn())).is_ok());
    assert!(handle.is_finished());
    drop(handle);
    assert_eq!(rig.lost(), 1);
    drop(rig.end());
}
