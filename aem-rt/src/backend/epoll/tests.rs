//! The keeper against real sockets: what an edge hides, what a cancel leaves, when things close.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use socket2::SockRef;

use super::*;
use crate::backend::BUFFER_SIZE;
use crate::backend::Interest;
use crate::backend::direct::ACCEPTS_PER_TURN;
use crate::sys::child::in_child;

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

    /// Turns until `enough` of the completions have come.
    fn collect(&mut self, enough: impl Fn(&[Completion]) -> bool) -> Vec<Completion> {
        let start = Instant::now();
        let mut all = Vec::new();
        while !enough(&all) {
            assert!(start.elapsed() < PATIENCE, "still waiting after {all:?}");
            all.extend(self.turn(Some(Duration::from_millis(100))));
        }
        all
    }

    fn receive(&mut self, socket: &Rc<Descriptor>) -> Token {
        self.submit(Op::Receive { socket: socket.clone() })
    }

    fn send(&mut self, socket: &Rc<Descriptor>, bytes: Vec<u8>) -> Token {
        let mut queue = Box::new(SendQueue::default());
        queue.push(bytes);
        self.submit(Op::Send { socket: socket.clone(), queue })
    }

    fn poll(&mut self, descriptor: &Rc<Descriptor>, interest: Interest) -> Token {
        self.submit(Op::Poll { descriptor: descriptor.clone(), interest })
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

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    (ours, peer)
}

fn unix_pair(keeper: &mut EpollKeeper, attach: Attach) -> (Rc<Descriptor>, UnixStream) {
    let (ours, peer) = UnixStream::pair().unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    (keeper.adopt(ours.into(), attach).unwrap(), peer)
}

const BOTH: [Attach; 2] = [Attach::Now, Attach::OnFirstUse];

#[test]
fn data_and_fin_in_one_edge_bring_data_and_end() {
    for attach in BOTH {
        for armed_first in [true, false] {
            let mut keeper = keeper();
            let (ours, mut peer) = tcp_pair();
            let socket = keeper.adopt(ours.into(), attach).unwrap();
            let mut token = None;
            if armed_first {
                token = Some(keeper.receive(&socket));
                assert!(keeper.quiet().is_empty());
            }
            peer.write_all(b"last words").unwrap();
            drop(peer);
            let token = token.unwrap_or_else(|| keeper.receive(&socket));
            let done = keeper.collect(ended);
            assert_eq!(bytes_of(&done), b"last words", "{attach:?} {armed_first}");
            let [.., Completion { token: last, answer: Answer::EndOfFile, more: false }] = done[..]
            else {
                panic!("no end of file: {done:?}")
            };
            assert_eq!(last, token);
            // The end is there for whoever asks again.
            keeper.receive(&socket);
            assert!(matches!(keeper.quiet()[..], [Completion { answer: Answer::EndOfFile, .. }]));
        }
    }
}

#[test]
fn an_urgent_mark_hides_no_bytes() {
    for attach in BOTH {
        let mut keeper = keeper();
        let (ours, mut peer) = tcp_pair();
        let socket = keeper.adopt(ours.into(), attach).unwrap();
        keeper.receive(&socket);
        assert!(keeper.quiet().is_empty());
        peer.write_all(b"before").unwrap();
        SockRef::from(&peer).send_out_of_band(b"!").unwrap();
        peer.write_all(b"after").unwrap();
        let done = keeper.collect(|done| bytes_of(done).len() >= 11);
        assert_eq!(bytes_of(&done), b"beforeafter");
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(bytes_of(&keeper.collect(ended)), b"");
    }
}

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
fn a_send_waits_for_room_and_sends_each_byte_once() {
    for attach in BOTH {
        let mut keeper = keeper();
        let (socket, mut peer) = unix_pair(&mut keeper, attach);
        let whole: Vec<u8> = (0..3_000_000_u32).map(|index| (index >> 3) as u8).collect();
        let length = whole.len();
        let reader = std::thread::spawn(move || {
            let mut received = vec![0; length];
            // Late, so that the sender has met the end of the room.
            std::thread::sleep(Duration::from_millis(20));
            peer.read_exact(&mut received).map(|()| received)
        });
        let mut queue = Box::new(SendQueue::default());
        whole.chunks(100_000).for_each(|piece| queue.push(piece.to_vec()));
        let mut waited = false;
        while !queue.is_empty() {
            let left = queue.bytes();
            let token = keeper.submit(Op::Send { socket: socket.clone(), queue });
            let mut done = keeper.turn(Some(Duration::ZERO));
            if done.is_empty() {
                waited = true;
                done = keeper.collect(ended);
            }
            let [
                Completion { token: of, answer: Answer::Sent { queue: back, result }, more: false },
            ] = <[Completion; 1]>::try_from(done).unwrap()
            else {
                panic!("a send is answered once")
            };
            assert_eq!(of, token);
            assert_eq!(back.bytes(), left - result.unwrap());
            queue = back;
        }
        assert!(waited, "the room never ended");
        assert!(reader.join().unwrap().unwrap() == whole);
    }
}

