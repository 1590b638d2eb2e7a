//! Files as streams: in order, whoever gives up on the way.

use std::cell::RefCell;
use std::io::{self, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use aem::fs::{self, File};
use aem_tests::random::Random;
use aem_tests::scale::scaled_count;
use futures::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, FutureExt, StreamExt, TryStreamExt};

use super::{abandon, code, on_both};

/// A file that is read and written.
async fn open(path: &std::path::Path) -> File {
    File::options().read(true).write(true).create(true).open(path).await.expect("opened")
}

/// Plays at random with a file and with a vector that is to be the same.
async fn play(file: &mut File, random: &mut Random, steps: usize) {
    let (mut model, mut position) = (Vec::new(), 0);
    for _ in 0..steps {
        match random.below(6) {
            0 | 1 => {
                let bytes = {
                    let n = random.below(5_000);
                    random.bytes(n)
                };
                file.write_all(&bytes).await.expect("written");
                let end = position + bytes.len();
                if !bytes.is_empty() {
                    model.resize(model.len().max(end), 0);
                    model[position..end].copy_from_slice(&bytes);
                }
                position = end;
            }
            2 | 3 => {
                let mut bytes = vec![0; 1 + random.below(3_000)];
                if random.one_in(3) {
                    // Given up; what it brings is for the next one.
                    abandon(file.read(&mut bytes), 1).await;
                    position = file.seek(SeekFrom::Current(0)).await.expect("told") as usize;
                }
                let n = file.read(&mut bytes).await.expect("read");
                let rest = model.get(position..).unwrap_or_default();
                assert!(n > 0 || rest.is_empty(), "nothing at {position}, where there is more");
                assert!(bytes[..n] == rest[..n], "other bytes at {position}");
                position += n;
            }
            4 => {
                let target = random.below(model.len() + 100);
                let (distance, end) = (target as i64 - position as i64, model.len() as i64);
                let to = match random.below(3) {
                    0 => SeekFrom::Start(target as u64),
                    1 => SeekFrom::Current(distance),
                    _ => SeekFrom::End(target as i64 - end),
                };
                assert_eq!(file.seek(to).await.expect("sought"), target as u64);
                position = target;
            }
            _ => {
                model.truncate(random.below(model.len() + 1));
                file.set_len(model.len() as u64).await.expect("cut");
                // What was read ahead, by a read that was given up, may be of what is gone.
                file.seek(SeekFrom::Start(0)).await.expect("sought");
                position = 0;
            }
        }
    }
    file.flush().await.expect("written");
    assert!(file.read_at(model.len() + 1, 0).await.expect("read") == model);
}

#[test]
fn a_stream_is_the_same_as_its_bytes_in_memory() {
    on_both("model", async |_, place| {
        for seed in 0..scaled_count(40, 4) {
            let mut file = open(&place.file(&seed.to_string())).await;
            play(&mut file, &mut Random::new(seed as u64), 100).await;
            file.close().await.expect("closed");
        }
    });
}

/// KEPT: the bytes come in order and all of them, however many reads are given up.
#[test]
fn a_cancelled_read_is_kept_for_the_next() {
    on_both("kept", async |_, place| {
        let (path, bytes) = (place.file("file"), Random::new(3).bytes(1_000_000));
        fs::write(&path, bytes.clone()).await.expect("written");
        let (mut file, mut random) = (File::open(&path).await.expect("opened"), Random::new(4));
        let (mut read, mut given_up) = (Vec::<u8>::new(), 0);
        while read.len() < bytes.len() {
            let mut into = vec![0; 1 + random.below(10_000)];
            let polls = random.below(3);
            let mut reading = std::pin::pin!(file.read(&mut into));
            let mut n = None;
            for _ in 0..polls {
                n = futures::future::poll_immediate(&mut reading).await;
                if n.is_some() {
                    break;
                }
                aem::yield_now().await;
            }
            match n {
                Some(n) => {
                    let n = n.expect("read");
                    read.extend(&into[..n]);
                }
                None => given_up += 1,
            }
        }
        assert!(read == bytes && given_up > 10, "{given_up} were given up");
        assert_eq!(file.read(&mut [0; 10]).await.expect("the end"), 0);
    });
}

