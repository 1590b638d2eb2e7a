//! Capsules: processes made in advance are there when work comes, and are replaced.

use std::cell::Cell;
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use aem::net::{TcpListener, TcpStream};
use aem::process::{Capsules, Command, Work};
use aem::time::{sleep, timeout};
use aem_tests::keepers;
use aem_tests::proc::children;
use aem_tests::scale::scaled_count;
use aem_tests::watch;
use futures::FutureExt;

use super::{LIMIT, on_both, send, shell, sleeper};

const SIZE: usize = 3;

/// A program that waits for connections, and says on each who it is.
fn worker() -> std::io::Result<Command> {
    Ok(keepers::command(aem::Backend::Auto, env!("CARGO_BIN_EXE_capsule"), &[]).into())
}

async fn all_ready(capsules: &Capsules) {
    let ready = async {
        while capsules.ready() < SIZE {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LIMIT, ready).await.expect("they are made");
}

async fn connection(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let address = listener.local_addr().expect("its address");
    let client = TcpStream::connect(address).await.expect("a connection");
    (client, listener.accept().await.expect("a connection").0)
}

async fn heard(client: &TcpStream) -> String {
    let mut heard = Vec::new();
    loop {
        let chunk = client.recv().await.expect("received");
        if chunk.is_empty() {
            return String::from_utf8(heard).expect("text");
        }
        heard.extend_from_slice(&chunk);
    }
}

#[test]
fn feature_40_a_capsule_is_there_before_its_work() {
    on_both(async |_| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let capsules = Capsules::new(SIZE, worker);
        let mut seen = HashSet::new();
        for _ in 0..scaled_count(100, 8) {
            all_ready(&capsules).await;
            let before: Vec<u32> = children().into_iter().map(|(pid, _)| pid).collect();
            let (client, served) = connection(&listener).await;
            let started = capsules.start(&served).now_or_never().expect("at once");
            let mut child = started.expect("one was ready");
            drop(served);
            assert!(before.contains(&child.pid()) && capsules.ready() == SIZE - 1);
            assert_eq!(heard(&client).await, child.pid().to_string());
            assert!(child.wait().await.expect("its end").success(), "no more work comes");
            assert!(seen.insert(child.pid()), "one work each");
        }
        // All at once: those who come later wait for those who are made.
        let visits = (0..10).map(async |_| {
            let (client, served) = connection(&listener).await;
            let mut child = capsules.start(&served).await.expect("one is made");
            drop(served);
            assert_eq!(heard(&client).await, child.pid().to_string());
            child.wait().await.expect("its end");
        });
        futures::future::join_all(visits).await;
    });
}

#[test]
fn one_that_ends_without_work_is_replaced() {
    on_both(async |_| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let capsules = Capsules::new(SIZE, worker);
        all_ready(&capsules).await;
        let first: Vec<u32> = children().into_iter().map(|(pid, _)| pid).collect();
        first.iter().for_each(|pid| send(*pid, libc::SIGKILL));
        // Whether or not their ends are known by now, the work goes to one that lives.
        let (client, served) = connection(&listener).await;
        let mut child = loop {
            // Who waits while one has ended is told.
            if let Ok(child) = capsules.start(&served).await
                && !first.contains(&child.pid())
            {
                break child;
            }
        };
        drop(served);
        assert_eq!(heard(&client).await, child.pid().to_string());
        child.wait().await.expect("its end");
        all_ready(&capsules).await;
        while children().iter().any(|(pid, _)| first.contains(pid)) {
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(children().len(), SIZE);
    });
}

/// How often a program is started within a time in which nobody has work, or the one who has is told why not.
async fn attempts(command: fn() -> Command, text: Option<&str>) -> usize {
    let made = Rc::new(Cell::new(0));
    let count = made.clone();
    let capsules = Capsules::new(SIZE, move || {
        count.set(count.get() + 1);
        Ok(command())
    });
    if let Some(text) = text {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let (_client, served) = connection(&listener).await;
        let told = timeout(LIMIT, capsules.start(&served)).await.expect("it is told");
        let error = told.expect_err("there is none");
        assert!(error.to_string().contains(text), "{error}");
    }
    sleep(Duration::from_millis(200)).await;
    made.get()
}

#[test]
fn what_cannot_be_kept_ready_is_told_and_not_tried_without_end() {
    on_both(async |_| {
        // Pauses of 10, 20, 40, 80 and 160 ms lie between, and more if this machine is slow.
        let missing = attempts(|| Command::new("/nowhere/at-all"), Some("No such file")).await;
        assert!((2..=8).contains(&missing), "{missing} attempts");
        let dying = attempts(|| shell("exit 3"), None).await;
        assert!((SIZE..=SIZE + 8).contains(&dying), "{dying} attempts");
    });
}

#[test]
fn dropped_its_processes_are_killed_and_those_at_work_run_on() {
    on_both(async |_| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let capsules = Capsules::new(SIZE, || Ok(sleeper()));
        all_ready(&capsules).await;
        let (client, served) = connection(&listener).await;
        let mut busy = capsules.start(&served).await.expect("one was ready");
        drop(served);
        drop(capsules);
        while children().len() > 1 {
            sleep(Duration::from_millis(1)).await;
        }
        assert!(busy.try_wait().expect("it runs").is_none());
        // It has never looked at its work, which goes with it.
        assert!(client.recv().now_or_never().is_none(), "the connection is held");
        busy.kill().await.expect("killed");
        let end = timeout(LIMIT, client.recv()).await.expect("it ends");
        assert!(end.is_err() || end.is_ok_and(|chunk| chunk.is_empty()));
    });
}

#[test]
fn a_cancelled_start_takes_no_process() {
    on_both(async |_| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let (_client, served) = connection(&listener).await;
        let capsules = Capsules::new(SIZE, || Ok(sleeper()));
        assert!(capsules.start(&served).now_or_never().is_none(), "none is ready");
        all_ready(&capsules).await;
        sleep(Duration::from_millis(20)).await;
        assert_eq!((capsules.ready(), children().len()), (SIZE, SIZE));
    });
}

#[test]
fn a_process_that_is_no_capsule_is_told() {
    let _alone = watch::alone();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_capsule"))
        .stdin(std::process::Stdio::null())
        .output()
        .expect("started");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("not that of a capsule"), "{text}");
    // And in a process, whatever it is that this test reads from.
    aem::block_on(async { assert!(Work::inherited().is_err()) });
}