#[test]
fn a_send_at_once_takes_what_fits_and_an_op_waits_for_room() {
    for attach in BOTH {
        let mut keeper = keeper();
        let (socket, mut peer) = unix_pair(&mut keeper, attach);
        let mut queue = Box::new(SendQueue::default());
        let whole: Vec<u8> = (0..2_000_000_u32).map(|index| (index >> 3) as u8).collect();
        whole.chunks(50_000).for_each(|piece| queue.push(piece.to_vec()));
        let mut sent = 0;
        while let Some(result) = keeper.send_now(&socket, &mut queue) {
            sent += result.unwrap();
        }
        assert_eq!(queue.bytes(), whole.len() - sent);
        assert!(sent > 0 && !queue.is_empty(), "the room never ended");
        let mut received = vec![0; whole.len()];
        keeper.submit(Op::Send { socket: socket.clone(), queue });
        assert!(keeper.quiet().is_empty(), "there is no room");
        assert!(
            keeper.send_now(&socket, &mut SendQueue::default()).is_none(),
            "an op is before it"
        );
        peer.read_exact(&mut received[..sent]).unwrap();
        let done = keeper.collect(ended);
        let Answer::Sent { queue, result } = &done[0].answer else { panic!("{done:?}") };
        assert_eq!(queue.bytes(), whole.len() - sent - result.as_ref().unwrap());
        peer.read_exact(&mut received[sent..][..*result.as_ref().unwrap()]).unwrap();
        assert!(received[..sent] == whole[..sent]);
    }
}

#[test]
fn a_send_to_a_closed_peer_is_an_error_and_no_signal() {
    let mut keeper = keeper();
    let (socket, peer) = unix_pair(&mut keeper, Attach::Now);
    drop(peer);
    keeper.send(&socket, b"x".to_vec());
    let done = keeper.quiet();
    let [Completion { answer: Answer::Sent { queue, result: Err(error) }, more: false, .. }] =
        &done[..]
    else {
        panic!("{done:?}")
    };
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    assert_eq!(queue.bytes(), 1, "what was not sent comes back");
}

// ONCE, FRESH: of two ops that end in one attempt the second answer is kept for a while, and so is its token.
#[test]
fn a_token_is_not_given_again_before_its_last_answer_is_drawn() {
    let mut keeper = keeper();
    let (socket, peer) = unix_pair(&mut keeper, Attach::OnFirstUse);
    let (other, _silent) = unix_pair(&mut keeper, Attach::Now);
    drop(peer);
    let receiving = keeper.receive(&socket);
    let sending = keeper.send(&socket, b"x".to_vec());
    keeper.start();
    let first = keeper.next().unwrap();
    assert_eq!((first.token, first.more), (receiving, false));
    // What a sink may do on hearing of the first.
    let next = keeper.receive(&other);
    assert_ne!(next.index(), sending.index());
    keeper.cancel(sending);
    let second = keeper.next().unwrap();
    assert_eq!((second.token, second.more), (sending, false));
    assert!(matches!(second.answer, Answer::Sent { result: Err(_), .. }));
    let rest = keeper.quiet();
    assert!(rest.is_empty(), "it ends once: {rest:?}");
}

