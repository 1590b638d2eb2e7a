//! Wakes and aborts from other threads: none is lost, none runs a job twice at a time, and each carries
//! what its thread did before.

use std::future::{pending, poll_fn};
use std::sync::Arc as StdArc;
use std::task::Poll;

use crate::job::rig::{Count, Flag, Plain, Rig, all_up, counting_waker, poll_with};
use crate::sync::model;
use crate::sync::testing::spawn;

#[test]
fn wake_during_a_run_causes_one_more() {
    model(|| {
        let rig = Rig::new();
        let flag = Flag::shared();
        let job = rig.job(all_up([&flag]));
        let waker = job.waker;
        let other = spawn(move || {
            flag.raise();
            waker.wake_by_ref();
            waker
        });
        rig.run_ready();
        rig.work_until_done(&job.handle);
        drop((job.handle, other.join().unwrap()));
        rig.end().assert_free();
    });
}

#[test]
fn wake_during_completion_is_harmless() {
    model(|| {
        let rig = Rig::new();
        let runs = Count::default();
        let (counted, local) = (runs.clone(), rig.local());
        let job = rig.job(async move {
            local.use_it();
            counted.up()
        });
        let (waker, probe) = (job.waker, job.probe);
        let other = spawn(move || {
            probe.read();
            waker.wake();
        });
        rig.turn();
        assert!(job.handle.is_finished());
        drop(job.handle);
        other.join().unwrap();
        rig.turn();
        assert_eq!(runs.get(), 1);
        rig.end().assert_free();
    });
}

#[test]
fn wake_carries_what_was_written_before() {
    model(|| {
        let rig = Rig::new();
        let data = Plain::shared(0);
        let (read, mut polls) = (StdArc::clone(&data), 0);
        let job = rig.job(poll_fn(move |_| {
            polls += 1;
            // Only the wake causes a second poll.
            if polls == 1 { Poll::Pending } else { Poll::Ready(read.read()) }
        }));
        rig.turn();
        let waker = job.waker;
        let other = spawn(move || {
            data.write(7);
            waker.wake();
        });
        rig.work_until_done(&job.handle);
        drop(job.handle);
        other.join().unwrap();
        rig.end().assert_free();
    });
}

#[test]
fn coalesced_wakes_carry_the_data_of_both() {
    model(|| {
        let rig = Rig::new();
        let (left, right) = (Flag::shared(), Flag::shared());
        let job = rig.job(all_up([&left, &right]));
        rig.turn();
        let others = [left, right].map(|flag| {
            let waker = job.waker.clone();
            spawn(move || {
                flag.raise();
                waker.wake_by_ref();
                waker
            })
        });
        rig.work_until_done(&job.handle);
        drop((job.handle, job.waker));
        others.into_iter().for_each(|other| drop(other.join().unwrap()));
        rig.end().assert_free();
    });
}

#[test]
fn coalesced_wakes_by_value_carry_the_data_of_both() {
    model(|| {
        let rig = Rig::new();
        let (left, right) = (Flag::shared(), Flag::shared());
        let job = rig.job(all_up([&left, &right]));
        rig.turn();
        let others = [left, right].map(|flag| {
            let (waker, probe) = (job.waker.clone(), StdArc::clone(&job.probe));
            spawn(move || {
                flag.raise();
                probe.read();
                waker.wake();
            })
        });
        drop(job.waker);
        rig.work_until_done(&job.handle);
        drop(job.handle);
        others.into_iter().for_each(|other| other.join().unwrap());
        rig.end().assert_free();
    });
}

#[test]
fn wakes_by_value_and_by_reference_meet() {
    model(|| {
        let rig = Rig::new();
        let (left, right) = (Flag::shared(), Flag::shared());
        let job = rig.job(all_up([&left, &right]));
        let (by_value, by_reference) = (job.waker.clone(), job.waker);
        let first = spawn(move || {
            left.raise();
            by_value.wake();
        });
        let second = spawn(move || {
            right.raise();
            by_reference.wake_by_ref();
        });
        rig.work_until_done(&job.handle);
        drop(job.handle);
        first.join().unwrap();
        second.join().unwrap();
        rig.end().assert_free();
    });
}

#[test]
fn wake_at_home_meets_a_wake_from_away() {
    model(|| {
        let rig = Rig::new();
        let flag = Flag::shared();
        let job = rig.job(all_up([&flag]));
        rig.turn();
        let waker = job.waker.clone();
        let other = spawn(move || {
            flag.raise();
            waker.wake();
        });
        job.waker.wake_by_ref();
        rig.turn();
        job.waker.wake();
        rig.work_until_done(&job.handle);
        drop(job.handle);
        other.join().unwrap();
        rig.end().assert_free();
    });
}

