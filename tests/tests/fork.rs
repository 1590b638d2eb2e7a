//! A forked child has a copy of its parent's runtime: it cannot enter it, can drop it, and can make its own;
//! whatever it does, the parent is undisturbed.
//!
//! Each test forks in a process of its own.

#[path = "fork/jobs.rs"]
mod jobs;

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream as Client};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aem::fd::{AsyncFd, Interest};
use aem::net::{TcpListener, TcpStream};
use aem::time::{sleep, timeout};
use aem::{Registration, Runtime};

use aem_tests::elsewhere::wait_for;
use aem_tests::forked::forked;
use aem_tests::proc::descriptors;
use aem_tests::{alone, watch};

/// For a whole test.
const LIMIT: Duration = Duration::from_secs(60);

/// For what an undisturbed parent does at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// An echo server, and all that a runtime has in the kernel, with nothing to do.
struct Server {
    sources: Sources,
    runtime: Runtime,
}

/// What a program holds of it.
struct Sources {
    listening: Registration,
    watching: Registration,
    streams: Rc<RefCell<Vec<TcpStream>>>,
    address: SocketAddr,
    /// The other end of the descriptor that is watched, and how often that had something.
    far: UnixStream,
    seen: Rc<Cell<usize>>,
    client: Client,
}

impl Server {
    /// A server with one idle client that was served before.
    fn start() -> Server {
        let runtime = Runtime::new().expect("a runtime");
        let sources = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
            let address = listener.local_addr().expect("an address");
            let streams: Rc<RefCell<Vec<TcpStream>>> = Rc::default();
            let accepted = streams.clone();
            let listening = aem::on_ok(listener.incoming(), move |(stream, _)| {
                let reply = stream.clone();
                accepted.borrow_mut().push(stream.clone());
                aem::on_ok(stream.chunks(), move |chunk| drop(reply.send(chunk))).detach();
            });
            let (near, far) = UnixStream::pair().expect("a pair");
            near.set_nonblocking(true).expect("a mode");
            let near = AsyncFd::new(near).expect("it can be watched");
            let seen = Rc::new(Cell::new(0));
            let count = seen.clone();
            let watching = aem::on_ok(near.readiness(Interest::READABLE), move |_| {
                count.set(count.get() + near.get_ref().read(&mut [0; 8]).unwrap_or(0));
            });
            Sources {
                listening: listening.erase(),
                watching: watching.erase(),
                streams,
                address,
                far,
                seen,
                client: connect(address),
            }
        });
        let mut server = Server { sources, runtime };
        server.must_serve();
        server
    }

    /// The client it has, a new one, a descriptor and timers: all are served.
    #[track_caller]
    fn must_serve(&mut self) {
        let Sources { client, far, seen, address, .. } = &mut self.sources;
        self.runtime.block_on(async {
            must_echo(client).await;
            must_echo(&mut connect(*address)).await;
            let before = seen.get();
            far.write_all(b"!").expect("there is room");
            let news = async {
                while seen.get() == before {
                    sleep(Duration::from_millis(1)).await;
                }
            };
            timeout(PATIENCE, news).await.expect("the descriptor's event comes");
        });
    }
}

impl Sources {
    /// Drops one after the other.
    fn drop_all(self) {
        let Sources { listening, watching, streams, far, client, .. } = self;
        drop(streams.take());
        drop(watching);
        drop(listening);
        drop((far, client));
    }
}

fn connect(address: SocketAddr) -> Client {
    let client = Client::connect(address).expect("the backlog has room");
    client.set_nonblocking(true).expect("a mode");
    client
}

/// The next bytes, read without blocking the thread, on which the server runs as well.
async fn read(client: &mut Client, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match client.read(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                sleep(Duration::from_millis(1)).await;
            }
            result => return result,
        }
    }
}

async fn must_echo(client: &mut Client) {
    client.write_all(b"?").expect("a few bytes always fit");
    let mut answer = [0; 2];
    let count = timeout(PATIENCE, read(client, &mut answer)).await.expect("an answer in time");
    assert_eq!((count.expect("a connection"), answer[0]), (1, b'?'));
}

