//! Files: what is written is read, whoever does it, and what is dropped on the way leaves nothing.
//!
//! Every test runs on both keepers. On io_uring the kernel does most of the work, with epoll the blocking
//! pool.

#[path = "fs/copies.rs"]
mod copies;
#[path = "fs/directories.rs"]
mod directories;
#[path = "fs/streams.rs"]
mod streams;

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::{Duration, SystemTime};

use aem::fs::{self, File, OpenOptions};
use aem::time::timeout;
use aem::{Backend, Payload};
use aem_tests::random::Random;
use aem_tests::scale::scaled_count;
use aem_tests::watch::watched_on;
use aem_tests::{alone, keepers};
use futures::future::{join_all, poll_immediate};

/// Nothing here takes longer, unless it hangs; a gibibyte is half a minute's work for an unoptimized build.
const LIMIT: Duration = Duration::from_secs(180);

/// A directory that goes with its test.
struct Place(PathBuf);

impl Place {
    fn new(name: &str, keeper: Backend) -> Place {
        let name = format!("fs-{name}-{}-{}", keepers::name(keeper), std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).expect("a directory");
        Place(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).expect("it was made here");
    }
}

/// Runs a test on each keeper, under guard.
fn on_both<F: Future>(name: &str, test: impl Fn(Backend, Place) -> F) {
    for keeper in keepers::both() {
        watched_on(keepers::builder(keeper), async |_| {
            let place = Place::new(name, keeper);
            timeout(LIMIT, test(keeper, place)).await.expect("the test hangs")
        });
    }
}

/// Whether the kernel does it, and not a thread.
fn is_kernels(keeper: Backend) -> bool {
    let without = std::env::var("AEM_IO_URING_WITHOUT").unwrap_or_default();
    keeper == Backend::IoUring && !without.split(',').any(|part| part == "files")
}

fn code<T>(result: io::Result<T>) -> Option<i32> {
    result.err().expect("an error").raw_os_error()
}

#[test]
fn what_is_written_is_read() {
    on_both("written", async |_, place| {
        let path = place.file("bytes");
        let bytes = Random::new(1).bytes(3_000_000);
        fs::write(&path, bytes.clone()).await.expect("written");
        assert!(fs::read(&path).await.expect("read") == bytes);

        let file = File::options().read(true).write(true).open(&path).await.expect("opened");
        assert_eq!(file.read_at(10, 5).await.expect("read"), bytes[5..15]);
        assert_eq!(file.read_at(100, 2_999_990).await.expect("its end"), bytes[2_999_990..]);
        assert_eq!(file.read_at(100, 3_000_000).await.expect("nothing"), []);
        assert_eq!(file.read_at(0, 0).await.expect("nothing"), []);
        file.write_at("beyond", 3_000_010).await.expect("a gap");
        file.write_at(Payload::from(Vec::new()), 9_000_000).await.expect("nothing");
        let end = file.read_at(100, 3_000_000).await.expect("read");
        assert_eq!(end, b"\0\0\0\0\0\0\0\0\0\0beyond");
        file.sync_data().await.expect("synced");
        file.sync_all().await.expect("synced");
        file.close().await.expect("closed");

        fs::write(&path, "shorter").await.expect("written");
        assert_eq!(fs::read(&path).await.expect("read"), b"shorter");
        fs::write(&path, "").await.expect("written");
        assert_eq!(fs::read(&path).await.expect("read"), b"");
    });
}