#[test]
fn wake_twice_from_one_thread_is_seen_twice_or_once() {
    model(|| {
        let rig = Rig::new();
        let (first, second) = (Flag::shared(), Flag::shared());
        let job = rig.job(all_up([&first, &second]));
        rig.turn();
        let waker = job.waker;
        let other = spawn(move || {
            first.raise();
            waker.wake_by_ref();
            second.raise();
            waker.wake();
        });
        rig.work_until_done(&job.handle);
        drop(job.handle);
        other.join().unwrap();
        rig.end().assert_free();
    });
}

#[test]
fn job_that_wakes_itself_is_woken_by_others_too() {
    model(|| {
        let rig = Rig::new();
        let flag = Flag::shared();
        let (up, runs, mut polls) = (StdArc::clone(&flag), Count::default(), 0);
        let counted = runs.clone();
        let job = rig.job(poll_fn(move |context| {
            counted.up();
            polls += 1;
            if polls == 1 {
                // The other's wake may have come before: this one must be enough for a second run.
                context.waker().wake_by_ref();
                context.waker().wake_by_ref();
            } else if up.is_up() {
                return Poll::Ready(());
            }
            Poll::Pending
        }));
        let waker = job.waker;
        let other = spawn(move || {
            flag.raise();
            waker.wake();
        });
        rig.work_until_done(&job.handle);
        drop(job.handle);
        other.join().unwrap();
        // One for its birth, one for its own wakes, one for the other's.
        assert!(runs.get() <= 3, "{} runs", runs.get());
        rig.end().assert_free();
    });
}

#[test]
fn wake_that_was_heard_is_not_heard_again() {
    model(|| {
        let rig = Rig::new();
        let runs = Count::default();
        let counted = runs.clone();
        let job = rig.job(poll_fn(move |_| {
            counted.up();
            Poll::<()>::Pending
        }));
        rig.turn();
        let (first, second) = (job.waker.clone(), job.waker);
        let other = spawn(move || {
            first.wake_by_ref();
            // The debts may post the cell again, with nothing to say.
            drop(first);
            drop(second);
        });
        rig.turn();
        rig.turn();
        other.join().unwrap();
        rig.turn();
        assert_eq!(runs.get(), 2, "one for its birth, one for the wake");
        drop(job.handle);
        rig.end().assert_free();
    });
}

#[test]
fn sleep_is_refused_while_mail_is_unread() {
    model(|| {
        let rig = Rig::new();
        let flags = [Flag::shared(), Flag::shared()];
        let jobs = flags.each_ref().map(|flag| rig.job(all_up([flag])));
        rig.turn();
        let others = [0, 1].map(|index| {
            let (flag, waker) = (StdArc::clone(&flags[index]), jobs[index].waker.clone());
            spawn(move || {
                flag.raise();
                waker.wake();
            })
        });
        // One piece of mail a turn: more may have been taken in than was read.
        let unread = rig.home.drain(1);
        rig.run_ready();
        assert!(!(unread && rig.home.sleep()), "asleep over mail");
        rig.work_until(|| jobs.iter().all(|job| job.handle.is_finished()));
        others.into_iter().for_each(|other| other.join().unwrap());
        drop(jobs);
        rig.end().assert_free();
    });
}

#[test]
fn push_against_sleep_is_not_slept_through() {
    model(|| {
        let rig = Rig::new();
        let flag = Flag::shared();
        let job = rig.job(all_up([&flag]));
        rig.turn();
        let waker = job.waker;
        let other = spawn(move || {
            flag.raise();
            waker.wake();
        });
        rig.work_until_done(&job.handle);
        drop(job.handle);
        other.join().unwrap();
        let (rings, sleeps) = rig.rings_and_sleeps();
        assert!(rings <= sleeps, "{rings} rings for {sleeps} sleeps");
        rig.end().assert_free();
    });
}

