//! What is the epoll keeper's own: what an edge hides, how much a turn does, when an entry leaves the
//! table. What is promised by every keeper is in `backend/conformance.rs`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

use super::*;
use crate::backend::BUFFER_SIZE;
use crate::backend::direct::ACCEPTS_PER_TURN;

/// Nothing here takes longer, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(10);

fn keeper() -> EpollKeeper {
    let config = Config { pool_bytes: 8 * BUFFER_SIZE, ..Config::default() };
    EpollKeeper::new(&config).unwrap()
}

impl EpollKeeper {
    fn turn(&mut self, wait: Option<Duration>) -> Vec<Completion> {
        let mut done = Vec::new();
        self.start();
        done.extend(std::iter::from_fn(|| self.next()));
        let wait = if done.is_empty() { wait } else { Some(Duration::ZERO) };
        self.wait(wait).unwrap();
        done.extend(std::iter::from_fn(|| self.next()));
        done
    }

    /// What comes without waiting for anybody else.
    fn quiet(&mut self) -> Vec<Completion> {
        let mut all = Vec::new();
        loop {
            let done = self.turn(Some(Duration::ZERO));
            if done.is_empty() && self.work.is_empty() {
                return all;
            }
            all.extend(done);
        }
    }

    fn receive(&mut self, socket: &Rc<Descriptor>) -> Token {
        self.submit(Op::Receive { socket: socket.clone() })
    }
}

fn bytes_of(done: &[Completion]) -> Vec<u8> {
    let pieces = done.iter().filter_map(|completion| match &completion.answer {
        Answer::Received(chunk) => Some(&chunk[..]),
        _ => None,
    });
    pieces.collect::<Vec<_>>().concat()
}

fn ended(done: &[Completion]) -> bool {
    done.iter().any(|completion| !completion.more)
}

fn unix_pair(keeper: &mut EpollKeeper, attach: Attach) -> (Rc<Descriptor>, UnixStream) {
    let (ours, peer) = UnixStream::pair().unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    (keeper.adopt(ours.into(), attach).unwrap(), peer)
}

const BOTH: [Attach; 2] = [Attach::Now, Attach::OnFirstUse];

#[test]
fn data_after_a_short_receive_is_an_edge() {
    for attach in BOTH {
        let mut keeper = keeper();
        let (socket, mut peer) = unix_pair(&mut keeper, attach);
        keeper.receive(&socket);
        for round in 0..100_u8 {
            peer.write_all(&[round]).unwrap();
            let done = keeper.turn(Some(PATIENCE));
            assert_eq!(bytes_of(&done), [round], "each piece takes one turn");
            let port = &keeper.ports[socket.port().0 as usize];
            assert_eq!(port.read, Readiness::Drained, "and no call that says there is no more");
        }
    }
}

#[test]
fn a_full_receive_goes_on_without_an_edge_and_without_hurry() {
    let mut keeper = keeper();
    let (socket, mut peer) = unix_pair(&mut keeper, Attach::Now);
    let sent: Vec<u8> = (0..5 * BUFFER_SIZE + 17).map(|index| index as u8).collect();
    peer.write_all(&sent).unwrap();
    keeper.receive(&socket);
    let (mut received, mut turns) = (Vec::new(), 0);
    while received.len() < sent.len() {
        let done = keeper.turn(Some(PATIENCE));
        assert!(done.len() <= 2, "one receive a port in each half of a turn");
        received.extend(bytes_of(&done));
        turns += 1;
    }
    assert_eq!(received, sent);
    assert!(turns >= 3);
    assert!(keeper.quiet().is_empty());
}

#[test]
fn accepts_in_bounded_steps_and_all_of_them() {
    let mut keeper = keeper();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let listener = keeper.adopt(listener.into(), Attach::OnFirstUse).unwrap();
    let count = 2 * ACCEPTS_PER_TURN + 3;
    let clients: Vec<TcpStream> =
        (0..count).map(|_| TcpStream::connect(address).unwrap()).collect();
    let token = keeper.submit(Op::Accept { listener });
    let mut peers = Vec::new();
    while peers.len() < count {
        let done = keeper.turn(Some(PATIENCE));
        assert!(done.len() <= 2 * ACCEPTS_PER_TURN);
        for Completion { token: of, answer, more } in done {
            let Answer::Accepted(_, Some(peer)) = answer else { panic!("{answer:?}") };
            assert!(more && of == token);
            peers.push(peer);
        }
    }
    let locals: Vec<SocketAddr> =
        clients.iter().map(|client| client.local_addr().unwrap()).collect();
    assert_eq!(peers, locals, "in the order of arrival, each with its address");
}

