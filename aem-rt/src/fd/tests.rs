//! Readiness of pipes and sockets: level to its user, many waiters, every error a clear one.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures::StreamExt;

use super::{AsyncFd, Interest};
use crate::reactor::CALLERS;
use crate::sys::child::in_child;
use crate::sys::poll::careless;
use crate::time::timeout;
use crate::{Next, block_on, on, spawn, yield_now};

const LONG: Duration = Duration::from_secs(5);

fn pair() -> (AsyncFd<UnixStream>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (AsyncFd::new(ours).unwrap(), theirs)
}

#[test]
fn what_was_there_before_is_seen_at_once() {
    block_on(async {
        let (ours, mut theirs) = pair();
        theirs.write_all(b"x").unwrap();
        for _ in 0..3 {
            // Nobody reads it: level means that it stays ready.
            timeout(LONG, ours.readable()).await.unwrap().unwrap();
        }
    });
}

#[test]
fn many_wait_for_both_directions() {
    block_on(async {
        let (ours, mut theirs) = pair();
        let filled = Rc::new(Cell::new(0));
        while ours.get_ref().write(&[0; 4096]).is_ok() {}
        let mut waiting = Vec::new();
        for side in 0..8 {
            let (ours, filled) = (ours.clone(), filled.clone());
            waiting.push(spawn(async move {
                if side % 2 == 0 {
                    ours.readable().await?
                } else {
                    ours.writable().await?
                }
                filled.set(filled.get() + 1);
                io::Result::Ok(())
            }));
        }
        for _ in 0..10 {
            yield_now().await;
        }
        assert_eq!(filled.get(), 0);
        theirs.write_all(b"x").unwrap();
        theirs.set_nonblocking(true).unwrap();
        while theirs.read(&mut [0; 65536]).is_ok() {}
        for waiting in waiting {
            timeout(LONG, waiting).await.unwrap().unwrap().unwrap();
        }
        assert_eq!(filled.get(), 8);
    });
}

#[test]
fn a_cancelled_wait_leaves_nothing_behind() {
    block_on(async {
        let (ours, mut theirs) = pair();
        for _ in 0..100 {
            let _ = timeout(Duration::ZERO, ours.readable()).await;
        }
        theirs.write_all(b"x").unwrap();
        let read = ours.io(Interest::READABLE, |mut socket| socket.read(&mut [0; 8]));
        assert_eq!(timeout(LONG, read).await.unwrap().unwrap(), 1);
    });
}

#[test]
fn readiness_is_an_event_a_turn_while_it_lasts() {
    block_on(async {
        let (ours, mut theirs) = pair();
        theirs.write_all(b"abc").unwrap();
        let (seen, reader) = (Rc::new(Cell::new(0)), ours.clone());
        let count = seen.clone();
        // One byte an event: three events for three bytes, though there was one edge.
        let reading = on(ours.readiness(Interest::READABLE), move |ready| {
            assert_eq!(ready?, Interest::READABLE);
            let mut byte = [0];
            reader.get_ref().read_exact(&mut byte)?;
            count.set(count.get() + 1);
            io::Result::Ok(if byte[0] == b'c' { Next::Stop } else { Next::Keep })
        });
        timeout(LONG, reading).await.unwrap().unwrap();
        assert_eq!(seen.get(), 3);
    });
}

#[test]
fn poll_io_wakes_who_polled() {
    block_on(async {
        let (ours, mut theirs) = pair();
        let reader = ours.clone();
        let reading = spawn(std::future::poll_fn(move |context| {
            reader.poll_io(context, Interest::READABLE, |mut socket| socket.read(&mut [0; 8]))
        }));
        yield_now().await;
        theirs.write_all(b"four").unwrap();
        assert_eq!(timeout(LONG, reading).await.unwrap().unwrap().unwrap(), 4);
    });
}

#[test]
fn the_end_of_the_peer_is_readable() {
    block_on(async {
        let (ours, theirs) = pair();
        drop(theirs);
        timeout(LONG, ours.readable()).await.unwrap().unwrap();
        timeout(LONG, ours.writable()).await.unwrap().unwrap();
    });
}

/// A descriptor that may be closed behind the back of its `AsyncFd`.
#[derive(Debug)]
struct Number(i32);

