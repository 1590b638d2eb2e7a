//! TCP over loopback, with public names only: what is cut short, what ends at odd moments, what is
//! too much, and what fails.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use aem::Chunk;
use aem::net::{TcpListener, TcpStream};
use aem::time::{sleep, timeout};
use aem_tests::random::Random;
use aem_tests::traffic::{Checksum, cut_short};
use aem_tests::watch::{watched, watched_outside};
use aem_tests::{alone, proc, scale};
use futures::future::{join, join_all};
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};

const MIB: usize = 1 << 20;

/// Nothing here takes long; what takes this long hangs.
const LIMIT: Duration = Duration::from_secs(60);

fn run<F: Future>(test: F) -> F::Output {
    watched(async |_| timeout(LIMIT, test).await.expect("the test hangs"))
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    (listener, address)
}

async fn pair() -> (TcpStream, TcpStream) {
    let (listener, address) = listen().await;
    let (ours, theirs) = join(TcpStream::connect(address), listener.accept()).await;
    (ours.expect("a connection"), theirs.expect("its other end").0)
}

/// A stream of ours, and its other end as one of the standard library's, for a thread.
async fn mixed_pair() -> (TcpStream, std::net::TcpStream) {
    let (listener, address) = listen().await;
    let theirs = std::net::TcpStream::connect(address).expect("a connection");
    (listener.accept().await.expect("its other end").0, theirs)
}

/// What a source of chunks gave, as `recv` would.
fn of_source(next: Option<io::Result<Chunk>>) -> Chunk {
    next.transpose().expect("bytes").unwrap_or_default()
}

async fn read_to_end(stream: &TcpStream) -> io::Result<Checksum> {
    let mut sum = Checksum::default();
    loop {
        let chunk = stream.recv().await?;
        if chunk.is_empty() {
            return Ok(sum);
        }
        sum.add(&chunk);
    }
}

// Cut short (KEPT).

#[test]
fn accept_cut_short_keeps_every_connection() {
    let rounds = scale::scaled_count(10_000, 1);
    run(async {
        let (listener, address) = listen().await;
        let connecting = aem::spawn(async move {
            for number in 0..rounds as u64 {
                let stream = TcpStream::connect(address).await?;
                stream.send(number.to_le_bytes().to_vec()).await?;
                // The end of file comes when the number was read, so few are open at once.
                assert!(stream.recv().await?.is_empty());
            }
            io::Result::Ok(())
        });
        let mut random = Random::new(1);
        let mut incoming = listener.incoming();
        let mut cuts = 0;
        for number in 0..rounds as u64 {
            let (stream, _) = loop {
                let polls = random.below(4);
                let accepted = match random.below(3) {
                    0 => cut_short(incoming.next(), polls).await.flatten(),
                    1 => cut_short(listener.incoming().next(), polls).await.flatten(),
                    _ => cut_short(listener.accept(), polls).await,
                };
                match accepted {
                    Some(accepted) => break accepted.expect("a connection"),
                    None => cuts += 1,
                }
                aem::yield_now().await;
            };
            assert_eq!(stream.recv().await.expect("its number"), number.to_le_bytes());
        }
        connecting.await.expect("no panic").expect("no error");
        assert!(cuts > rounds / 4, "only {cuts} awaits were cut short");
    });
}

