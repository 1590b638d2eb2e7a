//! UDP sockets, on both keepers: each promise of `UdpSocket` and `Datagrams`.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use aem::net::{Ecn, PacketInfo, UdpSocket};
use aem::{Chunk, End, Next, on, on_ok, spawn};
use aem_tests::keepers;
use aem_tests::scale::scaled_count;
use aem_tests::watch::watched_on;
use futures::stream::FusedStream;
use futures::{FutureExt, StreamExt};

fn on_both(test: impl AsyncFn()) {
    for keeper in keepers::both() {
        watched_on(keepers::builder(keeper).on_error(|_, _| {}), async |_| test().await);
    }
}

fn local() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}

/// Two sockets that speak with each other only.
fn pair() -> (UdpSocket, UdpSocket) {
    let (one, other) = (local(), local());
    one.connect(other.local_addr().unwrap()).unwrap();
    other.connect(one.local_addr().unwrap()).unwrap();
    (one, other)
}

#[test]
fn an_awaited_datagram_comes_whole_with_its_sender() {
    on_both(async || {
        let (server, client) = (local(), local());
        let address = server.local_addr().unwrap();
        for size in [1, 1_000, 20_000, 65_507] {
            let bytes: Vec<u8> = (0..size).map(|place| (place % 251) as u8).collect();
            client.send_to(bytes.clone(), address).await.unwrap();
            let (datagram, peer) = server.recv_from().await.unwrap();
            assert_eq!(peer, client.local_addr().unwrap());
            assert!(datagram[..] == bytes[..], "{size} bytes");
            server.send_to(datagram, peer);
            assert!(client.recv_from().await.unwrap().0[..] == bytes[..]);
        }
    });
}

#[test]
fn an_empty_datagram_is_an_event() {
    on_both(async || {
        let (ours, theirs) = pair();
        let seen = Rc::new(RefCell::new(Vec::new()));
        let writer = seen.clone();
        let handling = on_ok(ours.datagrams().take(3), move |(datagram, _peer): (Chunk, _)| {
            writer.borrow_mut().push(datagram.len());
        });
        for text in ["", "x", ""] {
            theirs.send(text).await.unwrap();
        }
        assert_eq!(handling.await.unwrap(), End::Exhausted);
        assert_eq!(*seen.borrow(), [0, 1, 0]);
    });
}

#[test]
fn a_handler_answers_many_peers() {
    const PEERS: usize = 20;
    on_both(async || {
        let server = local();
        let address = server.local_addr().unwrap();
        let reply = server.clone();
        let echo = on_ok(server.datagrams(), move |(mut datagram, peer): (Chunk, SocketAddr)| {
            datagram.make_ascii_uppercase();
            drop(reply.send_to(datagram, peer));
        });
        drop(server);
        let peers: Vec<_> = (0..PEERS)
            .map(|number| {
                spawn(async move {
                    let socket = local();
                    for round in 0..20 {
                        let text = format!("peer {number}, round {round}");
                        socket.send_to(text.clone(), address).await?;
                        let (answer, from) = socket.recv_from().await?;
                        assert_eq!((&answer[..], from), (text.to_uppercase().as_bytes(), address));
                    }
                    std::io::Result::Ok(())
                })
            })
            .collect();
        for peer in peers {
            peer.await.unwrap().unwrap();
        }
        echo.stop();
    });
}

#[test]
fn a_cancelled_await_loses_no_datagram() {
    on_both(async || {
        let (ours, theirs) = pair();
        for round in 0..60_u32 {
            {
                let mut waiting = pin!(ours.recv());
                let poll = poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx))).await;
                assert!(poll.is_pending());
                if round % 3 == 0 {
                    theirs.send(round.to_le_bytes().to_vec()).await.unwrap();
                    aem::time::sleep(Duration::from_micros(200)).await;
                }
            }
            if round % 3 != 0 {
                theirs.send(round.to_le_bytes().to_vec()).await.unwrap();
            }
            assert_eq!(ours.recv().await.unwrap()[..], round.to_le_bytes());
        }
    });
}

