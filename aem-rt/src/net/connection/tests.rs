//! Streams over loopback, looked at from inside.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use futures::future::{join, join_all};
use futures::{AsyncReadExt, AsyncWriteExt, FutureExt, StreamExt};

use super::*;
use crate::net::verbs::MOST_PER_WRITE;
use crate::net::{TcpListener, TcpStream};
use crate::runtime::block_on;
use crate::time::{sleep, timeout};

/// Two connected streams of ours.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (ours, theirs) = join(TcpStream::connect(address), listener.accept()).await;
    (ours.unwrap(), theirs.unwrap().0)
}

/// One of ours and one of the standard library's.
async fn mixed_pair() -> (TcpStream, std::net::TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let theirs = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (listener.accept().await.unwrap().0, theirs)
}

fn soon<F: Future>(future: F) -> crate::time::Timeout<F> {
    timeout(Duration::from_secs(20), future)
}

#[test]
fn bytes_go_both_ways() {
    block_on(async {
        let (ours, theirs) = pair().await;
        ours.send("one ");
        ours.send(vec![b't', b'w', b'o']);
        assert_eq!(&theirs.recv().await.unwrap()[..], b"one two", "one system call for both");
        theirs.send("three").await.unwrap();
        assert_eq!(ours.recv().await.unwrap(), b"three");
        assert_eq!(ours.peer_addr().unwrap(), theirs.local_addr().unwrap());
        ours.set_nodelay(true).unwrap();
        assert!(ours.nodelay().unwrap());
        drop(ours);
        assert!(theirs.recv().await.unwrap().is_empty());
        assert!(theirs.recv().await.unwrap().is_empty(), "the end of the file stays");
    });
}

/// One who has the only handle sends at once, a limited number of times in a turn (BOUND).
#[test]
fn one_who_sends_in_a_loop_lets_others_run() {
    block_on(async {
        let (ours, mut theirs) = mixed_pair().await;
        let others_ran = Rc::new(Cell::new(0));
        let ran = Rc::clone(&others_ran);
        let other = crate::spawn(async move {
            loop {
                ran.set(ran.get() + 1);
                crate::yield_now().await;
            }
        });
        for _ in 0..1000 {
            ours.send("x").await.unwrap();
        }
        assert!(others_ran.get() >= 10, "the other job ran {} times", others_ran.get());
        other.abort();
        theirs.read_exact(&mut [0; 1000]).unwrap();
    });
}

/// Whoever else has a handle may have something to add: it leaves in the same system call.
#[test]
fn what_several_handles_send_in_a_turn_leaves_as_one() {
    block_on(async {
        let (ours, theirs) = pair().await;
        let clone = ours.clone();
        let other = crate::spawn(async move { clone.send("two").await });
        let (sent, received) = join(ours.send("one "), theirs.recv()).await;
        sent.unwrap();
        other.await.unwrap().unwrap();
        assert_eq!(&received.unwrap()[..], b"one two");
    });
}

/// A `recv` that was dropped while it waited takes nothing with it (KEPT).
#[test]
fn dropped_recv_loses_nothing() {
    block_on(async {
        let (ours, theirs) = pair().await;
        for round in 0..20_u8 {
            assert!(ours.recv().now_or_never().is_none());
            theirs.send(vec![round]).await.unwrap();
            if round % 2 == 0 {
                sleep(Duration::from_micros(200)).await;
            }
            let mut waiting = Box::pin(ours.recv());
            let first = waiting.as_mut().now_or_never();
            drop(waiting);
            if let Some(chunk) = first {
                assert_eq!(chunk.unwrap(), [round]);
                continue;
            }
            assert_eq!(soon(ours.recv()).await.unwrap().unwrap(), [round]);
        }
        assert!(ours.0.both.borrow().readers.is_empty());
    });
}