#[test]
fn recv_cut_short_keeps_every_byte() {
    let rounds = scale::scaled_count(10_000, 1);
    run(async {
        let (ours, theirs) = pair().await;
        let sending = aem::spawn(async move {
            let mut random = Random::new(2);
            let mut sum = Checksum::default();
            for _ in 0..rounds {
                let count = 1 + random.below(3000);
                let bytes = random.bytes(count);
                sum.add(&bytes);
                theirs.send(bytes).await.expect("sent");
                if random.below(4) == 0 {
                    sleep(Duration::from_micros(random.below(100) as u64)).await;
                }
            }
            sum
        });
        let mut random = Random::new(3);
        let mut received = Checksum::default();
        let mut chunks = ours.chunks();
        let mut buffer = [0; 700];
        let (mut cuts, mut ended) = (0, false);
        while !ended {
            let polls = random.below(3);
            let got = match random.below(5) {
                0 => cut_short(ours.recv(), polls).await.map(|chunk| chunk.expect("bytes")),
                1 => cut_short(chunks.next(), polls).await.map(of_source),
                2 => cut_short(ours.chunks().next(), polls).await.map(of_source),
                3 => cut_short((&ours).read(&mut buffer), polls)
                    .await
                    .map(|n| buffer[..n.expect("bytes")].to_vec().into()),
                _ => {
                    // Reads a little of a chunk; the rest goes back when the reader is dropped.
                    let mut reader = ours.chunks().into_async_read();
                    cut_short(reader.read(&mut buffer[..50]), polls)
                        .await
                        .map(|n| buffer[..n.expect("bytes")].to_vec().into())
                }
            };
            match got {
                Some(chunk) => {
                    ended = chunk.is_empty();
                    received.add(&chunk);
                }
                None => cuts += 1,
            }
            aem::yield_now().await;
        }
        assert_eq!(received, sending.await.expect("no panic"));
        assert!(cuts > rounds / 4, "only {cuts} awaits were cut short");
    });
}

#[test]
fn send_cut_short_keeps_every_byte_in_order() {
    let rounds = scale::scaled_count(10_000, 1);
    run(async {
        let (ours, theirs) = pair().await;
        let sending = aem::spawn(async move {
            let mut random = Random::new(4);
            let mut sum = Checksum::default();
            for _ in 0..rounds {
                let count = 1 + random.below(20_000);
                let bytes = random.bytes(count);
                sum.add(&bytes);
                let polls = random.below(3);
                match random.below(3) {
                    0 => drop(ours.send(bytes)),
                    1 => drop(cut_short(ours.send(bytes), polls).await),
                    _ => {
                        drop(ours.send(bytes));
                        drop(cut_short(ours.flush(), polls).await);
                    }
                }
                while ours.queued() > MIB {
                    sleep(Duration::from_micros(50)).await;
                }
            }
            // The last handle goes here, with bytes still queued.
            sum
        });
        let received = read_to_end(&theirs).await.expect("all bytes");
        assert_eq!(received, sending.await.expect("no panic"));
    });
}

#[test]
fn close_and_connect_cut_short_leave_nothing_open() {
    let before = Rc::new(Cell::new(0));
    let name = "close_and_connect_cut_short_leave_nothing_open";
    alone::run(name, LIMIT, || {
        run(async {
            let (listener, address) = listen().await;
            before.set(proc::descriptors());
            let mut random = Random::new(5);
            for _ in 0..scale::scaled_count(2_000, 1) {
                let polls = random.below(3);
                let ours = cut_short(TcpStream::connect(address), polls).await;
                if let Some(ours) = ours {
                    let ours = ours.expect("a connection");
                    ours.send("bytes");
                    drop(cut_short(ours.close(), random.below(3)).await);
                }
                // Whether a connect that was cut short got through is the kernel's to say.
                drop(timeout(Duration::from_micros(300), listener.accept()).await);
            }
            while timeout(Duration::from_millis(5), listener.accept()).await.is_ok() {}
            sleep(Duration::from_millis(5)).await;
            assert_eq!(proc::descriptors(), before.get());
        });
    });
}

#[test]
fn sleep_and_timeout_cut_short_leave_no_trace() {
    run(async {
        // Timers in the wheel, as of a turn that has fired ours.
        async fn timers() -> u64 {
            sleep(Duration::from_millis(1)).await;
            aem::metrics().timers
        }
        let (ours, theirs) = pair().await;
        let before = timers().await;
        let mut random = Random::new(6);
        for _ in 0..scale::scaled_count(10_000, 1) {
            let nap = Duration::from_micros(random.below(60) as u64);
            let _ = cut_short(sleep(nap), random.below(3)).await;
            let waiting = timeout(nap, ours.recv());
            assert!(cut_short(waiting, random.below(3)).await.is_none_or(|late| late.is_err()));
        }
        assert_eq!(timers().await, before, "timers that nobody waits for");
        theirs.send("still there").await.expect("sent");
        assert_eq!(ours.recv().await.expect("bytes"), b"still there");
    });
}