#[test]
fn a_write_that_nobody_awaited_tells_its_error_to_the_next() {
    on_both("told", async |_, _| {
        for next in 0..5 {
            let mut file = File::options().write(true).open("/dev/full").await.expect("opened");
            file.write_all(b"accepted").await.expect("accepted");
            let told = match next {
                0 => file.write_all(b"more").await,
                1 => file.flush().await,
                2 => file.sync_data().await,
                3 => file.seek(SeekFrom::Start(0)).await.map(drop),
                _ => {
                    assert_eq!(code(file.close().await), Some(libc::ENOSPC));
                    continue;
                }
            };
            assert_eq!(code(told), Some(libc::ENOSPC), "told by number {next}");
            assert_eq!(file.stream_position().await.expect("told"), 0, "where the write began");
            file.flush().await.expect("it is told once");
        }
    });
}

#[test]
fn a_write_goes_on_though_its_file_was_dropped() {
    on_both("goes-on", async |_, place| {
        let path = place.file("file");
        let mut file = File::create(&path).await.expect("made");
        file.write_all(&[7; 10_000]).await.expect("accepted");
        drop(file);
        while fs::metadata(&path).await.expect("there").len() < 10_000 {
            aem::yield_now().await;
        }
        assert!(fs::read(&path).await.expect("read") == [7; 10_000]);
    });
}

#[test]
fn what_a_stream_cannot_do_is_an_error() {
    on_both("stream-errors", async |_, place| {
        let mut file = File::create(place.file("file")).await.expect("made");
        assert_eq!(code(file.read(&mut [0]).await), Some(libc::EBADF));
        assert_eq!(code(file.seek(SeekFrom::Current(-1)).await), Some(libc::EINVAL));
        assert_eq!(code(file.seek(SeekFrom::Start(u64::MAX)).await), Some(libc::EINVAL));
        assert_eq!(file.read(&mut []).await.expect("nothing"), 0);
        let mut file = File::open(&place.0).await.expect("a directory");
        assert_eq!(code(file.read(&mut [0]).await), Some(libc::EISDIR));
        let (reader, _writer) = io::pipe().expect("a pipe");
        let mut pipe = File::from(OwnedFd::from(reader));
        assert_eq!(code(pipe.seek(SeekFrom::Start(0)).await), Some(libc::ESPIPE));
    });
}

#[test]
fn a_stream_outside_of_a_runtime_is_an_error() {
    let path = std::env::current_exe().expect("a path");
    let mut file = File::from(std::fs::File::open(path).expect("opened"));
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Err(error)) = file.read(&mut [0]).poll_unpin(&mut cx) else {
        panic!("it waits for nobody");
    };
    assert!(error.to_string().contains("outside of a runtime"), "{error}");
    let Poll::Ready(Some(Err(error))) = file.chunks(..).poll_next_unpin(&mut cx) else {
        panic!("it waits for nobody");
    };
    assert!(error.to_string().contains("outside of a runtime"), "{error}");
}

#[test]
fn what_has_no_positions_is_read_as_it_comes() {
    on_both("pipe-stream", async |_, _| {
        let (reader, mut writer) = io::pipe().expect("a pipe");
        let mut pipe = File::from(OwnedFd::from(reader));
        let mut bytes = [0; 10];
        assert!(abandon(pipe.read(&mut bytes), 3).await, "there is nothing to be read");
        writer.write_all(b"some").expect("written");
        assert_eq!(pipe.read(&mut bytes).await.expect("read"), 4);
        assert_eq!(&bytes[..4], b"some");
        drop(writer);
        assert_eq!(pipe.read(&mut bytes).await.expect("the end"), 0);

        let (reader, writer) = io::pipe().expect("a pipe");
        let mut pipe = File::from(OwnedFd::from(writer));
        pipe.write_all(b"more").await.expect("written");
        pipe.close().await.expect("closed");
        assert_eq!(io::read_to_string(reader).expect("read"), "more");
    });
}

#[test]
fn a_file_is_carried_to_another_thread_with_what_is_under_way() {
    on_both("carried", async |_, place| {
        let path = place.file("file");
        let mut file = open(&path).await;
        file.write_all(&[1; 200_000]).await.expect("accepted");
        let carried = aem::spawn_blocking(move || {
            aem::block_on(async {
                file.flush().await.expect("written at home");
                file.seek(SeekFrom::Start(0)).await.expect("sought");
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes).await.expect("read");
                bytes
            })
        });
        assert!(carried.await.expect("no panic") == [1; 200_000]);
    });
}

