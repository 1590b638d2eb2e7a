//! Children that outlive what knows them: their `Child`, their runtime, their parent's memory.

use std::time::{Duration, Instant};

use aem::Runtime;
use aem::process::{Child, Stdio};
use aem_tests::forked::forked;
use aem_tests::proc::children;
use aem_tests::watch::watched_outside;
use aem_tests::{alone, keepers};
use futures::StreamExt;

use super::{LIMIT, on_both, send, shell, sleeper};

/// Waits until the kernel has ended a child, which stays a zombie.
fn becomes_a_zombie(pid: u32) {
    let deadline = Instant::now() + LIMIT;
    while !children().contains(&(pid, 'Z')) {
        assert!(Instant::now() < deadline, "child {pid} does not end");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn must_be_gone(pid: u32) {
    let left = children();
    assert!(!left.iter().any(|(child, _)| *child == pid), "{left:?}");
}

/// A child that runs, and its runtime.
fn make(keeper: aem::Backend, kill_on_drop: bool) -> (Runtime, Child) {
    let runtime = keepers::builder(keeper).build().expect("a runtime");
    let child = runtime.block_on(async { sleeper().kill_on_drop(kill_on_drop).spawn() });
    (runtime, child.expect("started"))
}

#[test]
fn one_that_outlives_its_runtime_is_reaped_with_the_next_start() {
    for keeper in keepers::both() {
        watched_outside(|_| {
            let (runtime, child) = make(keeper, false);
            let pid = child.pid();
            drop(child);
            drop(runtime);
            send(pid, libc::SIGTERM);
            becomes_a_zombie(pid);
            aem::block_on(async { shell("exit 0").status().await }).expect("started");
            must_be_gone(pid);
        });
    }
}

#[test]
fn one_that_is_held_past_its_runtime_can_be_killed_and_asked() {
    for keeper in keepers::both() {
        watched_outside(|_| {
            let (runtime, mut child) = make(keeper, false);
            let mut exited = child.exited();
            drop(runtime);
            assert!(child.try_wait().expect("it runs").is_none());
            aem::block_on(async {
                let elsewhere = child.wait().await.expect_err("its runtime has ended");
                assert!(elsewhere.to_string().contains("runtime"), "{elsewhere}");
                assert!(exited.next().await.expect("an event").is_err());
                assert!(exited.next().await.is_none());
            });
            child.start_kill().expect("killed");
            becomes_a_zombie(child.pid());
            assert!(child.try_wait().expect("its end").is_some());
            must_be_gone(child.pid());
        });
    }
}

#[test]
fn killed_at_the_end_of_its_runtime_or_after_it_leaves_no_zombie() {
    for keeper in keepers::both() {
        watched_outside(|_| {
            // Between two calls of block_on, in a job that the end cancels, after the end.
            let (runtime, child) = make(keeper, true);
            let pid = child.pid();
            drop(child);
            must_be_gone(pid);

            let pid = runtime.block_on(async {
                let child = sleeper().kill_on_drop(true).spawn().expect("started");
                let pid = child.pid();
                let holding = aem::spawn(async move {
                    let _child = child;
                    std::future::pending::<()>().await;
                });
                aem::yield_now().await;
                drop(holding);
                pid
            });
            drop(runtime);
            must_be_gone(pid);

            let (runtime, child) = make(keeper, true);
            let pid = child.pid();
            drop(runtime);
            drop(child);
            must_be_gone(pid);
        });
    }
}

#[test]
fn on_another_runtime_a_child_is_refused_and_at_home_again_heard() {
    for keeper in keepers::both() {
        watched_outside(|_| {
            let (home, mut child) = make(keeper, false);
            let away = Runtime::new().expect("a runtime");
            away.block_on(async {
                let error = child.wait().await.expect_err("not here");
                assert!(error.to_string().contains("another runtime"), "{error}");
                child.start_kill().expect("the kernel does not mind");
            });
            assert!(home.block_on(child.wait()).is_ok());
        });
    }
}

#[test]
fn a_forked_process_drops_its_copy_and_the_child_stays_the_parents() {
    let name = "outliving::a_forked_process_drops_its_copy_and_the_child_stays_the_parents";
    alone::run(name, LIMIT, || {
        for keeper in keepers::both() {
            let runtime = keepers::builder(keeper).build().expect("a runtime");
            let child = runtime.block_on(async {
                let mut command = super::Command::new("cat");
                command.stdin(Stdio::piped()).stdout(Stdio::piped());
                command.kill_on_drop(true).spawn().expect("started")
            });
            let (runtime, mut child) = forked((runtime, child), |(runtime, child)| {
                assert!(child.start_kill().is_err() && child.try_wait().is_err());
                drop(child);
                drop(runtime);
                aem::block_on(async {
                    let status = shell("exit 7").status().await.expect("one of its own");
                    assert_eq!(status.code(), Some(7));
                });
            });
            runtime.block_on(async {
                let (into, out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
                into.send("still here").await.expect("it reads");
                assert_eq!(&out.recv().await.expect("it writes")[..], b"still here");
                drop(into);
                assert!(child.wait().await.expect("its end").success());
            });
        }
    });
}

#[test]
fn a_runtime_that_is_told_to_end_leaves_its_children_to_the_next_start() {
    on_both(async |_| {
        let told = std::thread::spawn(|| {
            let runtime = Runtime::new().expect("a runtime");
            runtime.block_on(async {
                let child = sleeper().spawn().expect("started");
                let pid = child.pid();
                drop(child);
                aem::yield_now().await;
                runtime.handle().shutdown();
                let late = sleeper().kill_on_drop(true).spawn().expect("the main future may");
                drop(late);
                pid
            })
        });
        let pid = told.join().expect("it went well there");
        send(pid, libc::SIGTERM);
        becomes_a_zombie(pid);
        shell("exit 0").status().await.expect("started");
        must_be_gone(pid);
    });
}