// Edges.

#[test]
fn data_and_end_in_one_edge() {
    run(async {
        let mut random = Random::new(7);
        for round in 0..scale::scaled_count(2_000, 1) {
            let (ours, mut theirs) = mixed_pair().await;
            let waits_first = round % 2 == 0;
            if waits_first {
                assert!(cut_short(ours.recv(), 1).await.is_none());
            }
            let count = 1 + random.below(40_000);
            let bytes = random.bytes(count);
            theirs.write_all(&bytes).expect("room in the kernel");
            drop(theirs);
            assert_eq!(read_to_end(&ours).await.expect("all bytes"), Checksum::of(&bytes));
        }
    });
}

#[test]
fn short_read_before_more_data() {
    run(async {
        let (ours, mut theirs) = mixed_pair().await;
        let mut random = Random::new(8);
        let mut sent = Checksum::default();
        let mut received = Checksum::default();
        for _ in 0..scale::scaled_count(4_000, 1) {
            for _ in 0..1 + random.below(3) {
                let count = 1 + random.below(200);
                let bytes = random.bytes(count);
                theirs.write_all(&bytes).expect("room in the kernel");
                sent.add(&bytes);
            }
            while received.bytes() < sent.bytes() {
                received.add(&ours.recv().await.expect("bytes"));
            }
        }
        assert_eq!(received, sent);
    });
}

/// The mark of urgent data cuts a read short; the bytes around it arrive all the same, each once.
#[test]
fn urgent_data_hides_no_byte() {
    run(async {
        for waits_first in [false, true] {
            let (ours, mut theirs) = mixed_pair().await;
            if waits_first {
                assert!(cut_short(ours.recv(), 1).await.is_none());
            }
            let mut sent = Checksum::default();
            for round in 0..50_u8 {
                let bytes = [round; 100];
                theirs.write_all(&bytes).expect("room in the kernel");
                sent.add(&bytes);
                // SAFETY: the byte is borrowed for the call, and the socket is open.
                let urgent = unsafe {
                    libc::send(theirs.as_raw_fd(), [b'!'].as_ptr().cast(), 1, libc::MSG_OOB)
                };
                assert_eq!(urgent, 1);
                let bytes = [!round; 50];
                theirs.write_all(&bytes).expect("room in the kernel");
                sent.add(&bytes);
            }
            drop(theirs);
            // A mark that a later one replaced leaves its byte among the others.
            let mut received = Checksum::default();
            let mut marks = 0;
            loop {
                let chunk = ours.recv().await.expect("bytes");
                if chunk.is_empty() {
                    break;
                }
                let is_mark = |byte: &&u8| **byte == b'!';
                marks += chunk.iter().filter(is_mark).count();
                let bytes: Vec<u8> = chunk.iter().copied().filter(|byte| *byte != b'!').collect();
                received.add(&bytes);
            }
            // Round 33 is made of the same byte as the mark.
            let expected: usize = 100;
            assert!(marks >= expected && marks <= expected + 50, "{marks}");
            assert_eq!(received.bytes(), sent.bytes() - expected as u64);
        }
    });
}

#[test]
fn shutdown_during_a_partial_write_loses_nothing() {
    run(async {
        let (ours, theirs) = pair().await;
        let bytes = Random::new(9).bytes(8 * MIB);
        let expected = Checksum::of(&bytes);
        let sending = ours.send(bytes);
        // Part of it is with the kernel, and nobody reads yet.
        while ours.queued() == 8 * MIB {
            aem::yield_now().await;
        }
        assert!(ours.queued() > 0, "the kernel's buffers took it all");
        ours.shutdown(Shutdown::Write).expect("a connection");
        assert_eq!(read_to_end(&theirs).await.expect("all bytes"), expected);
        sending.await.expect("all of it was taken");
        theirs.send("the other half is open").await.expect("sent");
        assert_eq!(ours.recv().await.expect("bytes"), b"the other half is open");
    });
}