#[test]
fn idle_stream_holds_no_memory() {
    block_on(async {
        let (ours, theirs) = pair().await;
        for _ in 0..3 {
            for _ in 0..40 {
                ours.send(vec![1; 100]);
            }
            ours.flush().await.unwrap();
            let mut received = 0;
            while received < 4000 {
                received += theirs.recv().await.unwrap().len();
            }
        }
        let nobody_waits = theirs.recv().now_or_never();
        assert!(nobody_waits.is_none());
        for stream in [&ours, &theirs] {
            assert!(stream.0.both.borrow().traffic().is_none(), "{stream:?}");
        }
        println!("a connection's shared part has {} bytes", size_of::<Connection>());
    });
}

#[test]
fn inbox_limit_stops_receiving_and_asking_starts_it_again() {
    block_on(async {
        let (ours, theirs) = pair().await;
        ours.set_inbox_limit(100_000);
        theirs.set_high_water(None);
        let sent: Vec<u8> = (0..5_000_000_u32).map(|n| (n >> 7) as u8 ^ n as u8).collect();
        theirs.send(sent.clone());
        let mut received = ours.recv().await.unwrap().into_vec();
        sleep(Duration::from_millis(20)).await;
        let mut unread = 0;
        while let Some(Ok(chunk)) = ours.0.with_traffic(|traffic| traffic.inbox.take()) {
            unread += chunk.len();
            received.extend_from_slice(&chunk);
        }
        // The kernel may have received more before it heard that it was enough: as much as fits into
        // the buffers that it was lent.
        let most = 140_000 + (1 << 20);
        assert!((80_000..most).contains(&unread), "{unread} bytes were held unread");
        while received.len() < sent.len() {
            received.extend_from_slice(&soon(ours.recv()).await.unwrap().unwrap());
        }
        assert!(received == sent);
    });
}

#[test]
fn many_who_wait_are_all_woken() {
    block_on(async {
        let (ours, theirs) = pair().await;
        let clones: Vec<TcpStream> = (0..50).map(|_| ours.clone()).collect();
        let waiting = join_all(clones.iter().map(|stream| stream.recv()));
        let sending = async {
            for n in 0..50_u8 {
                theirs.send(vec![n]).await.unwrap();
                sleep(Duration::from_micros(300)).await;
            }
            theirs.shutdown(Shutdown::Write).unwrap();
        };
        let (received, ()) = soon(join(waiting, sending)).await.unwrap();
        let mut received: Vec<u8> =
            received.into_iter().flat_map(|chunk| chunk.unwrap().into_vec()).collect();
        received.sort_unstable();
        assert!(received.iter().copied().eq(0..50), "each byte went to one of them");
    });
}

#[test]
fn close_ends_it_for_all_handles() {
    block_on(async {
        let (ours, theirs) = pair().await;
        let (other, chunks) = (ours.clone(), ours.chunks());
        let waiting = other.recv();
        ours.send("last");
        let (closed, told) = join(ours.close(), waiting).await;
        closed.unwrap();
        assert_eq!(told.unwrap_err().kind(), ErrorKind::NotConnected);
        let late = other.send("late").await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::NotConnected);
        assert_eq!(other.flush().await.unwrap_err().kind(), ErrorKind::NotConnected);
        assert_eq!(other.close().await.unwrap_err().kind(), ErrorKind::NotConnected);
        let end: Vec<_> = chunks.collect().await;
        assert_eq!(end.len(), 1);
        assert_eq!(end[0].as_ref().unwrap_err().kind(), ErrorKind::NotConnected);
        assert_eq!(theirs.recv().await.unwrap(), b"last");
        assert!(theirs.recv().await.unwrap().is_empty());
    });
}

