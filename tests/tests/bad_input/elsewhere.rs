//! Sources that are used on another runtime than their own, or after it: an error, never a hang.

use std::net::Shutdown;
use std::time::Duration;

use aem::net::{Incoming, TcpListener, TcpStream};
use aem::time::{Sleep, Ticks};
use aem_tests::bounded::within;
use aem_tests::elsewhere::wait_for;
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};

use super::LIMIT;

/// What a runtime can make.
struct Sources {
    listener: TcpListener,
    incoming: Incoming,
    client: TcpStream,
    served: TcpStream,
    sleep: Sleep,
    ticks: Ticks,
}

async fn make() -> Sources {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("an address");
    let client = TcpStream::connect(address).await.expect("connected");
    let (served, _) = listener.accept().await.expect("accepted");
    served.send("hello").await.expect("sent");
    let mut sleep = aem::time::sleep(Duration::from_millis(5));
    // It is in the wheel of this runtime.
    let started = futures::future::select(&mut sleep, std::future::ready(())).await;
    assert!(matches!(started, futures::future::Either::Right(_)));
    let ticks = aem::time::every(Duration::from_millis(2));
    Sources { incoming: listener.incoming(), listener, client, served, sleep, ticks }
}

/// Each use is an error that says what is wrong.
async fn assert_refused(sources: &mut Sources) {
    let told = |what: &str, error: std::io::Error| {
        let text = error.to_string();
        assert!(text.contains("runtime"), "{what}: {text}");
    };
    told("accept", sources.listener.accept().await.expect_err("not here"));
    // A stream ends after its error: the next one to ask is a new one.
    let mut incoming = std::mem::replace(&mut sources.incoming, sources.listener.incoming());
    let item = incoming.next().await.expect("an item");
    told("incoming", item.expect_err("not here"));
    told("recv", sources.client.recv().await.expect_err("not here"));
    let item = sources.client.chunks().next().await.expect("an item");
    told("chunks", item.expect_err("not here"));
    told("send", sources.client.send("lost").await.expect_err("not here"));
    told("flush", sources.client.flush().await.expect_err("not here"));
    told("read", (&sources.client).read(&mut [0; 4]).await.expect_err("not here"));
    told("write", (&sources.client).write(b"lost").await.expect_err("not here"));
    told("close", sources.served.close().await.expect_err("not here"));
}

/// Timers are at home wherever they are polled.
async fn assert_timers_move(sources: &mut Sources) {
    (&mut sources.sleep).await;
    sources.ticks.tick().await;
    sources.ticks.tick().await;
}

#[test]
fn sources_are_refused_on_another_runtime_and_work_on_their_own_again() {
    within(LIMIT, || {
        let (home, away) = (runtime(), runtime());
        let mut sources = home.block_on(make());
        away.block_on(async {
            assert_refused(&mut sources).await;
            assert_timers_move(&mut sources).await;
        });
        let Sources { listener, client, served, .. } = sources;
        home.block_on(async {
            // What was refused elsewhere has changed nothing here.
            assert_eq!(&client.recv().await.expect("bytes")[..], b"hello");
            drop(served);
            let _ = client.recv().await;
            let address = listener.local_addr().expect("an address");
            let again = TcpStream::connect(address).await.expect("connected");
            listener.accept().await.expect("accepted").0.send("again").await.expect("sent");
            assert_eq!(&again.recv().await.expect("bytes")[..], b"again");
        });
    });
}

#[test]
fn sources_are_refused_after_the_end_of_their_runtime() {
    within(LIMIT, || {
        let home = runtime();
        let mut sources = home.block_on(make());
        drop(home);
        aem::block_on(async {
            assert_refused(&mut sources).await;
            assert_timers_move(&mut sources).await;
            let _ = sources.client.shutdown(Shutdown::Both);
            let _ = (sources.client.peer_addr(), sources.listener.local_addr());
        });
        // And outside of any.
        wait_for(assert_refused(&mut sources));
    });
}

#[test]
fn sources_are_refused_outside_of_a_runtime() {
    within(LIMIT, || {
        let home = runtime();
        let sources = home.block_on(make());
        let error = wait_for(sources.client.recv()).expect_err("outside");
        assert!(error.to_string().contains("block_on"), "{error}");
        let error = wait_for(sources.listener.accept()).expect_err("outside");
        assert!(error.to_string().contains("block_on"), "{error}");
        // To queue needs no turn: it leaves with the next block_on.
        drop(sources.served.send(", world"));
        home.block_on(async {
            let mut text = Vec::new();
            while text.len() < 12 {
                text.extend_from_slice(&sources.client.recv().await.expect("bytes"));
            }
            assert_eq!(text, b"hello, world");
        });
    });
}

#[test]
fn a_handler_on_a_source_of_another_runtime_ends_with_its_error() {
    within(LIMIT, || {
        let (home, away) = (runtime(), runtime());
        let sources = home.block_on(make());
        let chunks = sources.client.chunks();
        let error = away.block_on(async { aem::on_ok(chunks, |_| ()).await });
        let error = error.expect_err("not its runtime");
        assert!(error.to_string().contains("another runtime"), "{error}");
    });
}

#[test]
fn streams_dropped_on_another_runtime_or_after_theirs_are_closed() {
    within(LIMIT, || {
        let (home, away) = (runtime(), runtime());
        let Sources { client, served, .. } = home.block_on(make());
        away.block_on(async move { drop(client) });
        // It left with bytes unread, which the system tells the other end as a reset.
        home.block_on(async { while served.recv().await.is_ok_and(|chunk| !chunk.is_empty()) {} });
        let Sources { client, served, .. } = home.block_on(make());
        let peer = std::os::fd::AsFd::as_fd(&served).try_clone_to_owned().expect("a copy");
        drop(served);
        home.block_on(aem::yield_now());
        drop(home);
        drop(client);
        let mut peer = std::net::TcpStream::from(peer);
        peer.set_nonblocking(false).expect("blocking");
        let mut rest = Vec::new();
        let _ = std::io::Read::read_to_end(&mut peer, &mut rest);
    });
}

fn runtime() -> aem::Runtime {
    aem::Runtime::new().expect("a runtime")
}
