//! References: last ones, debts, folds and merges of the two counts, cells that post themselves.

use std::sync::Arc as StdArc;
use std::task::Waker;

use crate::job::rig::{Count, Flag, Job, Plain, Rig, all_up, counting_waker, poll_with};
use crate::sync::model;
use crate::sync::testing::spawn;

/// Uses a reference, as any user of the cell does, and gives it up.
fn use_and_drop(probe: &Plain, waker: Waker) {
    probe.read();
    drop(waker);
}

/// A job that is done, of which the handle alone counts here, and so many wakers count as made elsewhere.
fn done_with_remote<const N: usize>(rig: &Rig) -> (Job<()>, [Waker; N]) {
    let job = rig.job(async {});
    let wakers = rig.away(|| [(); N].map(|()| job.waker.clone()));
    rig.turn();
    assert!(job.handle.is_finished());
    (job, wakers)
}

/// A job that waits for the flag: the owner alone is counted here, and so many wakers as made elsewhere.
fn live_with_remote<const N: usize>(rig: &Rig, flag: &StdArc<Flag>) -> (StdArc<Plain>, [Waker; N]) {
    let job = rig.job(all_up([flag]));
    let wakers = rig.away(|| [(); N].map(|()| job.waker.clone()));
    rig.turn();
    (job.probe, wakers)
}

#[test]
fn last_reference_goes_on_another_thread() {
    model(|| {
        let rig = Rig::new();
        let job = rig.job(async {});
        rig.turn();
        drop(job.handle);
        let (waker, probe) = (job.waker, job.probe);
        let other = spawn(move || use_and_drop(&probe, waker));
        rig.turn();
        other.join().unwrap();
        rig.turn();
        assert_eq!(rig.home.registered(), 0);
        rig.end().assert_free();
    });
}

#[test]
fn last_reference_meets_completion() {
    model(|| {
        let rig = Rig::new();
        let local = rig.local();
        let job = rig.job(async move { local.use_it() });
        let (waker, probe) = (job.waker, job.probe);
        drop(job.handle);
        let other = spawn(move || use_and_drop(&probe, waker));
        rig.turn();
        other.join().unwrap();
        rig.turn();
        assert_eq!(rig.home.registered(), 0);
        rig.end().assert_free();
    });
}

#[test]
fn last_reference_wakes_a_job_that_completes() {
    model(|| {
        let rig = Rig::new();
        let job = rig.job(async {});
        let (waker, copy) = (job.waker.clone(), job.waker);
        let probe = job.probe;
        drop(job.handle);
        let other = spawn(move || {
            copy.wake_by_ref();
            probe.read();
            copy.wake();
            waker.wake();
        });
        rig.turn();
        other.join().unwrap();
        rig.turn();
        assert_eq!(rig.home.registered(), 0);
        rig.end().assert_free();
    });
}

#[test]
fn last_reference_meets_the_reading_of_the_output() {
    model(|| {
        let rig = Rig::new();
        let (mut job, [waker]) = done_with_remote(&rig);
        drop(job.waker);
        let probe = job.probe;
        let other = spawn(move || use_and_drop(&probe, waker));
        let reader = counting_waker(&rig, &Count::default());
        assert!(poll_with(&mut job.handle, &reader).is_ready());
        rig.turn();
        other.join().unwrap();
        drop(reader);
        rig.turn();
        assert_eq!(rig.home.registered(), 0);
        rig.end().assert_free();
    });
}

#[test]
fn two_last_references_go_on_two_threads() {
    model(|| {
        let rig = Rig::new();
        let job = rig.job(async {});
        let others = [job.waker.clone(), job.waker].map(|waker| {
            let probe = StdArc::clone(&job.probe);
            spawn(move || use_and_drop(&probe, waker))
        });
        rig.turn();
        drop(job.handle);
        rig.turn();
        others.into_iter().for_each(|other| other.join().unwrap());
        rig.turn();
        assert_eq!(rig.home.registered(), 0);
        rig.end().assert_free();
    });
}