/// All that comes until the end.
async fn read_all(client: &mut Client) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        let count = timeout(PATIENCE, read(client, &mut buffer)).await.expect("more in time");
        match count.expect("a connection") {
            0 => return all,
            count => all.extend_from_slice(&buffer[..count]),
        }
    }
}

/// What a panic says that comes of entering the parent's runtime.
#[track_caller]
fn must_say_what_to_do(result: Result<(), Box<dyn std::any::Any + Send>>) {
    let panic = result.expect_err("a child cannot enter its parent's runtime");
    let text = panic.downcast_ref::<String>().expect("a text");
    for word in ["forked", "parent", "exec", "new Runtime"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

/// One of everything, on a runtime of one's own.
async fn use_a_runtime() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("an address");
    let echo = aem::on_ok(listener.incoming(), |(stream, _)| {
        let reply = stream.clone();
        aem::on_ok(stream.chunks(), move |chunk| drop(reply.send(chunk))).detach();
    });
    let stream = TcpStream::connect(address).await.expect("a connection");
    stream.send("hello").await.expect("sent");
    let answer = timeout(PATIENCE, stream.recv()).await.expect("in time").expect("an answer");
    assert_eq!(&answer[..], b"hello");
    assert_eq!(aem::spawn_blocking(|| 7).await.expect("it ran"), 7);
    drop(echo);
}

/// Each order in which a child may let go of what it has: its descriptors go, and the parent's events stay.
#[test]
fn a_child_that_drops_everything_leaves_the_parent_its_events() {
    alone::run("a_child_that_drops_everything_leaves_the_parent_its_events", LIMIT, || {
        let before = descriptors();
        let mut server = Server::start();
        let held = descriptors();
        server = forked(server, |server| {
            let Server { sources, runtime } = server;
            let streams = sources.streams.clone();
            sources.drop_all();
            // The jobs of the runtime hold the connections themselves.
            assert!(descriptors() < held, "what can be closed is closed at once");
            drop(runtime);
            drop(streams);
            assert_eq!(descriptors(), before, "the child has closed all of its own");
        });
        server.must_serve();
        server = forked(server, |server| {
            let Server { sources, runtime } = server;
            drop(runtime);
            sources.drop_all();
            assert_eq!(descriptors(), before, "the child has closed all of its own");
        });
        server.must_serve();
        // A child that drops a single stream: no runtime ends there.
        server = forked(server, |server| {
            server.sources.streams.borrow_mut().clear();
            drop(server.sources.watching);
        });
        server.must_serve();
        drop(server);
        assert_eq!(descriptors(), before);
    });
}

#[test]
fn a_dropped_source_is_closed_at_once_in_a_child() {
    alone::run("a_dropped_source_is_closed_at_once_in_a_child", LIMIT, || {
        let runtime = Runtime::new().expect("a runtime");
        let sources = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
            let address = listener.local_addr().expect("an address");
            let near = TcpStream::connect(address).await.expect("a connection");
            let (far, _) = listener.accept().await.expect("a connection");
            // Each has an op under way, and all are known to the kernel.
            assert!(timeout(Duration::from_millis(1), near.recv()).await.is_err());
            assert!(timeout(Duration::from_millis(1), far.recv()).await.is_err());
            assert!(timeout(Duration::from_millis(1), listener.accept()).await.is_err());
            (listener, near, far)
        });
        let held = descriptors();
        let sources = forked(sources, |(listener, near, far)| {
            drop(near);
            assert_eq!(descriptors(), held - 1);
            drop(listener);
            assert_eq!(descriptors(), held - 2);
            drop(far);
            assert_eq!(descriptors(), held - 3);
        });
        runtime.block_on(async {
            let (listener, near, far) = sources;
            near.send("still here").await.expect("sent");
            let chunk = timeout(PATIENCE, far.recv()).await.expect("in time").expect("a chunk");
            assert_eq!(&chunk[..], b"still here");
            let other = connect(listener.local_addr().expect("an address"));
            timeout(PATIENCE, listener.accept()).await.expect("in time").expect("a connection");
            drop(other);
        });
    });
}

