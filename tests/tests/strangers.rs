//! What peers, networks and readers that have given up may do to sockets: each was a bug once, found by a
//! reader with fresh eyes.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use aem::net::{PacketInfo, UdpSocket, UnixDatagram, UnixListener, UnixStream};
use aem::time::{sleep, timeout};
use aem::{Chunk, spawn};
use aem_tests::keepers;
use aem_tests::watch::watched_on;
use futures::{AsyncReadExt, FutureExt, StreamExt};

const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(5);

fn on_both(test: impl AsyncFn()) {
    for keeper in keepers::both() {
        watched_on(keepers::builder(keeper).on_error(|_, _| {}), async |_| test().await);
    }
}

/// A descriptor to send along.
fn any_descriptor() -> OwnedFd {
    std::io::pipe().unwrap().0.into()
}

/// A path of its own in the folder for such, filled up to a length.
fn path(name: &str, length: usize) -> PathBuf {
    let mut path = format!("{}/aem-{name}-{}", std::env::temp_dir().display(), std::process::id());
    while path.len() < length {
        path.push('y');
    }
    let path = PathBuf::from(path);
    // It may be left from a process of the same number.
    let _ = std::fs::remove_file(&path);
    path
}

#[test]
fn bytes_behind_those_with_descriptors_are_received_too() {
    on_both(async || {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.send("x").await.unwrap();
        theirs.recv().await.unwrap();
        assert!(timeout(SHORT, theirs.recv()).await.is_err());
        for _ in 0..3 {
            // Both before the next turn, so that there is one edge for them.
            ours.send_with_descriptors("a", [any_descriptor()]).await.unwrap();
            ours.send("b").await.unwrap();
            let mut got = Vec::new();
            while got.len() < 2 {
                let chunk = timeout(LONG, theirs.recv()).await.expect("no stall");
                got.extend_from_slice(&chunk.unwrap());
            }
            assert_eq!(got, b"ab");
        }
    });
}

/// A Unix socket whose address fills its place to the last byte, which the kernel allows.
fn with_the_longest_name(kind: libc::c_int, path: &std::path::Path) -> OwnedFd {
    // SAFETY: takes integers.
    let fd = unsafe { libc::socket(libc::AF_UNIX, kind | libc::SOCK_CLOEXEC, 0) };
    assert!(fd >= 0);
    // SAFETY: it is new, and nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: zero is a value that all fields may have.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let bytes = path.as_os_str().as_encoded_bytes();
    assert_eq!(bytes.len(), address.sun_path.len());
    for (place, byte) in address.sun_path.iter_mut().zip(bytes) {
        *place = *byte as libc::c_char;
    }
    let length = size_of_val(&address) as libc::socklen_t;
    // SAFETY: the address is live and so long.
    let bound = unsafe { libc::bind(fd, (&raw const address).cast(), length) };
    assert_eq!(bound, 0, "{}", std::io::Error::last_os_error());
    socket
}

#[test]
fn a_peer_with_the_longest_name_is_a_peer_without_one() {
    on_both(async || {
        let (server, odd) = (path("longest", 0), path("odd", 108));
        let socket = UnixDatagram::bind(&server).unwrap();
        let peer = with_the_longest_name(libc::SOCK_DGRAM, &odd);
        let peer = std::os::unix::net::UnixDatagram::from(peer);
        peer.send_to(b"odd", &server).unwrap();
        let (datagram, from) = socket.datagrams().next().await.unwrap().unwrap();
        assert_eq!((&datagram[..], from.is_unnamed()), (&b"odd"[..], true));
        std::fs::remove_file(&odd).unwrap();
        std::fs::remove_file(&server).unwrap();

        let listener = UnixListener::bind(&server).unwrap();
        let peer = socket2::Socket::from(with_the_longest_name(libc::SOCK_STREAM, &odd));
        peer.connect(&socket2::SockAddr::unix(&server).unwrap()).unwrap();
        let (_stream, from) = listener.incoming().next().await.unwrap().unwrap();
        assert!(from.is_unnamed());
        std::fs::remove_file(&odd).unwrap();
        std::fs::remove_file(&server).unwrap();
    });
}

