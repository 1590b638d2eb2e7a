//! Copies, large and refused, and what a full disk does to writes.

use std::hash::{DefaultHasher, Hasher};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use aem::fs::{self, File};
use aem_tests::random::Random;
use aem_tests::scale::scaled_count;
use aem_tests::{alone, keepers};
use futures::{AsyncWriteExt, TryStreamExt};

use super::{LIMIT, Place, code, on_both};

const GIBIBYTE: usize = 1 << 30;

/// A file of random bytes, and their checksum.
fn make(path: &Path, size: usize) -> u64 {
    use std::io::Write;
    let (mut random, mut hasher, mut left) = (Random::new(11), DefaultHasher::new(), size);
    let mut file = std::fs::File::create(path).expect("made");
    while left > 0 {
        let piece = random.bytes(left.min(1 << 20));
        file.write_all(&piece).expect("written");
        hasher.write(&piece);
        left -= piece.len();
    }
    hasher.finish()
}

async fn checksum(path: &Path) -> u64 {
    let file = File::open(path).await.expect("opened");
    // The pieces of the stream are no matter: all of a mebibyte is hashed at once.
    let (mut hasher, mut piece) = (DefaultHasher::new(), Vec::new());
    let mut chunks = file.chunks(..);
    while let Some(chunk) = chunks.try_next().await.expect("read") {
        piece.extend_from_slice(&chunk);
        if piece.len() == 1 << 20 {
            hasher.write(&piece);
            piece.clear();
        }
    }
    if !piece.is_empty() {
        hasher.write(&piece);
    }
    hasher.finish()
}

#[test]
fn a_gibibyte_is_copied_to_the_byte() {
    on_both("gibibyte", async |_, place| {
        let (from, to) = (place.file("from"), place.file("to"));
        let size = scaled_count(GIBIBYTE, 1 << 20);
        let sum = make(&from, size);
        assert_eq!(checksum(&from).await, sum);
        assert_eq!(fs::copy(&from, &to).await.expect("copied"), size as u64);
        assert_eq!(checksum(&to).await, sum);

        // And through this program, by a stream.
        let mut file = File::create(&to).await.expect("made");
        let mut chunks = File::open(&from).await.expect("opened").chunks(..);
        while let Some(chunk) = chunks.try_next().await.expect("read") {
            file.write_all(&chunk).await.expect("accepted");
        }
        file.close().await.expect("written");
        assert_eq!(checksum(&to).await, sum);
    });
}

/// Several runs of each, in turn; the fastest ones are compared.
#[test]
#[ignore = "it measures; run it alone, with AEM_TEST_SCALE=1 for a gibibyte"]
fn a_copy_takes_no_longer_than_that_of_cp() {
    on_both("cp", async |keeper, place| {
        let (from, to) = (place.file("from"), place.file("to"));
        make(&from, scaled_count(GIBIBYTE, 64 << 20));
        let (mut ours, mut theirs) = (Duration::MAX, Duration::MAX);
        for _ in 0..5 {
            let start = Instant::now();
            fs::copy(&from, &to).await.expect("copied");
            ours = ours.min(start.elapsed());
            std::fs::remove_file(&to).expect("removed");
            let start = Instant::now();
            let status = Command::new("cp").args([&from, &to]).status().expect("cp");
            theirs = theirs.min(start.elapsed());
            assert!(status.success());
            std::fs::remove_file(&to).expect("removed");
        }
        println!("{}: {ours:?}, cp {theirs:?}", keepers::name(keeper));
        assert!(ours <= theirs.mul_f64(1.3), "{ours:?} where cp takes {theirs:?}");
    });
}

#[test]
fn a_copy_has_the_permissions_and_says_what_is_wrong() {
    on_both("copy", async |_, place| {
        let (from, to) = (place.file("from"), place.file("to"));
        std::fs::write(&from, "text").expect("written");
        std::fs::set_permissions(&from, PermissionsExt::from_mode(0o640)).expect("changed");
        std::fs::write(&to, "something longer").expect("written");
        assert_eq!(fs::copy(&from, &to).await.expect("copied"), 4);
        assert_eq!(fs::read(&to).await.expect("read"), b"text");
        assert_eq!(fs::metadata(&to).await.expect("there").mode() & 0o777, 0o640);
        // Of a size that nobody knows.
        let n = fs::copy("/proc/self/mountinfo", &to).await.expect("copied");
        assert_eq!(fs::metadata(&to).await.expect("there").len(), n);
        assert!(n > 100, "{n} bytes");
        assert_eq!(code(fs::copy(place.file("no"), &to).await), Some(libc::ENOENT));
        assert_eq!(code(fs::copy(&from, &place.0).await), Some(libc::EISDIR));
        let error = fs::copy(&place.0, &to).await.expect_err("a directory");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        assert_eq!(code(fs::copy(&from, "/dev/full").await), Some(libc::ENOSPC));
    });
}

