//! The contract as tests: what every keeper must do, whatever its means.
//!
//! Each test is a function of a [`Rig`], which is a keeper and the other side of its sockets, and runs on
//! every keeper that it is listed for below: on epoll and io_uring with real sockets, on the simulated
//! kernel where a script can stand for the peer. None counts turns: an answer, and a cancel above all,
//! may take a few, and one turn may bring several answers of one op.
//!
//! Where io_uring cannot be used its tests are skipped with one line, unless `AEM_REQUIRE=io_uring` says
//! that it must be there.

mod accepting;
mod cancelling;
mod descriptors;
mod files;
mod random;
mod receiving;
mod sending;
mod turns;
mod watching;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Once;
use std::time::Instant;

use super::simulated::{Kernel, Socket};
use super::*;
use crate::sys::child::in_child;

/// Nothing here takes longer, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// So long one waits to see that nothing comes.
const QUIET: Duration = Duration::from_millis(5);

const BOTH: [Attach; 2] = [Attach::Now, Attach::OnFirstUse];

/// Makes a module of tests for each keeper, named by it.
macro_rules! suite {
    ($($keeper:ident = $kind:expr => [$($topic:ident::$test:ident,)*])*) => {$(
        mod $keeper {
            use super::*;
            $(#[test]
            fn $test() {
                on($kind, stringify!($test), $topic::$test);
            })*
        }
    )*};
}

/// Lists tests for all keepers, and others for those that have real sockets.
macro_rules! suites {
    (everywhere: [$($everywhere:tt)*] with_real_sockets: [$($real:tt)*]) => {
        suite! {
            epoll = BackendKind::Epoll => [$($everywhere)* $($real)*]
            io_uring = BackendKind::IoUring => [$($everywhere)* $($real)*]
            simulated = BackendKind::Simulated => [$($everywhere)*]
        }
    };
}

suites! {
    everywhere: [
        accepting::every_connection_comes_with_its_peer,
        accepting::a_connection_that_nobody_wants_is_closed,
        cancelling::a_cancel_in_any_state_gives_one_last_completion,
        cancelling::a_cancelled_receive_loses_no_byte,
        cancelling::a_cancelled_accept_loses_no_connection,
        cancelling::a_cancelled_send_gives_its_queue_back,
        cancelling::a_cancel_of_what_is_over_does_nothing,
        cancelling::a_token_is_not_given_again_before_its_last_answer_is_drawn,
        cancelling::all_can_be_cancelled_at_once,
        cancelling::a_direction_is_free_after_the_last_completion,
        descriptors::a_descriptor_stays_open_until_its_last_op_is_over,
        descriptors::a_dropped_descriptor_is_closed_by_the_next_wait,
        descriptors::after_the_end_a_dropped_descriptor_closes_at_once,
        descriptors::what_is_registered_already_is_refused,
        receiving::receive_brings_all_bytes_in_order,
        receiving::bytes_and_their_end_are_both_told,
        receiving::the_end_is_told_again_to_who_asks_again,
        sending::a_send_is_answered_once_and_says_how_much_was_taken,
        sending::a_send_holds_its_bytes_until_it_is_answered,
        sending::nothing_overtakes_a_send_that_is_under_way,
        turns::a_wait_ends_at_its_deadline_and_not_before,
        turns::a_wait_is_ended_from_another_thread,
        turns::what_is_asked_between_two_answers_is_for_the_next_turn,
        turns::the_gauges_count_what_is_under_way,
    ]
    with_real_sockets: [
        accepting::what_cannot_accept_says_so_and_does_not_try_again,
        accepting::out_of_descriptors_ends_an_accept_and_loses_no_connection,
        descriptors::a_reused_number_is_not_taken_out_by_its_former_bearer,
        files::an_op_on_a_file_is_answered_once_or_comes_back,
        files::names_are_changed_once_or_come_back,
        files::what_has_no_positions_is_read_as_it_comes,
        files::a_cancelled_open_leaves_no_descriptor,
        random::histories_lose_nothing_and_end_every_op_once,
        receiving::data_and_fin_in_one_segment_bring_both,
        receiving::an_urgent_mark_hides_no_bytes,
        receiving::a_dry_pool_stops_nobody,
        sending::a_send_waits_for_room_and_sends_each_byte_once,
        sending::a_send_at_once_takes_what_fits,
        sending::a_send_to_a_closed_peer_is_an_error_and_no_signal,
        sending::a_connect_succeeds_or_says_why_not,
        watching::a_poll_is_level_to_its_user,
        watching::a_hang_up_ends_every_poll,
        watching::every_change_is_told,
        watching::what_cannot_be_waited_for_is_refused_at_once,
        watching::a_descriptor_found_closed_is_an_error,
    ]
}