#[test]
fn a_hundred_who_wait_for_a_datagram_sleep() {
    on_both(async || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let waiting: Vec<_> = (0..100)
            .map(|_| {
                let socket = socket.clone();
                spawn(async move { socket.recv().await.map(drop) }).abort_on_drop()
            })
            .collect();
        sleep(Duration::from_millis(20)).await;
        let runs = || aem::jobs().iter().map(|job| job.runs).sum::<u64>();
        let before = runs();
        sleep(Duration::from_millis(50)).await;
        assert!(runs() - before < 20, "nobody spins");
        drop(waiting);
    });
}

#[test]
fn what_is_said_of_one_datagram_ends_no_source() {
    on_both(async || {
        let Ok(ours) = UdpSocket::bind("[::1]:0") else {
            return println!("skipped: there is no IPv6 here");
        };
        let theirs = UdpSocket::bind("[::1]:0").unwrap();
        let (own, peer) = (ours.local_addr().unwrap(), theirs.local_addr().unwrap());
        ours.connect(peer).unwrap();
        let icmp = socket2::Protocol::ICMPV6;
        let raw = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::RAW, Some(icmp));
        let Ok(raw) = raw else {
            return println!("skipped: only a privileged program can send ICMP");
        };
        // Administratively prohibited, and the datagram that this is about.
        let mut message = vec![1, 1, 0, 0, 0, 0, 0, 0];
        message.extend([0x60, 0, 0, 0, 0, 9, 17, 64]);
        message.extend([std::net::Ipv6Addr::LOCALHOST.octets(); 2].concat());
        message.extend([own.port().to_be_bytes(), peer.port().to_be_bytes()].concat());
        message.extend([0, 9, 0, 0, b'x']);
        let nobody = std::net::SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, 0));
        raw.send_to(&message, &nobody.into()).unwrap();
        theirs.send_to("good", own).await.unwrap();
        let mut datagrams = ours.datagrams();
        let error = datagrams.next().await.unwrap().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EACCES));
        assert_eq!(&datagrams.next().await.unwrap().unwrap().0[..], b"good");
    });
}

#[test]
fn empty_datagrams_that_wait_count_too() {
    on_both(async || {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        ours.set_high_water(1000);
        theirs.send("ask").await.unwrap();
        theirs.send("ask").await.unwrap();
        // As many as the kernel takes, and some that wait.
        let waits = |sent: aem::net::SendingTo| sent.now_or_never().is_none();
        while !waits(ours.send("")) {}
        for _ in 0..20 {
            ours.send("");
        }
        assert_eq!(ours.queued(), 0, "bytes");
        let answered = std::rc::Rc::new(std::cell::Cell::new(0));
        let counter = answered.clone();
        let handling = aem::on_ok(ours.datagrams(), move |_: (Chunk, _)| {
            counter.set(counter.get() + 1);
        });
        sleep(SHORT).await;
        assert_eq!(answered.get(), 0, "the handler is held back");
        let reading = spawn(async move { while theirs.recv().await.is_ok() {} }).abort_on_drop();
        while answered.get() < 2 {
            sleep(SHORT).await;
        }
        handling.stop();
        drop(reading);
    });
}

