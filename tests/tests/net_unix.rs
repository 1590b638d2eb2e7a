//! Unix streams and listeners, on both keepers: what is theirs, and what they share with TCP.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use aem::net::{UnixDatagram, UnixListener, UnixStream};
use aem::{Chunk, End, Next, on, on_ok, spawn};
use aem_tests::keepers;
use aem_tests::scale::scaled_count;
use aem_tests::traffic::Checksum;
use aem_tests::watch::watched_on;
use futures::stream::FusedStream;
use futures::{AsyncReadExt, AsyncWriteExt, FutureExt, StreamExt};

fn on_both(test: impl AsyncFn()) {
    for keeper in keepers::both() {
        watched_on(keepers::builder(keeper).on_error(|_, _| {}), async |_| test().await);
    }
}

/// A path for a socket file, which is removed with it.
struct Path(PathBuf);

impl Path {
    fn new() -> Path {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Path(std::env::temp_dir().join(format!("aem-unix-{}-{number}", std::process::id())))
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn an_awaited_connection_goes_both_ways() {
    on_both(async || {
        let path = Path::new();
        let listener = UnixListener::bind(&path.0).unwrap();
        assert_eq!(listener.local_addr().unwrap().as_pathname(), Some(&*path.0));
        let client = UnixStream::connect(&path.0).await.unwrap();
        let (server, peer) = listener.accept().await.unwrap();
        assert!(peer.is_unnamed() && client.local_addr().unwrap().is_unnamed());
        assert_eq!(client.peer_addr().unwrap().as_pathname(), Some(&*path.0));
        client.send("question");
        assert_eq!(&server.recv().await.unwrap()[..], b"question");
        server.send("answer").await.unwrap();
        assert_eq!(&client.recv().await.unwrap()[..], b"answer");
        client.shutdown(Shutdown::Write).unwrap();
        assert!(server.recv().await.unwrap().is_empty(), "the end, and again");
        assert!(server.recv().await.unwrap().is_empty());
        server.send("after all").await.unwrap();
        assert_eq!(&client.recv().await.unwrap()[..], b"after all", "half-closed");
    });
}

#[test]
fn handlers_serve_ten_thousand_connections() {
    let many = scaled_count(10_000, 500);
    on_both(async || {
        let path = Path::new();
        let listener = UnixListener::bind(&path.0).unwrap();
        let serving = on_ok(listener.incoming().take(many), |(stream, _peer)| {
            let reply = stream.clone();
            on_ok(stream.chunks(), move |mut chunk: Chunk| {
                chunk.make_ascii_uppercase();
                drop(reply.send(chunk));
            })
            .detach();
        });
        let visits = futures::stream::iter(0..many).for_each_concurrent(64, |number| {
            let path = &path;
            async move {
                let stream = UnixStream::connect(&path.0).await.unwrap();
                let text = format!("visitor {number}");
                stream.send(text.clone()).await.unwrap();
                assert_eq!(stream.recv().await.unwrap()[..], *text.to_uppercase().as_bytes());
            }
        });
        visits.await;
        assert_eq!(serving.await.unwrap(), End::Exhausted);
    });
}

#[test]
fn abstract_names_are_no_files_and_free_again() {
    on_both(async || {
        let name = format!("aem-rt test {}", std::process::id());
        let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        for _ in 0..2 {
            let listener = UnixListener::bind_addr(&address).unwrap();
            let bound = listener.local_addr().unwrap();
            assert_eq!(bound.as_abstract_name(), Some(name.as_bytes()));
            assert!(format!("{listener:?}").contains(&format!("@{name}")), "{listener:?}");
            let taken = UnixListener::bind_addr(&address).unwrap_err();
            assert_eq!(taken.kind(), ErrorKind::AddrInUse);
            let client = UnixStream::connect_addr(&address).await.unwrap();
            let (server, _) = listener.accept().await.unwrap();
            server.send("here");
            assert_eq!(&client.recv().await.unwrap()[..], b"here");
            drop((listener, server));
            // Dropped descriptors are closed by the next turn.
            aem::time::sleep(Duration::from_millis(1)).await;
        }
        let gone = UnixStream::connect_addr(&address).await.unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn the_kernel_vouches_for_who_is_there() {
    on_both(async || {
        let (ours, theirs) = UnixStream::pair().unwrap();
        for stream in [&ours, &theirs] {
            let peer = stream.peer_credentials().unwrap();
            assert_eq!(peer.pid, Some(std::process::id() as i32));
            // SAFETY: asks for a number.
            assert_eq!(peer.uid, unsafe { libc::geteuid() });
            // SAFETY: as above.
            assert_eq!(peer.gid, unsafe { libc::getegid() });
        }
    });
}

/// Polls a future that has nothing to give, lets others run so often, and drops it.
async fn give_up<F: Future>(future: F, yields: usize) {
    let mut future = pin!(future);
    assert!(poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await.is_pending());
    for _ in 0..yields {
        aem::yield_now().await;
    }
}

#[test]
fn a_cancelled_await_loses_nothing() {
    on_both(async || {
        let path = Path::new();
        let listener = UnixListener::bind(&path.0).unwrap();
        for round in 0..40 {
            give_up(listener.accept(), round % 3).await;
            let client = UnixStream::connect(&path.0).await.unwrap();
            let (server, _) = listener.accept().await.unwrap();
            give_up(server.recv(), round % 3).await;
            client.send("kept").await.unwrap();
            assert_eq!(&server.recv().await.unwrap()[..], b"kept");
        }
    });
}

#[test]
fn a_listener_without_room_is_waited_for() {
    on_both(async || {
        let path = Path::new();
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
        let socket = socket.unwrap();
        socket.bind(&socket2::SockAddr::unix(&path.0).unwrap()).unwrap();
        socket.listen(1).unwrap();
        let listener = UnixListener::from_std(socket.into()).unwrap();
        let visitors: Vec<_> = (0..6)
            .map(|_| {
                let path = path.0.clone();
                spawn(async move { UnixStream::connect(path).await.map(drop) })
            })
            .collect();
        aem::time::sleep(Duration::from_millis(5)).await;
        for _ in 0..visitors.len() {
            drop(listener.accept().await.unwrap());
        }
        for visitor in visitors {
            visitor.await.unwrap().unwrap();
        }
    });
}

#[test]
fn a_close_is_one_end_after_the_last_bytes() {
    on_both(async || {
        for half in [false, true] {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let seen = Rc::new(RefCell::new(Vec::new()));
            let writer = seen.clone();
            let reading = on(ours.chunks(), move |chunk: std::io::Result<Chunk>| {
                writer.borrow_mut().extend_from_slice(&chunk.unwrap());
            });
            theirs.send("the last words").await.unwrap();
            if half {
                theirs.shutdown(Shutdown::Write).unwrap();
            } else {
                theirs.close().await.unwrap();
                assert_eq!(theirs.recv().await.unwrap_err().kind(), ErrorKind::NotConnected);
            }
            assert_eq!(reading.await.unwrap(), End::Exhausted);
            assert_eq!(*seen.borrow(), b"the last words");
        }
        // One who goes with bytes of ours unread resets the connection.
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.send("nobody reads this").await.unwrap();
        drop(theirs);
        let mut chunks = ours.chunks();
        let error = chunks.next().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert!(chunks.next().await.is_none() && chunks.is_terminated());
        let broken = ours.send("nor this").await.unwrap_err();
        assert_eq!(broken.kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn what_cannot_be_connected_or_bound_is_an_error() {
    on_both(async || {
        let path = Path::new();
        let absent = UnixStream::connect(&path.0).await.unwrap_err();
        assert_eq!(absent.kind(), ErrorKind::NotFound);
        drop(UnixListener::bind(&path.0).unwrap());
        let taken = UnixListener::bind(&path.0).unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AddrInUse, "the file stays");
        aem::time::sleep(Duration::from_millis(1)).await;
        let refused = UnixStream::connect(&path.0).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let long = "x".repeat(200);
        for error in [
            UnixListener::bind(&long).unwrap_err(),
            UnixStream::connect(&long).await.unwrap_err(),
            UnixStream::connect_addr(&UnixStream::pair().unwrap().0.local_addr().unwrap())
                .await
                .unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        }
        let (std, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let twice = std.try_clone().unwrap();
        let _ours = UnixStream::from_std(std).unwrap();
        assert!(UnixStream::from_std(twice).is_ok(), "another descriptor of the same socket");
    });
}

#[test]
fn bulk_arrives_whole_by_any_face() {
    const BYTES: usize = 4 << 20;
    on_both(async || {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let stream = UnixStream::from_std(ours).unwrap();
        let echo = std::thread::spawn(move || {
            let mut theirs = theirs;
            let (mut sum, mut buffer) = (Checksum::default(), [0; 4096]);
            loop {
                let n = theirs.read(&mut buffer).unwrap();
                if n == 0 {
                    break;
                }
                sum.add(&buffer[..n]);
                theirs.write_all(&buffer[..n]).unwrap();
            }
            sum
        });
        let bytes: Vec<u8> = (0..BYTES).map(|place| (place * 7 % 253) as u8).collect();
        let sending = stream.clone();
        let sent = bytes.clone();
        let sender = spawn(async move {
            (&sending).write_all(&sent).await?;
            sending.flush().await?;
            sending.shutdown(Shutdown::Write)
        });
        let mut back = Vec::new();
        (&stream).read_to_end(&mut back).await.unwrap();
        sender.await.unwrap().unwrap();
        assert_eq!(Checksum::of(&back), Checksum::of(&bytes));
        assert_eq!(echo.join().unwrap(), Checksum::of(&bytes));
    });
}

#[test]
fn descriptors_that_nobody_asked_for_do_not_stay() {
    on_both(async || {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let stream = UnixStream::from_std(ours).unwrap();
        let before = aem_tests::proc::descriptors();
        for round in 0..50 {
            aem_tests::passing::send(&theirs, b"!", &[theirs.as_fd()]);
            let chunk = if round % 2 == 0 {
                stream.recv().await.unwrap()
            } else {
                stream.chunks().next().await.unwrap().unwrap()
            };
            assert_eq!(&chunk[..], b"!");
        }
        assert_eq!(aem_tests::proc::descriptors(), before, "the kernel has closed them");
    });
}

/// Both ends of a pipe, of which one is sent and the other looked at.
fn reader_and_writer() -> (std::io::PipeReader, OwnedFd) {
    let (reader, writer) = std::io::pipe().unwrap();
    (reader, writer.into())
}

/// What is written to a pipe, until nobody has its other end.
fn all_of(mut reader: std::io::PipeReader) -> String {
    let mut text = String::new();
    Read::read_to_string(&mut reader, &mut text).unwrap();
    text
}

#[test]
fn descriptors_arrive_with_their_bytes_and_are_the_receivers() {
    on_both(async || {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let before = aem_tests::proc::descriptors();
        let mut readers = Vec::new();
        for number in 0..40_usize {
            let pipes: Vec<_> = (0..=number % 3).map(|_| reader_and_writer()).collect();
            let (ends, writers): (Vec<_>, Vec<_>) = pipes.into_iter().unzip();
            readers.extend(ends);
            ours.send(format!("before {number};"));
            drop(ours.send_with_descriptors(format!("with {number};"), writers));
            ours.send_with_descriptors("", []);
        }
        ours.shutdown(Shutdown::Write).unwrap();
        let (mut text, mut count) = (String::new(), 0);
        let mut messages = theirs.messages();
        while let Some(message) = messages.next().await {
            let message = message.unwrap();
            text.push_str(std::str::from_utf8(&message.data).unwrap());
            assert!(!message.descriptors_cut);
            if !message.descriptors.is_empty() {
                let data = std::str::from_utf8(&message.data).unwrap();
                assert_eq!(data.matches("with").count(), 1, "{data}");
            }
            for descriptor in message.descriptors {
                let mut writer = std::io::PipeWriter::from(descriptor);
                Write::write_all(&mut writer, count.to_string().as_bytes()).unwrap();
                count += 1;
            }
        }
        let expected: String = (0..40).map(|n| format!("before {n};with {n};")).collect();
        assert_eq!(text, expected);
        assert_eq!(count, readers.len());
        for (number, reader) in readers.into_iter().enumerate() {
            assert_eq!(all_of(reader), number.to_string());
        }
        assert_eq!(aem_tests::proc::descriptors(), before);
    });
}

#[test]
fn descriptors_wait_with_their_bytes_for_room() {
    const MEGABYTE: usize = 1 << 20;
    on_both(async || {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (reader, writer) = reader_and_writer();
        ours.send(vec![1; MEGABYTE]);
        let sending = ours.send_with_descriptors(vec![2; MEGABYTE], [writer]);
        assert!(ours.queued() > 0);
        let mut received = 0;
        while received < 2 * MEGABYTE {
            let message = theirs.recv_message().await.unwrap();
            let (from, to) = (received, received + message.data.len());
            let has_first = (from..to).contains(&MEGABYTE);
            assert_eq!(message.descriptors.len(), usize::from(has_first), "{from} to {to}");
            received = to;
        }
        sending.await.unwrap();
        drop((ours, theirs));
        assert_eq!(all_of(reader), "", "nobody has the other end any more");
    });
}

#[test]
fn descriptors_that_are_not_sent_are_closed() {
    on_both(async || {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (reader, writer) = reader_and_writer();
        let alone = ours.send_with_descriptors("", [writer]).await.unwrap_err();
        assert_eq!(alone.kind(), ErrorKind::InvalidInput);
        assert_eq!(all_of(reader), "");
        let (reader, writer) = reader_and_writer();
        let many = (0..254).map(|_| writer.try_clone().unwrap());
        let many: Vec<_> = many.collect();
        drop(writer);
        let too_many = ours.send_with_descriptors("x", many).await.unwrap_err();
        assert!(too_many.to_string().contains("254"), "{too_many}");
        assert_eq!(all_of(reader), "");
        // What waits when the peer goes is not sent, either.
        let (reader, writer) = reader_and_writer();
        ours.send(vec![0; 1 << 20]);
        let sending = ours.send_with_descriptors("x", [writer]);
        drop(theirs);
        sending.await.unwrap_err();
        assert_eq!(all_of(reader), "");
        let (reader, writer) = reader_and_writer();
        ours.send_with_descriptors("x", [writer]).await.unwrap_err();
        assert_eq!(all_of(reader), "");
    });
}

#[test]
fn a_cancelled_message_is_lost_no_more_than_bytes_are() {
    on_both(async || {
        let (ours, theirs) = UnixStream::pair().unwrap();
        for round in 0..30 {
            give_up(theirs.recv_message(), round % 4).await;
            let (reader, writer) = reader_and_writer();
            ours.send_with_descriptors("!", [writer]);
            let message = theirs.recv_message().await.unwrap();
            assert_eq!((&message.data[..], message.descriptors.len()), (&b"!"[..], 1));
            drop(message);
            assert_eq!(all_of(reader), "");
        }
    });
}

#[test]
fn messages_and_bytes_of_one_stream_take_turns() {
    on_both(async || {
        let (ours, theirs) = UnixStream::pair().unwrap();
        for round in 0..20 {
            ours.send("plain");
            assert_eq!(&theirs.recv().await.unwrap()[..], b"plain");
            // The next byte is still asked for when somebody else asks.
            let waiting = spawn({
                let theirs = theirs.clone();
                async move { theirs.recv_message().await }
            });
            aem::time::sleep(Duration::from_micros(300 * (round % 3))).await;
            let (_reader, writer) = reader_and_writer();
            ours.send_with_descriptors("with", [writer]).await.unwrap();
            let message = waiting.await.unwrap().unwrap();
            assert_eq!(&message.data[..], b"with");
            assert!(round % 3 == 0 || message.descriptors.len() == 1, "round {round}");
        }
        drop(ours);
        let end = theirs.recv_message().await.unwrap();
        assert!(end.data.is_empty());
        assert!(theirs.recv().await.unwrap().is_empty());
        assert!(theirs.messages().next().await.is_none());
    });
}

#[test]
fn datagrams_bring_descriptors_to_those_who_ask() {
    on_both(async || {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let before = aem_tests::proc::descriptors();
        let mut readers = Vec::new();
        for number in 0..60_usize {
            let (reader, writer) = reader_and_writer();
            let sending = ours.send_with_descriptors(number.to_string(), [writer]);
            let data = match number % 3 {
                0 => theirs.recv().await.unwrap(),
                1 => theirs.datagrams().next().await.unwrap().unwrap().0,
                _ => {
                    let message = theirs.messages().next().await.unwrap().unwrap();
                    assert_eq!((message.descriptors.len(), message.is_truncated()), (1, false));
                    assert_eq!(message.length, message.data.len());
                    message.data
                }
            };
            assert_eq!(data[..], *number.to_string().as_bytes());
            sending.await.unwrap();
            readers.push(reader);
        }
        for reader in readers {
            assert_eq!(all_of(reader), "", "whoever ignored it had it closed");
        }
        assert_eq!(aem_tests::proc::descriptors(), before);
    });
}

#[test]
fn datagrams_that_wait_keep_their_descriptors() {
    on_both(async || {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let mut readers = Vec::new();
        while ours.queued() < 100 {
            let (reader, writer) = reader_and_writer();
            drop(ours.send_with_descriptors("0123456789", [writer]));
            readers.push(reader);
        }
        for reader in readers {
            let message = theirs.recv_message().await.unwrap();
            assert_eq!((message.data.len(), message.descriptors.len()), (10, 1));
            drop(message);
            assert_eq!(all_of(reader), "");
        }
    });
}

#[test]
fn a_datagram_that_is_too_large_is_told_and_ends_nothing() {
    const LARGE: usize = 700_000;
    on_both(async || {
        let (ours, theirs) = std::os::unix::net::UnixDatagram::pair().unwrap();
        let size = LARGE as libc::c_int;
        let (value, length) = ((&raw const size).cast(), size_of_val(&size) as libc::socklen_t);
        let (level, name) = (libc::SOL_SOCKET, libc::SO_SNDBUFFORCE);
        // SAFETY: the value is a live integer of this length.
        if unsafe { libc::setsockopt(ours.as_raw_fd(), level, name, value, length) } != 0 {
            return println!("skipped: only a privileged program can send a datagram so large");
        }
        let (ours, theirs) =
            (UnixDatagram::from_std(ours).unwrap(), UnixDatagram::from_std(theirs).unwrap());
        let mut datagrams = theirs.datagrams();
        for _ in 0..2 {
            ours.send(vec![7; LARGE]);
        }
        ours.send("small");
        let error = datagrams.next().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(error.to_string().contains("700000"), "{error}");
        let marked = theirs.recv_message().await.unwrap();
        assert!(marked.is_truncated());
        assert_eq!((marked.length, marked.data.len()), (LARGE, 1 << 19));
        assert_eq!(&datagrams.next().await.unwrap().unwrap().0[..], b"small");
    });
}

#[test]
fn a_receiver_without_room_for_descriptors_is_told() {
    on_both(async || {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let (reader, writer) = reader_and_writer();
        ours.send_with_descriptors("full", [writer]).await.unwrap();
        aem_tests::limits::limit_descriptors(3).unwrap();
        let message = theirs.recv_message().await.unwrap();
        aem_tests::limits::raise_descriptors().unwrap();
        assert_eq!((&message.data[..], message.descriptors.len()), (&b"full"[..], 0));
        assert!(message.descriptors_cut);
        assert_eq!(all_of(reader), "");
    });
}

#[test]
fn a_stream_ends_with_its_runtime() {
    for keeper in keepers::both() {
        let runtime = keepers::builder(keeper).build().unwrap();
        let path = Path::new();
        let (stream, listener) = runtime.block_on(async {
            let stream = UnixStream::pair().unwrap().0;
            (stream, UnixListener::bind(&path.0).unwrap())
        });
        let other = keepers::builder(keeper).build().unwrap();
        other.block_on(async {
            assert!(stream.recv().await.is_err(), "another runtime's");
            assert!(listener.incoming().next().await.unwrap().is_err());
        });
        drop(runtime);
        other.block_on(async {
            assert!(stream.recv().await.is_err(), "of one that has ended");
            assert!(listener.accept().now_or_never().unwrap().is_err());
        });
    }
    // A handler may end the listener that it serves.
    on_both(async || {
        let path = Path::new();
        let listener = UnixListener::bind(&path.0).unwrap();
        let serving = on_ok(listener.incoming(), |_| Next::Stop);
        drop(listener);
        let _client = UnixStream::connect(&path.0).await.unwrap();
        assert_eq!(serving.await.unwrap(), End::Stopped);
    });
}

#[test]
fn datagrams_keep_their_bounds_and_none_is_lost() {
    const SENT: u32 = 2_000;
    on_both(async || {
        let (path, other) = (Path::new(), Path::new());
        let server = UnixDatagram::bind(&path.0).unwrap();
        let client = UnixDatagram::bind(&other.0).unwrap();
        // Far more than the kernel keeps: the rest waits here for the peer to have room.
        let mut last = None;
        for number in 0..SENT {
            let bytes = if number % 10 == 0 { Vec::new() } else { number.to_le_bytes().to_vec() };
            last = Some(client.send_to(bytes, &path.0));
        }
        assert!(client.queued() > 0, "the kernel keeps a few hundred");
        let mut next = 0;
        let counting = on_ok(server.datagrams(), move |(datagram, peer): (Chunk, SocketAddr)| {
            assert_eq!(peer.as_pathname(), Some(&*other.0));
            match next % 10 {
                0 => assert!(datagram.is_empty(), "{next}"),
                _ => assert_eq!(datagram[..], u32::to_le_bytes(next), "in order, each once"),
            }
            next += 1;
            if next == SENT { Next::Stop } else { Next::Keep }
        });
        assert_eq!(counting.await.unwrap(), End::Stopped);
        last.unwrap().await.unwrap();
        assert_eq!(client.queued(), 0);
    });
}

#[test]
fn datagrams_of_a_pair_of_abstract_names_and_of_nobody() {
    on_both(async || {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        ours.send("pair").await.unwrap();
        let (datagram, peer) = theirs.recv_from().await.unwrap();
        assert_eq!(&datagram[..], b"pair");
        assert!(peer.is_unnamed());
        assert_eq!(ours.peer_credentials().unwrap().pid, Some(std::process::id() as i32));

        let name = format!("aem-rt datagrams {}", std::process::id());
        let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        let server = UnixDatagram::bind_addr(&address).unwrap();
        let client = UnixDatagram::unbound().unwrap();
        client.send_to_addr("abstract", &address).await.unwrap();
        assert_eq!(&server.recv().await.unwrap()[..], b"abstract");
        client.connect_addr(&address).unwrap();
        assert_eq!(client.peer_addr().unwrap().as_abstract_name(), Some(name.as_bytes()));
        client.send("connected").await.unwrap();
        assert_eq!(&server.recv().await.unwrap()[..], b"connected");
        drop(server);
        let gone = client.send("to whom?").await.unwrap_err();
        assert!(
            matches!(gone.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset),
            "{gone}"
        );

        let absent = Path::new();
        let nobody = client.send_to("x", &absent.0).await.unwrap_err();
        assert_eq!(nobody.kind(), ErrorKind::NotFound);
        let long = client.send_to("x", "y".repeat(200)).await.unwrap_err();
        assert_eq!(long.kind(), ErrorKind::InvalidInput);
        let large = ours.send(vec![0; 1 << 20]).await.unwrap_err();
        assert_eq!(large.raw_os_error(), Some(libc::EMSGSIZE));
    });
}

#[test]
fn a_cancelled_await_loses_no_datagram() {
    on_both(async || {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        for round in 0..40_u32 {
            give_up(ours.recv(), 0).await;
            theirs.send(round.to_le_bytes().to_vec()).await.unwrap();
            let mut datagrams = ours.datagrams();
            let (datagram, _) = datagrams.next().await.unwrap().unwrap();
            assert_eq!(datagram[..], round.to_le_bytes());
            drop(theirs.send("for the next one"));
            drop(datagrams);
            assert_eq!(&ours.recv().await.unwrap()[..], b"for the next one");
        }
    });
}

#[test]
fn a_datagram_socket_ends_with_its_runtime() {
    for keeper in keepers::both() {
        let runtime = keepers::builder(keeper).build().unwrap();
        let (socket, _other) = runtime.block_on(async { UnixDatagram::pair().unwrap() });
        drop(runtime);
        let other = keepers::builder(keeper).build().unwrap();
        other.block_on(async {
            assert!(socket.send("x").await.is_err());
            let mut datagrams = socket.datagrams();
            assert!(datagrams.next().await.unwrap().is_err());
            assert!(datagrams.is_terminated());
        });
    }
}