#[test]
fn block_on_in_a_child_panics_and_says_what_to_do() {
    alone::run("block_on_in_a_child_panics_and_says_what_to_do", LIMIT, || {
        let mut server = Server::start();
        server = forked(server, |server| {
            for _ in 0..2 {
                let entering = || server.runtime.block_on(async {});
                must_say_what_to_do(catch_unwind(AssertUnwindSafe(entering)));
            }
            // A runtime of its own does not make the parent's one its own.
            aem::block_on(use_a_runtime());
            let entering = || server.runtime.block_on(async {});
            must_say_what_to_do(catch_unwind(AssertUnwindSafe(entering)));
            // Nor is it this child's child's.
            let own = Runtime::new().expect("a runtime");
            own.block_on(use_a_runtime());
            let (_server, own) = forked((server, own), |(server, own)| {
                for runtime in [&server.runtime, &own] {
                    let entering = || runtime.block_on(async {});
                    must_say_what_to_do(catch_unwind(AssertUnwindSafe(entering)));
                }
                aem::block_on(use_a_runtime());
            });
            own.block_on(use_a_runtime());
        });
        server.must_serve();
    });
}

/// A stream whose peer has taken nothing yet, and what is queued on it.
fn fill(server: &Server, far: &mut Vec<Client>) -> (TcpStream, Vec<u8>) {
    let client = connect(server.sources.address);
    let peer = client.local_addr().expect("an address");
    far.push(client);
    let find = || {
        let streams = server.sources.streams.borrow();
        streams.iter().find(|stream| stream.peer_addr().is_ok_and(|own| own == peer)).cloned()
    };
    let stream = server.runtime.block_on(async {
        loop {
            if let Some(stream) = find() {
                break stream;
            }
            sleep(Duration::from_millis(1)).await;
        }
    });
    // More than the buffers of both ends hold; no two words of it are the same.
    let bytes: Vec<u8> = (0..2_000_000_u32).flat_map(u32::to_le_bytes).collect();
    stream.send(bytes.clone());
    (stream, bytes)
}

#[test]
fn what_is_queued_is_sent_once() {
    alone::run("what_is_queued_is_sent_once", LIMIT, || {
        let (server, mut clients) = (Server::start(), Vec::new());
        // One whose send waits for room, one that nobody holds any more, one whose turn is yet to come.
        let (waiting, bytes) = fill(&server, &mut clients);
        let (forgotten, _) = fill(&server, &mut clients);
        server.runtime.block_on(sleep(Duration::from_millis(5)));
        assert!(waiting.queued() > 0 && forgotten.queued() > 0, "more than there was room for");
        waiting.shutdown(Shutdown::Write).expect("a connection");
        server.sources.streams.borrow_mut().clear();
        let peer = forgotten.peer_addr().expect("an address");
        drop(forgotten);
        let (due, _) = fill(&server, &mut clients);
        due.shutdown(Shutdown::Write).expect("a connection");
        let queued = (waiting.queued(), due.queued());
        assert_eq!(queued.1, bytes.len(), "none of it has had its turn");

        let state = (server, waiting, due);
        let (server, waiting, due) = forked(state, |(server, waiting, due)| {
            drop(waiting);
            drop(server);
            drop(due);
        });
        let (server, waiting, due) = forked((server, waiting, due), |(server, waiting, due)| {
            let begun = Instant::now();
            drop(server);
            assert!(begun.elapsed() < Duration::from_millis(500), "nothing is waited for");
            drop((waiting, due));
        });
        assert_eq!((waiting.queued(), due.queued()), queued);
        drop((waiting, due));
        server.sources.streams.borrow_mut().clear();
        server.runtime.block_on(async {
            for mut client in clients {
                if client.local_addr().is_ok_and(|address| address == peer) {
                    client.shutdown(Shutdown::Write).expect("a connection");
                }
                let received = read_all(&mut client).await;
                assert_eq!(received.len(), bytes.len());
                assert!(received == bytes, "all of it, in order");
            }
        });
    });
}

#[test]
fn a_child_does_not_end_its_parents_connections() {
    alone::run("a_child_does_not_end_its_parents_connections", LIMIT, || {
        let mut server = Server::start();
        server = forked(server, |server| {
            let stream = server.sources.streams.borrow()[0].clone();
            assert!(stream.shutdown(Shutdown::Both).is_err());
            let refused = wait_for(stream.send("twice")).expect_err("nobody would send it");
            assert!(refused.to_string().contains("forked"), "{refused}");
            assert_eq!(stream.queued(), 0);
            assert!(wait_for(stream.recv()).is_err());
            assert!(wait_for(stream.close()).is_err());
            aem::block_on(async {
                let refused = stream.recv().await.expect_err("the parent's");
                assert!(refused.to_string().contains("forked"), "{refused}");
                assert!(stream.send("twice").await.is_err());
                assert!(stream.close().await.is_err());
            });
        });
        server.must_serve();
    });
}