#[test]
fn who_has_given_up_costs_no_descriptors() {
    on_both(async || {
        for by_poll in [true, false] {
            let (ours, theirs) = UnixStream::pair().unwrap();
            if by_poll {
                let mut reader = theirs.clone();
                assert!(timeout(SHORT, reader.read(&mut [0; 4])).await.is_err());
            } else {
                assert!(timeout(SHORT, theirs.recv()).await.is_err());
            }
            let waiting = spawn(async move { theirs.recv_message().await });
            sleep(SHORT).await;
            ours.send_with_descriptors("m", [any_descriptor()]).await.unwrap();
            let message = timeout(LONG, waiting).await.unwrap().unwrap().unwrap();
            assert_eq!((&message.data[..], message.descriptors.len()), (&b"m"[..], 1));
        }
        // One who gives up while the other waits beside him.
        let (ours, theirs) = UnixStream::pair().unwrap();
        let reader = theirs.clone();
        let reading = spawn(async move { reader.recv().await.map(drop) });
        sleep(SHORT).await;
        let waiting = spawn(async move { theirs.recv_message().await });
        sleep(SHORT).await;
        reading.abort();
        assert!(reading.await.is_err());
        sleep(SHORT).await;
        ours.send_with_descriptors("m", [any_descriptor()]).await.unwrap();
        let message = timeout(LONG, waiting).await.unwrap().unwrap().unwrap();
        assert_eq!(message.descriptors.len(), 1);
    });
}

#[test]
fn a_live_reader_and_one_for_messages_do_not_chase_each_other() {
    on_both(async || {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut reader = theirs.clone();
        let reading = spawn(async move { reader.read(&mut [0; 4]).await }).abort_on_drop();
        let waiting = spawn(async move { theirs.recv_message().await.map(drop) }).abort_on_drop();
        sleep(SHORT).await;
        let runs = || aem::jobs().iter().map(|job| job.runs).sum::<u64>();
        let before = runs();
        sleep(Duration::from_millis(30)).await;
        assert!(runs() - before < 20, "nobody spins");
        drop((reading, waiting, ours));
    });
}

#[test]
fn a_datagram_is_sent_from_where_it_can_be() {
    on_both(async || {
        let (Ok(ours), Ok(theirs)) = (UdpSocket::bind("[::]:0"), UdpSocket::bind("[::]:0")) else {
            return println!("skipped: there is no IPv6 here");
        };
        let port = theirs.local_addr().unwrap().port();
        for from in ["::", "0.0.0.0", "::ffff:0.0.0.0"] {
            for to in ["::1", "::ffff:127.0.0.1"] {
                let via = PacketInfo { address: from.parse().unwrap(), interface: 0 };
                let to: std::net::IpAddr = to.parse().unwrap();
                ours.send_via("x", (to, port).into(), via).await.unwrap();
                assert_eq!(&theirs.recv().await.unwrap()[..], b"x", "{from} to {to}");
            }
        }
        let via = PacketInfo { address: "2001:db8::1".parse().unwrap(), interface: 0 };
        let four = UdpSocket::bind("127.0.0.1:0").unwrap();
        let refused = four.send_via("x", ([127, 0, 0, 1], port).into(), via).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
        ours.set_ttl(5).unwrap();
        assert_eq!(socket2::SockRef::from(&ours).unicast_hops_v6().unwrap(), 5);
    });
}

#[test]
fn what_is_refused_outside_of_a_runtime_leaves_nothing() {
    let _alone = aem_tests::watch::alone();
    let place = path("outside", 0);
    let bind = || drop(UnixDatagram::bind(&place));
    std::panic::catch_unwind(bind).unwrap_err();
    assert!(!place.exists());
}

#[test]
fn descriptors_that_nobody_can_have_asked_for_do_not_stay() {
    on_both(async || {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let (one, name): (libc::c_int, libc::c_int) = (1, 76);
        let (value, length) = ((&raw const one).cast(), size_of_val(&one) as libc::socklen_t);
        // SAFETY: the value is a live integer of this length. It is SO_PASSPIDFD, of Linux 6.5.
        let set =
            unsafe { libc::setsockopt(theirs.as_raw_fd(), libc::SOL_SOCKET, name, value, length) };
        if set != 0 {
            return println!("skipped: this kernel has no SO_PASSPIDFD");
        }
        let (ours, theirs) =
            (UnixStream::from_std(ours).unwrap(), UnixStream::from_std(theirs).unwrap());
        let before = aem_tests::proc::descriptors();
        for _ in 0..20 {
            ours.send("x").await.unwrap();
            drop(theirs.recv_message().await.unwrap());
        }
        assert_eq!(aem_tests::proc::descriptors(), before);
    });
}