#[test]
fn shutdown_follows_what_is_queued() {
    block_on(async {
        let (ours, theirs) = pair().await;
        ours.set_high_water(None);
        let big = vec![7; 3_000_000];
        let sending = ours.send(big);
        ours.shutdown(Shutdown::Write).unwrap();
        assert_eq!(ours.send("late").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        let mut received = 0;
        loop {
            let chunk = soon(theirs.recv()).await.unwrap().unwrap();
            if chunk.is_empty() {
                break;
            }
            received += chunk.len();
        }
        assert_eq!(received, 3_000_000);
        sending.await.unwrap();
        // The other direction is still open.
        theirs.send("answer").await.unwrap();
        assert_eq!(ours.recv().await.unwrap(), b"answer");
    });
}

#[test]
fn dropped_handles_leave_what_is_queued_to_be_sent() {
    block_on(async {
        let (ours, theirs) = pair().await;
        ours.send(vec![1; 5_000_000]);
        drop(ours);
        let mut received = 0;
        loop {
            let chunk = soon(theirs.recv()).await.unwrap().unwrap();
            if chunk.is_empty() {
                break;
            }
            received += chunk.len();
        }
        assert_eq!(received, 5_000_000);
    });
}

#[test]
fn runtime_that_ends_sends_what_is_queued() {
    let (sender, mut theirs) = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let sender = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (sender, listener.accept().unwrap().0)
    };
    block_on(async {
        let ours = TcpStream::from_std(sender).unwrap();
        ours.send(vec![9; 100_000]);
    });
    let mut received = Vec::new();
    theirs.read_to_end(&mut received).unwrap();
    assert_eq!(received.len(), 100_000);
}

#[test]
fn reset_is_an_error_that_stays() {
    block_on(async {
        let (ours, theirs) = mixed_pair().await;
        (&theirs).write_all(b"before").unwrap();
        sleep(Duration::from_millis(2)).await;
        SockRef::from(&theirs).set_linger(Some(Duration::ZERO)).unwrap();
        assert_eq!(ours.recv().await.unwrap(), b"before");
        drop(theirs);
        for _ in 0..2 {
            let error = soon(ours.recv()).await.unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
        let chunks: Vec<_> = ours.chunks().collect().await;
        assert!(chunks.len() == 1 && chunks[0].is_err());
        let first = ours.send("x").await.unwrap_err();
        let second = ours.send("y").await.unwrap_err();
        assert_eq!(first.raw_os_error(), second.raw_os_error());
        assert!(ours.flush().await.is_err() && ours.close().await.is_err());
    });
}

#[test]
fn async_read_and_write_of_stream_and_reference() {
    block_on(async {
        let (mut ours, theirs) = pair().await;
        let text = b"some bytes to be read in small pieces";
        let writing = async {
            ours.write_all(text).await.unwrap();
            ours.close().await.unwrap();
        };
        let reading = async {
            let mut pieces = Vec::new();
            let mut piece = [0; 5];
            loop {
                let n = (&theirs).read(&mut piece).await.unwrap();
                if n == 0 {
                    return pieces;
                }
                pieces.extend_from_slice(&piece[..n]);
            }
        };
        let ((), pieces) = join(writing, reading).await;
        assert_eq!(pieces, text);
    });
}

#[test]
fn poll_write_waits_above_the_mark() {
    block_on(async {
        let (ours, _theirs) = pair().await;
        ours.set_high_water(100_000);
        let bytes = vec![3; 1 << 20];
        let mut written = 0;
        while let Some(n) = (&ours).write(&bytes).now_or_never() {
            written += n.unwrap();
            assert!(written < 100 << 20);
            crate::runtime::yield_now().await;
        }
        assert!(ours.queued() > 100_000 && ours.queued() <= 100_000 + MOST_PER_WRITE);
    });
}

#[test]
fn reader_that_is_dropped_gives_the_rest_back() {
    block_on(async {
        let (ours, theirs) = pair().await;
        theirs.send("one two three").await.unwrap();
        let mut reader = ours.chunks().into_async_read();
        let mut word = [0; 4];
        reader.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"one ");
        drop(reader);
        assert_eq!(ours.recv().await.unwrap(), b"two three");
    });
}

