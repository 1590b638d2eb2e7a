//! Bytes of files sent by the kernel itself, on both keepers, over TCP and Unix streams.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use aem::net::{TcpListener, TcpStream, UnixStream};
use aem::time::timeout;
use aem_tests::random::Random;
use aem_tests::traffic::Checksum;
use aem_tests::watch::watched_on;
use aem_tests::{keepers, proc};

/// What sendfile(2) says of what has no pages.
const ESPIPE: i32 = 29;

/// Nothing here takes longer, unless it hangs.
const LONG: Duration = Duration::from_secs(60);

const MIB: u64 = 1 << 20;

/// Runs a test with a file of so many bytes.
fn on_both(length: u64, test: impl AsyncFn(&File)) {
    for keeper in keepers::both() {
        watched_on(keepers::builder(keeper), async |_| {
            let file = file(length);
            timeout(LONG, test(&file)).await.expect("it hangs");
        });
    }
}

/// A file of `length` bytes in no order, which has no name.
fn file(length: u64) -> File {
    let path = std::env::temp_dir().join(format!(
        "aem-send-file-{}-{:?}",
        std::process::id(),
        thread::current().id()
    ));
    let options =
        File::options().read(true).write(true).create_new(true).open(&path).expect("a file");
    std::fs::remove_file(&path).expect("its name");
    let (mut file, mut random) = (options, Random::new(length));
    let mut left = length;
    while left > 0 {
        let piece = random.bytes(left.min(MIB) as usize);
        file.write_all(&piece).expect("room on the disk");
        left -= piece.len() as u64;
    }
    file
}

fn content(file: &File, start: u64, end: u64) -> Vec<u8> {
    let mut bytes = vec![0; (end - start) as usize];
    file.read_exact_at(&mut bytes, start).expect("that much is there");
    bytes
}

fn again(file: &File) -> OwnedFd {
    file.try_clone().expect("a descriptor").into()
}

/// A stream of ours, and its other end as one of the standard library's.
async fn pair() -> (TcpStream, std::net::TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let theirs = std::net::TcpStream::connect(listener.local_addr().unwrap()).expect("a way in");
    (listener.accept().await.expect("its other end").0, theirs)
}

/// Reads all that comes, slowly if it is to be slow.
fn reader(mut stream: impl Read + Send + 'static, is_slow: bool) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let (mut all, mut piece) = (Vec::new(), vec![0; 64 * 1024]);
        loop {
            match stream.read(&mut piece).expect("no error") {
                0 => return all,
                n => all.extend_from_slice(&piece[..n]),
            }
            if is_slow {
                thread::sleep(Duration::from_micros(200));
            }
        }
    })
}

/// What a thread has come to, while this one goes on.
async fn joined<T: Send + 'static>(thread: JoinHandle<T>) -> T {
    aem::spawn_blocking(|| thread.join().expect("no panic")).await.expect("no panic")
}

#[test]
fn files_and_payloads_arrive_in_the_order_they_were_sent() {
    on_both(MIB, async |file| {
        for seed in 0..8 {
            let mut random = Random::new(seed);
            let (ours, theirs) = pair().await;
            let reading = reader(theirs, seed % 2 == 1);
            let mut expected = Vec::new();
            for _ in 0..40 {
                if random.below(2) == 0 {
                    let length = random.below(5_000);
                    let bytes = random.bytes(length);
                    expected.extend_from_slice(&bytes);
                    ours.send(bytes);
                } else {
                    let start = random.below(MIB as usize) as u64;
                    let end = start + random.below(400_000).min((MIB - start) as usize) as u64;
                    expected.extend(content(file, start, end));
                    ours.send_file(again(file), start..end);
                }
                if random.below(4) == 0 {
                    aem::yield_now().await;
                }
            }
            ours.send_file(again(file), 0..10).await.unwrap();
            expected.extend(content(file, 0, 10));
            assert_eq!(ours.queued(), 0, "they are with the kernel");
            ours.shutdown(Shutdown::Write).unwrap();
            let all = joined(reading).await;
            assert!(all == expected, "seed {seed}: {} bytes of {}", all.len(), expected.len());
        }
    });
}