#[test]
fn an_accept_on_what_cannot_accept_is_an_error_and_no_loop() {
    let mut keeper = keeper();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let listener = keeper.adopt(socket.into(), Attach::Now).unwrap();
    keeper.submit(Op::Accept { listener: listener.clone() });
    let done = keeper.collect(ended);
    let [Completion { answer: Answer::Failed(error), more: false, .. }] = &done[..] else {
        panic!("{done:?}")
    };
    assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP));
    assert!(keeper.quiet().is_empty(), "it does not try again");
}

/// Every op on a pair whose peer is silent, so that it waits once it was tried.
fn waiting_ops(socket: &Rc<Descriptor>, listener: &Rc<Descriptor>) -> Vec<Op> {
    let mut queue = SendQueue::default();
    queue.push("never sent");
    vec![
        Op::Receive { socket: socket.clone() },
        Op::Send { socket: socket.clone(), queue: Box::new(queue) },
        Op::Poll { descriptor: socket.clone(), interest: Interest::READABLE },
        Op::Changes { descriptor: socket.clone() },
        Op::Accept { listener: listener.clone() },
    ]
}

/// Fills the room of a socket.
fn fill(keeper: &mut EpollKeeper, socket: &Rc<Descriptor>) {
    loop {
        let token = keeper.send(socket, vec![0; 1 << 16]);
        if keeper.quiet().is_empty() {
            keeper.cancel(token);
            assert_eq!(keeper.quiet().len(), 1);
            return;
        }
    }
}

#[test]
fn a_cancel_in_any_state_gives_one_terminal_completion() {
    // Where the cancel falls: before the op was tried, while it waits, twice, after an event came
    // that the keeper has not seen, and after the op is over.
    for state in 0..5 {
        for kind in 0..5 {
            let mut keeper = keeper();
            let (socket, mut peer) = unix_pair(&mut keeper, Attach::Now);
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            listener.set_nonblocking(true).unwrap();
            let listener = keeper.adopt(listener.into(), Attach::Now).unwrap();
            fill(&mut keeper, &socket);
            let op = waiting_ops(&socket, &listener).swap_remove(kind);
            let token = keeper.submit(op);
            let mut done = Vec::new();
            if state > 0 {
                done.extend(keeper.quiet());
                assert!(done.is_empty(), "op {kind} waits: {done:?}");
            }
            let mut clients = Vec::new();
            if state >= 3 {
                peer.write_all(b"event").unwrap();
                drop(peer);
                clients.push(TcpStream::connect(address));
            }
            if state == 4 {
                done.extend(keeper.quiet());
            }
            keeper.cancel(token);
            if state == 2 {
                keeper.cancel(token);
            }
            done.extend(keeper.quiet());
            keeper.cancel(token);
            done.extend(keeper.quiet());
            let terminal = done.iter().filter(|completion| !completion.more).count();
            assert_eq!(terminal, 1, "op {kind} in state {state}: {done:?}");
            assert!(done.iter().all(|completion| completion.token == token));
            assert!(done.last().is_some_and(|completion| !completion.more));
            assert_eq!(keeper.ledger.len(), 0);
        }
    }
}

#[test]
fn a_cancelled_receive_leaves_the_bytes_to_the_next() {
    let mut keeper = keeper();
    let (socket, mut peer) = unix_pair(&mut keeper, Attach::Now);
    let first = keeper.receive(&socket);
    keeper.quiet();
    peer.write_all(b"kept").unwrap();
    keeper.cancel(first);
    let second = keeper.receive(&socket);
    let done = keeper.collect(|done| done.len() == 2);
    assert!(matches!(done[0], Completion { answer: Answer::Cancelled(None), more: false, .. }));
    assert_eq!((done[0].token, done[1].token), (first, second));
    assert_eq!(bytes_of(&done), b"kept");
}

