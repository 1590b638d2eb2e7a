//! What is said on standard error, and when nothing is: in child processes.

use std::time::{Duration, Instant};

use aem::{Next, block_on, on};
use aem_tests::rerun::rerun;
use aem_tests::watch::watched;
use futures::channel::mpsc;
use futures::stream;

use super::settle;

#[test]
fn a_handler_dropped_before_its_first_poll_is_reported() {
    let said = rerun("reports::child_unused");
    let lines = said.fine();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("registration/reports.rs:"), "{lines:?}");
    assert!(lines[0].contains("was dropped before its source was ever polled"), "{lines:?}");
    assert!(lines[0].contains(".detach()"), "{lines:?}");
}

#[test]
#[ignore = "speaks on stderr: run in a child by the test above"]
fn child_unused() {
    block_on(async {
        drop(on(stream::iter(0..3), |_| ()));
        // None of these is a mistake.
        let stopped = on(stream::iter(0..3), |_| ());
        stopped.stop();
        drop(stopped);
        drop(on(stream::iter(0..3), |_| ()).paused());
        assert!(on(stream::iter(0..3), |_| ()).reclaim().is_some());
        let scope = aem::Scope::new();
        scope.on(stream::iter(0..3), |_| ());
        scope.stop();
        let scope = aem::Scope::new();
        scope.on(stream::iter(0..3), |_| ());
        drop(scope);
        // Awaited beside something that was there already.
        let awaited = on(stream::pending::<()>(), |()| ());
        let either = futures::future::select(awaited, futures::future::ready(())).await;
        drop(either);
        let used = on(stream::pending::<()>(), |()| ());
        settle().await;
        drop(used);
    });
}

#[test]
fn an_unread_error_is_one_line_and_a_lost_connection_none() {
    let said = rerun("reports::child_errors");
    let lines = said.fine();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].contains("named \"first\""), "{lines:?}");
    assert!(lines[0].ends_with("ended with an error: oh no"), "{lines:?}");
    assert!(lines[1].ends_with("ended with an error: dropped unread"), "{lines:?}");
    assert!(lines[2].ends_with("ended with an error: the handler panicked: on purpose"));
}

#[test]
#[ignore = "speaks on stderr: run in a child by the test above"]
fn child_errors() {
    block_on(async {
        on(stream::iter(0..3), |_| Err::<(), _>("oh no")).name("first").detach();
        let lost = || std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        on(stream::iter(0..3), move |_| Err::<(), _>(lost())).detach();
        settle().await;
        let unread = on(stream::iter(0..3), |_| Err::<(), _>("dropped unread"));
        let read = on(stream::iter(0..3), |_| Err::<(), _>("read"));
        settle().await;
        drop(unread);
        read.await.unwrap_err();
        on(stream::iter(0..3), |_| -> Next { panic!("on purpose") }).detach();
        settle().await;
    });
}

#[test]
fn the_time_of_the_main_future_is_charged_to_nobody_else() {
    watched(async |_| {
        let (sender, receiver) = mpsc::unbounded();
        let handler = on(receiver, |()| ());
        for _ in 0..20 {
            sender.unbounded_send(()).unwrap();
            let began = Instant::now();
            // Long enough that every run of the next turn is timed.
            while began.elapsed() < Duration::from_millis(8) {}
            aem::time::sleep(Duration::from_millis(1)).await;
        }
        let stats = handler.stats();
        assert!(stats.runs >= 20);
        let main = aem::jobs().into_iter().find(|job| job.kind == aem::JobKind::Main).unwrap();
        assert!(main.running >= Duration::from_millis(80), "{main:?}");
        // The handler's are microseconds.
        assert!(stats.running < Duration::from_millis(40), "{:?}", stats.running);
    });
}
