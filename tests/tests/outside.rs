//! A source from outside: an event module that uses nothing but what is public, as `docs/sources.md` explains
//! it, with all the tests that a source should have.

#[path = "outside/links.rs"]
mod links;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::rc::Rc;
use std::time::Duration;

use aem::{End, Next, on, on_ok};
use aem_tests::watch::watched_on;
use aem_tests::{alone, keepers};
use futures::stream::FusedStream;
use futures::{FutureExt, StreamExt};

use links::{LinkChange, Links, decode};

const LIMIT: Duration = Duration::from_secs(30);

fn on_both(test: impl AsyncFn()) {
    for keeper in keepers::both() {
        watched_on(keepers::builder(keeper), async |_| test().await);
    }
}

/// A message of the kernel's about a link.
fn message(kind: u16, flags: u32, name: &str) -> Vec<u8> {
    let mut value = name.as_bytes().to_vec();
    value.push(0);
    let length = 4 + value.len();
    value.resize(length.next_multiple_of(4) - 4, 0);
    let total = 16 + 16 + 4 + value.len();
    let mut bytes = Vec::new();
    bytes.extend((total as u32).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend([0; 10]);
    bytes.extend([0; 8]);
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend((length as u16).to_ne_bytes());
    bytes.extend(libc::IFLA_IFNAME.to_ne_bytes());
    bytes.extend(value);
    bytes
}

fn up(name: &str) -> Vec<u8> {
    message(libc::RTM_NEWLINK, libc::IFF_UP as u32, name)
}

/// The source, and a kernel that the test plays.
fn played() -> (Links, UnixDatagram) {
    let (ours, kernel) = UnixDatagram::pair().unwrap();
    (Links::new(ours.into()).unwrap(), kernel)
}

#[test]
fn messages_are_decoded_and_what_is_malformed_is_an_error() {
    let mut seen = VecDeque::new();
    let both = [up("eth0"), message(libc::RTM_DELLINK, 0, "wlan0"), message(99, 0, "no link")];
    decode(&both.concat(), &mut seen).unwrap();
    assert_eq!(seen, [LinkChange::Up("eth0".into()), LinkChange::Removed("wlan0".into())]);
    let whole = up("eth0");
    for length in 1..whole.len() {
        let cut = decode(&whole[..length], &mut VecDeque::new());
        assert_eq!(cut.unwrap_err().kind(), ErrorKind::InvalidData, "{length} bytes");
    }
    let mut random = aem_tests::random::Random::new(5);
    for _ in 0..10_000 {
        let mut bytes = whole.clone();
        let place = random.below(bytes.len());
        bytes[place] = random.next_u64() as u8;
        // Whatever it says: no panic.
        let _ = decode(&bytes, &mut VecDeque::new());
    }
}

#[test]
fn it_has_a_handler_or_is_awaited() {
    on_both(async || {
        let (links, kernel) = played();
        let seen = Rc::new(RefCell::new(Vec::new()));
        let writer = seen.clone();
        let mut handler = on_ok(links, move |change| {
            writer.borrow_mut().push(change);
            if writer.borrow().len() == 2 { Next::Stop } else { Next::Keep }
        });
        kernel.send(&[up("a"), message(libc::RTM_NEWLINK, 0, "b"), up("c")].concat()).unwrap();
        assert_eq!((&mut handler).await.unwrap(), End::Stopped);
        assert_eq!(*seen.borrow(), [LinkChange::Up("a".into()), LinkChange::Down("b".into())]);
        // What the handler did not take is there for who awaits.
        let mut links = handler.reclaim().unwrap();
        assert_eq!(links.next().await.unwrap().unwrap(), LinkChange::Up("c".into()));
    });
}

#[test]
fn a_cancelled_await_loses_no_event() {
    on_both(async || {
        let (mut links, kernel) = played();
        for number in 0..30 {
            assert!(links.next().now_or_never().is_none());
            kernel.send(&up(&number.to_string())).unwrap();
            let change = links.next().await.unwrap().unwrap();
            assert_eq!(change, LinkChange::Up(number.to_string()));
        }
    });
}

#[test]
fn an_error_ends_it_after_what_came_before() {
    on_both(async || {
        let (mut links, kernel) = played();
        kernel.send(&up("fine")).unwrap();
        kernel.send(b"nonsense").unwrap();
        kernel.send(&up("too late")).unwrap();
        assert_eq!(links.next().await.unwrap().unwrap(), LinkChange::Up("fine".into()));
        assert_eq!(links.next().await.unwrap().unwrap_err().kind(), ErrorKind::InvalidData);
        assert!(links.next().await.is_none() && links.is_terminated());
    });
}

#[test]
fn it_ends_with_its_runtime() {
    for keeper in keepers::both() {
        let runtime = keepers::builder(keeper).build().unwrap();
        let (mut links, kernel) = runtime.block_on(async { played() });
        drop(runtime);
        aem::block_on(async {
            assert!(links.next().await.unwrap().is_err());
            assert!(links.next().await.is_none());
        });
        drop(kernel);
    }
}

// The second version counts what it sees: another handler, another source, the same events.
#[test]
fn it_is_replaced_by_its_next_version_while_events_come() {
    const EVENTS: u32 = 1_000;
    on_both(async || {
        let (links, kernel) = played();
        let sending = std::thread::spawn(move || {
            for number in 0..EVENTS {
                // Two in each datagram, so that one is always taken and not given.
                let two = [up(&(2 * number).to_string()), up(&(2 * number + 1).to_string())];
                kernel.send(&two.concat()).unwrap();
            }
        });
        let seen = Rc::new(RefCell::new(Vec::new()));
        let version = |version: u32| {
            let writer = seen.clone();
            move |change: std::io::Result<LinkChange>| {
                let Ok(LinkChange::Up(name)) = change else { panic!("{change:?}") };
                writer.borrow_mut().push((version, name.parse::<u32>().unwrap()));
            }
        };
        let mut registration = on(links, version(0));
        let mut versions = 1;
        while seen.borrow().len() < 2 * EVENTS as usize {
            aem::time::sleep(Duration::from_micros(200)).await;
            if versions % 2 == 1 {
                // Another handler for the same source.
                registration.replace(version(versions));
            } else {
                // Another source in its place, which takes over what the old one held.
                let (socket, pending) = registration.reclaim().unwrap().into_parts();
                registration = on(Links::resume(socket, pending).unwrap(), version(versions));
            }
            versions += 1;
        }
        sending.join().unwrap();
        let numbers: Vec<u32> = seen.borrow().iter().map(|(_, number)| *number).collect();
        assert_eq!(numbers, (0..2 * EVENTS).collect::<Vec<_>>(), "each once, in order");
        let last = seen.borrow().last().unwrap().0;
        assert!(last > 0, "{versions} versions, and the last to see one was {last}");
        registration.stop();
    });
}

/// A socket that hears of links, in this network namespace.
fn netlink() -> OwnedFd {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: takes integers.
    let number = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) };
    assert!(number >= 0);
    // SAFETY: new, and nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(number) };
    // SAFETY: all zeros is a valid value of this plain C structure.
    let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
    address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
    address.nl_groups = libc::RTMGRP_LINK as u32;
    let length = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
    let pointer = (&raw const address).cast();
    // SAFETY: `address` is a live local of this length.
    assert_eq!(unsafe { libc::bind(number, pointer, length) }, 0);
    socket
}

/// Takes the loopback of this network namespace up or down.
fn set_loopback(up: bool) {
    let socket = UnixDatagram::unbound().unwrap();
    // SAFETY: all zeros is a valid value of this plain C structure.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = if up { libc::IFF_UP as i16 } else { 0 };
    let (number, call) = (socket.as_raw_fd(), libc::SIOCSIFFLAGS);
    // SAFETY: `request` is a live local of the kind that this call takes.
    let set = unsafe { libc::ioctl(number, call, &raw const request) };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn the_kernel_itself_is_heard() {
    let wrapper = ["unshare", "--user", "--map-root-user", "--net", "--"];
    alone::run_under("the_kernel_itself_is_heard", LIMIT, &wrapper, || {
        on_both(async || {
            let mut links = Links::new(netlink()).unwrap();
            for is_up in [true, false] {
                set_loopback(is_up);
                let expected = if is_up { LinkChange::Up } else { LinkChange::Down };
                let change = aem::time::timeout(LIMIT, links.next()).await.unwrap();
                assert_eq!(change.unwrap().unwrap(), expected("lo".into()));
            }
        });
    });
}