#[test]
fn clones_and_appends_and_permissions() {
    on_both("clones", async |_, place| {
        let path = place.file("file");
        fs::append(&path, "one ").await.expect("made");
        fs::append(&path, "two").await.expect("appended");
        assert_eq!(fs::read_to_string(&path).await.expect("read"), "one two");
        let mut file = open(&path).await;
        let mut word = [0; 3];
        file.read_exact(&mut word).await.expect("read");
        let mut clone = file.try_clone().expect("cloned");
        clone.read_exact(&mut word).await.expect("read");
        assert_eq!(&word, b"one");
        let private = std::fs::Permissions::from_mode(0o600);
        clone.set_permissions(private.clone()).await.expect("changed");
        file.close().await.expect("closed");
        assert_eq!(clone.metadata().await.expect("open").mode() & 0o777, 0o600);
        let read_only = std::fs::Permissions::from_mode(0o400);
        fs::set_permissions(&path, read_only).await.expect("changed");
        let known = fs::metadata(&path).await.expect("there").permissions();
        assert_eq!(known.mode() & 0o777, 0o400);
        fs::write(&path, b"\xff").await.expect("written");
        let error = fs::read_to_string(&path).await.expect_err("no text");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    });
}

#[test]
fn chunks_are_all_bytes_in_order() {
    on_both("chunks", async |_, place| {
        let (path, bytes) = (place.file("file"), Random::new(9).bytes(1_000_003));
        fs::write(&path, bytes.clone()).await.expect("written");
        let file = File::open(&path).await.expect("opened");
        let all = async |chunks: fs::Chunks| {
            let append = async |mut all: Vec<u8>, chunk: aem::Chunk| {
                all.extend(&chunk[..]);
                Ok::<_, io::Error>(all)
            };
            chunks.try_fold(Vec::new(), append).await.expect("read")
        };
        assert!(all(file.chunks(..)).await == bytes);
        assert!(all(file.chunks(5..999_999)).await == bytes[5..999_999]);
        assert!(all(file.chunks(1_000_000..=2_000_000)).await == bytes[1_000_000..]);
        assert_eq!(all(file.chunks(2_000_000..)).await, []);
        assert_eq!(all(file.chunks(7..7)).await, []);

        let heard = Rc::new(RefCell::new(Vec::<u8>::new()));
        let hears = Rc::clone(&heard);
        let handler =
            aem::on_ok(file.chunks(..), move |chunk| hears.borrow_mut().extend(&chunk[..]));
        assert_eq!(handler.await.expect("no error"), aem::End::Exhausted);
        assert!(*heard.borrow() == bytes);
    });
}

/// KEPT: an await that is given up takes no chunk with it.
#[test]
fn a_cancelled_chunk_is_the_next_one() {
    on_both("chunks-kept", async |_, place| {
        let (path, bytes) = (place.file("file"), Random::new(5).bytes(2_000_000));
        fs::write(&path, bytes.clone()).await.expect("written");
        let file = File::open(&path).await.expect("opened");
        let (mut chunks, mut all, mut given_up) = (file.chunks(..), Vec::<u8>::new(), 0);
        while all.len() < bytes.len() {
            match futures::future::poll_immediate(chunks.next()).await {
                Some(chunk) => all.extend(&chunk.expect("more").expect("read")[..]),
                None => {
                    given_up += 1;
                    aem::yield_now().await;
                }
            }
        }
        assert!(all == bytes && given_up > 0);
        assert!(chunks.next().await.is_none() && chunks.next().await.is_none());
        // Dropped with two reads under way.
        let mut chunks = file.chunks(..);
        abandon(chunks.next(), 1).await;
        file.close().await.expect("closed");
    });
}

#[test]
fn chunks_end_with_their_error() {
    on_both("chunks-error", async |_, place| {
        let file = File::create(place.file("file")).await.expect("made");
        file.set_len(1_000_000).await.expect("long");
        let mut chunks = file.chunks(..);
        assert_eq!(code(chunks.next().await.expect("an error")), Some(libc::EBADF));
        assert!(chunks.next().await.is_none());
        let (reader, _writer) = io::pipe().expect("a pipe");
        let mut chunks = File::from(OwnedFd::from(reader)).chunks(..);
        assert_eq!(code(chunks.next().await.expect("an error")), Some(libc::ESPIPE));
        assert!(chunks.next().await.is_none());
        let handler = aem::on_ok(file.chunks(..), drop);
        let error = io::Error::from(handler.await.expect_err("an error"));
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    });
}