/// A copy that nobody waits for ends soon: the guard of the test waits for its thread.
#[test]
fn a_copy_that_was_dropped_stops() {
    on_both("stopped-copy", async |_, place| {
        let (from, to) = (place.file("from"), place.file("to"));
        let file = std::fs::File::create(&from).expect("made");
        // Nothing but a hole, and too long for any disk or patience.
        file.set_len(1 << 40).expect("long");
        let started = async {
            while std::fs::metadata(&to).map_or(0, |it| it.len()) == 0 {
                aem::yield_now().await;
            }
        };
        let copying = std::pin::pin!(fs::copy(&from, &to));
        futures::future::select(copying, std::pin::pin!(started)).await;
    });
}

/// The size of the disk of the test below.
const DISK: usize = 2 << 20;

#[test]
fn a_full_disk_is_an_error_and_what_was_acknowledged_is_there() {
    let name = "copies::a_full_disk_is_an_error_and_what_was_acknowledged_is_there";
    let body = || {
        let place = std::env::var_os("AEM_TEST_DISK").expect("the script says where it is");
        for keeper in keepers::both() {
            let runtime = keepers::builder(keeper).build().expect("a runtime");
            runtime.block_on(fill(Path::new(&place)));
        }
    };
    if alone::is_child(name) {
        return body();
    }
    let disk = Place::new("disk", aem::Backend::Auto);
    let script = format!(
        "export AEM_TEST_DISK='{0}' && mount -t tmpfs -o size={DISK} tmpfs '{0}' && exec \"$@\"",
        disk.0.display()
    );
    let wrapper = ["unshare", "-m", "--propagation", "private", "sh", "-c", &script, "sh"];
    alone::run_under(name, LIMIT, &wrapper, body);
}

async fn fill(place: &Path) {
    let path = place.join("file");
    let error = fs::write(&path, vec![1; 2 * DISK]).await;
    assert_eq!(code(error), Some(libc::ENOSPC));
    fs::remove_file(&path).await.expect("removed");

    // A stream: what was flushed is there, in whole pieces.
    let mut file = File::create(&path).await.expect("made");
    let (mut acknowledged, mut error) = (0_usize, None);
    while error.is_none() {
        let piece = [acknowledged as u8; 10_000];
        error = match file.write_all(&piece).await {
            Ok(()) => file.flush().await.err(),
            Err(error) => Some(error),
        };
        acknowledged += usize::from(error.is_none());
    }
    assert_eq!(error.and_then(|error| error.raw_os_error()), Some(libc::ENOSPC));
    let _ = file.close().await;
    let bytes = fs::read(&path).await.expect("read");
    assert!(acknowledged > 100 && bytes.len() >= acknowledged * 10_000);
    for (n, piece) in bytes.chunks(10_000).take(acknowledged).enumerate() {
        assert!(piece == [n as u8; 10_000], "piece {n} of {acknowledged}");
    }

    // At positions: the same.
    fs::remove_file(&path).await.expect("removed");
    let file = File::create(&path).await.expect("made");
    let mut written = 0;
    let error = loop {
        match file.write_at([written as u8; 10_000].to_vec(), written * 10_000).await {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
    file.close().await.expect("closed");
    let bytes = fs::read(&path).await.expect("read");
    assert!(bytes.len() >= written as usize * 10_000);
    for (n, piece) in bytes.chunks(10_000).take(written as usize).enumerate() {
        assert!(piece == [n as u8; 10_000], "piece {n} of {written}");
    }
    let from = std::env::current_exe().expect("this program");
    assert_eq!(code(fs::copy(from, place.join("copy")).await), Some(libc::ENOSPC));

    // What was made room for can be written again.
    fs::remove_file(place.join("copy")).await.expect("removed");
    fs::remove_file(&path).await.expect("removed");
    fs::write(&path, vec![2; DISK / 2]).await.expect("there is room");
    fs::remove_file(&path).await.expect("removed");
}
