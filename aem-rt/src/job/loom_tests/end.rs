//! The end of a worker: who comes too late is told so, sees all jobs done, and what outlives the worker is
//! freed by whoever holds it last (DRAIN, HOME).

use std::future::pending;
use std::panic::resume_unwind;
use std::sync::Arc as StdArc;
use std::task::{Poll, Waker};
use std::thread::panicking;

use crate::job::join::JoinHandle;
use crate::job::rig::{
    Count, Flag, Output, Plain, Rig, Slot, Watch, all_up, block_on, counting_waker, poll_with,
};
use crate::sync::model;
use crate::sync::testing::spawn;

#[test]
fn waker_outlives_the_worker() {
    model(|| {
        let rig = Rig::new();
        let local = rig.local();
        let job = rig.job(async move {
            local.use_it();
            pending::<()>().await;
        });
        rig.turn();
        let (waker, probe) = (job.waker, job.probe);
        let other = spawn(move || {
            let copy = waker.clone();
            waker.wake_by_ref();
            probe.read();
            waker.wake();
            probe.read();
            copy.wake();
        });
        drop(job.handle);
        let memory = rig.end();
        other.join().unwrap();
        memory.assert_free();
    });
}

#[test]
fn waker_outlives_the_worker_on_two_threads() {
    model(|| {
        let rig = Rig::new();
        let job = rig.job(pending::<()>());
        let others = [job.waker.clone(), job.waker].map(|waker| {
            let probe = StdArc::clone(&job.probe);
            spawn(move || {
                probe.read();
                drop(waker);
            })
        });
        drop(job.handle);
        let memory = rig.end();
        others.into_iter().for_each(|other| other.join().unwrap());
        memory.assert_free();
    });
}

#[test]
fn close_against_a_wake() {
    model(|| {
        let rig = Rig::new();
        let flag = Flag::shared();
        let job = rig.job(all_up([&flag]));
        let (waker, probe) = (job.waker, job.probe);
        rig.turn();
        let other = spawn(move || {
            flag.raise();
            waker.wake_by_ref();
            probe.read();
            drop(waker);
        });
        // The handle stays, so that the cell must be merged by the end.
        let handle = job.handle;
        let memory = rig.end();
        other.join().unwrap();
        assert!(handle.is_finished());
        drop(handle);
        memory.assert_free();
    });
}

#[test]
fn close_against_an_abort() {
    model(|| {
        let rig = Rig::new();
        let local = rig.local();
        let handle = StdArc::new(rig.spawn(async move {
            local.use_it();
            pending::<()>().await;
        }));
        let remote = StdArc::clone(&handle);
        let other = spawn(move || remote.abort());
        rig.run_ready();
        let memory = rig.end();
        other.join().unwrap();
        assert!(handle.is_finished());
        drop(handle);
        memory.assert_free();
    });
}

#[test]
fn remote_spawn_against_close_runs_or_is_cancelled() {
    model(|| {
        let rig = Rig::new();
        let sender = rig.sender();
        let other = spawn(move || {
            let data = Plain::new(3);
            let (handle, probe) = sender.spawn(async move {
                data.write(4);
                data
            });
            drop(sender);
            probe.read();
            match block_on(handle) {
                Ok(data) => assert_eq!(data.read(), 4),
                Err(error) => assert!(error.is_cancelled()),
            }
        });
        rig.turn();
        let memory = rig.end();
        other.join().unwrap();
        memory.assert_free();
    });
}

#[test]
fn remote_spawn_against_close_without_a_reader() {
    model(|| {
        let rig = Rig::new();
        let (sender, output) = (rig.sender(), rig.output());
        let other = spawn(move || {
            let (handle, probe) = sender.spawn(async move { output(1) });
            probe.read();
            drop(handle);
            drop(sender);
        });
        let memory = rig.end();
        other.join().unwrap();
        memory.assert_free();
    });
}

#[test]
fn remote_spawn_against_the_beginning_of_the_end_does_not_run() {
    model(|| {
        let rig = Rig::new();
        let (sender, ran) = (rig.sender(), Count::default());
        let counted = ran.clone();
        let other = spawn(move || {
            drop(sender.spawn(async move { counted.up() }).0);
            drop(sender);
        });
        rig.home.begin_closing();
        // Sent before or after, it comes to a worker that is ending.
        rig.turn();
        let memory = rig.end();
        other.join().unwrap();
        assert_eq!(ran.get(), 0);
        memory.assert_free();
    });
}

#[test]
fn refused_job_that_panics_as_it_goes_has_a_block_to_tell() {
    /// Panics where it is dropped, unless a panic is under way.
    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            if !panicking() {
                resume_unwind(Box::new("bomb"));
            }
        }
    }

    model(|| {
        let rig = Rig::new();
        let sender = rig.sender();
        let other = spawn(move || {
            let bomb = Bomb;
            let (handle, _) = sender.spawn(async move {
                let _bomb = bomb;
                pending::<()>().await;
            });
            // The worker and its block may be gone, but for what the cell holds.
            drop(sender);
            drop(handle);
        });
        assert_eq!(rig.home.finish(), 0);
        // Perhaps it came, and the panic is here.
        rig.lost();
        let memory = rig.end();
        other.join().unwrap();
        memory.assert_free();
    });
}