#[test]
fn a_cancelled_send_gives_its_queue_back() {
    let mut keeper = keeper();
    let (socket, _peer) = unix_pair(&mut keeper, Attach::Now);
    fill(&mut keeper, &socket);
    let token = keeper.send(&socket, b"back".to_vec());
    assert!(keeper.quiet().is_empty());
    assert_eq!(keeper.sends(), 1);
    keeper.cancel(token);
    let done = keeper.quiet();
    let [Completion { answer: Answer::Cancelled(Some(queue)), .. }] = &done[..] else {
        panic!("{done:?}")
    };
    assert_eq!(queue.front().0, b"back");
    assert_eq!(keeper.sends(), 0);
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
            let Answer::Accepted(_, peer) = answer else { panic!("{answer:?}") };
            assert!(more && of == token);
            peers.push(peer);
        }
    }
    let locals: Vec<SocketAddr> =
        clients.iter().map(|client| client.local_addr().unwrap()).collect();
    assert_eq!(peers, locals, "in the order of arrival, each with its address");
}

#[test]
fn out_of_descriptors_ends_an_accept_and_loses_no_connection() {
    if !in_child("backend::epoll::tests::out_of_descriptors_ends_an_accept_and_loses_no_connection")
    {
        return;
    }
    let mut keeper = keeper();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let listener = keeper.adopt(listener.into(), Attach::Now).unwrap();
    let client = TcpStream::connect(address).unwrap();
    let mut hoard: Vec<File> = Vec::new();
    let full = loop {
        match File::open("/dev/null") {
            Ok(file) => hoard.push(file),
            Err(error) => break error,
        }
    };
    assert_eq!(full.raw_os_error(), Some(libc::EMFILE));
    for _ in 0..2 {
        keeper.submit(Op::Accept { listener: listener.clone() });
        let done = keeper.quiet();
        let [Completion { answer: Answer::Failed(error), more: false, .. }] = &done[..] else {
            panic!("{done:?}")
        };
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
    }
    hoard.pop();
    keeper.submit(Op::Accept { listener });
    let done = keeper.quiet();
    let [Completion { answer: Answer::Accepted(_, peer), more: true, .. }, ..] = &done[..] else {
        panic!("{done:?}")
    };
    assert_eq!(*peer, client.local_addr().unwrap());
}