#[test]
fn changes_are_told_as_edges_only() {
    let mut keeper = keeper();
    let bell = EventFd::new().unwrap();
    bell.ring();
    let descriptor = keeper.adopt_borrowed(bell.as_fd()).unwrap();
    keeper.quiet();
    let token = keeper.submit(Op::Changes { descriptor: descriptor.clone() });
    assert!(keeper.quiet().is_empty(), "what was before is no change");
    for _ in 0..3 {
        bell.ring();
        let done = keeper.quiet();
        assert!(matches!(done[..], [Completion { answer: Answer::Ready(_), more: true, .. }]));
    }
    keeper.cancel(token);
    assert!(ended(&keeper.quiet()));
}

#[test]
fn a_dropped_descriptor_leaves_epoll_before_it_closes() {
    let mut keeper = keeper();
    let (ours, mut peer) = UnixStream::pair().unwrap();
    // While this copy lives, a mere close would leave epoll's entry alive.
    let copy = ours.try_clone().unwrap();
    let socket = keeper.adopt(ours.into(), Attach::Now).unwrap();
    keeper.quiet();
    drop(socket);
    keeper.quiet();
    assert_eq!(keeper.take_closed(), 1);
    peer.write_all(b"to nobody").unwrap();
    keeper.turn(Some(Duration::ZERO));
    assert_eq!(keeper.events.len(), 0);
    drop(copy);
}

#[test]
fn a_turn_receives_no_more_than_a_cache_holds() {
    let mut keeper = keeper();
    let piece = [7; 16 * 1024];
    let sockets: Vec<_> = (0..40).map(|_| unix_pair(&mut keeper, Attach::Now)).collect();
    for (socket, _peer) in &sockets {
        keeper.receive(socket);
    }
    keeper.quiet();
    for (_socket, peer) in &sockets {
        let mut peer = peer;
        peer.write_all(&piece).unwrap();
    }
    let (mut received, mut turns) = (0, 0);
    while received < 40 * piece.len() {
        let bytes = bytes_of(&keeper.turn(Some(PATIENCE))).len();
        assert!(bytes > 0, "a wait that has events left does not sleep, and brings some");
        assert!(bytes < RECEIVED_PER_TURN + BUFFER_SIZE, "{bytes} bytes in one turn");
        received += bytes;
        turns += 1;
    }
    assert!(turns >= 3, "{turns} turns");
    assert!(bytes_of(&keeper.quiet()).is_empty());
}

#[test]
fn a_peer_that_reads_wakes_nobody_who_does_not_wait_for_room() {
    for attach in BOTH {
        let mut keeper = keeper();
        let (socket, mut peer) = unix_pair(&mut keeper, attach);
        keeper.receive(&socket);
        keeper.quiet();
        for _ in 0..3 {
            let mut queue = SendQueue::default();
            queue.push(vec![1; 64]);
            assert_eq!(keeper.send_now(&socket, &mut queue).unwrap().unwrap(), 64);
            peer.read_exact(&mut [0; 64]).unwrap();
            keeper.start();
            keeper.wait(Some(Duration::from_millis(5))).unwrap();
            assert_eq!(keeper.events.len(), 0, "{attach:?}");
        }
        for round in 0..3 {
            let mut queue = SendQueue::default();
            queue.push(vec![2; 1 << 20]);
            while !queue.is_empty() {
                keeper.submit(Op::Send { socket: socket.clone(), queue: Box::new(queue) });
                let mut done = keeper.quiet();
                if done.is_empty() {
                    // There is no room, and who waits for it is told, the first time and again.
                    assert!(peer.read(&mut vec![0; 1 << 20]).unwrap() > 0);
                    done = keeper.turn(Some(PATIENCE));
                }
                let [Completion { answer: Answer::Sent { queue: left, result }, .. }] =
                    &mut done[..]
                else {
                    panic!("round {round}, {attach:?}: {done:?}")
                };
                assert!(*result.as_ref().unwrap() > 0);
                queue = std::mem::take(left);
            }
        }
    }
}
