//! Handles on other threads: the output is seen whole and dropped once, and who waits is woken.

use std::future::{pending, poll_fn};
use std::panic::resume_unwind;
use std::sync::Arc as StdArc;
use std::task::Poll;

use crate::job::rig::{
    Count, Flag, Output, Rig, Slot, Watch, all_up, away, block_on, counting_waker, poll_with,
    watched_waker,
};
use crate::sync::model;
use crate::sync::testing::spawn;

#[test]
fn remote_join_sees_the_output() {
    model(|| {
        let rig = Rig::new();
        let output = rig.output();
        let handle = rig.spawn(async move { output(3) });
        let other = spawn(move || {
            let output = block_on(handle).unwrap();
            assert_eq!(output.read(), 3);
        });
        rig.turn();
        // A note that came late is answered by the next look at the mail.
        rig.work_until(|| rig.home.registered() == 0);
        other.join().unwrap();
        rig.end().assert_free();
    });
}

#[test]
fn remote_join_is_woken_by_a_later_completion() {
    model(|| {
        let rig = Rig::new();
        let (flag, output) = (Flag::shared(), rig.output());
        let up = StdArc::clone(&flag);
        let job = rig.job(poll_fn(move |_| match up.is_up() {
            true => Poll::Ready(output(4)),
            false => Poll::Pending,
        }));
        let handle = job.handle;
        let other = spawn(move || assert_eq!(block_on(handle).unwrap().read(), 4));
        rig.turn();
        flag.raise();
        job.waker.wake();
        rig.work_until(|| rig.home.registered() == 0);
        other.join().unwrap();
        rig.end().assert_free();
    });
}

#[test]
fn remote_look_at_a_finished_job_sees_the_output() {
    model(|| {
        let rig = Rig::new();
        let output = rig.output();
        let waker = counting_waker(&rig, &Count::default());
        let mut handle = rig.spawn(async move { output(5) });
        let other = spawn(move || {
            if handle.is_finished() {
                match poll_with(&mut handle, &waker) {
                    Poll::Ready(output) => assert_eq!(output.unwrap().read(), 5),
                    Poll::Pending => panic!("finished, and nothing there"),
                }
            }
            drop(waker);
        });
        rig.turn();
        other.join().unwrap();
        rig.turn();
        rig.end().assert_free();
    });
}

#[test]
fn remote_join_against_finish_sees_the_cancel() {
    model(|| {
        let rig = Rig::new();
        let local = rig.local();
        let handle = rig.spawn(async move {
            local.use_it();
            pending::<()>().await;
        });
        let other = spawn(move || assert!(block_on(handle).unwrap_err().is_cancelled()));
        rig.run_ready();
        let memory = rig.end();
        other.join().unwrap();
        memory.assert_free();
    });
}

#[test]
fn remote_join_against_finish_sees_the_output() {
    model(|| {
        let rig = Rig::new();
        let output = rig.output();
        let handle = rig.spawn(async move { output(6) });
        let other = spawn(move || match block_on(handle) {
            Ok(output) => assert_eq!(output.read(), 6),
            Err(error) => assert!(error.is_cancelled()),
        });
        rig.run_ready();
        let memory = rig.end();
        other.join().unwrap();
        memory.assert_free();
    });
}

#[test]
fn job_that_waits_for_another_at_home_is_woken_and_freed() {
    model(|| {
        let rig = Rig::new();
        let (flag, output) = (Flag::shared(), rig.output());
        let (up, waker) = (all_up([&flag]), Slot::default());
        let first = rig.job(async move {
            up.await;
            output(2)
        });
        waker.put(first.waker);
        let second = rig.spawn(async move { first.handle.await.unwrap().read() });
        // Its reference and the first job's waker are what keeps it; another thread drops its handle.
        let other = spawn(move || drop(second));
        rig.turn();
        flag.raise();
        waker.take().unwrap().wake();
        rig.work_until(|| rig.home.registered() == 0);
        other.join().unwrap();
        rig.end().assert_free();
    });
}

#[test]
fn handle_that_moves_home_wakes_the_newest() {
    model(|| {
        let rig = Rig::new();
        let flag = Flag::shared();
        let (old, new) = (Count::default(), Count::default());
        let wakers = (counting_waker(&rig, &old), counting_waker(&rig, &new));
        let job = rig.job(all_up([&flag]));
        let mut handle = job.handle;
        let other = spawn(move || {
            assert!(poll_with(&mut handle, &wakers.0).is_pending());
            (handle, wakers)
        });
        // Perhaps the note has been read when the handle comes home, perhaps not.
        rig.turn();
        let (mut handle, wakers) = other.join().unwrap();
        assert!(poll_with(&mut handle, &wakers.1).is_pending());
        flag.raise();
        job.waker.wake();
        rig.work_until_done(&handle);
        rig.turn();
        assert_eq!((old.get(), new.get()), (0, 1));
        assert!(poll_with(&mut handle, &wakers.1).is_ready());
        drop((handle, wakers));
        rig.end().assert_free();
    });
}

