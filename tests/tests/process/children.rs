//! One child: its start, its end, and who hears of it.

use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use aem::process::{Command, Stdio};
use aem::time::{sleep, timeout};
use aem_tests::alone;
use aem_tests::limits::limit_descriptors;
use aem_tests::proc::{children, descriptors};
use futures::future::join_all;
use futures::{FutureExt, StreamExt};

use super::{LIMIT, on_both, send, shell, sleeper};

/// For what should not happen.
const MOMENT: Duration = Duration::from_millis(20);

#[test]
fn an_end_is_told_as_it_was() {
    on_both(async |_| {
        for code in [0, 1, 127, 255] {
            let mut child = shell(&format!("exit {code}")).spawn().expect("started");
            assert_eq!(child.wait().await.expect("its end").code(), Some(code));
        }
        for signal in [libc::SIGKILL, libc::SIGTERM, libc::SIGRTMIN()] {
            let mut child = sleeper().spawn().expect("started");
            child.signal(signal).expect("sent");
            let status = child.wait().await.expect("its end");
            assert_eq!((status.signal(), status.code()), (Some(signal), None));
        }
        let mut child = shell("ulimit -c 0; kill -SEGV $$").spawn().expect("started");
        assert_eq!(child.wait().await.expect("its end").signal(), Some(libc::SIGSEGV));
    });
}

#[test]
fn whoever_waits_hears_of_the_end_however_often() {
    on_both(async |_| {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().expect("started");
        assert_eq!(child.id(), Some(child.pid()));
        assert!(child.try_wait().expect("it runs").is_none());
        let many = join_all((0..10).map(|_| child.exited().into_future()).collect::<Vec<_>>());
        let mut one = child.exited();
        assert!(timeout(MOMENT, one.next()).await.is_err(), "it has not ended");
        let handler = aem::on_ok(child.exited(), |status| assert!(status.success()));
        drop(child.stdin.take());
        for (status, _) in many.await {
            assert!(status.expect("an event").expect("its end").success());
        }
        assert!(one.next().await.expect("an event").expect("its end").success());
        assert!(one.next().await.is_none(), "one end is one event");
        handler.await.expect("its end");
        assert!(child.wait().await.expect("still").success());
        assert!(child.wait().await.expect("still").success());
        assert!(child.try_wait().expect("still").expect("it has ended").success());
        assert_eq!(child.id(), None);
    });
}

#[test]
fn kept_is_the_end_that_a_cancelled_wait_has_missed() {
    on_both(async |_| {
        let mut child = sleeper().spawn().expect("started");
        for _ in 0..3 {
            assert!(timeout(Duration::from_millis(1), child.wait()).await.is_err());
            assert!(child.wait().now_or_never().is_none());
        }
        child.start_kill().expect("killed");
        assert!(child.wait().now_or_never().is_none(), "its end comes by a turn");
        let status = loop {
            // Nobody waits when it comes.
            sleep(Duration::from_millis(1)).await;
            if let Some(status) = child.wait().now_or_never() {
                break status.expect("its end");
            }
        };
        assert_eq!(status.signal(), Some(libc::SIGKILL));
    });
}

#[test]
fn a_signal_reaches_that_child_or_nobody() {
    on_both(async |_| {
        let mut child = sleeper().spawn().expect("started");
        assert_eq!(child.signal(12_345).expect_err("no signal").kind(), ErrorKind::InvalidInput);
        child.signal(0).expect("it runs");
        child.kill().await.expect("killed");
        let late = child.signal(libc::SIGTERM).expect_err("it has ended");
        assert_eq!(late.raw_os_error(), Some(libc::ESRCH));
        child.start_kill().expect("it has ended, as was wished");
        child.kill().await.expect("it has ended, as was wished");
    });
}