#[test]
fn files_whose_size_nobody_knows_are_read_to_their_end() {
    on_both("proc", async |_, place| {
        let text = fs::read("/proc/self/mountinfo").await.expect("read");
        assert!(text.len() > 100 && text.ends_with(b"\n"), "{} bytes", text.len());

        let pipe = place.file("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
        assert!(made.success());
        let writer = pipe.clone();
        let writer = aem::spawn(async move { fs::write(writer, vec![9; 200_000]).await });
        assert!(fs::read(&pipe).await.expect("read") == [9; 200_000]);
        writer.await.expect("no panic").expect("written");
    });
}

#[test]
fn metadata_is_that_of_the_file() {
    on_both("metadata", async |_, place| {
        let path = place.file("four");
        fs::write(&path, "four").await.expect("written");
        let known = fs::metadata(&path).await.expect("there");
        assert!(known.is_file() && !known.is_dir() && known.len() == 4, "{known:?}");
        let std = std::fs::metadata(&path).expect("there");
        assert_eq!(known.modified(), std.modified().expect("a time"));
        assert_eq!(known.created().ok(), std.created().ok());
        {
            use std::os::unix::fs::MetadataExt;
            assert_eq!(
                (known.ino(), known.dev(), known.mode()),
                (std.ino(), std.dev(), std.mode())
            );
            assert_eq!((known.uid(), known.gid(), known.nlink()), (std.uid(), std.gid(), 1));
        }
        assert!(known.accessed() > SystemTime::UNIX_EPOCH);
        assert!(fs::metadata(&place.0).await.expect("there").is_dir());
        let file = File::from(std::fs::File::open(&path).expect("opened"));
        assert_eq!(file.metadata().await.expect("open").ino(), known.ino());
        assert_eq!(io::read_to_string(file.into_std().expect("alone")).expect("read"), "four");
    });
}

#[test]
fn what_the_kernel_refuses_is_its_error() {
    on_both("refused", async |_, place| {
        let path = place.file("file");
        assert_eq!(code(File::open(&path).await), Some(libc::ENOENT));
        assert_eq!(code(fs::read(&path).await), Some(libc::ENOENT));
        assert_eq!(code(fs::metadata(&path).await), Some(libc::ENOENT));
        assert_eq!(code(fs::write(&place.0, "to a directory").await), Some(libc::EISDIR));
        assert_eq!(code(fs::read(&place.0).await), Some(libc::EISDIR));
        let zero = File::open("with a \0").await.expect_err("no path");
        assert_eq!(zero.kind(), io::ErrorKind::InvalidInput);
        let nothing = OpenOptions::new().open(&path).await.expect_err("neither read nor written");
        assert_eq!(nothing.kind(), io::ErrorKind::InvalidInput);

        let new = || OpenOptions::new().write(true).create_new(true).clone();
        let file = new().open(&path).await.expect("made");
        assert_eq!(code(new().open(&path).await), Some(libc::EEXIST));
        assert_eq!(code(file.read_at(1, 0).await), Some(libc::EBADF));
        assert_eq!(code(file.write_at("x", u64::MAX).await), Some(libc::EINVAL));
        let much = file.read_at(usize::MAX, 0).await.expect_err("no such memory");
        assert_eq!(much.kind(), io::ErrorKind::OutOfMemory);
        let full = File::options().write(true).open("/dev/full").await.expect("opened");
        assert_eq!(code(full.write_at("x", 0).await), Some(libc::ENOSPC));

        let (reader, _writer) = io::pipe().expect("a pipe");
        let pipe = File::from(std::os::fd::OwnedFd::from(reader));
        assert_eq!(code(pipe.read_at(1, 0).await), Some(libc::ESPIPE));
    });
}

#[test]
fn any_number_of_reads_and_writes_may_be_under_way() {
    on_both("many", async |_, place| {
        let mut options = File::options();
        options.read(true).write(true).create_new(true);
        let file = options.open(place.file("many")).await.expect("made");
        let writes = (0..300_u64).map(|n| file.write_at(vec![n as u8; 1000], n * 1000));
        assert!(join_all(writes).await.iter().all(Result::is_ok));
        let reads = (0..300_u64).map(|n| file.read_at(1000, n * 1000));
        for (n, bytes) in join_all(reads).await.into_iter().enumerate() {
            assert!(bytes.expect("read") == [n as u8; 1000]);
        }
    });
}

/// Polls a future a few times, and then has it dropped.
async fn abandon<F: Future>(future: F, polls: usize) -> bool {
    let mut future = pin!(future);
    for _ in 0..polls {
        if poll_immediate(&mut future).await.is_some() {
            return false;
        }
        aem::yield_now().await;
    }
    true
}

#[test]
fn what_is_dropped_on_its_way_leaves_nothing() {
    on_both("dropped", async |_, place| {
        let path = place.file("file");
        fs::write(&path, vec![1; 50_000]).await.expect("written");
        let file = File::options().read(true).write(true).open(&path).await.expect("opened");
        let (mut random, mut dropped) = (Random::new(7), 0);
        for _ in 0..scaled_count(20_000, 1_000) {
            let polls = random.below(6);
            dropped += usize::from(match random.below(6) {
                0 => abandon(File::open(&path), polls).await,
                1 => abandon(file.read_at(50_000, 0), polls).await,
                2 => abandon(file.write_at(vec![1; 1_000], 10_000), polls).await,
                3 => abandon(file.metadata(), polls).await,
                4 => abandon(file.sync_data(), polls.min(1)).await,
                _ => abandon(File::open(&path).await.expect("opened").close(), polls).await,
            });
        }
        assert!(dropped > 100, "only {dropped} were dropped on their way");
        file.close().await.expect("closed");
        assert!(fs::read(&path).await.expect("read") == [1; 50_000]);
    });
}

#[test]
fn a_file_can_be_closed_under_what_was_dropped() {
    on_both("close", async |_, place| {
        let path = place.file("file");
        fs::write(&path, vec![3; 100_000]).await.expect("written");
        for _ in 0..50 {
            let file = File::open(&path).await.expect("opened");
            for _ in 0..10 {
                abandon(file.read_at(100_000, 0), 1).await;
            }
            file.close().await.expect("closed");
        }
    });
}

/// Waits for somebody to open the other end of a pipe, which nobody does.
#[test]
fn what_would_wait_for_ever_is_cancelled_by_the_kernel() {
    on_both("pipe", async |keeper, place| {
        if !is_kernels(keeper) {
            // A thread in such a call cannot be had back.
            return;
        }
        let pipe = place.file("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
        assert!(made.success());
        for _ in 0..20 {
            let opened = timeout(Duration::from_millis(2), File::open(&pipe)).await;
            assert!(opened.is_err(), "{opened:?}");
        }
        // One is still under way when the runtime ends.
        aem::spawn(async move { File::open(pipe).await });
        aem::yield_now().await;
    });
}

#[test]
fn what_is_forgotten_on_its_way_stays_lent() {
    alone::run("what_is_forgotten_on_its_way_stays_lent", LIMIT, || {
        for keeper in keepers::both() {
            let place = Place::new("forgotten", keeper);
            let path = place.file("file");
            let runtime = keepers::builder(keeper).build().expect("a runtime");
            runtime.block_on(async {
                fs::write(&path, vec![5; 20_000]).await.expect("written");
                for n in 0..scaled_count(1_000, 200) {
                    // Their memory is never given back, so the kernel may write to it when it likes.
                    let path = path.clone();
                    let mut read = Box::pin(async move {
                        let file = File::open(&path).await.expect("opened");
                        file.read_at(20_000, 0).await
                    });
                    for _ in 0..n % 5 {
                        if poll_immediate(&mut read).await.is_some() {
                            break;
                        }
                        aem::yield_now().await;
                    }
                    std::mem::forget(read);
                }
                assert!(fs::read(&path).await.expect("read") == [5; 20_000]);
            });
        }
    });
}

/// The threads that this program has for what may block.
fn blocking_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("a list of threads");
    let is_one = |task: &io::Result<std::fs::DirEntry>| {
        let name = task.as_ref().map(|task| std::fs::read_to_string(task.path().join("comm")));
        name.is_ok_and(|name| name.is_ok_and(|name| name.trim() == "aem-blocking"))
    };
    tasks.filter(is_one).count()
}

#[test]
fn on_io_uring_no_thread_is_in_it() {
    alone::run("on_io_uring_no_thread_is_in_it", LIMIT, || {
        // Threads stay for a while, and so a keeper that has them comes last.
        let mut keepers = keepers::both();
        keepers.sort_by_key(|keeper| !is_kernels(*keeper));
        for keeper in keepers {
            let place = Place::new("threads", keeper);
            let path = place.file("file");
            let runtime = keepers::builder(keeper).build().expect("a runtime");
            runtime.block_on(async {
                for n in 0..100_u8 {
                    fs::write(&path, vec![n; 10_000]).await.expect("written");
                    assert!(fs::read(&path).await.expect("read") == [n; 10_000]);
                    assert_eq!(fs::metadata(&path).await.expect("there").len(), 10_000);
                    assert_eq!(blocking_threads() == 0, is_kernels(keeper));
                }
            });
        }
    });
}

/// BLIND: the main future that outlives the others saves what it has, by whatever keeper.
#[test]
fn after_a_shutdown_the_main_future_can_use_files() {
    on_both("shutdown", async |_, place| {
        aem::Handle::current().shutdown();
        aem::yield_now().await;
        let path = place.file("file");
        fs::write(&path, "saved").await.expect("written");
        assert_eq!(fs::read(&path).await.expect("read"), b"saved");
        fs::rename(&path, place.file("other")).await.expect("renamed");
        assert_eq!(fs::copy(place.file("other"), &path).await.expect("copied"), 5);
    });
}
