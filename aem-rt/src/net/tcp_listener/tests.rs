//! Listeners over loopback, looked at from inside.

use std::io::ErrorKind;
use std::net::Shutdown;
use std::time::Duration;

use futures::future::{join, join_all};
use futures::stream::FusedStream;
use futures::{FutureExt, StreamExt};

use super::*;
use crate::runtime::block_on;
use crate::time::{sleep, timeout};

#[test]
fn connections_are_accepted() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_ne!(address.port(), 0);
        for _ in 0..10 {
            let (ours, accepted) = join(TcpStream::connect(address), listener.accept()).await;
            let (ours, (theirs, peer)) = (ours.unwrap(), accepted.unwrap());
            assert_eq!(ours.local_addr().unwrap(), peer);
            assert_eq!(theirs.peer_addr().unwrap(), peer);
        }
    });
}

/// An `accept` that was dropped while it waited takes no connection with it (KEPT).
#[test]
fn dropped_accept_loses_no_connection() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut clients = Vec::new();
        for _ in 0..30 {
            assert!(listener.accept().now_or_never().is_none_or(|accepted| accepted.is_ok()));
            clients.push(TcpStream::connect(address).await.unwrap());
            let taken = listener.accept().now_or_never();
            if taken.is_none() {
                timeout(Duration::from_secs(5), listener.accept()).await.unwrap().unwrap();
            }
        }
    });
}

#[test]
fn those_who_wait_share_the_connections() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (first, second) = (listener.incoming(), listener.incoming());
        drop(listener);
        let taking = join(first.take(3).collect::<Vec<_>>(), second.take(4).collect::<Vec<_>>());
        let connecting = join_all((0..7).map(|_| TcpStream::connect(address)));
        let ((first, second), clients) = join(taking, connecting).await;
        let peers: Vec<_> =
            first.into_iter().chain(second).map(|accepted| accepted.unwrap().1).collect();
        assert!(
            clients
                .iter()
                .all(|stream| { peers.contains(&stream.as_ref().unwrap().local_addr().unwrap()) })
        );
    });
}

#[test]
fn connections_nobody_takes_are_bounded_and_not_lost() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert!(listener.accept().now_or_never().is_none());
        let mut clients = Vec::new();
        // What has come when the limit is reached may all be here, but no more follows.
        for _ in 0..3 {
            clients.extend((0..100).map(|_| std::net::TcpStream::connect(address).unwrap()));
            sleep(Duration::from_millis(10)).await;
        }
        let arrived = listener.0.arrived_len();
        assert!((1..=128).contains(&arrived), "{arrived} connections wait here");
        for _ in &clients {
            timeout(Duration::from_secs(5), listener.accept()).await.unwrap().unwrap();
        }
        assert!(listener.accept().now_or_never().is_none());
    });
}

#[test]
fn listener_that_is_shut_down_fails_and_its_source_ends() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut incoming = listener.incoming();
        assert!(incoming.next().now_or_never().is_none());
        socket2::SockRef::from(&listener).shutdown(Shutdown::Both).unwrap();
        let error = timeout(Duration::from_secs(5), incoming.next()).await.unwrap().unwrap();
        assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidInput);
        assert!(incoming.next().await.is_none() && incoming.is_terminated());
        assert!(timeout(Duration::from_secs(5), listener.accept()).await.unwrap().is_err());
    });
}

#[test]
fn address_in_use_and_bad_addresses_are_errors() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = listener.local_addr().unwrap();
        let error = TcpListener::bind(taken).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(TcpListener::bind("not an address").is_err());
        let none: &[SocketAddr] = &[];
        assert_eq!(TcpListener::bind(none).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(TcpStream::connect(none).await.unwrap_err().kind(), ErrorKind::InvalidInput);
        drop(listener);
        sleep(Duration::from_millis(2)).await;
        let refused = TcpStream::connect(taken).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
#[should_panic(expected = "runtime")]
fn bind_outside_of_a_runtime_says_how_to_enter_one() {
    let _ = TcpListener::bind("127.0.0.1:0");
}

#[test]
fn one_socket_has_one_listener() {
    block_on(async {
        let first = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let second = first.try_clone().unwrap();
        let _first = TcpListener::from_std(first).unwrap();
        // A duplicate has a number of its own, which may be watched as well.
        let _second = TcpListener::from_std(second).unwrap();
    });
}
