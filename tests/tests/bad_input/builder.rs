//! Settings that cannot be, and environments in which nothing can be made.

use std::io::ErrorKind;
use std::process::Command;
use std::time::Duration;

use aem::{Backend, Runtime};
use aem_tests::bounded::within;
use aem_tests::child::Program;

use super::LIMIT;

#[test]
fn workers_are_one() {
    let error = Runtime::builder().workers(0).build().expect_err("no worker");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("worker"), "{error}");
    for many in [2, usize::MAX] {
        let error = Runtime::builder().workers(many).build().expect_err("not yet");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("workers"), "{error}");
    }
    Runtime::builder().workers(1).build().expect("one is fine");
}

#[test]
fn what_is_not_there_yet_is_refused_by_name() {
    let error = Runtime::builder().busy_poll(Duration::from_micros(1)).build();
    let error = error.expect_err("not yet");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("busy poll"), "{error}");
    Runtime::builder().busy_poll(Duration::ZERO).build().expect("off is fine");
}

#[test]
fn extreme_settings_work() {
    within(LIMIT, || {
        for slack in [Duration::ZERO, Duration::from_nanos(1), Duration::from_millis(20)] {
            let runtime = Runtime::builder().timer_slack(slack).build().expect("a runtime");
            runtime.block_on(aem::time::sleep(Duration::from_millis(1)));
        }
        // Nothing can be said of when its timers fire, but it can be made, used and dropped.
        let runtime = Runtime::builder().timer_slack(Duration::MAX).build().expect("a runtime");
        runtime.block_on(async {
            aem::spawn(aem::time::sleep(Duration::from_secs(1)));
            aem::yield_now().await;
        });
        drop(runtime);
        for flush in [Duration::ZERO, Duration::MAX] {
            let runtime = Runtime::builder().flush_at_exit(flush).build().expect("a runtime");
            assert_eq!(runtime.block_on(async { 1 }), 1);
        }
    });
}

/// Sends `size` bytes through a runtime with a pool of `pool`.
fn exchange(pool: usize) {
    let runtime = Runtime::builder().pool(pool).build().expect("a runtime");
    let sum = runtime.block_on(async {
        let listener = aem::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let client = aem::net::TcpStream::connect(address).await.expect("connected");
        let (served, _) = listener.accept().await.expect("accepted");
        drop(client.send(vec![1; 100_000]));
        client.shutdown(std::net::Shutdown::Write).expect("an end");
        let (mut sum, mut kept) = (0, Vec::new());
        loop {
            let chunk = served.recv().await.expect("bytes");
            if chunk.is_empty() {
                return sum;
            }
            sum += chunk.len();
            kept.push(chunk);
        }
    });
    assert_eq!(sum, 100_000);
}

#[test]
fn a_pool_of_any_size_works_or_is_an_error() {
    within(LIMIT, || {
        for pool in [0, 1, 4_096, 1 << 20] {
            exchange(pool);
        }
        for huge in [usize::MAX, usize::MAX / 2, 1 << 60] {
            let error = Runtime::builder().pool(huge).build().expect_err("no such memory");
            assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
            assert!(error.to_string().contains("pool"), "{error}");
        }
    });
}

/// A program under `AEM_BACKEND`, and what became of it.
fn under(backend: &str) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_idler"));
    command.args(["0", "0"]).env("AEM_BACKEND", backend);
    let mut child = Program::run(command);
    if matches!(backend, "" | "auto" | "epoll") {
        child.line(LIMIT);
        assert_eq!(child.line(LIMIT), "idle");
        return (None, child.kill());
    }
    let (status, errors) = child.end(LIMIT);
    (status.code(), errors)
}

#[test]
fn aem_backend_is_heeded_or_refused_in_one_line() {
    for fine in ["", "auto", "epoll"] {
        assert_eq!(under(fine), (None, String::new()));
    }
    for (backend, hint) in
        [("nonsense", "auto, io_uring, epoll"), ("EPOLL", "epoll"), ("io-uring", "io_uring")]
    {
        let (status, errors) = under(backend);
        assert_eq!(status, Some(1), "{errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
        assert!(errors.starts_with("aem: ") && errors.contains(hint), "{errors}");
    }
}

#[test]
fn the_builder_outranks_the_environment() {
    let runtime = Runtime::builder().backend(Backend::Epoll).build().expect("a runtime");
    let report = runtime.handle().backend();
    assert_eq!(report.kind, aem::BackendKind::Epoll);
    assert!(report.reason.contains("builder"), "{}", report.reason);
}

#[test]
fn without_descriptors_a_runtime_is_an_error() {
    let mut child = Program::start(env!("CARGO_BIN_EXE_starved"), &[]);
    assert_eq!(child.line(LIMIT), "an error for each limit, then a runtime");
    let (status, errors) = child.end(LIMIT);
    assert!(status.success(), "{errors}");
}

#[test]
fn without_threads_a_blocking_closure_panics_and_the_next_one_may_run() {
    let mut child = Program::start(env!("CARGO_BIN_EXE_threadless"), &[]);
    assert_eq!(child.line(LIMIT), "refused, then run");
    let (status, errors) = child.end(LIMIT);
    assert!(status.success(), "{errors}");
}