#[test]
fn a_poll_is_level_to_its_user() {
    let mut keeper = keeper();
    let (ours, mut peer) = UnixStream::pair().unwrap();
    let descriptor = keeper.adopt_borrowed(ours.as_fd()).unwrap();
    keeper.quiet();
    peer.write_all(b"ready").unwrap();
    // The edge is seen and gone before anybody asks, and nobody reads.
    keeper.quiet();
    for _ in 0..3 {
        let token = keeper.poll(&descriptor, Interest::READABLE | Interest::WRITABLE);
        let done = keeper.quiet();
        let [Completion { token: of, answer: Answer::Ready(ready), more: false }] = done[..] else {
            panic!("{done:?}")
        };
        assert_eq!(of, token);
        assert_eq!(ready, Interest::READABLE | Interest::WRITABLE);
    }
    assert_eq!((&ours).read(&mut [0; 16]).unwrap(), 5);
    let tokens = [0, 1].map(|_| keeper.poll(&descriptor, Interest::READABLE));
    let writable = keeper.poll(&descriptor, Interest::WRITABLE);
    let done = keeper.quiet();
    assert_eq!(done.iter().map(|done| done.token).collect::<Vec<_>>(), [writable]);
    peer.write_all(b"again").unwrap();
    let done = keeper.quiet();
    assert_eq!(done.iter().map(|done| done.token).collect::<Vec<_>>(), tokens);
    drop(peer);
    assert_eq!((&ours).read(&mut [0; 16]).unwrap(), 5);
    keeper.poll(&descriptor, Interest::WRITABLE);
    assert_eq!(keeper.quiet().len(), 1, "a hang-up ends every wait");
    descriptor.release();
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
fn what_cannot_be_waited_for_is_refused_at_once() {
    let mut keeper = keeper();
    let file = File::open("/proc/self/exe").unwrap();
    let error = keeper.adopt_borrowed(file.as_fd()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    let (error, _back) = keeper.adopt(file.into(), Attach::Now).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);

    let (ours, _peer) = UnixStream::pair().unwrap();
    let first = keeper.adopt_borrowed(ours.as_fd()).unwrap();
    let error = keeper.adopt_borrowed(ours.as_fd()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    drop(first);
    keeper.adopt_borrowed(ours.as_fd()).unwrap();
    keeper.quiet();
    assert_eq!(keeper.ports.len(), 0, "refused and dropped ones leave no port");
}

#[test]
fn a_descriptor_found_closed_is_an_error() {
    if !in_child("backend::epoll::tests::a_descriptor_found_closed_is_an_error") {
        return;
    }
    let mut keeper = keeper();
    let (ours, _peer) = UnixStream::pair().unwrap();
    let descriptor = keeper.adopt_borrowed(ours.as_fd()).unwrap();
    drop(ours);
    keeper.poll(&descriptor, Interest::READABLE);
    let done = keeper.quiet();
    let [Completion { answer: Answer::Failed(error), more: false, .. }] = &done[..] else {
        panic!("{done:?}")
    };
    assert_eq!(error.raw_os_error(), Some(libc::EBADF));
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

// LENT: what an op needs stays until its last completion, whatever its user dropped.
#[test]
fn a_descriptor_stays_open_until_its_last_op_is_over() {
    let mut keeper = keeper();
    let (socket, mut peer) = unix_pair(&mut keeper, Attach::Now);
    let token = keeper.receive(&socket);
    drop(socket);
    keeper.quiet();
    peer.write_all(b"x").unwrap();
    assert_eq!(bytes_of(&keeper.quiet()), b"x");
    keeper.cancel(token);
    keeper.quiet();
    assert_eq!(peer.read(&mut [0]).unwrap(), 0, "closed with its last op");
    assert_eq!((keeper.ports.len(), keeper.take_closed()), (0, 1));
}

#[test]
fn a_reused_number_is_not_taken_out_by_its_former_bearer() {
    if !in_child("backend::epoll::tests::a_reused_number_is_not_taken_out_by_its_former_bearer") {
        return;
    }
    let mut keeper = keeper();
    let (first, _peer) = UnixStream::pair().unwrap();
    let (second, mut peer) = UnixStream::pair().unwrap();
    let number = first.as_raw_fd();
    let former = keeper.adopt_borrowed(first.as_fd()).unwrap();
    drop(first);
    let socket = OwnedFd::from(second).try_clone().unwrap();
    assert_eq!(socket.as_raw_fd(), number, "the lowest number that is free");
    let socket = keeper.adopt(socket, Attach::Now).unwrap();
    drop(former);
    keeper.receive(&socket);
    keeper.quiet();
    peer.write_all(b"heard").unwrap();
    assert_eq!(bytes_of(&keeper.quiet()), b"heard");
}

#[test]
fn connects_and_says_when_it_cannot() {
    use socket2::{Domain, Socket, Type};
    for attach in BOTH {
        let mut keeper = keeper();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        for refused in [false, true] {
            let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None).unwrap();
            let socket = keeper.adopt(socket.into(), attach).unwrap();
            // The edge of an unconnected socket (HUP) must not pass for an answer.
            keeper.quiet();
            let target = if refused { SocketAddr::from(([127, 0, 0, 1], 1)) } else { address };
            let address = Box::new(target.into());
            keeper.submit(Op::Connect { socket: socket.clone(), address });
            let done = keeper.collect(ended);
            match &done[..] {
                [Completion { answer: Answer::Connected, .. }] if !refused => {}
                [Completion { answer: Answer::Failed(error), .. }] if refused => {
                    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
                    continue;
                }
                other => panic!("refused: {refused}: {other:?}"),
            }
            let (mut peer, _) = listener.accept().unwrap();
            keeper.send(&socket, b"hello".to_vec());
            assert_eq!(keeper.quiet().len(), 1);
            let mut hello = [0; 5];
            peer.read_exact(&mut hello).unwrap();
            assert_eq!(&hello, b"hello");
        }
    }
}

/// A small generator of numbers (xorshift64*), so that a failure can be repeated by its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % limit
    }
}

