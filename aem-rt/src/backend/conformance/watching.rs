//! Polls and watches: what a descriptor is like, and when that changes.

use std::fs::File;

use super::*;
use crate::sys::eventfd::EventFd;

pub(super) fn a_poll_is_level_to_its_user(rig: &mut Rig) {
    let (ours, mut peer) = UnixStream::pair().unwrap();
    let descriptor = rig.backend.adopt_borrowed(ours.as_fd()).unwrap();
    rig.nothing_comes();
    peer.write_all(b"ready").unwrap();
    // Whatever the keeper hears of it is over before anybody asks, and nobody reads.
    rig.nothing_comes();
    for _ in 0..3 {
        let token = rig.poll(&descriptor, Interest::READABLE | Interest::WRITABLE);
        let last = rig.only();
        let Completion { token: of, answer: Answer::Ready(ready), more: false } = last else {
            panic!("{last:?}")
        };
        assert_eq!(of, token);
        assert_eq!(ready, Interest::READABLE | Interest::WRITABLE);
    }
    assert_eq!((&ours).read(&mut [0; 16]).unwrap(), 5);
    let tokens = [0, 1].map(|_| rig.poll(&descriptor, Interest::READABLE));
    let writable = rig.poll(&descriptor, Interest::WRITABLE);
    assert_eq!(rig.only().token, writable);
    rig.nothing_comes();
    peer.write_all(b"again").unwrap();
    let done = rig.collect(|done| done.len() == 2);
    let mut answered: Vec<Token> = done.iter().map(|done| done.token).collect();
    answered.sort_by_key(|token| token.to_bits());
    let mut asked = tokens.to_vec();
    asked.sort_by_key(|token| token.to_bits());
    assert_eq!(answered, asked, "any number may poll, and each is told");
    descriptor.release();
}

pub(super) fn a_hang_up_ends_every_poll(rig: &mut Rig) {
    let (ours, peer) = UnixStream::pair().unwrap();
    let descriptor = rig.backend.adopt_borrowed(ours.as_fd()).unwrap();
    drop(peer);
    for interest in [Interest::READABLE, Interest::WRITABLE, Interest::PRIORITY] {
        rig.poll(&descriptor, interest);
        let last = rig.only();
        assert!(matches!(last.answer, Answer::Ready(ready) if ready == interest), "{last:?}");
    }
    descriptor.release();
}

pub(super) fn every_change_is_told(rig: &mut Rig) {
    let bell = EventFd::new().unwrap();
    bell.ring();
    let descriptor = rig.backend.adopt_borrowed(bell.as_fd()).unwrap();
    rig.nothing_comes();
    let token = rig.backend.submit(Op::Changes { descriptor: descriptor.clone() });
    // What it is like already may be told, once.
    let before = rig.rest();
    assert!(before.len() <= 1 && !ended(&before), "{before:?}");
    for _ in 0..3 {
        bell.ring();
        let done = rig.collect(|done| !done.is_empty());
        assert!(matches!(done[..], [Completion { answer: Answer::Ready(_), more: true, .. }]));
        rig.nothing_comes();
    }
    rig.backend.cancel(token);
    assert!(matches!(rig.only().answer, Answer::Cancelled(None)));
    descriptor.release();
}

pub(super) fn what_cannot_be_waited_for_is_refused_at_once(rig: &mut Rig) {
    let file = File::open("/proc/self/exe").unwrap();
    let error = rig.backend.adopt_borrowed(file.as_fd()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    let (error, _back) = rig.backend.adopt(file.into(), Attach::Now).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert_eq!(rig.backend.descriptors(), 0);
}

pub(super) fn a_descriptor_found_closed_is_an_error(rig: &mut Rig) {
    if !rig.alone() {
        return;
    }
    let (ours, _peer) = UnixStream::pair().unwrap();
    let descriptor = rig.backend.adopt_borrowed(ours.as_fd()).unwrap();
    drop(ours);
    rig.poll(&descriptor, Interest::READABLE);
    let last = rig.only();
    let Answer::Failed(error) = &last.answer else { panic!("{last:?}") };
    assert_eq!(error.raw_os_error(), Some(libc::EBADF));
}