#[test]
fn half_closed_by_the_peer_it_still_sends() {
    run(async {
        let (ours, theirs) = mixed_pair().await;
        theirs.shutdown(Shutdown::Write).expect("a connection");
        assert!(ours.recv().await.expect("the end").is_empty());
        let bytes = Random::new(10).bytes(3 * MIB);
        let expected = Checksum::of(&bytes);
        ours.send(bytes);
        drop(ours);
        let reader = thread::spawn(move || {
            let mut bytes = Vec::new();
            (&theirs).read_to_end(&mut bytes).map(|_| Checksum::of(&bytes))
        });
        while !reader.is_finished() {
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(reader.join().expect("no panic").expect("all bytes"), expected);
    });
}

// Too much.

/// Reads a stream to its end, in a thread, after a pause.
fn read_later(
    mut stream: std::net::TcpStream,
    go: std::sync::mpsc::Receiver<()>,
) -> thread::JoinHandle<Checksum> {
    thread::spawn(move || {
        go.recv().expect("the word to go");
        let mut sum = Checksum::default();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match stream.read(&mut buffer).expect("bytes") {
                0 => return sum,
                n => sum.add(&buffer[..n]),
            }
        }
    })
}

/// How much resident memory may grow: the high-water mark, the inbox limit and the pool of buffers.
const MAY_GROW: u64 = (256 * 1024 + 64 * 1024 + 4 * MIB) as u64;

#[test]
fn writer_against_a_reader_that_stopped_is_bounded() {
    alone::run("writer_against_a_reader_that_stopped_is_bounded", LIMIT, || {
        run(async {
            let (mut ours, theirs) = mixed_pair().await;
            let (go, wait) = std::sync::mpsc::channel();
            let reader = read_later(theirs, wait);
            let mut piece = Random::new(11).bytes(64 * 1024);
            let before = proc::resident();
            let written = Rc::new(Cell::new(0_usize));
            let counter = Rc::clone(&written);
            let writing = aem::spawn(async move {
                let mut sum = Checksum::default();
                for round in 0..1024_u32 {
                    piece[..4].copy_from_slice(&round.to_le_bytes());
                    ours.write_all(&piece).await?;
                    counter.set(counter.get() + piece.len());
                    sum.add(&piece);
                }
                ours.close().await?;
                io::Result::Ok(sum)
            });
            sleep(Duration::from_millis(300)).await;
            let grown = proc::resident().saturating_sub(before);
            let stopped_at = written.get();
            eprintln!("grown by {grown} with {stopped_at} bytes written");
            assert!(stopped_at < 64 * MIB, "the kernel took it all: this tests nothing");
            assert!(grown <= MAY_GROW, "memory grew by {grown}");
            go.send(()).expect("the reader");
            let sent = writing.await.expect("no panic").expect("all sent");
            let grown = proc::resident().saturating_sub(before);
            assert!(grown <= MAY_GROW, "memory grew by {grown} while all went out");
            assert_eq!(sent.bytes(), 64 * MIB as u64);
            assert_eq!(reader.join().expect("all bytes"), sent);
        });
    });
}

