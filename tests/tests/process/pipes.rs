//! What passes between a child and us.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use aem::fd::{PipeReader, PipeWriter, pipe};
use aem::process::{Command, Stdio, stdio};
use aem_tests::random::Random;
use aem_tests::traffic::{Checksum, begin};
use aem_tests::watch::watched_outside;
use futures::future::join;
use futures::{AsyncReadExt, AsyncWriteExt, FutureExt, StreamExt, TryStreamExt};

use super::{on_both, shell};

/// More than a pipe takes.
const MUCH: usize = 3_000_000;

#[test]
fn much_on_both_outputs_at_once_is_all_there() {
    on_both(async |_| {
        let script = "head -c 3000000 /dev/zero & head -c 3000000 /dev/zero >&2; wait";
        let output = shell(script).output().await.expect("started");
        assert!(output.status.success());
        assert_eq!((output.stdout.len(), output.stderr.len()), (MUCH, MUCH));
    });
}

#[test]
fn output_gives_what_was_not_said_otherwise() {
    on_both(async |_| {
        let mut command = shell("cat; echo out; echo err >&2");
        command.stderr(Stdio::null());
        for _ in 0..2 {
            let output = command.output().await.expect("started");
            assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"out\n"[..], &b""[..]));
        }
        let child = command.spawn().expect("started");
        assert!(child.stdin.is_none() && child.stdout.is_none(), "inherited, as before");
        child.start_kill().expect("killed");
        let output = child.wait_with_output().await.expect("its end");
        assert!(output.stdout.is_empty());
    });
}

#[test]
fn a_wait_closes_the_input_that_the_child_reads_to_its_end() {
    on_both(async |_| {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().expect("started");
        assert!(child.wait().await.expect("its end").success());
    });
}

#[test]
fn kept_is_what_was_sent_whatever_is_dropped() {
    on_both(async |_| {
        let bytes = Random::new(3).bytes(MUCH);
        let mut child = Command::new("cat");
        child.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = child.spawn().expect("started");
        let into = child.stdin.take().expect("piped");
        let mut random = Random::new(4);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at((1 + random.below(100_000)).min(rest.len()));
            // Cut short, or left alone.
            if random.one_in(2) {
                drop(begin(into.send(piece.to_vec()), &mut random).await);
            } else {
                into.send(piece.to_vec());
            }
            rest = behind;
        }
        drop(into);
        let output = child.wait_with_output().await.expect("its end");
        assert_eq!(output.stdout.len(), bytes.len());
        assert_eq!(Checksum::of(&output.stdout), Checksum::of(&bytes));
    });
}

#[test]
fn kept_is_what_a_cancelled_read_has_not_taken() {
    on_both(async |_| {
        let (reader, writer) = pipe().expect("a pipe");
        let (bytes, mut random) = (Random::new(5).bytes(MUCH / 10), Random::new(6));
        writer.send(bytes.clone());
        drop(writer);
        let mut sum = Checksum::default();
        loop {
            match begin(reader.recv(), &mut random).await {
                Ok(chunk) if chunk.as_ref().is_ok_and(|chunk| chunk.is_empty()) => break,
                Ok(chunk) => sum.add(&chunk.expect("read")),
                Err(cut_short) => drop(cut_short),
            }
        }
        assert_eq!(sum, Checksum::of(&bytes));
    });
}