/// A keeper, and what is on the other side of its sockets.
struct Rig {
    backend: Backend,
    /// Who plays the other side, where nobody real does.
    kernel: Option<Kernel>,
    /// The path of the test that runs.
    path: String,
}

/// Runs a test on a keeper.
fn on(kind: BackendKind, name: &str, test: fn(&mut Rig)) {
    let path = format!("backend::conformance::{kind}::{name}");
    let Some(mut rig) = Rig::new(kind, path) else { return };
    test(&mut rig);
}

/// Says once that io_uring is not there.
///
/// # Panics
///
/// If it is required.
fn skip(error: &io::Error) {
    let required = std::env::var("AEM_REQUIRE").is_ok_and(|names| names.contains("io_uring"));
    assert!(!required, "AEM_REQUIRE says io_uring, and it cannot be used: {error}");
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        // Past the test harness, which would keep to itself what a passing test prints.
        let line =
            format!("skipped: the contract on io_uring, which cannot be used here: {error}\n");
        io::stderr().write_all(line.as_bytes()).expect("standard error is open");
    });
}

impl Rig {
    fn new(kind: BackendKind, path: String) -> Option<Rig> {
        let wanted = Wanted::Only(kind, "the test");
        let config = Config { wanted, pool_bytes: 8 * BUFFER_SIZE, ..Config::default() };
        if kind == BackendKind::Simulated {
            let kernel = Kernel::new();
            let backend = Backend::simulated(&kernel);
            return Some(Rig { backend, kernel: Some(kernel), path });
        }
        match Backend::new(&config) {
            Ok((backend, _)) => Some(Rig { backend, kernel: None, path }),
            // A refusal has a text of ours; anything else is an error on every keeper.
            Err(error) if kind == BackendKind::IoUring && error.raw_os_error().is_none() => {
                skip(&error);
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// True in a process of its own.
    fn alone(&self) -> bool {
        in_child(&self.path)
    }

    /// A connected socket and its peer.
    fn pair(&mut self, attach: Attach) -> (Rc<Descriptor>, Peer) {
        let (ours, peer) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        let peer = match &self.kernel {
            Some(kernel) => {
                Peer::Scripted { socket: kernel.fresh_socket(&ours), real: peer, at: 0 }
            }
            None => Peer::Real(peer),
        };
        (self.backend.adopt(ours.into(), attach).unwrap(), peer)
    }

    /// The same over TCP, with real peers only.
    fn tcp_pair(&mut self, attach: Attach) -> (Rc<Descriptor>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (ours, _) = listener.accept().unwrap();
        ours.set_nonblocking(true).unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        (self.backend.adopt(ours.into(), attach).unwrap(), peer)
    }

    /// The same with no room for what we send.
    fn full_pair(&mut self, attach: Attach) -> (Rc<Descriptor>, Peer) {
        let (socket, peer) = self.pair(attach);
        match &peer {
            Peer::Scripted { socket, .. } => drop(socket.never().takes(1).clone()),
            Peer::Real(_) => loop {
                let mut queue = SendQueue::default();
                queue.push(vec![0; 1 << 16]);
                if self.backend.send_now(&socket, &mut queue).is_none() {
                    break;
                }
            },
        }
        (socket, peer)
    }

    /// A listening socket, and those who connect to it.
    fn listener(&mut self, attach: Attach) -> (Rc<Descriptor>, Callers) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let callers = match &self.kernel {
            Some(kernel) => Callers::Scripted(kernel.fresh_socket(&listener), 1024),
            None => Callers::Real(listener.local_addr().unwrap()),
        };
        (self.backend.adopt(listener.into(), attach).unwrap(), callers)
    }

    /// A turn as the reactor makes it.
    fn turn(&mut self, wait: Option<Duration>) -> Vec<Completion> {
        let mut done = Vec::new();
        if self.backend.start() {
            done.extend(self.draw());
        }
        let wait = if done.is_empty() { wait } else { Some(Duration::ZERO) };
        self.backend.wait(wait).unwrap();
        done.extend(self.draw());
        done
    }

    fn draw(&mut self) -> Vec<Completion> {
        std::iter::from_fn(|| self.backend.next()).collect()
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

    /// Turns until a last completion has come, which is the only one.
    fn only(&mut self) -> Completion {
        let mut done = self.collect(ended);
        assert_eq!(done.len(), 1, "{done:?}");
        done.remove(0)
    }

    /// Whatever comes in a short while.
    fn rest(&mut self) -> Vec<Completion> {
        let mut all = self.turn(Some(Duration::ZERO));
        all.extend(self.turn(Some(QUIET)));
        all.extend(self.turn(Some(Duration::ZERO)));
        all
    }

    #[track_caller]
    fn nothing_comes(&mut self) {
        let rest = self.rest();
        assert!(rest.is_empty(), "{rest:?}");
    }

    fn receive(&mut self, socket: &Rc<Descriptor>) -> Token {
        self.backend.submit(Op::Receive { socket: socket.clone() })
    }

    fn send(
        &mut self,
        socket: &Rc<Descriptor>,
        bytes: impl Into<crate::payload::Payload>,
    ) -> Token {
        let mut queue = Box::new(SendQueue::default());
        queue.push(bytes);
        self.backend.submit(Op::Send { socket: socket.clone(), queue })
    }

    fn poll(&mut self, descriptor: &Rc<Descriptor>, interest: Interest) -> Token {
        self.backend.submit(Op::Poll { descriptor: descriptor.clone(), interest })
    }
}

/// The other end of a pair.
enum Peer {
    Real(UnixStream),
    /// The real end says what became of the descriptor, the script all else.
    Scripted {
        socket: Socket,
        real: UnixStream,
        at: usize,
    },
}

impl Peer {
    fn into_real(self) -> UnixStream {
        let (Peer::Real(peer) | Peer::Scripted { real: peer, .. }) = self;
        peer
    }

    fn writes(&mut self, bytes: &[u8]) {
        match self {
            Peer::Real(peer) => peer.write_all(bytes).unwrap(),
            Peer::Scripted { socket, .. } => drop(socket.brings(bytes).clone()),
        }
    }

    /// Sends no more.
    fn ends(&mut self) {
        match self {
            Peer::Real(peer) => peer.shutdown(Shutdown::Write).unwrap(),
            Peer::Scripted { socket, .. } => drop(socket.ends().clone()),
        }
    }

    /// The next bytes of ours.
    fn reads(&mut self, n: usize) -> Vec<u8> {
        match self {
            Peer::Real(peer) => {
                let mut bytes = vec![0; n];
                peer.read_exact(&mut bytes).unwrap();
                bytes
            }
            Peer::Scripted { socket, at, .. } => {
                *at += n;
                socket.sent()[*at - n..*at].to_vec()
            }
        }
    }

    /// Whether our end is closed. One that is open must have nothing for us.
    fn sees_us_closed(&mut self) -> bool {
        let (Peer::Real(peer) | Peer::Scripted { real: peer, .. }) = self;
        peer.set_nonblocking(true).unwrap();
        let closed = match peer.read(&mut [0]) {
            Ok(n) => n == 0,
            // What it had not read is told first.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => true,
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                false
            }
        };
        peer.set_nonblocking(false).unwrap();
        closed
    }
}

/// Those who connect.
enum Callers {
    Real(SocketAddr),
    /// The port that the next one comes from.
    Scripted(Socket, u16),
}

impl Callers {
    /// Somebody connects: his end of the connection, and his address.
    fn call(&mut self) -> (Box<dyn Read>, SocketAddr) {
        match self {
            Callers::Real(address) => {
                let client = TcpStream::connect(*address).unwrap();
                client.set_read_timeout(Some(PATIENCE)).unwrap();
                let address = client.local_addr().unwrap();
                (Box::new(client), address)
            }
            Callers::Scripted(listener, port) => {
                let (ours, client) = UnixStream::pair().unwrap();
                client.set_read_timeout(Some(PATIENCE)).unwrap();
                let address = SocketAddr::from(([10, 0, 0, 1], *port));
                *port += 1;
                listener.calls_over(ours.into(), address);
                (Box::new(client), address)
            }
        }
    }
}

/// The bytes that were received.
fn bytes_of(done: &[Completion]) -> Vec<u8> {
    let pieces = done.iter().filter_map(|completion| match &completion.answer {
        Answer::Received(chunk) => Some(&chunk[..]),
        _ => None,
    });
    pieces.collect::<Vec<_>>().concat()
}

/// Those who were accepted.
fn peers_of(done: &[Completion]) -> Vec<SocketAddr> {
    let peers = done.iter().filter_map(|completion| match completion.answer {
        Answer::Accepted(_, peer) => peer,
        _ => None,
    });
    peers.collect()
}

/// Whether there is a last completion.
fn ended(done: &[Completion]) -> bool {
    done.iter().any(|completion| !completion.more)
}
