//! What a reactor refuses in a forked child, and what it lets go there at once.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::{Rc, Weak};
use std::time::Duration;

use super::*;
use crate::backend::{Attach, Config, Descriptor, Op};
use crate::payload::SendQueue;
use crate::reactor::{Completion, Sink, Wait, Wakes};
use crate::sys::child::{forked, in_child};

/// A sink that counts what it gets.
#[derive(Default)]
struct Count(std::cell::Cell<usize>);

impl Sink for Count {
    fn complete(self: Rc<Self>, _: Completion, _: &mut Wakes) {
        self.0.set(self.0.get() + 1);
    }
}

/// A reactor with a socket, from which it receives into the sink.
fn receiving() -> (Rc<Reactor>, Rc<Descriptor>, UnixStream, Rc<Count>, Token) {
    let config = Config { pool_bytes: 1 << 18, timer_slack: Duration::ZERO, ..Config::default() };
    let reactor = Reactor::new(&config).unwrap();
    let (ours, peer) = UnixStream::pair().unwrap();
    let socket = reactor.adopt(ours.into(), Attach::Now).unwrap();
    let count = Rc::<Count>::default();
    let sink: Weak<dyn Sink> = Rc::downgrade(&count) as Weak<dyn Sink>;
    let token = reactor.submit(Op::Receive { socket: Rc::clone(&socket) }, sink).unwrap();
    reactor.turn(Wait::Poll).unwrap();
    (reactor, socket, peer, count, token)
}

/// Runs what must be refused.
#[track_caller]
fn refused<T>(act: impl FnOnce() -> T) {
    let panic = catch_unwind(AssertUnwindSafe(|| drop(act()))).expect_err("refused");
    assert_eq!(panic.downcast_ref::<String>().map(String::as_str), Some(FORKED));
}

fn queue() -> SendQueue {
    let mut queue = SendQueue::default();
    queue.push(b"never");
    queue
}

#[test]
fn all_that_asks_the_kernel_is_refused_in_a_forked_child() {
    let name = "all_that_asks_the_kernel_is_refused_in_a_forked_child";
    if !in_child(&format!("reactor::process::tests::{name}")) {
        return;
    }
    let (reactor, socket, mut peer, count, _) = receiving();
    let (near, far) = UnixStream::pair().unwrap();
    forked(|| {
        let sink: Weak<dyn Sink> = Weak::<Count>::new();
        refused(|| reactor.turn(Wait::Poll));
        refused(|| reactor.submit(Op::Changes { descriptor: Rc::clone(&socket) }, sink));
        refused(|| reactor.send_now(&socket, &mut queue()));
        refused(|| reactor.adopt_borrowed(far.as_fd()));
        refused(|| reactor.adopt(near.try_clone().unwrap().into(), Attach::OnFirstUse));
        assert!(reactor.check_process().is_err());
        // Once it has ended it says that, as everywhere.
        reactor.close(Duration::MAX);
        assert!(reactor.adopt(near.try_clone().unwrap().into(), Attach::Now).is_err());
    });
    peer.write_all(b"news").unwrap();
    reactor.turn(Wait::Sleep).unwrap();
    assert_eq!(count.0.get(), 1);
}

#[test]
fn a_forked_child_lets_go_of_an_op_at_once() {
    if !in_child("reactor::process::tests::a_forked_child_lets_go_of_an_op_at_once") {
        return;
    }
    let (reactor, socket, mut peer, count, token) = receiving();
    let sink: Weak<dyn Sink> = Weak::<Count>::new();
    let op = Op::Send { socket: Rc::clone(&socket), queue: Box::new(queue()) };
    let sending = reactor.submit(op, sink).unwrap();
    assert_eq!(Rc::strong_count(&socket), 3);
    forked(|| {
        reactor.cancel(token);
        reactor.cancel(token);
        assert_eq!(Rc::strong_count(&socket), 2);
        reactor.finish_sending(Rc::clone(&socket), Some(sending), queue());
        assert_eq!(Rc::strong_count(&socket), 1);
        assert_eq!(reactor.operations_and_descriptors().0, 0);
    });
    forked(|| {
        reactor.close(Duration::MAX);
        assert_eq!(Rc::strong_count(&socket), 1);
        reactor.cancel(token);
    });
    peer.write_all(b"news").unwrap();
    reactor.turn(Wait::Sleep).unwrap();
    assert_eq!(count.0.get(), 1);
    let mut bytes = [0; 8];
    let length = peer.read(&mut bytes).unwrap();
    assert_eq!(&bytes[..length], b"never", "sent once, by the parent");
}