#[test]
fn an_error_of_one_peer_ends_nothing() {
    on_both(async || {
        let ours = local();
        let gone = local().local_addr().unwrap();
        aem::time::sleep(Duration::from_millis(1)).await;
        ours.connect(gone).unwrap();
        let mut datagrams = ours.datagrams();
        ours.send("anybody there?").await.unwrap();
        let refused = datagrams.next().await.unwrap().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        assert!(!datagrams.is_terminated());
        let there = std::net::UdpSocket::bind(gone).unwrap();
        there.send_to(b"now there is", ours.local_addr().unwrap()).unwrap();
        assert_eq!(&datagrams.next().await.unwrap().unwrap().0[..], b"now there is");
    });
}

#[test]
fn each_send_has_its_own_error() {
    on_both(async || {
        let (ours, theirs) = pair();
        let large = ours.send(vec![0; 65_508]);
        let small = ours.send("small");
        assert_eq!(large.await.unwrap_err().raw_os_error(), Some(libc::EMSGSIZE));
        small.await.unwrap();
        assert_eq!(&theirs.recv().await.unwrap()[..], b"small");
        let unconnected = local().send("to whom?").await.unwrap_err();
        assert_eq!(unconnected.raw_os_error(), Some(libc::EDESTADDRREQ));
        let broadcast = SocketAddr::from(([255, 255, 255, 255], 9));
        let refused = local().send_to("all", broadcast).await.unwrap_err();
        assert!(
            matches!(refused.raw_os_error(), Some(libc::EACCES | libc::ENETUNREACH)),
            "{refused}"
        );
        assert!(UdpSocket::bind(ours.local_addr().unwrap()).is_err(), "the port is taken");
        assert_eq!(local().peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
    });
}

#[test]
fn a_datagram_larger_than_all_the_room_there_is_fails_and_blocks_nobody() {
    on_both(async || {
        let (ours, theirs) = pair();
        socket2::SockRef::from(&ours).set_send_buffer_size(1).unwrap();
        let large = ours.send(vec![7; 60_000]);
        let small = ours.send("small");
        let outcome = aem::time::timeout(Duration::from_secs(10), large).await.expect("in time");
        small.await.unwrap();
        loop {
            let datagram = theirs.recv().await.unwrap();
            if datagram.len() == 5 {
                break;
            }
            assert!(outcome.is_ok(), "a datagram that failed has come");
        }
    });
}

#[test]
fn ipv6_and_groups() {
    on_both(async || {
        let Ok(ours) = UdpSocket::bind("[::1]:0") else {
            return println!("skipped: there is no IPv6 here");
        };
        let address = ours.local_addr().unwrap();
        let theirs = UdpSocket::bind("[::1]:0").unwrap();
        theirs.send_to("six", address).await.unwrap();
        let (datagram, peer) = ours.recv_from().await.unwrap();
        assert_eq!((&datagram[..], peer), (&b"six"[..], theirs.local_addr().unwrap()));

        let group = Ipv4Addr::new(239, 255, 77, 7);
        let listener = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        listener.join_multicast_v4(group, Ipv4Addr::LOCALHOST).unwrap();
        assert!(listener.join_multicast_v4(group, Ipv4Addr::LOCALHOST).is_err(), "twice");
        let speaker = local();
        socket2::SockRef::from(&speaker).set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
        speaker.set_multicast_loop(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        speaker.send_to("all of you", (group, port).into()).await.unwrap();
        assert_eq!(&listener.recv_from().await.unwrap().0[..], b"all of you");
        listener.leave_multicast_v4(group, Ipv4Addr::LOCALHOST).unwrap();
        let no_group = ours.join_multicast_v6(Ipv6Addr::LOCALHOST, 0).unwrap_err();
        assert_eq!(no_group.raw_os_error(), Some(libc::EINVAL));
    });
}

#[test]
fn clones_share_a_socket_and_the_last_one_closes_it() {
    on_both(async || {
        let socket = local();
        let address = socket.local_addr().unwrap();
        let mut datagrams = socket.datagrams();
        drop(socket);
        local().send_to("still open", address).await.unwrap();
        assert_eq!(&datagrams.next().await.unwrap().unwrap().0[..], b"still open");
        drop(datagrams);
        assert!(UdpSocket::bind(address).is_ok(), "at once, as no op of the kernel holds it");
    });
}

#[test]
fn a_handler_may_stop_and_the_rest_is_kept() {
    on_both(async || {
        let (ours, theirs) = pair();
        for number in 0..5_u8 {
            theirs.send(vec![number]).await.unwrap();
        }
        let mut registration = on(ours.datagrams(), |datagram| {
            if datagram.is_ok_and(|(datagram, _)| datagram[0] == 2) {
                Next::Stop
            } else {
                Next::Keep
            }
        });
        (&mut registration).await.unwrap();
        let rest = registration.reclaim().unwrap().take(2);
        let rest: Vec<u8> = rest.map(|datagram| datagram.unwrap().0[0]).collect().await;
        assert_eq!(rest, [3, 4]);
    });
}

#[test]
fn a_socket_ends_with_its_runtime() {
    for keeper in keepers::both() {
        let runtime = keepers::builder(keeper).build().unwrap();
        let socket = runtime.block_on(async { local() });
        let address = socket.local_addr().unwrap();
        let other = keepers::builder(keeper).build().unwrap();
        other.block_on(async {
            assert!(socket.recv_from().await.is_err(), "another runtime's");
            assert!(socket.send_to("x", address).await.is_err());
        });
        drop(runtime);
        other.block_on(async {
            let mut datagrams = socket.datagrams();
            assert!(datagrams.next().now_or_never().unwrap().unwrap().is_err());
            assert!(datagrams.is_terminated());
        });
    }
}

/// A sender of trains: the kernel cuts what it sends into datagrams of this length, if they need not be.
fn train(length: libc::c_int, to: &UdpSocket) -> std::net::UdpSocket {
    let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.connect(to.local_addr().unwrap()).unwrap();
    let (value, size) = ((&raw const length).cast(), size_of_val(&length) as libc::socklen_t);
    let (level, name) = (libc::SOL_UDP, libc::UDP_SEGMENT);
    // SAFETY: the value is a live integer of this size.
    let set = unsafe { libc::setsockopt(sender.as_raw_fd(), level, name, value, size) };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
    sender
}

#[test]
fn a_train_is_as_many_datagrams_as_it_has() {
    on_both(async || {
        for gro in [true, false] {
            let ours = local();
            ours.set_gro(gro).unwrap();
            let theirs = train(10, &ours);
            let mut datagrams = ours.datagrams();
            for round in 0..20_u8 {
                // 0 to 9, 10 to 19, and 20 to 24.
                let bytes: Vec<u8> = (0..25).map(|place| place + round).collect();
                theirs.send(&bytes).unwrap();
                let first = ours.recv_from().await.unwrap();
                assert_eq!((&first.0[..], first.1), (&bytes[..10], theirs.local_addr().unwrap()));
                let second = datagrams.next().await.unwrap().unwrap().0;
                assert_eq!(second[..], bytes[10..20]);
                let third = ours.recv_message().await.unwrap();
                assert_eq!(third.data[..], bytes[20..]);
                assert!(ours.recv().now_or_never().is_none(), "that was all");
            }
        }
    });
}

#[test]
fn all_who_wait_get_their_part_of_a_train() {
    on_both(async || {
        let ours = local();
        let theirs = train(1, &ours);
        let waiting: Vec<_> = (0..5)
            .map(|_| {
                let ours = ours.clone();
                spawn(async move { ours.recv().await.unwrap()[0] })
            })
            .collect();
        aem::time::sleep(Duration::from_millis(2)).await;
        // It goes to one who asks, before any of those who wait is told that there is something.
        theirs.send(b"012345").unwrap();
        let mut got = vec![ours.recv().await.unwrap()[0]];
        for one in waiting {
            got.push(one.await.unwrap());
        }
        got.sort_unstable();
        assert_eq!(got, *b"012345");
    });
}

#[test]
fn a_server_answers_from_where_it_was_asked() {
    on_both(async || {
        let server = UdpSocket::bind("0.0.0.0:0").unwrap();
        let port = server.local_addr().unwrap().port();
        let client = local();
        client.send_to("first", ([127, 0, 0, 9], port).into()).await.unwrap();
        assert_eq!(server.recv_message().await.unwrap().packet_info, None, "nobody asked");
        server.set_recv_packet_info(true).unwrap();
        for host in [2, 77] {
            client.send_to("hello", ([127, 0, 0, host], port).into()).await.unwrap();
            let asked = server.recv_message().await.unwrap();
            let info = asked.packet_info.unwrap();
            assert_eq!(info.address, Ipv4Addr::new(127, 0, 0, host));
            assert_ne!(info.interface, 0);
            server.send_via("yes", asked.from, info).await.unwrap();
            let (answer, from) = client.recv_from().await.unwrap();
            assert_eq!((&answer[..], from.ip()), (&b"yes"[..], info.address));
        }
        let not_ours = PacketInfo { address: Ipv4Addr::new(192, 0, 2, 1).into(), interface: 0 };
        let refused = server.send_via("no", client.local_addr().unwrap(), not_ours).await;
        assert!(refused.is_err());
        let anything = PacketInfo { address: Ipv4Addr::UNSPECIFIED.into(), interface: 0 };
        server.send_via("as you like", client.local_addr().unwrap(), anything).await.unwrap();
        assert_eq!(&client.recv().await.unwrap()[..], b"as you like");
    });
}

#[test]
fn a_socket_of_both_families_tells_and_answers() {
    on_both(async || {
        let Ok(server) = UdpSocket::bind("[::]:0") else {
            return println!("skipped: there is no IPv6 here");
        };
        server.set_recv_packet_info(true).unwrap();
        server.set_recv_ecn(true).unwrap();
        let port = server.local_addr().unwrap().port();
        for (client, server_at) in [("[::1]:0", "::1"), ("127.0.0.1:0", "127.0.0.5")] {
            let client = UdpSocket::bind(client).unwrap();
            client.set_ecn(Ecn::Ect1).unwrap();
            let to: std::net::IpAddr = server_at.parse().unwrap();
            client.send_to("hello", (to, port).into()).await.unwrap();
            let asked = server.recv_message().await.unwrap();
            assert_eq!(asked.ecn, Some(Ecn::Ect1));
            let info = asked.packet_info.unwrap();
            assert_eq!(info.address.to_canonical(), to);
            server.send_via("yes", asked.from, info).await.unwrap();
            assert_eq!(client.recv_from().await.unwrap().1.ip(), to);
        }
    });
}

#[test]
fn congestion_is_told_where_it_is_asked_for() {
    on_both(async || {
        let (ours, theirs) = pair();
        theirs.send("x").await.unwrap();
        assert_eq!(ours.recv_message().await.unwrap().ecn, None);
        ours.set_recv_ecn(true).unwrap();
        // The rest of the class is another's business.
        socket2::SockRef::from(&theirs).set_tos_v4(0x28).unwrap();
        for ecn in [Ecn::Ect0, Ecn::Ect1, Ecn::CongestionExperienced, Ecn::NotCapable] {
            theirs.set_ecn(ecn).unwrap();
            theirs.send("x").await.unwrap();
            assert_eq!(ours.recv_message().await.unwrap().ecn, Some(ecn));
        }
        assert_eq!(socket2::SockRef::from(&theirs).tos_v4().unwrap(), 0x28);
        ours.set_recv_ecn(false).unwrap();
        theirs.send("x").await.unwrap();
        assert_eq!(ours.recv_message().await.unwrap().ecn, None);
    });
}

#[test]
fn of_a_million_datagrams_none_is_lost_but_those_that_the_kernel_counted() {
    let many = scaled_count(1_000_000, 20_000) as u64;
    on_both(async || {
        let server = local();
        let address = server.local_addr().unwrap();
        let received = Rc::new(Cell::new(0_u64));
        let last = Rc::new(Cell::new(None));
        let (counter, latest) = (received.clone(), last.clone());
        let source = server.datagrams();
        let counting = on_ok(source, move |(datagram, _): (Chunk, SocketAddr)| {
            let number = u64::from_le_bytes(datagram[..].try_into().unwrap());
            assert!(latest.replace(Some(number)) < Some(number), "in order, each once");
            counter.set(counter.get() + 1);
        });
        let sending = std::thread::spawn(move || {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            for number in 0..many {
                socket.send_to(&number.to_le_bytes(), address).unwrap();
            }
        });
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while received.get() + u64::from(server.dropped().unwrap()) < many {
            assert!(std::time::Instant::now() < deadline, "{} of {many}", received.get());
            aem::time::sleep(Duration::from_millis(5)).await;
        }
        sending.join().unwrap();
        assert_eq!(received.get() + u64::from(server.dropped().unwrap()), many);
        assert!(received.get() > 0);
        counting.stop();
    });
}