#[test]
fn debts_post_the_cell_again_and_again() {
    model(|| {
        let rig = Rig::new();
        let flag = Flag::shared();
        let job = rig.job(all_up([&flag]));
        rig.turn();
        let (first, second, probe) = (job.waker.clone(), job.waker.clone(), job.probe);
        let other = spawn(move || {
            use_and_drop(&probe, first);
            use_and_drop(&probe, second);
        });
        // Each time the mail is read the debt is taken over, and the next drop makes a new one.
        rig.turn();
        rig.turn();
        flag.raise();
        job.waker.wake();
        rig.turn();
        drop(job.handle);
        other.join().unwrap();
        rig.turn();
        assert_eq!(rig.home.registered(), 0);
        rig.end().assert_free();
    });
}

#[test]
fn a_debt_meets_a_credit() {
    model(|| {
        let rig = Rig::new();
        let job = rig.job(async {});
        let credit = rig.away(|| job.waker.clone());
        let others = [job.waker, credit].map(|waker| {
            let probe = StdArc::clone(&job.probe);
            spawn(move || {
                let copy = waker.clone();
                drop(waker);
                use_and_drop(&probe, copy);
            })
        });
        rig.turn();
        drop(job.handle);
        rig.turn();
        others.into_iter().for_each(|other| other.join().unwrap());
        rig.turn();
        assert_eq!(rig.home.registered(), 0);
        rig.end().assert_free();
    });
}

#[test]
fn merge_against_a_remote_wake() {
    model(|| {
        let rig = Rig::new();
        let (job, [waker]) = done_with_remote(&rig);
        let probe = job.probe;
        drop(job.waker);
        let other = spawn(move || {
            waker.wake_by_ref();
            probe.read();
            waker.wake();
        });
        // The last reference that counts here: the counts merge, or the wake came first.
        drop(job.handle);
        other.join().unwrap();
        rig.turn();
        assert_eq!(rig.home.registered(), 0);
        rig.end().assert_free();
    });
}

#[test]
fn merge_against_a_remote_drop() {
    model(|| {
        let rig = Rig::new();
        let (job, [waker]) = done_with_remote(&rig);
        let probe = job.probe;
        drop(job.waker);
        let other = spawn(move || use_and_drop(&probe, waker));
        drop(job.handle);
        rig.turn();
        other.join().unwrap();
        assert_eq!(rig.home.registered(), 0);
        rig.end().assert_free();
    });
}

#[test]
fn merge_against_a_remote_clone() {
    model(|| {
        let rig = Rig::new();
        let (job, [waker]) = done_with_remote(&rig);
        let probe = job.probe;
        drop(job.waker);
        let other = spawn(move || {
            let copy = waker.clone();
            use_and_drop(&probe, waker);
            use_and_drop(&probe, copy);
        });
        drop(job.handle);
        rig.turn();
        other.join().unwrap();
        assert_eq!(rig.home.registered(), 0);
        rig.end().assert_free();
    });
}

#[test]
fn merge_against_two_remote_threads() {
    model(|| {
        let rig = Rig::new();
        let (job, wakers) = done_with_remote::<2>(&rig);
        drop(job.waker);
        let others = wakers.map(|waker| {
            let probe = StdArc::clone(&job.probe);
            spawn(move || {
                waker.wake_by_ref();
                use_and_drop(&probe, waker);
            })
        });
        drop(job.handle);
        rig.turn();
        others.into_iter().for_each(|other| other.join().unwrap());
        rig.turn();
        assert_eq!(rig.home.registered(), 0);
        rig.end().assert_free();
    });
}