#[test]
fn a_pipe_that_nobody_reads_is_broken_and_stays_so() {
    on_both(async |_| {
        let mut child = Command::new("true").stdin(Stdio::piped()).spawn().expect("started");
        let into = child.stdin.take().expect("piped");
        child.wait().await.expect("its end");
        for _ in 0..2 {
            let error = into.send("nobody").await.expect_err("nobody reads");
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
            let error = into.flush().await.expect_err("nobody reads");
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        }
        into.close().await.expect_err("nobody has read");

        // Broken while somebody waits for room.
        let (reader, writer) = pipe().expect("a pipe");
        let sending = writer.send(vec![0; MUCH]);
        let behind = writer.send("more");
        assert!(writer.queued() > 0);
        aem::yield_now().await;
        drop(reader);
        assert_eq!(sending.await.expect_err("nobody reads").kind(), ErrorKind::BrokenPipe);
        assert_eq!(behind.await.expect_err("nobody reads").kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_closed_writer_says_so_and_the_reader_sees_the_end() {
    on_both(async |_| {
        let (reader, writer) = pipe().expect("a pipe");
        writer.send("all");
        writer.close().await.expect("sent");
        assert_eq!(&reader.recv().await.expect("read")[..], b"all");
        assert!(reader.recv().await.expect("its end").is_empty());
        let late = writer.send("late").await.expect_err("closed");
        assert_eq!(late.kind(), ErrorKind::NotConnected);
        // A send that is held keeps no pipe open.
        for bytes in [b"held".to_vec(), vec![7; MUCH]] {
            let (reader, writer) = pipe().expect("a pipe");
            let held = writer.send(bytes.clone());
            drop(writer);
            let chunks = reader.chunks().map_ok(|chunk| chunk.into_vec());
            assert!(chunks.try_concat().await.expect("read") == bytes);
            held.await.expect("sent");
        }
    });
}

#[test]
fn what_one_child_says_another_can_read_without_us() {
    on_both(async |_| {
        let mut first = shell("echo through two").stdout(Stdio::piped()).spawn().expect("started");
        let between = first.stdout.take().expect("piped");
        let mut second = Command::new("tr");
        second.args(["a-z", "A-Z"]).stdin(stdio(between).expect("a pipe"));
        assert_eq!(second.output().await.expect("started").stdout, b"THROUGH TWO\n");
        assert!(first.wait().await.expect("its end").success());
    });
}

thread_local! {
    /// What the waker of the next test writes to, as wakers are `Send`.
    static WRITER: RefCell<Option<PipeWriter>> = const { RefCell::new(None) };
}

/// A waker that sends: what it is called in the middle of must have nothing borrowed (OUTSIDE).
struct Sends;

impl Wake for Sends {
    fn wake(self: Arc<Self>) {
        if let Some(writer) = WRITER.take() {
            writer.send("woken");
            WRITER.set(Some(writer));
        }
    }
}

#[test]
fn outside_of_any_borrow_a_waker_may_send_itself() {
    on_both(async |_| {
        let (mut reader, writer) = pipe().expect("a pipe");
        let waker = Waker::from(Arc::new(Sends));
        let mut sending = writer.send(vec![0; MUCH]);
        let mut flushing = Box::pin(async { writer.flush().await });
        assert!(sending.poll_unpin(&mut Context::from_waker(&waker)).is_pending());
        assert!(flushing.poll_unpin(&mut Context::from_waker(&waker)).is_pending());
        drop(flushing);
        WRITER.set(Some(writer));
        let mut read = Vec::new();
        while read.len() < MUCH + "woken".len() {
            read.extend_from_slice(&reader.recv().await.expect("read"));
        }
        assert!(read[..MUCH].iter().all(|byte| *byte == 0) && read[MUCH..].starts_with(b"woken"));
        drop(WRITER.take());
        reader.read_to_end(&mut read).await.expect("its end");
        // Broken, it wakes in the middle of that, too.
        let (reader, writer) = pipe().expect("a pipe");
        let mut sending = writer.send(vec![0; MUCH]);
        assert!(sending.poll_unpin(&mut Context::from_waker(&waker)).is_pending());
        WRITER.set(Some(writer));
        drop(reader);
        assert_eq!(sending.await.expect_err("broken").kind(), ErrorKind::BrokenPipe);
        drop(WRITER.take());
    });
}

#[test]
fn the_ends_are_async_read_and_write() {
    on_both(async |_| {
        let (mut reader, mut writer) = pipe().expect("a pipe");
        let bytes = Random::new(8).bytes(MUCH);
        let writing = async {
            writer.send("first ");
            writer.write_all(&bytes).await.expect("written");
            AsyncWriteExt::flush(&mut writer).await.expect("flushed");
            AsyncWriteExt::close(&mut writer).await.expect("closed");
            writer.write(b"late").await.expect_err("closed")
        };
        let mut read = Vec::new();
        let (late, count) = join(writing, reader.read_to_end(&mut read)).await;
        assert_eq!(late.kind(), ErrorKind::NotConnected);
        assert_eq!(count.expect("read"), bytes.len() + 6);
        assert!(read.starts_with(b"first ") && read.ends_with(&bytes));
    });
}

#[test]
fn a_handler_takes_what_a_child_says() {
    on_both(async |_| {
        let mut child = shell("for i in 1 2 3; do echo $i; done").stdout(Stdio::piped()).spawn();
        let child = child.as_mut().expect("started");
        let (reader, writer) = pipe().expect("a pipe");
        let chunks = child.stdout.take().expect("piped").chunks();
        let copying = aem::on_ok(chunks, move |chunk| drop(writer.send(chunk)));
        let lines = reader.chunks().map_ok(|chunk| chunk.into_vec()).try_concat();
        assert_eq!(lines.await.expect("read"), b"1\n2\n3\n");
        copying.await.expect("read");
        child.wait().await.expect("its end");
    });
}

#[test]
fn on_another_runtime_or_after_its_own_a_pipe_is_refused() {
    watched_outside(|_| {
        let (home, away) = (aem::Runtime::new().expect("one"), aem::Runtime::new().expect("two"));
        let (mut reader, mut writer) = home.block_on(async { pipe() }).expect("a pipe");
        let sending = home.block_on(async { Some(writer.send(vec![0; MUCH])) });
        let refused = async |reader: &mut PipeReader, writer: &mut PipeWriter| {
            let told = |what: &str, error: std::io::Error| {
                let text = error.to_string();
                assert!(text.contains("runtime"), "{what}: {text}");
            };
            told("recv", reader.recv().await.expect_err("not here"));
            told("read", reader.read(&mut [0; 4]).await.expect_err("not here"));
            let item = reader.chunks().next().await.expect("an item");
            told("chunks", item.expect_err("not here"));
            told("send", writer.send("lost").await.expect_err("not here"));
            told("flush", writer.flush().await.expect_err("not here"));
            told("write", writer.write(b"lost").await.expect_err("not here"));
        };
        away.block_on(refused(&mut reader, &mut writer));
        home.block_on(async {
            assert_eq!(reader.recv().await.expect("at home again").len(), 16 * 1024);
        });
        drop(home);
        away.block_on(refused(&mut reader, &mut writer));
        away.block_on(sending.expect("sent")).expect_err("nobody writes the rest");
    });
}
