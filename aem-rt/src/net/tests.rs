//! Listeners and streams over a kernel that is late, takes little and refuses: no sleep, and always the same.

use std::cell::Cell;
use std::future::Future;
use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::join;
use socket2::{Domain, Socket, Type};

use super::*;
use crate::backend::simulated::{Kernel, Socket as Script};
use crate::runtime::Runtime;
use crate::time::{every, sleep, timeout};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn on<F: Future>(kernel: &Kernel, future: F) -> F::Output {
    Runtime::builder().simulated(kernel).block_on(future)
}

fn far(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 7], port))
}

/// A stream and its script.
fn stream(kernel: &Kernel) -> (TcpStream, Script) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let script = kernel.fresh_socket(&socket);
    (TcpStream::from_std(socket.into()).unwrap(), script)
}

/// A listener and its script.
fn listener(kernel: &Kernel) -> (TcpListener, Script) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let script = kernel.fresh_socket(&listener);
    (TcpListener::from_std(listener).unwrap(), script)
}

async fn receive(stream: &TcpStream, n: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < n {
        all.extend_from_slice(&stream.recv().await.unwrap());
    }
    all
}

// KEPT: a stream that stops receiving at its limit loses that race, and not the bytes.
#[test]
fn bytes_that_come_after_the_cancel_are_kept() {
    for delay in [ms(0), ms(4), ms(1_000)] {
        let kernel = Kernel::new();
        on(&kernel, async {
            let (stream, script) = stream(&kernel);
            script.cancels_after(delay);
            stream.set_inbox_limit(1);
            let mut line = script.clone();
            for round in 0..100_u8 {
                line = line.after(ms(1));
                line.brings([round; 3]);
            }
            line.ends();
            assert_eq!(&*stream.recv().await.unwrap(), [0; 3]);
            // Nobody reads; the cancel is asked for at the next piece and takes effect later.
            sleep(ms(50)).await;
            let rest = receive(&stream, 99 * 3).await;
            assert!(rest.chunks(3).zip(1..).all(|(piece, round)| piece == [round; 3]), "{delay:?}");
            assert!(stream.recv().await.unwrap().is_empty());
        });
    }
}

// KEPT: a receive that is given up at the very moment at which the bytes come.
#[test]
fn a_timeout_at_the_moment_of_the_bytes_loses_none() {
    let kernel = Kernel::new();
    on(&kernel, async {
        let (stream, script) = stream(&kernel);
        for round in 0..50_u8 {
            script.after(ms(5)).brings([round]);
            // Before them, with them, after them.
            let limit = ms(4 + u64::from(round) % 3);
            match timeout(limit, stream.recv()).await {
                Ok(chunk) => assert_eq!(chunk.unwrap(), [round]),
                Err(_) => assert_eq!(stream.recv().await.unwrap(), [round]),
            }
        }
    });
}

#[test]
fn a_send_goes_on_until_all_is_taken() {
    for ops_only in [false, true] {
        let kernel = Kernel::new();
        if ops_only {
            kernel.take_ops_only();
        }
        on(&kernel, async {
            let (stream, script) = stream(&kernel);
            script.takes(7).after(ms(2)).takes(1).after(ms(3)).takes(2);
            (0..100).for_each(|_| drop(script.after(ms(6)).refuses_a_send(libc::EAGAIN).clone()));
            let sending = stream.send("seven bytes and more");
            stream.send(", and more of them");
            sending.await.unwrap();
            stream.flush().await.unwrap();
            assert_eq!(script.sent(), b"seven bytes and more, and more of them");
            assert_eq!(kernel.elapsed(), ms(6));
            assert_eq!(stream.queued(), 0);
        });
    }
}

#[test]
fn an_error_of_sending_is_told_to_all_who_wait_and_again() {
    for code in [libc::ENOMEM, libc::ENOBUFS, libc::ECONNRESET, libc::EPIPE] {
        let kernel = Kernel::new();
        on(&kernel, async {
            let (stream, script) = stream(&kernel);
            script.after(ms(1)).takes(4).after(ms(1)).refuses_a_send(code);
            let (first, second) = join(stream.send("four"), stream.send("five!")).await;
            first.expect("it was taken before the error");
            assert_eq!(second.unwrap_err().raw_os_error(), Some(code));
            assert_eq!(stream.send("x").await.unwrap_err().raw_os_error(), Some(code));
            assert_eq!(stream.flush().await.unwrap_err().raw_os_error(), Some(code));
            script.brings("still there");
            assert_eq!(stream.recv().await.unwrap(), b"still there");
        });
    }
}

