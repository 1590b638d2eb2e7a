//! `on_process`: a child for each event, at most so many, each with one end.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use aem::net::{TcpListener, TcpStream};
use aem::process::{Command, Failed, on_process, stdio};
use aem::time::{sleep, timeout};
use aem::{End, HandlerError, JobInfo, Scope};
use aem_tests::keepers;
use aem_tests::proc::children;
use aem_tests::scale::scaled_count;
use aem_tests::watch::{self, watched_on};
use futures::channel::mpsc;
use futures::future::join;
use futures::{StreamExt, stream};

use super::{LIMIT, no_child_is_left, on_both, send, shell, sleeper};

/// Waits until so many children run, and gives their numbers.
async fn running(count: usize) -> Vec<u32> {
    let running = async {
        loop {
            let children = children();
            let alive: Vec<u32> =
                children.iter().filter(|(_, state)| *state != 'Z').map(|(pid, _)| *pid).collect();
            if alive.len() == count {
                return alive;
            }
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LIMIT, running).await.expect("they begin and end")
}

/// A moment in which something that must not happen would.
async fn a_moment() {
    sleep(Duration::from_millis(20)).await;
}

#[test]
fn feature_39_handlers_are_processes_beside_each_other_up_to_a_limit() {
    on_both(async |_| {
        let (taken, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let (count, seen) = (taken.clone(), most.clone());
        let total = scaled_count(1_000, 60);
        let registration = on_process(stream::iter(0..total), 5, move |_| {
            seen.set(seen.get().max(children().len()));
            count.set(count.get() + 1);
            Ok(Command::new("true"))
        });
        assert_eq!(registration.await.expect("no error"), End::Exhausted);
        assert_eq!(taken.get(), total);
        assert!(most.get() < 5 && most.get() > 0, "{} ran, and one more was started", most.get());

        let registration = on_process(stream::iter(0..), 3, |_| Ok(sleeper()));
        let pids = running(3).await;
        a_moment().await;
        assert_eq!(running(3).await, pids, "they hold their places");
        send(pids[1], libc::SIGKILL);
        let next = loop {
            let next = running(3).await;
            if next != pids {
                break next;
            }
        };
        assert_eq!(next.iter().filter(|pid| pids.contains(pid)).count(), 2);
        registration.stop();
        next.into_iter().for_each(|pid| send(pid, libc::SIGKILL));
    });
}

/// What `on_error` was told.
struct Report {
    job: JobInfo,
    text: String,
    failed: Option<Failed>,
}

#[test]
fn how_a_child_failed_is_reported_with_its_number() {
    for keeper in keepers::both() {
        let heard: Rc<RefCell<Vec<Report>>> = Rc::default();
        let writer = heard.clone();
        let builder = keepers::builder(keeper).on_error(move |job, error: &HandlerError| {
            let failed = error.failed().and_then(|error| error.downcast_ref()).copied();
            writer.borrow_mut().push(Report { job: job.clone(), text: error.to_string(), failed });
        });
        watched_on(builder, async |_| {
            let line = line!() + 1;
            let registration = on_process(stream::iter(0..6), 1, |event| match event {
                1 => Ok(shell("exit 9")),
                2 => Err(std::io::Error::other("no such event")),
                3 => Ok(Command::new("/nowhere/at-all")),
                4 => panic!("a panic that is meant"),
                _ => Ok(Command::new("true")),
            });
            assert_eq!(registration.await.expect("no error of its own"), End::Exhausted);
            let metrics = aem::metrics();
            assert_eq!((metrics.handler_errors, metrics.panics), (3, 1));
            let heard = heard.take();
            let Report { job, text, failed } = &heard[0];
            let failed = failed.expect("a child failed");
            assert_eq!(failed.status.code(), Some(9));
            assert_eq!(job.name.as_deref(), Some(&*format!("process {}", failed.pid)));
            assert_eq!(job.location.line(), line);
            assert!(text.contains("exit status: 9"), "{text}");
            assert_eq!(heard[1].text, "no such event");
            assert!(heard[2].text.contains("No such file"), "{}", heard[2].text);
            no_child_is_left().await;
        });
    }
}

#[test]
fn a_cloner_lists_its_children() {
    on_both(async |_| {
        let line = line!() + 1;
        let registration = on_process(stream::iter(0..2), 2, |_| Ok(sleeper()));
        let pids = running(2).await;
        let mut names: Vec<_> = aem::jobs()
            .iter()
            .filter(|job| job.location.line() == line && job.location.file() == file!())
            .filter_map(|job| job.name.as_deref().map(str::to_owned))
            .collect();
        names.sort();
        let mut expected: Vec<_> = pids.iter().map(|pid| format!("process {pid}")).collect();
        expected.sort();
        assert_eq!(names, expected);
        pids.into_iter().for_each(|pid| send(pid, libc::SIGKILL));
        assert_eq!(registration.await.expect("reported apart"), End::Exhausted);
    });
}

#[test]
fn feature_38_children_own_their_events_unless_they_are_to_be_killed() {
    on_both(async |_| {
        let killing = on_process(stream::iter(0..9), 3, |_| {
            let mut command = sleeper();
            command.kill_on_drop(true);
            Ok(command)
        });
        running(3).await;
        killing.stop();
        assert_eq!(killing.await.expect("no error"), End::Stopped);
        no_child_is_left().await;

        let leaving = on_process(stream::iter(0..9), 3, |_| Ok(sleeper()));
        let pids = running(3).await;
        leaving.stop();
        assert_eq!(leaving.reclaim().expect("it has more").count().await, 6);
        a_moment().await;
        assert_eq!(running(3).await, pids);
        pids.into_iter().for_each(|pid| send(pid, libc::SIGTERM));
    });
}

#[test]
fn a_scope_waits_for_the_children_and_then_no_longer() {
    on_both(async |_| {
        let scope = Scope::new();
        scope.add(on_process(stream::iter(0..), 2, |_| Ok(sleeper())));
        let pids = running(2).await;
        let ending = async {
            a_moment().await;
            assert_eq!(running(2).await, pids, "it waits");
            pids.into_iter().for_each(|pid| send(pid, libc::SIGTERM));
        };
        let (report, ()) = join(scope.close(LIMIT), ending).await;
        assert_eq!((report.ended, report.cancelled.len()), (1, 0));
        assert!(children().is_empty());

        let scope = Scope::new();
        scope.add(on_process(stream::iter(0..), 2, |_| {
            let mut command = sleeper();
            command.kill_on_drop(true);
            Ok(command)
        }));
        running(2).await;
        let report = scope.close(Duration::from_millis(10)).await;
        assert_eq!((report.ended, report.cancelled.len()), (0, 1));
    });
}

#[test]
fn feature_42_an_orphan_of_a_removed_event_ends_once() {
    on_both(async |_| {
        let registration = on_process(stream::iter(0..2), 2, |_| Ok(sleeper()));
        let pids = running(2).await;
        drop(registration);
        send(pids[0], libc::SIGKILL);
        running(1).await;
        send(pids[1], libc::SIGTERM);
        // The job of each goes with its child: the guard of this test waits for that.
    });
}

#[test]
fn replaced_its_children_run_on_and_the_source_goes_to_the_new_handler() {
    on_both(async |_| {
        let (sender, events) = mpsc::unbounded();
        let registration = on_process(events, 1, |()| Ok(sleeper()));
        sender.unbounded_send(()).expect("it listens");
        let pids = running(1).await;
        let seen = Rc::new(Cell::new(0));
        let count = seen.clone();
        assert!(registration.replace(move |()| count.set(count.get() + 1)));
        sender.unbounded_send(()).expect("it listens");
        a_moment().await;
        assert_eq!((seen.get(), running(1).await), (1, pids.clone()));
        send(pids[0], libc::SIGKILL);
        running(0).await;
    });
}

/// An inetd, whose server knows nothing of us.
#[test]
fn feature_37_an_event_creates_a_process() {
    on_both(async |_| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("its address");
        let serving = on_process(listener.incoming(), 4, |connection| {
            let (stream, _peer) = connection?;
            let mut command = Command::new("cat");
            command.stdin(stdio(&stream)?).stdout(stdio(&stream)?);
            Ok(command)
        });
        let visits = (0..scaled_count(400, 20)).map(async |number| {
            let client = TcpStream::connect(address).await.expect("a connection");
            let text = format!("visit {number}");
            client.send(text.clone()).await.expect("sent");
            client.shutdown(std::net::Shutdown::Write).expect("a connection");
            let mut heard = Vec::new();
            loop {
                let chunk = client.recv().await.expect("received");
                if chunk.is_empty() {
                    break;
                }
                heard.extend_from_slice(&chunk);
            }
            assert_eq!(heard, text.into_bytes());
        });
        // More at once than may be served at once.
        stream::iter(visits).buffer_unordered(10).collect::<Vec<()>>().await;
        serving.stop();
    });
}

#[test]
#[should_panic(expected = "a limit of zero")]
fn a_limit_of_zero_is_refused() {
    let _alone = watch::alone();
    aem::block_on(async { on_process(stream::iter(0..1), 0, |_| Ok(sleeper())).detach() });
}
