//! Receives that are cut short while bytes arrive (KEPT).

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::mpsc;
use std::time::Duration;

use aem::time::timeout;
use aem_tests::random::Random;
use aem_tests::scale::scaled_count;
use aem_tests::traffic::cut_short;

use super::{MOST_US, listen, on_both, pair, spin};

/// Rounds on one connection.
const ROUNDS: usize = 25;

/// What the other end is told to do.
enum Order {
    Write(Duration, u8),
    End(TcpStream),
    Begin(TcpStream),
}

/// Writes single bytes after a while, on one connection after the other.
fn write_bytes(orders: mpsc::Receiver<Order>) {
    let mut streams = Vec::new();
    for order in orders {
        match order {
            Order::Begin(stream) => streams = vec![stream],
            Order::Write(pause, byte) => {
                spin(pause);
                streams[0].write_all(&[byte]).expect("sent");
            }
            Order::End(stream) => stream.shutdown(Shutdown::Write).expect("a connection"),
        }
    }
}

/// How many bytes lie in a socket.
fn left_in(socket: impl AsFd) -> usize {
    let mut count: libc::c_int = 0;
    // SAFETY: the request writes one integer, which lives.
    let failed = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::FIONREAD, &raw mut count) };
    assert_eq!(failed, 0, "FIONREAD: {}", std::io::Error::last_os_error());
    usize::try_from(count).expect("a count")
}

/// Receives, and stops doing so after a time or a number of polls. At times the loop stands still meanwhile.
async fn receive_for_a_while(stream: &aem::net::TcpStream, random: &mut Random) -> Vec<u8> {
    let pause = Duration::from_micros(random.below(MOST_US) as u64);
    let received = match random.below(4) {
        0 => cut_short(stream.recv(), random.below(3)).await,
        1 => {
            let none = cut_short(stream.recv(), 1).await;
            spin(pause);
            none
        }
        _ => timeout(pause, stream.recv()).await.ok(),
    };
    received.map_or_else(Vec::new, |chunk| chunk.expect("no error").to_vec())
}

/// The bytes that were delivered and those that were left are those that were sent, in their order.
async fn account(limit: Option<usize>, rounds: usize, seed: u64) -> usize {
    let (orders, inbox) = mpsc::channel();
    let writer = std::thread::spawn(move || write_bytes(inbox));
    let (listener, _) = listen().await;
    let mut random = Random::new(seed);
    let (mut cut, mut left_at_end) = (0, 0);
    for _ in 0..rounds.div_ceil(ROUNDS) {
        let (ours, theirs) = pair(&listener).await;
        if let Some(limit) = limit {
            ours.set_inbox_limit(limit);
        }
        let order = |order| orders.send(order).expect("the writer listens");
        order(Order::Begin(theirs.try_clone().expect("a descriptor")));
        let mut delivered = Vec::new();
        for byte in 0..ROUNDS as u8 {
            let pause = Duration::from_micros(random.below(MOST_US) as u64);
            order(Order::Write(pause, byte));
            let received = receive_for_a_while(&ours, &mut random).await;
            cut += usize::from(received.is_empty());
            delivered.extend(received);
        }
        let left = left_in(&ours);
        assert!(delivered.len() + left <= ROUNDS, "{delivered:?}, and {left} bytes in the socket");
        left_at_end += left;
        order(Order::End(theirs));
        loop {
            let rest = ours.recv().await.expect("no error");
            if rest.is_empty() {
                break;
            }
            delivered.extend_from_slice(&rest);
        }
        assert!(delivered.iter().copied().eq(0..ROUNDS as u8), "{delivered:?}");
    }
    drop(orders);
    writer.join().expect("the writer");
    println!(
        "  limit {limit:?}: {rounds} rounds, {cut} cut short, {left_at_end} bytes seen in sockets"
    );
    cut
}

#[test]
fn receives_cut_short_lose_no_byte() {
    let rounds = scaled_count(10_000, 500);
    on_both(async |_| {
        let mut cut = 0;
        // With the smallest limit, each byte that nobody waits for has the receive cancelled in the kernel.
        for (limit, share) in [(None, 3), (Some(1), 3), (Some(100), 3)] {
            cut += account(limit, rounds / share, 30 + share as u64).await;
        }
        assert!(cut > rounds / 4, "only {cut} of {rounds} receives were cut short");
    });
}