#[test]
fn two_pushers_ring_once_for_a_sleep() {
    model(|| {
        let rig = Rig::new();
        let flags = [Flag::shared(), Flag::shared()];
        let jobs = flags.each_ref().map(|flag| rig.job(all_up([flag])));
        rig.turn();
        let [first, second] = jobs.each_ref().map(|job| job.waker.clone());
        let [up_first, up_second] = flags;
        let one = spawn(move || {
            up_first.raise();
            first.wake();
        });
        let two = spawn(move || {
            up_second.raise();
            second.wake();
        });
        rig.work_until(|| jobs.iter().all(|job| job.handle.is_finished()));
        one.join().unwrap();
        two.join().unwrap();
        let (rings, sleeps) = rig.rings_and_sleeps();
        assert!(rings <= sleeps, "{rings} rings for {sleeps} sleeps");
        drop(jobs);
        rig.end().assert_free();
    });
}

#[test]
fn abort_during_a_run_ends_the_job_once() {
    model(|| {
        let rig = Rig::new();
        let (local, runs) = (rig.local(), Count::default());
        let counted = runs.clone();
        let job = rig.job(poll_fn(move |_| {
            local.use_it();
            counted.up();
            Poll::<()>::Pending
        }));
        let handle = StdArc::new(job.handle);
        let remote = StdArc::clone(&handle);
        let other = spawn(move || remote.abort());
        rig.run_ready();
        rig.work_until_done(&handle);
        other.join().unwrap();
        assert!(runs.get() <= 1);
        drop((handle, job.waker));
        rig.end().assert_free();
    });
}

#[test]
fn abort_against_a_wake_cancels() {
    model(|| {
        let rig = Rig::new();
        let local = rig.local();
        let job = rig.job(async move {
            local.use_it();
            pending::<()>().await;
        });
        rig.turn();
        let handle = StdArc::new(job.handle);
        let remote = StdArc::clone(&handle);
        let aborts = spawn(move || remote.abort());
        let waker = job.waker;
        let wakes = spawn(move || waker.wake());
        rig.work_until_done(&handle);
        aborts.join().unwrap();
        wakes.join().unwrap();
        drop(handle);
        rig.end().assert_free();
    });
}

#[test]
fn abort_against_completion_leaves_one_result() {
    model(|| {
        let rig = Rig::new();
        let output = rig.output();
        let mut job = rig.job(async move { output(5) });
        drop(job.waker);
        let waker = counting_waker(&rig, &Count::default());
        let other = spawn(move || {
            job.handle.abort();
            job.handle
        });
        rig.turn();
        job.handle = other.join().unwrap();
        rig.turn();
        match poll_with(&mut job.handle, &waker) {
            Poll::Ready(Ok(output)) => assert_eq!(output.read(), 5),
            Poll::Ready(Err(error)) => assert!(error.is_cancelled()),
            Poll::Pending => panic!("the job has not ended"),
        }
        drop((job.handle, waker));
        rig.end().assert_free();
    });
}

#[test]
fn nested_workers_on_one_thread_write_to_each_other() {
    model(|| {
        let outer = Rig::new();
        let (here, there) = (Flag::shared(), Flag::shared());
        let (both, local) = (all_up([&here, &there]), outer.local());
        let job = outer.job(async move {
            both.await;
            // Back at home: the inner worker has given the thread back.
            local.use_it();
        });
        outer.turn();
        let waker = job.waker.clone();
        let other = spawn(move || {
            there.raise();
            waker.wake();
        });
        // While the inner worker is the current one, the outer's jobs are strangers.
        let inner = Rig::new();
        let waker = job.waker;
        let inner_job = inner.spawn(async move {
            here.raise();
            waker.wake();
        });
        inner.turn();
        assert!(inner_job.is_finished());
        drop(inner_job);
        inner.end().assert_free();
        outer.work_until_done(&job.handle);
        drop(job.handle);
        other.join().unwrap();
        outer.end().assert_free();
    });
}

#[test]
fn two_workers_wake_each_other() {
    model(|| {
        let here = Rig::new();
        let (asked, answered) = (Flag::shared(), Flag::shared());
        let job = here.job(all_up([&answered]));
        here.turn();
        let waker = job.waker;
        let (sender, seen) = (here.sender(), StdArc::clone(&asked));
        let other = spawn(move || {
            let there = Rig::new();
            let inner = there.job(all_up([&seen]));
            there.turn();
            let back = inner.waker;
            let (poke, _) = sender.spawn(async move {
                seen.raise();
                back.wake();
            });
            there.work_until_done(&inner.handle);
            answered.raise();
            waker.wake();
            drop((inner.handle, poke));
            there.end()
        });
        here.work_until_done(&job.handle);
        drop(job.handle);
        let there = other.join().unwrap();
        here.turn();
        there.assert_free();
        assert!(asked.is_up());
        here.end().assert_free();
    });
}
