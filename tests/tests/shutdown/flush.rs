//! What is queued is sent, for as long as `flush_at_exit` says and no longer.

use std::io::Read;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use aem_tests::bounded::within;

use super::LIMIT;

/// More than the kernel's buffers of a loopback connection take.
const MUCH: usize = 24 << 20;

/// Connects to `address`, queues much, and ends the runtime; how long that end took.
fn send_and_end(address: std::net::SocketAddr, flush: Duration, keep: bool) -> Duration {
    let runtime = aem::Runtime::builder().flush_at_exit(flush).build().expect("a runtime");
    let kept = runtime.block_on(async {
        let stream = aem::net::TcpStream::connect(address).await.expect("a connection");
        for piece in 0..24_u8 {
            drop(stream.send(vec![piece; MUCH / 24]));
        }
        // A handle that lives on, or a stream that nobody holds any more: both are flushed.
        keep.then_some(stream)
    });
    let start = Instant::now();
    drop(runtime);
    let took = start.elapsed();
    drop(kept);
    took
}

fn reads_slowly(listener: TcpListener) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let (mut peer, _) = listener.accept().expect("a connection");
        let (mut all, mut piece) = (Vec::new(), vec![0; 1 << 20]);
        loop {
            thread::sleep(Duration::from_millis(3));
            match peer.read(&mut piece).expect("bytes") {
                0 => return all,
                n => all.extend_from_slice(&piece[..n]),
            }
        }
    })
}

fn a_slow_reader_gets_it_all(keep: bool) {
    let took = within(LIMIT, move || {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let reader = reads_slowly(listener);
        let took = send_and_end(address, Duration::from_secs(15), keep);
        let all = reader.join().expect("the reader");
        assert_eq!(all.len(), MUCH);
        assert!(all.chunks(MUCH / 24).zip(0_u8..).all(|(run, b)| run.iter().all(|x| *x == b)));
        took
    });
    assert!(took < Duration::from_secs(15), "it ends when all is sent, not when time is up");
}

#[test]
fn queued_bytes_reach_a_slow_reader() {
    a_slow_reader_gets_it_all(true);
}

#[test]
fn queued_bytes_of_a_dropped_stream_reach_a_slow_reader() {
    a_slow_reader_gets_it_all(false);
}

fn a_deaf_peer_is_left(flush: Duration, keep: bool) {
    let (took, read) = within(LIMIT, move || {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let sender = thread::spawn(move || send_and_end(address, flush, keep));
        let (mut peer, _) = listener.accept().expect("a connection");
        let took = sender.join().expect("the sender");
        // The connection has ended; what the kernel took is a prefix.
        let mut all = Vec::new();
        let _ = peer.read_to_end(&mut all);
        let _ = peer.shutdown(Shutdown::Both);
        (took, all.len())
    });
    assert!(read < MUCH, "all {read} bytes went to a peer that does not read");
    assert!(took >= flush, "given up after {took:?}");
    assert!(took < flush + Duration::from_secs(6), "it took {took:?}");
}

#[test]
fn a_peer_that_never_reads_delays_the_end_by_flush_at_exit() {
    a_deaf_peer_is_left(Duration::from_millis(300), true);
    a_deaf_peer_is_left(Duration::from_millis(300), false);
}

#[test]
fn without_time_to_flush_the_end_comes_at_once() {
    a_deaf_peer_is_left(Duration::ZERO, true);
    a_deaf_peer_is_left(Duration::ZERO, false);
}

#[test]
fn a_runtime_with_nothing_to_send_waits_for_nothing() {
    let took = within(LIMIT, || {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let runtime = aem::Runtime::builder()
            .flush_at_exit(Duration::from_secs(10))
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let stream = aem::net::TcpStream::connect(address).await.expect("a connection");
            aem::on_ok(stream.chunks(), |_| ()).detach();
            aem::on(aem::time::every(Duration::from_millis(1)), |_| ()).detach();
            aem::spawn(std::future::pending::<()>());
            aem::yield_now().await;
        });
        let start = Instant::now();
        drop(runtime);
        drop(TcpStream::connect(address));
        start.elapsed()
    });
    assert!(took < Duration::from_secs(1), "it took {took:?}");
}

#[test]
fn what_a_destructor_sends_at_the_end_is_flushed_too() {
    within(LIMIT, || {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let runtime = super::runtime();
        runtime.block_on(async {
            let stream = aem::net::TcpStream::connect(address).await.expect("a connection");
            aem::spawn(async move {
                let _farewell = super::OnDrop(move || drop(stream.send("farewell")));
                std::future::pending::<()>().await;
            });
            aem::yield_now().await;
        });
        let (mut peer, _) = listener.accept().expect("a connection");
        drop(runtime);
        let mut text = String::new();
        peer.read_to_string(&mut text).expect("the end of file");
        assert_eq!(text, "farewell");
    });
}