#[test]
fn two_remote_spawns_against_close() {
    model(|| {
        let rig = Rig::new();
        let others = [1, 2].map(|value| {
            let (sender, output) = (rig.sender(), rig.output());
            spawn(move || drop(sender.spawn(async move { output(value) }).0))
        });
        let memory = rig.end();
        others.into_iter().for_each(|other| other.join().unwrap());
        memory.assert_free();
    });
}

/// Whichever comes first, the thread's look or the worker's mark, the job is born cancelled.
#[test]
fn remote_spawn_against_the_mark_of_the_end_never_runs() {
    model(|| {
        let rig = Rig::new();
        let sender = rig.sender();
        let other = spawn(move || {
            let data = Plain::new(3);
            let (handle, probe) = sender.spawn(async move { data.read() });
            drop(sender);
            probe.read();
            block_on(handle).expect_err("nothing is run after the mark").is_cancelled()
        });
        rig.home.begin_closing();
        rig.turn();
        let memory = rig.end();
        assert!(other.join().unwrap());
        memory.assert_free();
    });
}

#[test]
fn remote_spawn_against_sleep_is_not_slept_through() {
    model(|| {
        let rig = Rig::new();
        let (sender, ran) = (rig.sender(), Count::default());
        let counted = ran.clone();
        let other = spawn(move || {
            let data = Plain::new(8);
            drop(sender.spawn(async move {
                assert_eq!(data.read(), 8);
                counted.up();
            }));
        });
        rig.work_until(|| ran.get() == 1);
        other.join().unwrap();
        rig.end().assert_free();
    });
}

#[test]
fn handle_dropped_against_finish_drops_the_output_once() {
    model(|| {
        let rig = Rig::new();
        let output = rig.output();
        let job = rig.job(async move { output(2) });
        let (handle, probe) = (job.handle, job.probe);
        drop(job.waker);
        let other = spawn(move || {
            probe.read();
            drop(handle);
        });
        rig.run_ready();
        let memory = rig.end();
        other.join().unwrap();
        memory.assert_free();
    });
}

#[test]
fn handle_dropped_against_the_cancel_of_the_end() {
    model(|| {
        let rig = Rig::new();
        let (local, output) = (rig.local(), rig.output());
        let handle = rig.spawn(async move {
            local.use_it();
            pending::<()>().await;
            output(2)
        });
        let other = spawn(move || drop(handle));
        let memory = rig.end();
        other.join().unwrap();
        memory.assert_free();
    });
}

#[test]
fn handle_of_a_finished_worker_sees_the_output() {
    model(|| {
        let rig = Rig::new();
        let (woken, output) = (Count::default(), rig.output());
        let waker = counting_waker(&rig, &woken);
        let mut handle = rig.spawn(async move { output(9) });
        let block = rig.home.block();
        let other = spawn(move || {
            if block.is_closed() {
                let output = poll_with(&mut handle, &waker);
                match output {
                    Poll::Ready(Ok(output)) => assert_eq!(output.read(), 9),
                    other => panic!("closed, and yet {other:?}"),
                }
            }
            drop(waker);
            handle
        });
        rig.run_ready();
        let memory = rig.end();
        drop(other.join().unwrap());
        assert_eq!(woken.get(), 0);
        memory.assert_free();
    });
}

#[test]
fn closed_worker_has_published_all_it_did() {
    model(|| {
        let rig = Rig::new();
        let data = Plain::shared(0);
        let written = StdArc::clone(&data);
        drop(rig.spawn(async move { written.write(5) }));
        let block = rig.home.block();
        let other = spawn(move || {
            if block.is_closed() {
                assert_eq!(data.read(), 5);
            }
        });
        rig.run_ready();
        let memory = rig.end();
        other.join().unwrap();
        memory.assert_free();
    });
}

#[test]
fn seal_drops_the_output_of_a_handle_that_left_too_late() {
    model(|| {
        let rig = Rig::new();
        let (output, (watched, watch)) = (rig.output(), Watch::new());
        let job = rig.job(async move { (output(4), watched) });
        let handle = job.handle;
        // It may look at the job before it is done, and leave word when the mail is closed.
        let other = spawn(move || drop(handle));
        rig.run_ready();
        let memory = rig.end();
        other.join().unwrap();
        assert!(watch.is_gone(), "an output is kept for a waker");
        drop(job.waker);
        memory.assert_free();
    });
}