#[test]
fn a_big_file_goes_to_a_slow_reader_without_our_memory() {
    const LENGTH: u64 = 64 * MIB;
    on_both(LENGTH, async |file| {
        let (mut expected, mut place) = (Checksum::default(), 0);
        while place < LENGTH {
            expected.add(&content(file, place, place + MIB));
            place += MIB;
        }
        let (ours, mut theirs) = pair().await;
        let reading = thread::spawn(move || {
            let (mut sum, mut piece) = (Checksum::default(), vec![0; MIB as usize]);
            loop {
                match theirs.read(&mut piece).expect("no error") {
                    0 => return sum,
                    n => sum.add(&piece[..n]),
                }
                thread::sleep(Duration::from_micros(100));
            }
        });
        let before = proc::resident();
        let sending = ours.send_file(again(file), 0..LENGTH);
        assert_eq!(ours.queued() as u64, LENGTH);
        sending.await.unwrap();
        let grown = proc::resident().saturating_sub(before);
        assert!(grown < 16 * MIB, "{grown} bytes more");
        drop(ours);
        let sum = joined(reading).await;
        assert!(sum == expected);
    });
}

#[test]
fn the_position_of_the_file_stays_where_it_was() {
    on_both(1000, async |file| {
        let (ours, theirs) = pair().await;
        (&*file).seek(SeekFrom::Start(17)).unwrap();
        ours.send_file(again(file), 500..1000).await.unwrap();
        assert_eq!({ file }.stream_position().unwrap(), 17);
        drop(ours);
        assert!(joined(reader(theirs, false)).await == content(file, 500, 1000));
    });
}

#[test]
fn a_stream_that_is_dropped_still_sends_its_file() {
    on_both(8 * MIB, async |file| {
        let (ours, theirs) = pair().await;
        ours.send("before");
        ours.send_file(again(file), 0..8 * MIB);
        ours.send("behind");
        drop(ours);
        let reading = reader(theirs, true);
        let all = joined(reading).await;
        assert_eq!(all.len() as u64, 8 * MIB + 12);
        assert!(all.starts_with(b"before") && all.ends_with(b"behind"));
        assert!(all[6..all.len() - 6] == content(file, 0, 8 * MIB));
    });
}

#[test]
fn a_file_that_ends_too_early_ends_the_stream_with_an_error_that_says_so() {
    on_both(100_000, async |file| {
        let (ours, theirs) = pair().await;
        let reading = reader(theirs, false);
        let error = ours.send_file(again(file), 99_000..102_000).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert!(error.to_string().contains("2000 bytes too early"), "{error}");
        let later = ours.send("nobody would know what this is").await.unwrap_err();
        assert_eq!(later.kind(), ErrorKind::UnexpectedEof, "it stays the stream's error");
        drop(ours);
        let all = joined(reading).await;
        assert!(all == content(file, 99_000, 100_000), "what there was has come: {}", all.len());
    });
}

#[test]
fn what_is_no_file_or_no_part_of_one_is_an_error() {
    on_both(10, async |file| {
        let (ours, theirs) = pair().await;
        #[expect(clippy::reversed_empty_ranges, reason = "that is what is tested")]
        let error = ours.send_file(again(file), 5..3).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        ours.send_file(again(file), 10..10).await.expect("no bytes are sent at once");
        ours.send("the stream is as it was").await.unwrap();
        let (pipe, _writer) = std::io::pipe().unwrap();
        let error = ours.send_file(pipe, 0..1).await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(ESPIPE), "{error}");
        drop(ours);
        assert_eq!(joined(reader(theirs, false)).await, b"the stream is as it was");
    });
}

#[test]
fn a_peer_that_goes_away_is_an_error_and_the_file_is_closed() {
    on_both(32 * MIB, async |file| {
        let (ours, theirs) = pair().await;
        let sending = ours.send_file(again(file), 0..32 * MIB);
        aem::yield_now().await;
        drop(theirs);
        let error = sending.await.unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
            "{error}"
        );
    });
}

#[test]
fn unix_streams_send_files_too() {
    on_both(3 * MIB, async |file| {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let sending = ours.send_file(again(file), 1..3 * MIB);
        let mut all = Vec::new();
        while (all.len() as u64) < 3 * MIB - 1 {
            all.extend_from_slice(&theirs.recv().await.unwrap());
        }
        sending.await.unwrap();
        assert!(all == content(file, 1, 3 * MIB));
        let sending = ours.send_file(again(file), 0..3 * MIB);
        aem::yield_now().await;
        drop(theirs);
        assert_eq!(sending.await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}