#[test]
fn another_runtime_is_told_so() {
    let inner = crate::runtime::Runtime::new().unwrap();
    let stream = inner.block_on(async {
        let (ours, theirs) = pair().await;
        ours.send("queued");
        drop(theirs);
        ours
    });
    block_on(async {
        let text = stream.recv().await.unwrap_err().to_string();
        assert!(text.contains("another runtime"), "{text}");
        assert!(stream.send("x").await.is_err());
        assert!(stream.flush().await.is_err());
    });
    let outside = stream.recv().now_or_never();
    assert!(matches!(outside, Some(Err(_))), "outside of a runtime it would hang");
    drop(inner);
    let late = stream.send("late").now_or_never().expect("an answer at once");
    assert!(late.unwrap_err().to_string().contains("ended"));
    block_on(async {
        let text = stream.recv().await.unwrap_err().to_string();
        assert!(text.contains("ended"), "{text}");
    });
    drop(stream);
}

/// Wakers may do anything when they are dropped or woken, this stream included (OUTSIDE).
#[test]
fn wakers_that_use_the_stream_find_nothing_borrowed() {
    thread_local! {
        static STREAM: RefCell<Option<TcpStream>> = const { RefCell::new(None) };
    }
    struct Meddling;
    fn meddle() {
        let Some(stream) = STREAM.with(|stream| stream.borrow().clone()) else { return };
        stream.send("m");
        let _ = stream.recv().now_or_never();
        let _ = stream.flush().now_or_never();
        stream.set_high_water(1 << 20);
    }
    impl Wake for Meddling {
        fn wake(self: Arc<Self>) {
            meddle();
        }
    }
    impl Drop for Meddling {
        fn drop(&mut self) {
            meddle();
        }
    }
    block_on(async {
        let (ours, theirs) = pair().await;
        STREAM.with(|stream| *stream.borrow_mut() = Some(ours.clone()));
        for _ in 0..3 {
            let waker = Waker::from(Arc::new(Meddling));
            let mut cx = Context::from_waker(&waker);
            let (mut receiving, mut flushing) = (Box::pin(ours.recv()), Box::pin(ours.flush()));
            assert!(receiving.as_mut().poll(&mut cx).is_pending());
            let _ = flushing.as_mut().poll(&mut cx);
            let other = Waker::from(Arc::new(Meddling));
            let _ = receiving.as_mut().poll(&mut Context::from_waker(&other));
            drop((waker, other));
            theirs.send("news").await.unwrap();
            sleep(Duration::from_millis(1)).await;
            drop((receiving, flushing));
        }
        STREAM.with(|stream| stream.borrow_mut().take());
    });
}

/// Whatever is queued, unread or waited for: the peer is told at once, and so is everybody here.
#[test]
fn an_abort_is_a_reset_for_all() {
    block_on(async {
        let (ours, mut theirs) = mixed_pair().await;
        ours.send(vec![1; 8 << 20]);
        let waiting = [ours.clone(), ours.clone()];
        let [reading, flushing] = waiting;
        let reading = crate::runtime::spawn(async move { reading.recv().await.map(drop) });
        let flushing = crate::runtime::spawn(async move { flushing.flush().await });
        sleep(Duration::from_millis(1)).await;
        assert!(ours.queued() > 0, "more than the kernel takes");
        ours.abort().unwrap();
        for told in [reading.await.unwrap(), flushing.await.unwrap(), ours.send("x").await] {
            assert_eq!(told.unwrap_err().kind(), ErrorKind::NotConnected);
        }
        assert_eq!(ours.queued(), 0);
        let end = loop {
            match theirs.read(&mut [0; 65536]) {
                Ok(0) => panic!("an end of file in place of a reset"),
                Ok(_) => {}
                Err(error) => break error.kind(),
            }
        };
        assert_eq!(end, ErrorKind::ConnectionReset);
        // Dropping what is left of it does no more.
        drop(ours);
        sleep(Duration::from_millis(1)).await;
    });
}
