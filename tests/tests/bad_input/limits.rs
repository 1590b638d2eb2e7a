//! Limits of zero, indices beyond the end, values that are in use.

use std::net::Shutdown;

use aem::net::{TcpListener, TcpStream};
use futures::stream::pending;

use super::{panic_of, run};

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("an address");
    let client = TcpStream::connect(address).await.expect("connected");
    (client, listener.accept().await.expect("accepted").0)
}

#[test]
fn a_cloner_needs_a_limit() {
    run(async || {
        let text = panic_of(|| aem::on_each(pending::<()>(), 0, async |()| ()));
        assert!(text.contains("limit"), "{text}");
        let held = aem::on(pending::<()>(), |()| ());
        let text = panic_of(|| held.replace_each(0, async |()| ()));
        assert!(text.contains("limit"), "{text}");
        assert!(!held.is_ended());
        aem::yield_now().await;
    });
}

#[test]
fn a_state_lent_twice_says_why_it_panics() {
    run(async || {
        let state = aem::State::new(1);
        let again = state.clone();
        let text = state.with(|_| panic_of(|| again.with(|number| *number)));
        assert!(text.contains("with"), "{text}");
        assert_eq!(state.with(|_| again.try_with(|number| *number)), None);
        assert_eq!(state.with(|number| *number), 1);
    });
}

#[test]
fn a_worker_that_is_not_there_says_so() {
    run(async || {
        let handle = aem::Handle::current();
        assert_eq!(handle.workers(), 1);
        drop(handle.worker(0));
        let text = panic_of(|| handle.worker(1));
        assert!(text.contains("worker 1"), "{text}");
    });
}

#[test]
fn errors_of_the_wrong_kind_say_so() {
    run(async || {
        let job = aem::spawn(std::future::pending::<()>());
        job.abort();
        let error = job.await.expect_err("aborted");
        assert!(panic_of(|| error.into_panic()).contains("cancelled"));
        let failing = |()| Err::<(), _>("on purpose");
        let error = aem::on(futures::stream::iter([()]), failing).await.expect_err("it fails");
        assert!(panic_of(|| error.into_panic()).contains("on purpose"));
    });
}

#[test]
fn a_chunk_is_not_split_beyond_its_end() {
    let text = panic_of(|| aem::Chunk::from(vec![1, 2, 3]).split_to(4));
    assert!(text.contains('4') && text.contains('3'), "{text}");
    let mut chunk = aem::Chunk::from(vec![1, 2, 3]);
    assert_eq!(&chunk.split_to(3)[..], [1, 2, 3]);
    assert!(chunk.is_empty());
    assert!(chunk.split_to(0).is_empty());
}

/// With marks and limits of zero, of one byte and of all there is, everything arrives.
#[test]
fn extreme_marks_and_limits_lose_nothing() {
    run(async || {
        const SIZE: usize = 300_000;
        for limit in [0, 1, usize::MAX] {
            let (ours, theirs) = pair().await;
            ours.set_inbox_limit(limit);
            theirs.set_inbox_limit(limit);
            ours.set_high_water(limit);
            theirs.set_high_water(limit);
            let reply = theirs.clone();
            let echo = aem::on_ok(theirs.chunks(), move |chunk| drop(reply.send(chunk)));
            drop(ours.send(vec![7; SIZE]));
            drop(ours.send(Vec::new()));
            ours.shutdown(Shutdown::Write).expect("an end");
            let mut received = 0;
            while received < SIZE {
                let chunk = ours.recv().await.expect("bytes");
                assert!(!chunk.is_empty() && chunk.iter().all(|byte| *byte == 7));
                received += chunk.len();
            }
            assert_eq!(echo.await.expect("no error"), aem::End::Exhausted);
        }
    });
}

#[test]
fn a_stream_that_has_ended_says_so_again_and_again() {
    run(async || {
        let (ours, theirs) = pair().await;
        ours.close().await.expect("nothing was queued");
        for _ in 0..2 {
            let error = ours.recv().await.expect_err("closed");
            assert_eq!(error.kind(), std::io::ErrorKind::NotConnected);
            let error = ours.send("late").await.expect_err("closed");
            assert_eq!(error.kind(), std::io::ErrorKind::NotConnected);
            assert!(ours.flush().await.is_err() && ours.close().await.is_err());
            assert!(theirs.recv().await.expect("the end").is_empty());
        }
        theirs.shutdown(Shutdown::Write).expect("an end");
        let error = theirs.send("late").await.expect_err("shut down");
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
        // Empty, but a send all the same.
        assert!(theirs.send("").await.is_err());
    });
}
