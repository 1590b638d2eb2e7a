//! Bytes stay in order, however few buffers there are and whatever is held.

use std::collections::VecDeque;
use std::time::Duration;

use aem::Chunk;
use aem::net::{TcpListener, TcpStream};
use aem::time::{sleep, timeout};
use aem_tests::keepers;
use aem_tests::random::Random;
use aem_tests::scale::scaled_count;
use futures::future::{join, join_all};

use super::{LIMIT, ONE_BUFFER};

/// Connections at a time.
const CONNECTIONS: usize = 12;

/// Chunks that each receiver holds on to, at most.
const HELD: usize = 5;

/// The byte at a place of a stream.
fn byte_at(stream: usize, place: usize) -> u8 {
    (place.wrapping_mul(0x9e37_79b9) >> 13) as u8 ^ stream as u8
}

async fn send(stream: TcpStream, number: usize, length: usize) {
    let mut random = Random::new(number as u64);
    let mut place = 0;
    while place < length {
        let most = if random.one_in(3) { 40_000 } else { 300 };
        let count = (1 + random.below(most)).min(length - place);
        let piece: Vec<u8> = (place..place + count).map(|place| byte_at(number, place)).collect();
        stream.send(piece).await.expect("sent");
        place += count;
        if random.one_in(8) {
            sleep(Duration::from_micros(random.below(300) as u64)).await;
        }
    }
    stream.shutdown(std::net::Shutdown::Write).expect("a connection");
}

/// Checks each chunk when it comes, and again when it is let go: nobody has written to it meanwhile (LENT).
async fn receive(stream: TcpStream, number: usize, length: usize) {
    let mut random = Random::new(100 + number as u64);
    let mut held: VecDeque<(usize, Chunk)> = VecDeque::new();
    let check = |place: usize, chunk: &Chunk| {
        let wrong =
            chunk.iter().enumerate().find(|(at, byte)| **byte != byte_at(number, place + at));
        assert!(wrong.is_none(), "stream {number} at {place}, of {} bytes: {wrong:?}", chunk.len());
    };
    let mut place = 0;
    loop {
        let chunk = stream.recv().await.expect("no error");
        if chunk.is_empty() {
            break;
        }
        check(place, &chunk);
        let length = chunk.len();
        held.push_back((place, chunk));
        place += length;
        while held.len() > random.below(HELD + 1) {
            let Some((place, chunk)) = held.pop_front() else { break };
            check(place, &chunk);
        }
        if random.one_in(20) {
            sleep(Duration::from_micros(random.below(500) as u64)).await;
        }
    }
    held.iter().for_each(|(place, chunk)| check(*place, chunk));
    assert_eq!(place, length, "stream {number}");
}

async fn exchange(length: usize) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let mut jobs = Vec::new();
    for number in (0..2 * CONNECTIONS).step_by(2) {
        let (ours, theirs) = join(TcpStream::connect(address), listener.accept()).await;
        let (ours, theirs) = (ours.expect("a connection"), theirs.expect("its other end").0);
        jobs.push(aem::spawn(send(ours.clone(), number, length)));
        jobs.push(aem::spawn(receive(theirs.clone(), number, length)));
        jobs.push(aem::spawn(send(theirs, number + 1, length)));
        jobs.push(aem::spawn(receive(ours, number + 1, length)));
    }
    for job in join_all(jobs).await {
        job.expect("no panic");
    }
}

#[test]
fn few_buffers_keep_bytes_in_order() {
    let length = scaled_count(4 << 20, 1 << 18);
    for keeper in keepers::both() {
        for buffers in [0, 1, 2, 9] {
            let pool = buffers * ONE_BUFFER;
            let runtime = keepers::builder(keeper).pool(pool).build().expect("a runtime");
            runtime.block_on(async {
                timeout(LIMIT, exchange(length)).await.expect("it hangs");
            });
        }
    }
}
