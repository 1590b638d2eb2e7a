//! A job of the parent's forks: the child is in the middle of the parent's `block_on`.

use std::cell::Cell;
use std::net::Shutdown;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use aem::Runtime;
use aem::time::sleep;

use aem_tests::alone;
use aem_tests::forked::{fork, leave};
use aem_tests::proc::descriptors;

use super::{LIMIT, Server, connect, must_say_what_to_do, read_all, use_a_runtime};

/// The child of a job comes back from that job into the parent's loop: it gets no further than to the kernel.
#[test]
fn a_child_that_a_job_has_forked_sends_nothing_and_takes_no_turn() {
    alone::run(
        "jobs::a_child_that_a_job_has_forked_sends_nothing_and_takes_no_turn",
        LIMIT,
        || {
            let mut server = Server::start();
            let stream = server.sources.streams.borrow()[0].clone();
            let child = Cell::new(false);
            let result = catch_unwind(AssertUnwindSafe(|| {
                server.runtime.block_on(async {
                    // Two jobs of this turn have bytes to send; one of them forks.
                    stream.send("once, ");
                    match fork() {
                        Some(running) => running.end(),
                        None => child.set(true),
                    }
                    stream.send("and in order").await.expect("sent");
                });
            }));
            if child.get() {
                leave(|| {
                    must_say_what_to_do(result);
                    drop((stream, server));
                });
            }
            result.expect("the parent's goes on");
            server.runtime.block_on(async {
                stream.shutdown(Shutdown::Write).expect("a connection");
                assert_eq!(read_all(&mut server.sources.client).await, b"once, and in order");
            });
            // Its client has ended the connection for itself; others come.
            server.sources.client = connect(server.sources.address);
            server.must_serve();
        },
    );
}

#[test]
fn a_child_that_a_job_has_forked_takes_no_turn_and_ends_its_copy_whole() {
    alone::run(
        "jobs::a_child_that_a_job_has_forked_takes_no_turn_and_ends_its_copy_whole",
        LIMIT,
        || {
            let before = descriptors();
            let runtime = Runtime::new().expect("a runtime");
            let child = Cell::new(false);
            let result = catch_unwind(AssertUnwindSafe(|| {
                runtime.block_on(async {
                    match fork() {
                        Some(running) => running.end(),
                        None => child.set(true),
                    }
                    sleep(Duration::from_millis(1)).await;
                });
            }));
            if child.get() {
                leave(|| {
                    must_say_what_to_do(result);
                    let handle = runtime.handle();
                    drop(runtime);
                    // It would not be, if the panic had come when the sleep had been announced.
                    assert!(handle.is_closed());
                    drop(handle);
                    assert_eq!(descriptors(), before);
                });
            }
            result.expect("the parent goes on");
            runtime.block_on(use_a_runtime());
        },
    );
}

#[test]
fn a_child_that_a_job_has_forked_can_make_its_own_runtime() {
    alone::run("jobs::a_child_that_a_job_has_forked_can_make_its_own_runtime", LIMIT, || {
        let mut server = Server::start();
        server.runtime.block_on(async {
            match fork() {
                Some(running) => running.end(),
                None => leave(|| aem::block_on(use_a_runtime())),
            }
        });
        server.must_serve();
    });
}