#[test]
fn second_note_replaces_the_first() {
    model(|| {
        let rig = Rig::new();
        let (flag, old, new) = (Flag::shared(), Count::default(), Count::default());
        let wakers = (counting_waker(&rig, &old), counting_waker(&rig, &new));
        let job = rig.job(all_up([&flag]));
        let (mut handle, waker) = (job.handle, job.waker);
        rig.turn();
        let other = spawn(move || {
            assert!(poll_with(&mut handle, &wakers.0).is_pending());
            assert!(poll_with(&mut handle, &wakers.1).is_pending());
            flag.raise();
            waker.wake();
            drop(wakers);
            handle
        });
        rig.turn();
        let handle = other.join().unwrap();
        rig.work_until_done(&handle);
        rig.turn();
        assert_eq!((old.get(), new.get()), (0, 1));
        drop(handle);
        rig.end().assert_free();
    });
}

#[test]
fn join_dropped_against_completion_drops_the_output_once() {
    model(|| {
        let rig = Rig::new();
        let output = rig.output();
        let job = rig.job(async move { output(7) });
        let (handle, probe) = (job.handle, job.probe);
        drop(job.waker);
        let other = spawn(move || {
            probe.read();
            drop(handle);
        });
        rig.turn();
        other.join().unwrap();
        rig.turn();
        assert_eq!(rig.home.registered(), 0);
        rig.end().assert_free();
    });
}

#[test]
fn join_dropped_against_the_merge_drops_the_output_once() {
    model(|| {
        let rig = Rig::new();
        let output = rig.output();
        // Made by a stranger: the handle counts among the remote references, so that the end of the job
        // merges the counts at once.
        let (handle, probe) = rig.away(|| rig.sender().spawn(async move { output(8) }));
        let other = spawn(move || {
            probe.read();
            drop(handle);
        });
        rig.turn();
        other.join().unwrap();
        rig.turn();
        assert_eq!(rig.home.registered(), 0);
        rig.end().assert_free();
    });
}

#[test]
fn join_dropped_while_a_waker_stays() {
    model(|| {
        let rig = Rig::new();
        let output = rig.output();
        let job = rig.job(async move { output(9) });
        let (handle, waker, probe) = (job.handle, job.waker, job.probe);
        let copy = StdArc::clone(&probe);
        let leaves = spawn(move || {
            copy.read();
            drop(handle);
        });
        let wakes = spawn(move || {
            probe.read();
            waker.wake();
        });
        rig.turn();
        leaves.join().unwrap();
        wakes.join().unwrap();
        rig.turn();
        assert_eq!(rig.home.registered(), 0);
        rig.end().assert_free();
    });
}

#[test]
fn join_dropped_after_a_note_lets_its_waker_go() {
    model(|| {
        let rig = Rig::new();
        let flag = Flag::shared();
        let (waker, watch) = watched_waker();
        let job = rig.job(all_up([&flag]));
        let mut handle = job.handle;
        let other = spawn(move || {
            assert!(poll_with(&mut handle, &waker).is_pending());
            drop((handle, waker));
        });
        rig.turn();
        other.join().unwrap();
        rig.turn();
        assert!(watch.is_gone(), "kept for a job that lives, when nobody waits any more");
        flag.raise();
        job.waker.wake();
        rig.turn();
        assert_eq!(rig.home.registered(), 0);
        rig.end().assert_free();
    });
}

#[test]
fn join_dropped_before_its_note_is_read_lets_its_waker_go() {
    model(|| {
        let rig = Rig::new();
        let flag = Flag::shared();
        let (waker, watch) = watched_waker();
        let job = rig.job(all_up([&flag]));
        let (mut handle, copy) = (job.handle, job.waker.clone());
        let other = spawn(move || {
            // The cell may be in the mail before the note, and takes the news of the drop along.
            copy.wake();
            assert!(poll_with(&mut handle, &waker).is_pending());
            drop((handle, waker));
        });
        rig.turn();
        other.join().unwrap();
        rig.turn();
        assert!(watch.is_gone(), "kept for a job that lives, when nobody waits any more");
        flag.raise();
        job.waker.wake();
        rig.turn();
        assert_eq!(rig.home.registered(), 0);
        rig.end().assert_free();
    });
}