#[test]
fn an_error_of_receiving_comes_after_the_bytes_before_it() {
    let kernel = Kernel::new();
    on(&kernel, async {
        let (stream, script) = stream(&kernel);
        script.brings("one").refuses(libc::EINTR).brings("two").refuses(libc::ECONNRESET);
        assert_eq!(receive(&stream, 6).await, b"onetwo");
        for _ in 0..3 {
            let error = stream.recv().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
    });
}

/// Closed while everything is late: nobody hears of what comes then, and the number is free at the end of it.
#[test]
fn a_closed_stream_hears_of_nothing_that_is_late() {
    let kernel = Kernel::new();
    on(&kernel, async {
        let reactor = crate::runtime::context::reactor();
        let (stream, script) = stream(&kernel);
        script.cancels_after(ms(20)).after(ms(5)).brings("late").after(ms(5)).refuses(libc::EIO);
        let (received, closed) = join(stream.recv(), async {
            sleep(ms(1)).await;
            stream.close().await
        })
        .await;
        assert_eq!(received.unwrap_err().kind(), ErrorKind::NotConnected);
        closed.unwrap();
        assert_eq!(reactor.operations_and_descriptors(), (1, 1));
        sleep(ms(30)).await;
        assert_eq!(stream.recv().await.unwrap_err().kind(), ErrorKind::NotConnected);
        assert_eq!(reactor.operations_and_descriptors(), (0, 1));
        drop(stream);
        sleep(ms(1)).await;
        assert_eq!(reactor.operations_and_descriptors(), (0, 0));
    });
}

#[test]
fn a_stream_that_nobody_holds_sends_all_that_it_was_given() {
    let kernel = Kernel::new();
    on(&kernel, async {
        let (stream, script) = stream(&kernel);
        let mut slow = script.clone();
        for _ in 0..1_000 {
            slow = slow.after(Duration::from_secs(20));
            slow.takes(1);
        }
        let bytes: Vec<u8> = (0..1_000_u32).map(|n| n as u8).collect();
        stream.send(bytes.clone());
        drop(stream);
        sleep(Duration::from_secs(20_000)).await;
        assert_eq!(script.sent(), bytes, "he takes a byte in twenty seconds, and gets them all");
        sleep(ms(1)).await;
        let reactor = crate::runtime::context::reactor();
        assert_eq!(reactor.operations_and_descriptors(), (0, 0));
    });
}

#[test]
fn a_listener_waits_out_a_want_of_descriptors() {
    let kernel = Kernel::new();
    on(&kernel, async {
        let (listener, callers) = listener(&kernel);
        callers.refuses(libc::EMFILE).refuses(libc::ENFILE).refuses(libc::ENOMEM);
        let script = callers.calls(far(1));
        script.brings("hello");
        let (stream, peer) = listener.accept().await.unwrap();
        assert_eq!(peer, far(1));
        assert_eq!(stream.recv().await.unwrap(), b"hello");
        assert_eq!(kernel.elapsed().as_millis(), 10 + 20 + 40, "each pause is twice the last");
        assert_eq!(listener.shortages(), 3);
    });
}

/// An hour without descriptors is a matter of some thousand attempts, and service is back at once after it.
#[test]
fn an_hour_without_descriptors_is_no_busy_loop() {
    let kernel = Kernel::new();
    on(&kernel, async {
        let (listener, callers) = listener(&kernel);
        (0..7_200).for_each(|_| drop(callers.refuses(libc::EMFILE).clone()));
        callers.calls(far(1));
        listener.accept().await.unwrap();
        assert_eq!(listener.shortages(), 7_200);
        let hour = Duration::from_secs(3_600);
        assert!((hour - ms(5_000)..hour).contains(&kernel.elapsed()), "{:?}", kernel.elapsed());
    });
}

/// A descriptor of ours that closes ends the pause.
#[test]
fn a_listener_goes_on_when_a_descriptor_is_free() {
    let kernel = Kernel::new();
    on(&kernel, async {
        let (listener, callers) = listener(&kernel);
        let (other, _script) = stream(&kernel);
        (0..7).for_each(|_| drop(callers.refuses(libc::EMFILE).clone()));
        callers.calls(far(1));
        let (accepted, ()) = join(listener.accept(), async {
            // In the middle of the seventh pause, which is of half a second.
            sleep(ms(10 + 20 + 40 + 80 + 160 + 320 + 100)).await;
            drop(other);
        })
        .await;
        accepted.unwrap();
        assert_eq!(kernel.elapsed().as_millis(), 730);
    });
}

#[test]
fn connections_that_are_gone_before_they_are_accepted_are_passed_over() {
    let kernel = Kernel::new();
    on(&kernel, async {
        let (listener, callers) = listener(&kernel);
        for round in 1..=50 {
            (0..round).for_each(|_| drop(callers.refuses(libc::ECONNABORTED).clone()));
            callers.refuses(libc::EAGAIN);
            callers.calls(far(round));
            assert_eq!(listener.accept().await.unwrap().1, far(round));
        }
        assert_eq!((kernel.elapsed(), listener.shortages()), (Duration::ZERO, 0));
    });
}

// KEPT: a listener that has enough loses the race of its cancel, and none of the connections.
#[test]
fn connections_that_come_after_the_cancel_are_kept() {
    let kernel = Kernel::new();
    on(&kernel, async {
        let (listener, callers) = listener(&kernel);
        callers.cancels_after(ms(10));
        for port in 1..=200 {
            callers.after(Duration::from_micros(100 * u64::from(port))).calls(far(port));
        }
        let mut taken = vec![listener.accept().await.unwrap().1.port()];
        sleep(ms(50)).await;
        while let Ok(accepted) = timeout(ms(50), listener.accept()).await {
            taken.push(accepted.unwrap().1.port());
        }
        assert_eq!(taken, Vec::from_iter(1..=200));
    });
}

/// A connection that comes when its listener is gone is closed, and so is one that waited.
#[test]
fn connections_of_a_dropped_listener_are_closed() {
    let kernel = Kernel::new();
    on(&kernel, async {
        let (listener, callers) = listener(&kernel);
        callers.cancels_after(ms(10));
        let mut clients = Vec::new();
        for port in 1..=3 {
            let (ours, client) = UnixStream::pair().unwrap();
            client.set_nonblocking(true).unwrap();
            callers.after(ms(2 * u64::from(port))).calls_over(ours.into(), far(port));
            clients.push(client);
        }
        assert!(listener.accept().now_or_never().is_none());
        sleep(ms(3)).await;
        drop(listener);
        sleep(ms(20)).await;
        for client in &mut clients {
            assert_eq!(client.read(&mut [0]).unwrap(), 0);
        }
    });
}

#[test]
fn a_connect_tries_each_address_and_tells_the_last_error() {
    let kernel = Kernel::new();
    on(&kernel, async {
        let addresses = [far(1), far(2), far(3)];
        kernel.peer(far(1)).after(ms(3)).refuses_a_connect(libc::ECONNREFUSED);
        kernel.peer(far(2)).after(ms(4)).refuses_a_connect(libc::EHOSTUNREACH);
        kernel.peer(far(3)).after(ms(8)).connects().brings("third");
        let stream = TcpStream::connect(&addresses[..]).await.unwrap();
        assert_eq!(stream.recv().await.unwrap(), b"third");
        kernel.peer(far(1)).refuses_a_connect(libc::ECONNREFUSED);
        kernel.peer(far(2)).refuses_a_connect(libc::ETIMEDOUT);
        let error = TcpStream::connect(&addresses[..2]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    });
}

/// Given up when it was nearly made: the connection is closed, whichever came first.
#[test]
fn a_connect_that_is_given_up_leaves_no_connection() {
    for cancel in [ms(0), ms(5), ms(50)] {
        let kernel = Kernel::new();
        on(&kernel, async {
            let peer = kernel.peer(far(1));
            peer.cancels_after(cancel).after(ms(20)).connects();
            let reactor = crate::runtime::context::reactor();
            assert!(timeout(ms(10), TcpStream::connect(far(1))).await.is_err());
            assert_eq!(reactor.operations_and_descriptors(), (1, 1));
            sleep(ms(60)).await;
            assert_eq!(reactor.operations_and_descriptors(), (0, 0), "{cancel:?}");
        });
    }
}

// ONCE, FRESH: over a kernel that gives each last answer twice, all goes its usual way.
#[test]
fn a_kernel_that_answers_twice_is_not_noticed() {
    let kernel = Kernel::new();
    kernel.answer_twice();
    kernel.take_ops_only();
    on(&kernel, async {
        let (listener, callers) = listener(&kernel);
        callers.refuses(libc::EMFILE);
        for port in 1..=20 {
            let script = callers.calls(far(port));
            script.takes(3).brings("ping").ends();
            let (stream, peer) = listener.accept().await.unwrap();
            assert_eq!(peer, far(port));
            assert_eq!(stream.recv().await.unwrap(), b"ping");
            stream.send("pong").await.unwrap();
            assert_eq!(script.sent(), b"pong");
            assert!(stream.recv().await.unwrap().is_empty());
        }
    });
}

#[test]
fn a_day_passes_while_nobody_sleeps() {
    let kernel = Kernel::new();
    on(&kernel, async {
        let (stream, script) = stream(&kernel);
        script.after(Duration::from_secs(80_000)).brings("in the evening");
        let minutes = Rc::new(Cell::new(0));
        let count = minutes.clone();
        let _clock = crate::on(every(Duration::from_secs(60)), move |tick| {
            assert!(tick.late < ms(1) && tick.missed == 0);
            count.set(count.get() + 1);
        });
        assert!(timeout(Duration::from_secs(3_601), stream.recv()).await.is_err());
        assert_eq!(minutes.get(), 60);
        assert_eq!(stream.recv().await.unwrap(), b"in the evening");
        sleep(Duration::from_secs(6_401)).await;
        assert_eq!(minutes.get(), 24 * 60);
    });
    assert_eq!(kernel.elapsed().as_secs(), 86_401);
}

/// The end of a runtime sends what was queued in the order in which the kernel has room for it.
#[test]
fn the_end_of_a_runtime_flushes_in_virtual_time() {
    let kernel = Kernel::new();
    let script = on(&kernel, async {
        let (stream, script) = stream(&kernel);
        (1..=9).for_each(|n| drop(script.after(ms(100 * n)).takes(1).clone()));
        stream.send("123456789");
        script
    });
    assert_eq!(script.sent(), b"123456789");
    assert_eq!(kernel.elapsed(), ms(900));
}

/// Whatever the order in which the kernel answers, an echo is an echo.
#[test]
fn random_orders_of_answers_change_no_conversation() {
    for seed in 0..300 {
        let kernel = Kernel::seeded(seed);
        on(&kernel, async {
            let (listener, callers) = listener(&kernel);
            type Accepted = io::Result<(TcpStream, SocketAddr)>;
            let echo = crate::on_each(listener.incoming(), 5, |accepted: Accepted| async move {
                let (stream, _) = accepted.unwrap();
                stream.set_inbox_limit(20);
                while let Ok(chunk) = stream.recv().await {
                    if chunk.is_empty() || stream.send(chunk).await.is_err() {
                        break;
                    }
                }
            });
            let mut talks = Vec::new();
            for port in 0..5_u16 {
                let mut script = callers.after(ms(u64::from(port))).calls(far(port));
                let mut said = Vec::new();
                for round in 0..20_u64 {
                    script = script.after(Duration::from_micros(seed * 131 + round * 977 % 500));
                    let piece = vec![b'a' + round as u8; 1 + (round * seed) as usize % 30];
                    script.brings(&piece).takes(1 + (seed + round) as usize % 40);
                    said.extend(piece);
                }
                script.ends();
                talks.push((script, said));
            }
            sleep(Duration::from_secs(60)).await;
            for (script, said) in talks {
                let sent = script.sent();
                assert!(sent == said, "seed {seed}: {} of {} bytes", sent.len(), said.len());
            }
            echo.stop();
        });
    }
}
