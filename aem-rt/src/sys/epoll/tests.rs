//! What the keeper counts on: edges of an eventfd nobody reads, and waits that are never short.

use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use super::*;
use crate::sys::child::{forked, in_child};
use crate::sys::eventfd::EventFd;

#[test]
fn every_ring_is_an_edge_though_nobody_reads() {
    let epoll = Epoll::new().unwrap();
    let bell = EventFd::new().unwrap();
    let mut events = Events::new(8);
    epoll.add(bell.as_fd().as_raw_fd(), flags::IN | flags::EDGE, 7).unwrap();
    for _ in 0..3 {
        epoll.wait(&mut events, Some(Duration::ZERO)).unwrap();
        assert_eq!(events.len(), 0);
        bell.ring();
        bell.ring();
        epoll.wait(&mut events, Some(Duration::ZERO)).unwrap();
        assert_eq!(events.len(), 1);
        assert_eq!(events.get(0).0, 7);
    }
}

#[test]
fn two_instances_hear_the_same_bell() {
    let bell = EventFd::new().unwrap();
    let pair = [Epoll::new().unwrap(), Epoll::new().unwrap()];
    for epoll in &pair {
        epoll.add(bell.as_fd().as_raw_fd(), flags::IN | flags::EDGE, 1).unwrap();
    }
    bell.ring();
    for epoll in &pair {
        let mut events = Events::new(1);
        epoll.wait(&mut events, Some(Duration::ZERO)).unwrap();
        assert_eq!(events.len(), 1);
    }
}

#[test]
fn a_forked_child_rings_nobody() {
    if !in_child("sys::epoll::tests::a_forked_child_rings_nobody") {
        return;
    }
    let (epoll, bell) = (Epoll::new().unwrap(), EventFd::new().unwrap());
    epoll.add(bell.as_fd().as_raw_fd(), flags::IN | flags::EDGE, 1).unwrap();
    forked(|| bell.ring());
    let mut events = Events::new(1);
    epoll.wait(&mut events, Some(Duration::ZERO)).unwrap();
    assert_eq!(events.len(), 0);
    bell.ring();
    epoll.wait(&mut events, Some(Duration::ZERO)).unwrap();
    assert_eq!(events.len(), 1);
}

#[test]
fn a_wait_is_never_short() {
    let epoll = Epoll::new().unwrap();
    let mut events = Events::new(1);
    for precise in [true, false] {
        epoll.precise.set(precise);
        for wait in [Duration::from_micros(150), Duration::from_micros(2_300)] {
            let start = Instant::now();
            epoll.wait(&mut events, Some(wait)).unwrap();
            assert!(start.elapsed() >= wait, "precise: {precise}");
        }
    }
}

#[test]
fn milliseconds_round_up_and_saturate() {
    assert_eq!(round_up_ms(Duration::from_nanos(1)), 1);
    assert_eq!(round_up_ms(Duration::from_millis(3)), 3);
    assert_eq!(round_up_ms(Duration::MAX), libc::c_int::MAX);
}
