//! Accepts that are cut short while clients connect: each client is served or closed, none is forgotten.

use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aem::net::TcpListener;
use aem::time::timeout;
use aem_tests::random::Random;
use aem_tests::scale::scaled_count;
use aem_tests::traffic::cut_short;

use super::{MOST_US, on_both, spin};

/// So soon a client is served or closed.
const SOON: Duration = Duration::from_secs(1);

/// Threads that connect.
const CLIENTS: usize = 3;

/// What became of the clients.
#[derive(Debug, Default)]
struct Fates {
    over: AtomicBool,
    served: AtomicUsize,
    closed: AtomicUsize,
}

/// Connects again and again, and waits each time for a byte or the end.
fn connect_until_over(address: SocketAddr, fates: &Fates, seed: u64) -> Duration {
    let mut random = Random::new(seed);
    let mut worst = Duration::ZERO;
    while !fates.over.load(Ordering::SeqCst) {
        let start = Instant::now();
        let mut client = TcpStream::connect(address).expect("the backlog has room");
        client.set_read_timeout(Some(10 * SOON)).expect("a time limit");
        let fate = match client.read(&mut [0]) {
            Ok(1) => &fates.served,
            Ok(_) => &fates.closed,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => &fates.closed,
            Err(error) => panic!("after {:?}: {error}", start.elapsed()),
        };
        fate.fetch_add(1, Ordering::SeqCst);
        worst = worst.max(start.elapsed());
        spin(Duration::from_micros(random.below(MOST_US) as u64));
    }
    worst
}

/// Accepts, and stops doing so after a time or a number of polls; true if it had to be cut short. At times
/// the loop stands still before or after that, so that clients come between the last turn and the cancel.
async fn accept_for_a_while(listener: &TcpListener, random: &mut Random) -> bool {
    let pause = Duration::from_micros(random.below(MOST_US) as u64);
    let accepted = match random.below(4) {
        // Not twice: a second poll waits for a client, and at the end there may be none.
        0 => cut_short(listener.accept(), random.below(2)).await,
        1 => {
            let none = cut_short(listener.accept(), 1).await;
            spin(pause);
            none
        }
        2 => {
            let accepted = timeout(pause, listener.accept()).await.ok();
            spin(pause);
            accepted
        }
        _ => timeout(pause, listener.accept()).await.ok(),
    };
    let Some(accepted) = accepted else { return true };
    let (stream, _peer) = accepted.expect("a connection");
    stream.send("!");
    false
}

/// Has clients connect while accepts are cut short; a fresh listener of the same socket for each accept, or
/// one for all of them.
async fn serve_all(cuts: usize, fresh: bool) {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("its address");
    let another = || TcpListener::from_std(socket.try_clone().expect("a descriptor"));
    let fates = Arc::new(Fates::default());
    let clients: Vec<_> = (0..CLIENTS as u64)
        .map(|seed| (seed, Arc::clone(&fates)))
        .map(|(seed, fates)| std::thread::spawn(move || connect_until_over(address, &fates, seed)))
        .collect();
    let mut random = Random::new(40 + u64::from(fresh));
    let mut listener = another().expect("a listener");
    let mut cut = 0;
    while cut < cuts {
        cut += usize::from(accept_for_a_while(&listener, &mut random).await);
        if fresh {
            // With it goes the accept that is under way, and what that has just accepted is closed.
            drop(listener);
            listener = another().expect("a listener");
        }
    }
    fates.over.store(true, Ordering::SeqCst);
    let mut waiting = clients;
    let mut worst = Duration::ZERO;
    while let Some(client) = waiting.pop() {
        while !client.is_finished() {
            accept_for_a_while(&listener, &mut random).await;
        }
        worst = worst.max(client.join().expect("a client was forgotten"));
    }
    let served = fates.served.load(Ordering::SeqCst);
    let closed = fates.closed.load(Ordering::SeqCst);
    println!(
        "  fresh {fresh}: {cut} cut, {served} served, {closed} closed, the last after {worst:?}"
    );
    assert!(worst <= SOON, "a client waited for {worst:?}");
    assert!(served >= cuts / 100, "only {served} clients were served beside {cut} cut accepts");
    assert!(fresh || closed == 0, "{closed} clients were closed, and no listener was");
}

#[test]
fn accepts_cut_short_forget_no_client() {
    let cuts = scaled_count(10_000, 500);
    on_both(async |_| {
        serve_all(cuts / 2, false).await;
        serve_all(cuts / 2, true).await;
    });
}
