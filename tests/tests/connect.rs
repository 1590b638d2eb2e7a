//! Connecting to whichever address answers first, and by name, on both keepers.

use std::cell::Cell;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use aem::net::{TcpListener, TcpStream};
use aem::{spawn, yield_now};
use aem_tests::keepers;
use aem_tests::proc::descriptors;
use aem_tests::watch::watched_on;
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

fn on_both(test: impl AsyncFn()) {
    for keeper in keepers::both() {
        watched_on(keepers::builder(keeper), async |_| test().await);
    }
}

/// A listener that answers nobody: the kernel has no room for another visitor.
struct Silent {
    address: SocketAddr,
    _listener: Socket,
    _visitors: Vec<Socket>,
}

impl Silent {
    fn new() -> Silent {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
        listener.listen(0).unwrap();
        let bound = listener.local_addr().unwrap();
        let visitors = (0..2).map(|_| {
            let visitor = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None).unwrap();
            // The first is taken in, the other one waits for ever.
            let _ = visitor.connect(&bound);
            visitor
        });
        let visitors = visitors.collect();
        Silent { address: bound.as_socket().unwrap(), _listener: listener, _visitors: visitors }
    }
}

/// An address at which nobody listens.
fn refusing() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn a_silent_address_is_passed_by_after_a_while() {
    on_both(async || {
        let silent = Silent::new();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let good = listener.local_addr().unwrap();
        let start = Instant::now();
        let stream = TcpStream::connect(&[silent.address, good][..]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
        let waited = start.elapsed();
        assert!(waited >= Duration::from_millis(250), "{waited:?}");
        assert!(waited < Duration::from_secs(5), "{waited:?}");
    });
}

#[test]
fn a_refusal_passes_on_at_once() {
    on_both(async || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let good = listener.local_addr().unwrap();
        let start = Instant::now();
        let stream = TcpStream::connect(vec![refusing(), refusing(), good]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
        assert!(start.elapsed() < Duration::from_millis(240), "{:?}", start.elapsed());
    });
}

#[test]
fn where_nobody_answers_the_error_says_who_was_asked() {
    on_both(async || {
        let (first, second) = (refusing(), refusing());
        let error = TcpStream::connect([first, second]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let text = error.to_string();
        for part in ["none of 2 addresses", &first.to_string(), &second.to_string(), "refused"] {
            assert!(text.contains(part), "{text}");
        }
        let single = TcpStream::connect(first).await.unwrap_err();
        assert_eq!(single.raw_os_error(), Some(libc::ECONNREFUSED), "as the system has it");
        let none = TcpStream::connect(Vec::new()).await.unwrap_err();
        assert_eq!(none.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn a_name_is_resolved_beside_the_other_jobs() {
    on_both(async || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let turns = Rc::new(Cell::new(0_u32));
        let counter = turns.clone();
        let busy = spawn(async move {
            loop {
                counter.set(counter.get() + 1);
                yield_now().await;
            }
        });
        // Nobody listens at the IPv6 address that the name may stand for as well.
        let stream = TcpStream::connect(("localhost", port)).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap().port(), port);
        assert!(turns.get() > 1, "the worker went on meanwhile");
        busy.abort();
        let text = format!("localhost:{port}");
        drop(TcpStream::connect(&text).await.unwrap());
        drop(TcpStream::connect(text).await.unwrap());
    });
}

#[test]
fn what_is_no_name_is_an_error_that_names_it() {
    on_both(async || {
        for text in ["localhost", "", ":80", "localhost:http"] {
            let error = TcpStream::connect(text).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
            assert!(error.to_string().contains(text), "{error}");
        }
        // A name that no machine may have (RFC 6761).
        let error = TcpStream::connect("nobody.invalid:80").await.unwrap_err();
        assert!(error.to_string().contains("nobody.invalid"), "{error}");
    });
}

#[test]
fn attempts_that_are_given_up_leave_nothing_open() {
    on_both(async || {
        let silent = Silent::new();
        let before = descriptors();
        for _ in 0..3 {
            let connecting = TcpStream::connect([silent.address, silent.address, refusing()]);
            let limit = Duration::from_millis(20);
            assert!(aem::time::timeout(limit, connecting).await.is_err());
            let resolving = TcpStream::connect("localhost:1");
            drop(aem::time::timeout(Duration::ZERO, resolving).await);
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        while descriptors() > before {
            assert!(Instant::now() < deadline, "{} descriptors, from {before}", descriptors());
            aem::time::sleep(Duration::from_millis(1)).await;
        }
    });
}

#[test]
fn a_listener_is_what_its_builder_says() {
    on_both(async || {
        let listener = TcpListener::builder()
            .receive_buffer(10_000)
            .send_buffer(20_000)
            .bind_device("lo")
            .bind("127.0.0.1:0")
            .unwrap();
        let address = listener.local_addr().unwrap();
        let _client = TcpStream::connect(address).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        for socket in [SockRef::from(&listener), SockRef::from(&server)] {
            assert_eq!(socket.recv_buffer_size().unwrap(), 20_000, "doubled by the kernel");
            assert_eq!(socket.send_buffer_size().unwrap(), 40_000);
            assert_eq!(socket.device().unwrap().as_deref(), Some(&b"lo"[..]));
        }
        let nowhere = TcpListener::builder().bind_device("aem-none").bind("127.0.0.1:0");
        let error = nowhere.unwrap_err();
        assert!(error.to_string().contains("aem-none"), "{error}");
    });
}

#[test]
fn a_socket_of_ones_own_is_connected() {
    on_both(async || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_keepalive(true).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 77], 0)).into()).unwrap();
        let stream = TcpStream::connect_socket(socket, address).await.unwrap();
        let (server, peer) = listener.accept().await.unwrap();
        assert_eq!(peer, stream.local_addr().unwrap());
        assert_eq!(peer.ip().to_string(), "127.0.0.77");
        assert!(SockRef::from(&stream).keepalive().unwrap());
        stream.send("hello").await.unwrap();
        assert_eq!(&server.recv().await.unwrap()[..], b"hello");

        let connected = std::net::TcpStream::connect(address).unwrap();
        let again = TcpStream::connect_socket(connected, address).await.unwrap_err();
        assert_eq!(again.raw_os_error(), Some(libc::EISCONN));
        let six = Socket::new(Domain::IPV6, Type::STREAM, None);
        if let Ok(six) = six {
            TcpStream::connect_socket(six, address).await.unwrap_err();
        }
        drop(listener);
        aem::time::sleep(Duration::from_millis(1)).await;
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let refused = TcpStream::connect_socket(socket, address).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    });
}