#[test]
fn seal_drops_an_output_that_holds_a_waker_of_a_cell_to_be_sealed() {
    model(|| {
        let rig = Rig::new();
        // The first job's output holds the last reference of the second job, which is sealed after it, and
        // is dropped by the seal of the first: the drop must leave the second cell to its own seal.
        let (output, holder) = (rig.output(), Slot::default());
        let taken = holder.clone();
        let first = rig.spawn(async move { (taken.take(), output(1)) });
        let second = rig.job(async {});
        holder.put(second.waker);
        drop(second.handle);
        // As above.
        let other = spawn(move || drop(first));
        rig.run_ready();
        let memory = rig.end();
        other.join().unwrap();
        memory.assert_free();
    });
}

/// Polls a handle at its end.
struct ReadsAtItsEnd(Option<JoinHandle<Output>>, Waker);

impl Drop for ReadsAtItsEnd {
    fn drop(&mut self) {
        let handle = self.0.as_mut().expect("dropped once");
        // If the other thread was quick, the second job has not run yet.
        assert!(!matches!(poll_with(handle, &self.1), Poll::Ready(Err(_))));
    }
}

#[test]
fn seal_drops_an_output_that_reads_that_of_a_cell_to_be_sealed() {
    model(|| {
        let rig = Rig::new();
        // As above, but what the first output drops has the second job's handle, and asks for its output.
        let (output, holder) = (rig.output(), Slot::default());
        let taken = holder.clone();
        let first = rig.spawn(async move { taken.take() });
        let second = rig.job(async move { output(1) });
        let waker = counting_waker(&rig, &Count::default());
        holder.put(ReadsAtItsEnd(Some(second.handle), waker));
        drop(second.waker);
        let other = spawn(move || drop(first));
        rig.run_ready();
        let memory = rig.end();
        other.join().unwrap();
        memory.assert_free();
    });
}

#[test]
fn wake_of_a_sleeper_outlives_the_worker_it_wakes() {
    model(|| {
        let rig = Rig::new();
        let flag = Flag::shared();
        let job = rig.job(all_up([&flag]));
        rig.turn();
        drop(job.handle);
        assert!(rig.home.sleep());
        let waker = job.waker;
        let other = spawn(move || {
            flag.raise();
            waker.wake();
        });
        // The kernel ends the sleep for reasons of its own, and the worker ends before it is woken.
        rig.home.awake();
        let memory = rig.end();
        other.join().unwrap();
        memory.assert_free();
    });
}

#[test]
fn last_drop_for_a_sleeper_outlives_the_worker_it_wakes() {
    model(|| {
        let rig = Rig::new();
        let job = rig.job(async {});
        rig.turn();
        drop(job.handle);
        assert!(rig.home.sleep());
        let (waker, probe) = (job.waker, job.probe);
        let other = spawn(move || {
            probe.read();
            drop(waker);
        });
        // As above.
        rig.home.awake();
        let memory = rig.end();
        other.join().unwrap();
        memory.assert_free();
    });
}

#[test]
fn note_for_a_sleeper_outlives_the_worker_it_wakes() {
    model(|| {
        let rig = Rig::new();
        let handle = rig.spawn(pending::<()>());
        rig.turn();
        assert!(rig.home.sleep());
        let other = spawn(move || assert!(block_on(handle).unwrap_err().is_cancelled()));
        // As above.
        rig.home.awake();
        let memory = rig.end();
        other.join().unwrap();
        memory.assert_free();
    });
}

#[test]
fn bounced_drop_meets_the_seal() {
    model(|| {
        let rig = Rig::new();
        let job = rig.job(async {});
        rig.turn();
        let (first, second, probe) = (job.waker.clone(), job.waker, job.probe);
        drop(job.handle);
        let copy = StdArc::clone(&probe);
        let one = spawn(move || {
            copy.read();
            drop(first);
        });
        let two = spawn(move || {
            probe.read();
            second.wake();
        });
        let memory = rig.end();
        one.join().unwrap();
        two.join().unwrap();
        memory.assert_free();
    });
}

#[test]
fn two_workers_end_with_each_others_wakers() {
    model(|| {
        let here = Rig::new();
        let mine = here.job(pending::<()>());
        here.turn();
        let (waker, sender) = (mine.waker, here.sender());
        drop(mine.handle);
        let other = spawn(move || {
            let there = Rig::new();
            let theirs = there.job(pending::<()>());
            let back = theirs.waker;
            drop(theirs.handle);
            // A job here holds a waker from there, and one from here stays there.
            drop(sender.spawn(async move {
                back.wake_by_ref();
                pending::<()>().await;
                drop(back);
            }));
            let keeps = there.spawn(async move {
                waker.wake_by_ref();
                pending::<()>().await;
                drop(waker);
            });
            there.run_ready();
            drop((keeps, sender));
            there.end()
        });
        here.turn();
        let memory = here.end();
        other.join().unwrap().assert_free();
        memory.assert_free();
    });
}