#[test]
fn output_that_nobody_wants_goes_while_a_waker_stays() {
    model(|| {
        let rig = Rig::new();
        let (output, (watched, watch)) = (rig.output(), Watch::new());
        let job = rig.job(async move { (output(7), watched) });
        let handle = job.handle;
        let other = spawn(move || drop(handle));
        rig.turn();
        other.join().unwrap();
        rig.turn();
        assert!(watch.is_gone(), "an output is kept for a waker");
        drop(job.waker);
        assert_eq!(rig.home.registered(), 0);
        rig.end().assert_free();
    });
}

#[test]
fn output_of_a_merged_job_goes_while_a_waker_stays() {
    model(|| {
        let rig = Rig::new();
        let (output, (watched, watch)) = (rig.output(), Watch::new());
        let (kept, mut watched) = (Slot::default(), Some(watched));
        let inside = kept.clone();
        let sender = rig.sender();
        let other = spawn(move || {
            let job = poll_fn(move |context| {
                // None is counted at home, so that the counts merge when the job ends.
                inside.put(away(|| context.waker().clone()));
                Poll::Ready((output(8), watched.take()))
            });
            drop(sender.spawn(job).0);
        });
        rig.turn();
        other.join().unwrap();
        rig.turn();
        assert!(watch.is_gone(), "an output is kept for a waker");
        drop(kept.take());
        assert_eq!(rig.home.registered(), 0);
        rig.end().assert_free();
    });
}

#[test]
fn output_that_holds_the_last_waker_of_its_job() {
    model(|| {
        let rig = Rig::new();
        let output = rig.output();
        let handle = rig.spawn(poll_fn(move |context| {
            let waker = context.waker().clone();
            Poll::Ready((output(1), waker))
        }));
        let other = spawn(move || drop(handle));
        // Whoever drops the output drops the last reference with it, in the midst of its work on the cell.
        rig.turn();
        other.join().unwrap();
        rig.turn();
        assert_eq!(rig.home.registered(), 0);
        rig.end().assert_free();
    });
}

#[test]
fn abort_on_drop_away_against_completion() {
    model(|| {
        let rig = Rig::new();
        let (output, local) = (rig.output(), rig.local());
        let handle = rig.spawn(async move {
            local.use_it();
            output(1)
        });
        let other = spawn(move || drop(handle.abort_on_drop()));
        rig.turn();
        other.join().unwrap();
        rig.turn();
        assert_eq!(rig.home.registered(), 0);
        rig.end().assert_free();
    });
}

#[test]
fn panic_that_nobody_read_comes_home() {
    model(|| {
        let rig = Rig::new();
        let output = rig.output();
        let handle = rig.spawn(async move {
            let carried = output(2);
            if carried.read() == 2 {
                resume_unwind(Box::new(carried));
            }
        });
        let other = spawn(move || drop(handle));
        rig.turn();
        other.join().unwrap();
        rig.turn();
        assert_eq!(rig.lost(), 1);
        rig.end().assert_free();
    });
}

#[test]
fn panic_reaches_a_remote_join() {
    model(|| {
        let rig = Rig::new();
        let output = rig.output();
        let handle = rig.spawn(async move {
            let carried = output(3);
            if carried.read() == 3 {
                resume_unwind(Box::new(carried));
            }
        });
        let other = spawn(move || {
            let panic = block_on(handle).unwrap_err().into_panic();
            assert_eq!(panic.downcast::<Output>().unwrap().read(), 3);
        });
        rig.work_until(|| rig.home.registered() == 0);
        other.join().unwrap();
        rig.end().assert_free();
    });
}

#[test]
fn job_of_one_worker_joins_a_job_of_another() {
    model(|| {
        let here = Rig::new();
        let output = here.output();
        let handle = here.spawn(async move { output(4) });
        let other = spawn(move || {
            let there = Rig::new();
            let reader = there.spawn(async move { handle.await.unwrap().read() });
            there.work_until_done(&reader);
            drop(reader);
            there.end()
        });
        here.work_until(|| here.home.registered() == 0);
        let there = other.join().unwrap();
        here.turn();
        there.assert_free();
        here.end().assert_free();
    });
}

#[test]
fn waker_of_a_joining_job_outlives_its_worker() {
    model(|| {
        let here = Rig::new();
        let flag = Flag::shared();
        let job = here.job(all_up([&flag]));
        let handle = job.handle;
        let other = spawn(move || {
            let there = Rig::new();
            // It polls the handle, which sends its waker here, and ends without an answer.
            let reader = there.spawn(handle);
            there.turn();
            drop(reader);
            there.end()
        });
        here.turn();
        flag.raise();
        job.waker.wake();
        here.turn();
        let there = other.join().unwrap();
        here.turn();
        here.end().assert_free();
        there.assert_free();
    });
}
