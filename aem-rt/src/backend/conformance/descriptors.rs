//! Descriptors: when they close, and who may be registered.

use std::os::fd::{AsRawFd, OwnedFd};

use super::*;

// LENT: what an op needs stays until its last completion, whatever its user dropped.
pub(super) fn a_descriptor_stays_open_until_its_last_op_is_over(rig: &mut Rig) {
    for attach in BOTH {
        let (socket, mut peer) = rig.pair(attach);
        let token = rig.receive(&socket);
        drop(socket);
        rig.nothing_comes();
        assert!(!peer.sees_us_closed());
        peer.writes(b"x");
        let done = rig.collect(|done| !done.is_empty());
        assert_eq!(bytes_of(&done), b"x");
        rig.backend.cancel(token);
        rig.only();
        rig.nothing_comes();
        assert!(peer.sees_us_closed(), "closed with its last op");
        assert_eq!((rig.backend.descriptors(), rig.backend.take_closed()), (0, 1));
    }
}

pub(super) fn a_dropped_descriptor_is_closed_by_the_next_wait(rig: &mut Rig) {
    for attach in BOTH {
        let (socket, mut peer) = rig.pair(attach);
        assert_eq!(rig.backend.descriptors(), 1);
        drop(socket);
        assert!(!peer.sees_us_closed(), "the drop may happen anywhere, and only notes it");
        // It does not sleep: somebody may wait for the number to be free.
        assert!(rig.turn(None).is_empty());
        assert!(peer.sees_us_closed());
        assert_eq!((rig.backend.descriptors(), rig.backend.take_closed()), (0, 1));
        assert_eq!(rig.backend.take_closed(), 0);
    }
}

pub(super) fn after_the_end_a_dropped_descriptor_closes_at_once(rig: &mut Rig) {
    let (dropped, mut before) = rig.pair(Attach::Now);
    let (socket, mut peer) = rig.pair(Attach::Now);
    drop(dropped);
    rig.backend.shut();
    assert!(before.sees_us_closed() && !peer.sees_us_closed());
    drop(socket);
    assert!(peer.sees_us_closed());
}

pub(super) fn what_is_registered_already_is_refused(rig: &mut Rig) {
    let (ours, _peer) = UnixStream::pair().unwrap();
    let first = rig.backend.adopt_borrowed(ours.as_fd()).unwrap();
    let error = rig.backend.adopt_borrowed(ours.as_fd()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    drop(first);
    let again = rig.backend.adopt_borrowed(ours.as_fd()).unwrap();
    again.release();
    rig.backend.adopt_borrowed(ours.as_fd()).unwrap();
    drop(again);
    rig.nothing_comes();
    assert_eq!(rig.backend.descriptors(), 0, "refused and dropped ones leave nothing");
}

pub(super) fn a_reused_number_is_not_taken_out_by_its_former_bearer(rig: &mut Rig) {
    if !rig.alone() {
        return;
    }
    let (first, _peer) = UnixStream::pair().unwrap();
    let (second, mut peer) = UnixStream::pair().unwrap();
    let number = first.as_raw_fd();
    let former = rig.backend.adopt_borrowed(first.as_fd()).unwrap();
    drop(first);
    let socket = OwnedFd::from(second).try_clone().unwrap();
    assert_eq!(socket.as_raw_fd(), number, "the lowest number that is free");
    let socket = rig.backend.adopt(socket, Attach::Now).unwrap();
    drop(former);
    rig.receive(&socket);
    rig.nothing_comes();
    peer.write_all(b"heard").unwrap();
    assert_eq!(bytes_of(&rig.collect(|done| !done.is_empty())), b"heard");
}