#[test]
fn random_histories_lose_nothing_and_end_every_op_once() {
    for seed in 1..=20 {
        let mut random = Random(seed);
        let mut keeper = keeper();
        let mut ops: HashMap<Token, usize> = HashMap::new();
        let mut lanes: Vec<Lane> = (0..8).map(|_| Lane::new(&mut keeper, &mut random)).collect();
        for _ in 0..400 {
            let index = random.below(lanes.len());
            lanes[index].step(&mut keeper, &mut random, index, &mut ops);
            if random.below(3) == 0 {
                deliver(keeper.turn(Some(Duration::ZERO)), &mut lanes, &mut ops);
            }
        }
        for lane in &mut lanes {
            lane.peer.shutdown(Shutdown::Write).unwrap();
        }
        let start = Instant::now();
        while !lanes.iter().all(|lane| lane.ended) {
            assert!(start.elapsed() < PATIENCE, "seed {seed}");
            for (index, lane) in lanes.iter_mut().enumerate() {
                if lane.receiving.is_none() && !lane.ended {
                    lane.arm(&mut keeper, index, &mut ops);
                }
            }
            deliver(keeper.turn(Some(Duration::from_millis(1))), &mut lanes, &mut ops);
        }
        assert!(ops.is_empty(), "seed {seed}: {} ops never ended", ops.len());
        assert!(lanes.iter().all(|lane| lane.received == lane.sent), "seed {seed}");
        drop(lanes);
        keeper.quiet();
        assert_eq!((keeper.ports.len(), keeper.ledger.len()), (0, 0));
    }
}

/// One connection of the random test.
struct Lane {
    socket: Rc<Descriptor>,
    peer: UnixStream,
    sent: usize,
    received: usize,
    receiving: Option<Token>,
    ended: bool,
}

impl Lane {
    fn new(keeper: &mut EpollKeeper, random: &mut Random) -> Lane {
        let (socket, peer) = unix_pair(keeper, BOTH[random.below(2)]);
        peer.set_nonblocking(true).unwrap();
        Lane { socket, peer, sent: 0, received: 0, receiving: None, ended: false }
    }

    fn arm(&mut self, keeper: &mut EpollKeeper, index: usize, ops: &mut HashMap<Token, usize>) {
        let token = keeper.receive(&self.socket);
        self.receiving = Some(token);
        assert_eq!(ops.insert(token, index), None, "a token twice");
    }

    fn step(
        &mut self,
        keeper: &mut EpollKeeper,
        random: &mut Random,
        index: usize,
        ops: &mut HashMap<Token, usize>,
    ) {
        match (random.below(3), self.receiving) {
            (0, None) => self.arm(keeper, index, ops),
            (1, Some(token)) => {
                keeper.cancel(token);
                self.receiving = None;
            }
            _ => {
                let bytes: Vec<u8> = (0..random.below(2 * BUFFER_SIZE))
                    .map(|offset| (self.sent + offset) as u8)
                    .collect();
                self.sent += self.peer.write(&bytes).unwrap_or(0);
            }
        }
    }
}

fn deliver(done: Vec<Completion>, lanes: &mut [Lane], ops: &mut HashMap<Token, usize>) {
    for Completion { token, answer, more } in done {
        let lane = &mut lanes[ops[&token]];
        if !more {
            ops.remove(&token);
            if lane.receiving == Some(token) {
                lane.receiving = None;
            }
        }
        match answer {
            Answer::Received(chunk) => {
                let fits = |(offset, byte): (usize, &u8)| *byte == (lane.received + offset) as u8;
                assert!(chunk.iter().enumerate().all(fits), "bytes out of order");
                lane.received += chunk.len();
            }
            Answer::EndOfFile => lane.ended = true,
            Answer::Cancelled(None) => {}
            other => panic!("{other:?}"),
        }
    }
}
