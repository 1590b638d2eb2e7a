//! A thousand runtimes on eight threads, made, used and dropped; what is left of them is counted.
//!
//! It prints the memory and descriptors after each tenth, and fails if they grow.

use std::time::{Duration, Instant};

use aem_tests::proc::{descriptors, resident, threads};

const THREADS: usize = 8;
const ROUNDS: usize = 10;
const RUNTIMES: usize = 13;

/// Of resident memory, over the second half of the rounds: a kilobyte and a half a runtime.
const MOST_GROWTH: u64 = 3 << 18;

async fn use_it() -> aem::Result {
    let listener = aem::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    aem::on_ok(listener.incoming(), |(stream, _peer)| {
        let reply = stream.clone();
        aem::on_ok(stream.chunks(), move |chunk| drop(reply.send(chunk))).detach();
    })
    .detach();
    let client = aem::net::TcpStream::connect(address).await?;
    client.send("hello").await?;
    assert_eq!(&client.recv().await?[..], b"hello");
    aem::on(aem::time::every(Duration::from_secs(1)), |_| ()).detach();
    for _ in 0..20 {
        drop(aem::spawn(std::future::pending::<()>()));
        drop(aem::spawn(aem::time::sleep(Duration::from_secs(3600))));
    }
    let handle = aem::Handle::current();
    let elsewhere = aem::spawn_blocking(move || handle.spawn(async { 1 })).await?;
    assert_eq!(elsewhere.await?, 1);
    Ok(())
}

fn round() {
    let work = || {
        for _ in 0..RUNTIMES {
            aem::block_on(use_it()).expect("it works");
        }
    };
    let threads: Vec<_> = (0..THREADS).map(|_| std::thread::spawn(work)).collect();
    threads.into_iter().for_each(|thread| thread.join().expect("a thread"));
}

/// Has the allocator give large pieces back at once, and keep the rest in one place: what grows then is ours.
fn plain_allocator() {
    // SAFETY: no other thread runs yet.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 20) };
    // SAFETY: as above.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

fn main() {
    plain_allocator();
    let (first_descriptors, first_threads) = (descriptors(), threads());
    let mut memory = Vec::new();
    for _ in 0..ROUNDS {
        round();
        assert_eq!(descriptors(), first_descriptors, "descriptors are left");
        // The system strikes off a thread a little after it has ended.
        let deadline = Instant::now() + Duration::from_secs(5);
        while threads() != first_threads {
            assert!(Instant::now() < deadline, "{} threads are left", threads() - first_threads);
            std::thread::sleep(Duration::from_millis(1));
        }
        memory.push(resident());
    }
    let runtimes = THREADS * ROUNDS * RUNTIMES;
    let kib: Vec<u64> = memory.iter().map(|bytes| bytes >> 10).collect();
    println!("{runtimes} runtimes: {first_descriptors} descriptors, KiB resident: {kib:?}");
    let growth = memory[ROUNDS - 1].saturating_sub(memory[ROUNDS / 2]);
    assert!(growth <= MOST_GROWTH, "{growth} bytes more");
}
