//! Datagrams that have to wait. A Unix socket stands for a network that is slow: it says when there is no
//! room, which the loopback hardly ever does.

use std::cell::Cell;
use std::future::poll_fn;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::rc::Rc;

use futures::FutureExt;

use crate::job::registry::JobKind;
use crate::net::UdpSocket;
use crate::runtime::{block_on, jobs, yield_now};

fn pair() -> (UdpSocket, UnixDatagram) {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let ours = std::net::UdpSocket::from(OwnedFd::from(ours));
    (UdpSocket::from_std(ours).unwrap(), theirs)
}

fn receive(socket: &UnixDatagram) -> u32 {
    let mut buffer = [0; 8];
    assert_eq!(socket.recv(&mut buffer).unwrap(), 4);
    u32::from_le_bytes(buffer[..4].try_into().unwrap())
}

fn senders() -> usize {
    jobs().iter().filter(|job| job.kind == JobKind::Task).count()
}

#[test]
fn what_waits_leaves_in_order_and_each_is_told_of() {
    block_on(async {
        let (ours, theirs) = pair();
        let mut last = None;
        let mut sent = 0;
        while ours.queued() < 400 {
            last = Some(ours.send(u32::to_le_bytes(sent).to_vec()));
            sent += 1;
        }
        let mut last = last.unwrap();
        assert!((&mut last).now_or_never().is_none(), "it waits for room");
        assert_eq!(senders(), 1, "one job for all of them");
        for expected in 0..sent {
            assert_eq!(receive(&theirs), expected);
            if expected % 7 == 0 {
                yield_now().await;
                crate::time::sleep(std::time::Duration::from_micros(1)).await;
            }
        }
        last.await.unwrap();
        assert_eq!(ours.queued(), 0);
        for _ in 0..4 {
            yield_now().await;
        }
        assert_eq!(senders(), 0, "it ends with the last");
    });
}

#[test]
fn those_who_are_held_back_are_let_go() {
    block_on(async {
        let (ours, theirs) = pair();
        ours.set_high_water(100);
        let mut sent = 0_u32;
        while ours.queued() < 200 {
            ours.send(u32::to_le_bytes(sent).to_vec());
            sent += 1;
        }
        let asked = Rc::new(Cell::new(0));
        let rooms = [ours.clone(), ours.clone()].map(|ours| {
            let asked = asked.clone();
            crate::runtime::spawn(poll_fn(move |cx| {
                asked.set(asked.get() + 1);
                ours.0.queue.poll_room(cx, &ours.0.reactor)
            }))
        });
        for _ in 0..10 {
            yield_now().await;
        }
        assert_eq!(asked.get(), 2, "each waits, and they do not wake each other");
        for expected in 0..sent {
            assert_eq!(receive(&theirs), expected);
            crate::time::sleep(std::time::Duration::from_micros(1)).await;
        }
        for room in rooms {
            room.await.unwrap();
        }
    });
}

#[test]
fn what_still_waits_at_the_end_is_told_so() {
    let runtime = crate::Runtime::new().unwrap();
    let (sending, _theirs) = runtime.block_on(async {
        let (ours, theirs) = pair();
        let mut sending = ours.send("x");
        while ours.queued() == 0 {
            sending = ours.send("x");
        }
        (sending, theirs)
    });
    drop(runtime);
    let error = block_on(sending).unwrap_err();
    assert!(error.to_string().contains("has ended"), "{error}");
}