impl AsFd for Number {
    fn as_fd(&self) -> BorrowedFd<'_> {
        careless(self.0)
    }
}

#[test]
fn every_bad_descriptor_is_a_clear_error() {
    if !in_child("fd::tests::every_bad_descriptor_is_a_clear_error") {
        return;
    }
    block_on(async {
        let file = File::open("/proc/self/exe").unwrap();
        let error = AsyncFd::new(file).unwrap_err();
        assert_eq!(error.raw_os_error().or(Some(libc::EPERM)), Some(libc::EPERM), "{error}");
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let first = AsyncFd::new(ours.as_fd()).unwrap();
        let second = AsyncFd::new(ours.as_fd()).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::AlreadyExists, "{second}");
        drop(first);
        // The first one's end makes room at once.
        AsyncFd::new(ours.as_fd()).unwrap();

        let number = ours.as_raw_fd();
        let found = AsyncFd::new(Number(number)).unwrap();
        drop(ours);
        let error = timeout(LONG, found.readable()).await.unwrap().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EBADF), "{error}");
        let error = AsyncFd::new(Number(number)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EBADF), "{error}");
    });
}

#[test]
fn on_another_runtime_it_is_an_error() {
    let first = crate::Runtime::new().unwrap();
    let (ours, _theirs) = first.block_on(async { pair() });
    block_on(async {
        assert!(ours.readable().await.is_err());
        assert!(ours.readiness(Interest::READABLE).next().await.unwrap().is_err());
    });
    drop(first);
    block_on(async { assert!(ours.readable().await.is_err()) });
}

#[test]
fn callers_of_poll_io_that_are_gone_are_not_remembered_for_ever() {
    block_on(async {
        let (ours, mut theirs) = pair();
        let woken = Rc::new(Cell::new(0));
        let reader = ours.clone();
        let living = spawn({
            let woken = woken.clone();
            std::future::poll_fn(move |context| {
                woken.set(woken.get() + 1);
                reader.poll_io(context, Interest::READABLE, |mut socket| socket.read(&mut [0; 8]))
            })
        });
        yield_now().await;
        for number in 1..=10 * CALLERS {
            if number % CALLERS == 0 {
                // They come by and by, and not in one storm.
                for _ in 0..70 {
                    crate::time::sleep(Duration::from_micros(1)).await;
                }
            }
            let reader = ours.clone();
            let passing = spawn(std::future::poll_fn(move |context| {
                let read = |mut socket: &UnixStream| socket.read(&mut [0; 8]);
                assert!(reader.poll_io(context, Interest::READABLE, read).is_pending());
                Poll::Ready(())
            }));
            passing.await.unwrap();
        }
        let callers: usize =
            ours.inner.watch.core.sides.iter().map(|side| side.callers.len()).sum();
        assert!(callers <= 2 * CALLERS, "{callers} are remembered");
        assert!(woken.get() > 1, "the one that lives was asked whether it does");
        theirs.write_all(b"four").unwrap();
        assert_eq!(timeout(LONG, living).await.unwrap().unwrap().unwrap(), 4);
    });
}

#[test]
fn however_many_callers_wait_they_sleep() {
    block_on(async {
        let (ours, mut theirs) = pair();
        let polls = Rc::new(Cell::new(0));
        let many = 5 * CALLERS;
        let waiting: Vec<_> = (0..many)
            .map(|_| {
                let (reader, polls) = (ours.clone(), polls.clone());
                spawn(std::future::poll_fn(move |context| {
                    polls.set(polls.get() + 1);
                    reader.poll_io(context, Interest::READABLE, |mut socket| socket.read(&mut [0]))
                }))
            })
            .collect();
        for _ in 0..50 {
            yield_now().await;
        }
        let before = polls.get();
        assert!(before < 20 * many, "{before} polls of {many}");
        for _ in 0..50 {
            yield_now().await;
        }
        assert_eq!(polls.get(), before, "they sleep");
        theirs.write_all(&vec![0; many]).unwrap();
        for one in waiting {
            assert_eq!(timeout(LONG, one).await.unwrap().unwrap().unwrap(), 1);
        }
    });
}