#[test]
fn a_child_waits_for_no_thread_of_its_parents() {
    alone::run("a_child_waits_for_no_thread_of_its_parents", LIMIT, || {
        let runtime = Runtime::new().expect("a runtime");
        let (go, begun) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let watch = watch::Watch::default();
        let jobs: Vec<_> = runtime.block_on(async {
            // More than there are threads, so that some closures have not begun.
            let jobs = (0..70).map(|_| {
                let (go, begun, value) = (go.clone(), begun.clone(), watch.traveller());
                aem::spawn_blocking(move || {
                    watch::keep(&value);
                    begun.fetch_add(1, Ordering::AcqRel);
                    while !go.load(Ordering::Acquire) {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                })
            });
            let jobs = jobs.collect();
            while begun.load(Ordering::Acquire) < 64 {
                sleep(Duration::from_millis(1)).await;
            }
            jobs
        });
        let (runtime, jobs) = forked((runtime, jobs), |(runtime, jobs)| {
            let begun = Instant::now();
            drop(runtime);
            assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
            assert_eq!(watch.live(), 64, "closures that had not begun are dropped");
            for job in jobs {
                assert!(wait_for(job).is_err(), "cancelled, as at each end of a runtime");
            }
        });
        go.store(true, Ordering::Release);
        runtime.block_on(async {
            for job in jobs {
                timeout(PATIENCE, job).await.expect("in time").expect("the closure returned");
            }
        });
    });
}

#[test]
fn a_job_that_a_child_sends_to_its_parents_runtime_is_born_cancelled() {
    let name = "a_job_that_a_child_sends_to_its_parents_runtime_is_born_cancelled";
    alone::run(name, LIMIT, || {
        let runtime = Runtime::new().expect("a runtime");
        let handle = runtime.handle();
        let handle = forked(handle, |handle| {
            let job = handle.spawn(async { 1 });
            assert!(wait_for(job).expect_err("nobody runs it").is_cancelled());
            let job = handle.spawn_with(|| async { 1 });
            let own = aem::block_on(job);
            assert!(own.expect_err("nobody runs it").is_cancelled());
            handle.shutdown();
        });
        let job = handle.spawn(async { 1 });
        assert_eq!(runtime.block_on(timeout(PATIENCE, job)).expect("in time").expect("it ran"), 1);
    });
}

/// Whether the process has a handler for a signal, as the kernel tells it.
fn is_caught(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("a mask");
    u64::from_str_radix(line.trim(), 16).expect("a number") & 1 << (signal - 1) != 0
}

fn raise(signal: i32) {
    // SAFETY: a signal for this thread, which has a handler for it; no memory is passed.
    assert_eq!(unsafe { libc::raise(signal) }, 0);
}

#[test]
fn parent_and_child_hear_their_own_signals() {
    alone::run("parent_and_child_hear_their_own_signals", LIMIT, || {
        let runtime = Runtime::new().expect("a runtime");
        let asked = runtime.block_on(async { Some(aem::signal::ctrl_c()) }).expect("a listener");
        let (runtime, asked) = forked((runtime, asked), |(runtime, asked)| {
            aem::block_on(async {
                let own = aem::signal::ctrl_c();
                raise(libc::SIGINT);
                timeout(PATIENCE, own).await.expect("the child hears its own");
            });
            assert!(is_caught(libc::SIGINT), "its copy of the parent's listener is there yet");
            drop(asked);
            assert!(!is_caught(libc::SIGINT), "and takes the handler along");
            drop(runtime);
        });
        runtime.block_on(async {
            let mut asked = asked;
            let heard = timeout(Duration::from_millis(50), &mut asked).await;
            assert!(heard.is_err(), "the child's signal is not the parent's");
            assert!(is_caught(libc::SIGINT));
            raise(libc::SIGINT);
            timeout(PATIENCE, asked).await.expect("the parent hears its own");
        });
    });
}
