//! The end of a worker (DRAIN): it comes whatever others do, and nothing is left behind it.

use std::future::pending;
use std::thread;

use crate::job::rig::{Count, Rig};

/// So many jobs no end of a worker may need.
const MANY: usize = 100_000;

#[test]
fn jobs_that_keep_coming_do_not_put_off_the_end() {
    let rig = Rig::new();
    let threads = [(); 2].map(|()| {
        let sender = rig.sender();
        thread::spawn(move || {
            let mut sent = 0;
            while !sender.block.is_closed() && sent < MANY {
                drop(sender.spawn(async {}));
                sent += 1;
            }
            sent
        })
    });
    // They are at it.
    rig.work_until(|| rig.home.registered() > 0 || rig.turn() > 0);
    let memory = rig.end();
    for thread in threads {
        assert_ne!(thread.join().unwrap(), MANY, "the end waited until there were no more");
    }
    memory.assert_free();
}

#[test]
fn wakes_that_keep_coming_do_not_put_off_the_end() {
    let rig = Rig::new();
    let threads = [(); 4].map(|()| {
        let (job, sender) = (rig.job(pending::<()>()), rig.sender());
        drop(job.handle);
        thread::spawn(move || {
            while !sender.block.is_closed() {
                job.waker.wake_by_ref();
            }
        })
    });
    let memory = rig.end();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    memory.assert_free();
}

#[test]
fn job_that_comes_at_the_end_is_cancelled() {
    let rig = Rig::new();
    let ran = Count::default();
    let counted = ran.clone();
    let sender = rig.sender();
    let (before, _) = rig.away(|| sender.spawn(async move { counted.up() }));
    rig.home.begin_closing();
    let counted = ran.clone();
    let (after, _) = rig.away(|| sender.spawn(async move { counted.up() }));
    let counted = ran.clone();
    let here = rig.spawn(async move { counted.up() });
    rig.turn();
    assert!(before.is_finished() && after.is_finished() && here.is_finished());
    assert_eq!(ran.get(), 0);
    drop((before, after, here, sender));
    rig.end().assert_free();
}

#[test]
fn job_that_comes_after_the_end_is_done_at_once() {
    let rig = Rig::new();
    assert_eq!(rig.home.finish(), 0);
    let spawned = rig.spawn(async { unreachable!("the worker has ended") });
    assert!(spawned.is_finished());
    let made = rig.make(pending::<()>());
    assert!(made.is_done());
    made.wake();
    made.abort();
    assert_eq!(rig.turn(), 0);
    let sender = rig.sender();
    let (sent, _) = sender.spawn(pending::<()>());
    assert!(sent.is_finished());
    drop((spawned, made, sent, sender));
    assert_eq!(rig.home.registered(), 0);
    rig.end().assert_free();
}
