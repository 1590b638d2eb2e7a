//! Streams that are dropped while they receive: the other end hears of it at once.

use std::io::Read;
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use aem::Registration;
use aem::time::{sleep, timeout};
use aem_tests::random::Random;
use aem_tests::scale::scaled_count;
use aem_tests::traffic::cut_short;
use futures::StreamExt;
use futures::channel::mpsc as queue;

use super::{MOST_US, listen, on_both, pair};

/// So soon the other end reads the end of file.
const SOON: Duration = Duration::from_millis(100);

/// Waits for the end of each stream, and tells when it came.
fn read_ends(streams: mpsc::Receiver<TcpStream>, ends: queue::UnboundedSender<Instant>) {
    for mut stream in streams {
        stream.set_read_timeout(Some(100 * SOON)).expect("a time limit");
        let count = stream.read(&mut [0; 8]).expect("an end, and not a reset");
        let end = Instant::now();
        assert_eq!(count, 0, "nobody sent anything");
        ends.unbounded_send(end).expect("somebody listens");
    }
}

/// Has a receive begin: not at all, not yet with the kernel, with the kernel, or with a handler.
async fn begin_to_receive(
    stream: &aem::net::TcpStream,
    random: &mut Random,
) -> Option<Registration> {
    let pause = Duration::from_micros(random.below(MOST_US) as u64);
    match random.below(4) {
        0 => {
            let none = cut_short(stream.recv(), 1).await;
            assert!(none.is_none(), "nobody sent anything");
        }
        1 => sleep(pause).await,
        2 => {
            let registration = aem::on(stream.chunks(), |_| ());
            sleep(pause).await;
            return Some(registration.erase());
        }
        _ => assert!(timeout(pause, stream.recv()).await.is_err(), "nobody sent anything"),
    }
    None
}

#[test]
fn a_dropped_stream_ends_though_a_receive_is_armed() {
    let rounds = scaled_count(10_000, 500);
    on_both(async |_| {
        let (streams, inbox) = mpsc::channel();
        let (outbox, mut ends) = queue::unbounded();
        let reader = std::thread::spawn(move || read_ends(inbox, outbox));
        let (listener, _) = listen().await;
        let mut random = Random::new(50);
        let mut times = Vec::with_capacity(rounds);
        for _ in 0..rounds {
            let (ours, theirs) = pair(&listener).await;
            let handler = begin_to_receive(&ours, &mut random).await;
            streams.send(theirs).expect("the reader lives");
            let start = Instant::now();
            drop((ours, handler));
            let end = ends.next().await.expect("the reader lives");
            times.push(end.saturating_duration_since(start));
        }
        drop(streams);
        reader.join().expect("the reader");
        times.sort_unstable();
        let (median, worst) = (times[rounds / 2], times[rounds - 1]);
        println!("  {rounds} drops: the end came after {median:?} (median), {worst:?} (worst)");
        assert!(worst <= SOON, "an end of file came after {worst:?}");
    });
}
