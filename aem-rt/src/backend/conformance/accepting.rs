//! Accepts: every connection, with its peer, whatever happens in between.

use std::fs::File;
use std::net::UdpSocket;

use super::*;

pub(super) fn every_connection_comes_with_its_peer(rig: &mut Rig) {
    for attach in BOTH {
        let (listener, mut callers) = rig.listener(attach);
        // More than one turn takes, and some of them before anybody asks.
        let mut clients: Vec<_> = (0..30).map(|_| callers.call()).collect();
        let token = rig.backend.submit(Op::Accept { listener });
        let mut done = rig.collect(|done| done.len() == 30);
        for _ in 0..10 {
            clients.push(callers.call());
            done.extend(rig.collect(|done| !done.is_empty()));
        }
        assert!(done.iter().all(|answer| answer.more && answer.token == token));
        let called: Vec<SocketAddr> = clients.iter().map(|(_, address)| *address).collect();
        assert_eq!(peers_of(&done), called, "in the order of arrival");
    }
}

pub(super) fn a_connection_that_nobody_wants_is_closed(rig: &mut Rig) {
    let (listener, mut callers) = rig.listener(Attach::Now);
    rig.backend.submit(Op::Accept { listener });
    let (mut client, _) = callers.call();
    drop(rig.collect(|done| !done.is_empty()));
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

pub(super) fn what_cannot_accept_says_so_and_does_not_try_again(rig: &mut Rig) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let listener = rig.backend.adopt(socket.into(), Attach::Now).unwrap();
    rig.backend.submit(Op::Accept { listener: listener.clone() });
    let last = rig.only();
    let Answer::Failed(error) = &last.answer else { panic!("{last:?}") };
    assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP));
    rig.nothing_comes();
}

pub(super) fn out_of_descriptors_ends_an_accept_and_loses_no_connection(rig: &mut Rig) {
    if !rig.alone() {
        return;
    }
    let (listener, mut callers) = rig.listener(Attach::Now);
    let (_client, address) = callers.call();
    let mut hoard: Vec<File> = Vec::new();
    let full = loop {
        match File::open("/dev/null") {
            Ok(file) => hoard.push(file),
            Err(error) => break error,
        }
    };
    assert_eq!(full.raw_os_error(), Some(libc::EMFILE));
    for _ in 0..2 {
        rig.backend.submit(Op::Accept { listener: listener.clone() });
        let last = rig.only();
        let Answer::Failed(error) = &last.answer else { panic!("{last:?}") };
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
    }
    hoard.pop();
    rig.backend.submit(Op::Accept { listener });
    let done = rig.collect(|done| !done.is_empty());
    let [Completion { answer: Answer::Accepted(_, peer), more: true, .. }, ..] = &done[..] else {
        panic!("{done:?}")
    };
    assert_eq!(*peer, Some(address));
}