#[test]
fn handler_that_echoes_to_a_reader_that_stopped_is_bounded() {
    alone::run("handler_that_echoes_to_a_reader_that_stopped_is_bounded", LIMIT, || {
        run(async {
            let (ours, theirs) = mixed_pair().await;
            let (go, wait) = std::sync::mpsc::channel();
            let reader = read_later(theirs.try_clone().expect("a clone"), wait);
            let mut piece = Random::new(12).bytes(64 * 1024);
            let before = proc::resident();
            let writer = thread::spawn(move || {
                let mut theirs = theirs;
                let mut sum = Checksum::default();
                for round in 0..1024_u32 {
                    piece[..4].copy_from_slice(&round.to_le_bytes());
                    theirs.write_all(&piece).expect("a connection");
                    sum.add(&piece);
                }
                theirs.shutdown(Shutdown::Write).expect("a connection");
                sum
            });
            let most_queued = Rc::new(Cell::new(0));
            let most = Rc::clone(&most_queued);
            let reply = ours.clone();
            let echo = aem::on_ok(ours.chunks(), move |chunk| {
                reply.send(chunk);
                most.set(most.get().max(reply.queued()));
            });
            drop(ours);
            sleep(Duration::from_millis(300)).await;
            let grown = proc::resident().saturating_sub(before);
            eprintln!("grown by {grown} with the echo held back");
            assert!(!writer.is_finished(), "the kernel took it all: this tests nothing");
            assert!(grown <= MAY_GROW, "memory grew by {grown}");
            go.send(()).expect("the reader");
            echo.await.expect("no error");
            while !reader.is_finished() {
                sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(reader.join().expect("all bytes"), writer.join().expect("all sent"));
            let grown = proc::resident().saturating_sub(before);
            assert!(grown <= MAY_GROW, "memory grew by {grown} while all went out");
            // A chunk may be sent while the mark is not yet passed.
            assert!(most_queued.get() <= 256 * 1024 + 64 * 1024, "{} queued", most_queued.get());
        });
    });
}

#[test]
fn peers_that_send_before_they_read_both_finish() {
    run(async {
        let (ours, theirs) = pair().await;
        let size = 64 * MIB;
        let talk = |stream: TcpStream, seed| async move {
            let bytes = Random::new(seed).bytes(size);
            let sent = Checksum::of(&bytes);
            stream.send(bytes);
            stream.shutdown(Shutdown::Write).expect("a connection");
            let received = read_to_end(&stream).await.expect("all bytes");
            (sent, received)
        };
        let (one, other) = join(aem::spawn(talk(ours, 13)), aem::spawn(talk(theirs, 14))).await;
        let (one, other) = (one.expect("no panic"), other.expect("no panic"));
        assert_eq!((one.0, one.1), (other.1, other.0));
    });
}

#[test]
fn connections_by_the_hundred_keep_their_bytes_apart() {
    run(async {
        let (listener, address) = listen().await;
        let served = aem::on_each(listener.incoming(), 1000, async |accepted| {
            let (stream, _) = accepted?;
            let mut chunks = stream.chunks();
            while let Some(chunk) = chunks.next().await {
                stream.send(chunk?).await?;
            }
            Ok::<(), aem::BoxError>(())
        });
        let talking = (0..scale::scaled_count(2_000, 1) as u64).map(|seed| {
            aem::spawn(async move {
                let stream = TcpStream::connect(address).await?;
                let mut random = Random::new(seed);
                let mut sent = Checksum::default();
                for _ in 0..10 {
                    let count = 1 + random.below(5_000);
                    let bytes = random.bytes(count);
                    sent.add(&bytes);
                    stream.send(bytes);
                }
                stream.shutdown(Shutdown::Write)?;
                io::Result::Ok((sent, read_to_end(&stream).await?))
            })
        });
        for talked in join_all(talking).await {
            let (sent, received) = talked.expect("no panic").expect("no error");
            assert_eq!(sent, received);
        }
        drop(served);
    });
}

// Many handles.

#[test]
fn clones_share_one_stream() {
    run(async {
        let (ours, theirs) = pair().await;
        let counts = Rc::new(RefCell::new(HashMap::new()));
        let readers: Vec<_> = (0..20)
            .map(|reader| {
                let (stream, counts) = (ours.clone(), Rc::clone(&counts));
                aem::spawn(async move {
                    loop {
                        let chunk = stream.recv().await?;
                        if chunk.is_empty() {
                            return io::Result::Ok(reader);
                        }
                        for byte in &chunk[..] {
                            *counts.borrow_mut().entry(*byte).or_insert(0) += 1;
                        }
                        aem::yield_now().await;
                    }
                })
            })
            .collect();
        let writers = (0..100_u8).map(|byte| {
            let stream = theirs.clone();
            aem::spawn(async move {
                for _ in 0..10 {
                    stream.send(vec![byte; 10]).await?;
                    sleep(Duration::from_micros(100)).await;
                }
                io::Result::Ok(())
            })
        });
        for written in join_all(writers).await {
            written.expect("no panic").expect("no error");
        }
        theirs.close().await.expect("no error");
        for read in join_all(readers).await {
            read.expect("no panic").expect("the end");
        }
        assert_eq!(counts.borrow().len(), 100);
        assert!(counts.borrow().values().all(|count| *count == 100));
    });
}

#[test]
fn two_sources_of_one_stream_share_its_bytes() {
    run(async {
        let (ours, theirs) = pair().await;
        let total = Rc::new(Cell::new(0));
        let handlers = [ours.chunks(), ours.chunks()].map(|chunks| {
            let total = Rc::clone(&total);
            aem::on_ok(chunks, move |chunk| total.set(total.get() + chunk.len()))
        });
        for _ in 0..100 {
            theirs.send(vec![1; 777]).await.expect("sent");
            aem::yield_now().await;
        }
        drop(theirs);
        for handler in handlers {
            handler.await.expect("the end");
        }
        assert_eq!(total.get(), 77_700);
    });
}

// What fails.

#[test]
fn reset_by_the_peer_is_told_to_all() {
    run(async {
        let (ours, theirs) = mixed_pair().await;
        let waiting = {
            let stream = ours.clone();
            aem::spawn(async move { stream.recv().await })
        };
        aem::yield_now().await;
        // Bytes that it never read turn its close into a reset.
        ours.send("unread").await.expect("sent");
        sleep(Duration::from_millis(2)).await;
        drop(theirs);
        let told = waiting.await.expect("no panic").expect_err("a reset");
        assert_eq!(told.kind(), ErrorKind::ConnectionReset);
        assert_eq!(ours.recv().await.expect_err("it stays").kind(), ErrorKind::ConnectionReset);
        assert!(ours.send("more").await.is_err());
        assert!(ours.flush().await.is_err());
    });
}

#[test]
fn stream_of_another_runtime_is_an_error_and_no_hang() {
    watched_outside(|_| {
        let first = aem::Runtime::new().expect("a runtime");
        let (stream, listener) = first.block_on(async {
            let (listener, address) = listen().await;
            (TcpStream::connect(address).await.expect("a connection"), listener)
        });
        let is_told = |error: io::Error| error.to_string().contains("runtime");
        aem::block_on(async {
            assert!(is_told(stream.recv().await.expect_err("another runtime")));
            assert!(is_told(stream.send("x").await.expect_err("another runtime")));
            assert!(is_told(stream.close().await.expect_err("another runtime")));
            assert!(is_told(listener.accept().await.expect_err("another runtime")));
            let chunk = stream.chunks().next().await.expect("an item");
            assert!(is_told(chunk.expect_err("another runtime")));
        });
        drop(first);
        aem::block_on(async {
            assert!(is_told(stream.recv().await.expect_err("its runtime has ended")));
            assert!(is_told(listener.accept().await.expect_err("its runtime has ended")));
        });
    });
}

#[test]
fn much_that_is_queued_goes_out_before_the_jobs_that_are_ready() {
    run(async {
        for (length, is_much) in [(100, false), (64 * 1024, true)] {
            let (ours, _theirs) = pair().await;
            let watched = ours.clone();
            let sending = aem::spawn(async move { drop(ours.send(vec![0; length])) });
            // It was ready before the other sent.
            let left = aem::spawn(async move { watched.queued() });
            sending.await.expect("no panic");
            let left = left.await.expect("no panic");
            assert_eq!(left, if is_much { 0 } else { length }, "of {length} bytes");
        }
    });
}