#[test]
fn merge_takes_over_a_debt_of_the_owner() {
    model(|| {
        let rig = Rig::new();
        let (job, [mine, again, theirs, last]) = done_with_remote(&rig);
        let probe = job.probe;
        drop(job.waker);
        let other = spawn(move || {
            theirs.wake_by_ref();
            use_and_drop(&probe, theirs);
            drop(last);
        });
        // While the cell is in the mail, the owner gives up more references than count here.
        drop(job.handle);
        drop(mine);
        drop(again);
        rig.turn();
        other.join().unwrap();
        rig.turn();
        assert_eq!(rig.home.registered(), 0);
        rig.end().assert_free();
    });
}

#[test]
fn last_two_references_of_a_merged_job_free_it_once() {
    model(|| {
        let rig = Rig::new();
        let (job, wakers) = done_with_remote::<2>(&rig);
        drop((job.waker, job.handle));
        assert_eq!(rig.home.registered(), 0, "not merged");
        let others = wakers.map(|waker| {
            let probe = StdArc::clone(&job.probe);
            spawn(move || use_and_drop(&probe, waker))
        });
        let memory = rig.end();
        others.into_iter().for_each(|other| other.join().unwrap());
        memory.assert_free();
    });
}

#[test]
fn a_merged_job_has_no_owner() {
    model(|| {
        let rig = Rig::new();
        let (job, [mine, theirs]) = done_with_remote(&rig);
        drop((job.waker, job.handle));
        let probe = StdArc::clone(&job.probe);
        let other = spawn(move || use_and_drop(&probe, theirs));
        // What the owner does is now what anybody does.
        let copy = mine.clone();
        copy.wake();
        use_and_drop(&job.probe, mine);
        other.join().unwrap();
        assert_eq!(rig.turn(), 0);
        rig.end().assert_free();
    });
}

#[test]
fn fold_of_a_live_job_meets_a_wake() {
    model(|| {
        let rig = Rig::new();
        let flag = Flag::shared();
        let (probe, [mine, theirs]) = live_with_remote(&rig, &flag);
        let other = spawn(move || {
            flag.raise();
            probe.read();
            theirs.wake();
        });
        // Made elsewhere and given up here: the local count of a job that lives falls to zero.
        drop(mine);
        rig.work_until(|| rig.home.registered() == 0);
        other.join().unwrap();
        rig.end().assert_free();
    });
}

#[test]
fn fold_of_a_live_job_meets_a_clone_and_a_drop() {
    model(|| {
        let rig = Rig::new();
        let flag = Flag::shared();
        let (probe, [mine, theirs, last]) = live_with_remote(&rig, &flag);
        let other = spawn(move || {
            let copy = theirs.clone();
            use_and_drop(&probe, theirs);
            use_and_drop(&probe, copy);
        });
        drop(mine);
        rig.turn();
        flag.raise();
        last.wake();
        rig.turn();
        other.join().unwrap();
        rig.turn();
        assert_eq!(rig.home.registered(), 0);
        rig.end().assert_free();
    });
}

#[test]
fn folds_of_a_live_job_meet_two_threads() {
    model(|| {
        let rig = Rig::new();
        let flag = Flag::shared();
        let (probe, [mine, again, theirs, last]) = live_with_remote(&rig, &flag);
        let copy = StdArc::clone(&probe);
        let drops = spawn(move || use_and_drop(&copy, theirs));
        let wakes = spawn(move || {
            flag.raise();
            probe.read();
            last.wake();
        });
        drop(mine);
        drop(again);
        rig.work_until(|| rig.home.registered() == 0);
        drops.join().unwrap();
        wakes.join().unwrap();
        rig.turn();
        rig.end().assert_free();
    });
}

#[test]
fn a_post_outlives_the_worker_it_goes_to() {
    model(|| {
        let rig = Rig::new();
        let job = rig.job(async {});
        let (waker, probe) = (job.waker, job.probe);
        drop(job.handle);
        rig.turn();
        // The last reference goes while the worker ends and its block is given up.
        let other = spawn(move || use_and_drop(&probe, waker));
        let memory = rig.end();
        other.join().unwrap();
        memory.assert_free();
    });
}