#[test]
fn what_cannot_be_started_is_an_error_and_no_child() {
    on_both(async |_| {
        let missing = Command::new("/nowhere/at-all").spawn().expect_err("there is none");
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        let directory = Command::new("/tmp").spawn().expect_err("no program");
        assert_eq!(directory.kind(), ErrorKind::PermissionDenied);
        let missing = Command::new("true").current_dir("/nowhere").status().await;
        assert_eq!(missing.expect_err("no such directory").kind(), ErrorKind::NotFound);
        assert!(children().is_empty());
    });
}

#[test]
fn a_status_that_somebody_else_took_is_an_error() {
    on_both(async |_| {
        let mut child = shell("exit 3").spawn().expect("started");
        // Before the next turn, which would take it.
        // SAFETY: null is written to by nobody; the number is the child's.
        let taken = unsafe { libc::waitpid(child.pid() as i32, std::ptr::null_mut(), 0) };
        assert_eq!(taken, child.pid() as i32);
        for _ in 0..2 {
            let error = child.wait().await.expect_err("it is gone");
            assert_eq!(error.raw_os_error(), Some(libc::ECHILD));
        }
        assert!(child.try_wait().is_err());
        let failed = aem::on_ok(child.exited(), |_| ()).await.expect_err("it is gone");
        assert!(failed.failed().is_some());
    });
}

#[test]
fn dropped_a_child_is_killed_or_left_as_was_said() {
    on_both(async |_| {
        let child = sleeper().kill_on_drop(true).spawn().expect("started");
        let exited = child.exited();
        drop(child);
        let status = exited.map(Result::unwrap).collect::<Vec<_>>().await;
        assert_eq!(status[0].signal(), Some(libc::SIGKILL));

        let child = sleeper().spawn().expect("started");
        let (pid, line) = (child.pid(), line!() - 1);
        drop(child);
        sleep(MOMENT).await;
        assert!(children().iter().any(|(child, state)| *child == pid && *state != 'Z'));
        let jobs = aem::jobs();
        let name = format!("process {pid}");
        let job = jobs.iter().find(|job| job.name.as_deref() == Some(&name)).expect("its job");
        assert!(job.location.file().ends_with("children.rs") && job.location.line() == line);
        send(pid, libc::SIGTERM);

        let mut cancelled = sleeper();
        let status = timeout(MOMENT, cancelled.kill_on_drop(true).status()).await;
        status.expect_err("it does not end by itself");
    });
}

#[test]
fn two_runtimes_have_their_own_children() {
    on_both(async |_| {
        let other = || {
            aem::block_on(async {
                for code in 0..20 {
                    let mut child = shell(&format!("exit {code}")).spawn().expect("started");
                    assert_eq!(child.wait().await.expect("its end").code(), Some(code));
                }
            });
        };
        let others: Vec<_> = (0..2).map(|_| std::thread::spawn(other)).collect();
        for code in 20..40 {
            let mut child = shell(&format!("exit {code}")).spawn().expect("started");
            assert_eq!(child.wait().await.expect("its end").code(), Some(code));
        }
        others.into_iter().for_each(|other| other.join().expect("it went well there"));
    });
}

#[test]
fn out_of_descriptors_it_starts_no_child() {
    alone::run("children::out_of_descriptors_it_starts_no_child", LIMIT, || {
        on_both(async |_| {
            let before = descriptors() as u64;
            let (mut limit, mut refused) = (before, 0);
            loop {
                limit_descriptors(limit).expect("a limit");
                let mut command = Command::new("cat");
                command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
                let spawned = command.spawn();
                // The test itself needs some.
                limit_descriptors(before + 100).expect("a limit");
                match spawned {
                    Ok(mut child) => {
                        child.kill().await.expect("killed");
                        break;
                    }
                    Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EMFILE)),
                }
                super::no_child_is_left().await;
                (limit, refused) = (limit + 1, refused + 1);
            }
            assert!(refused > 4, "refused {refused} times: the limit was not met where it matters");
        });
    });
}
