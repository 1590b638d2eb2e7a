//! Ten thousand random scripts: whatever the kernel does in whatever order, the promises hold.
//!
//! ONCE: each op has one last answer and none after it. FRESH: a sink hears of its own op only, though the
//! kernel repeats answers to ops that are over. LENT: what is under way is open and its bytes are alive.
//! KEPT: the bytes and connections that came are those that were told and those that are still there, in
//! order; the bytes that were taken and those that came back are all that were sent.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::*;
use crate::backend::Interest;
use crate::backend::simulated::{Kernel, Random, Socket};
use crate::payload::Payload;

const SCRIPTS: u64 = 10_000;

#[test]
fn random_scripts_keep_the_promises() {
    let mut answers = 0;
    for seed in 0..SCRIPTS {
        let mut world = World::new(seed);
        let steps = 20 + world.random.below(60);
        for _ in 0..steps {
            world.step();
        }
        answers += world.end();
    }
    assert!(answers > 10 * SCRIPTS as usize, "{answers} answers are too few to say anything");
}

/// What an op asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Receive,
    Send,
    Accept,
    Poll,
    Changes,
}

/// The sink of one op, which checks whatever it is told.
struct Note {
    seed: u64,
    kind: Kind,
    lane: Rc<Lane>,
    token: Cell<Option<Token>>,
    over: Cell<bool>,
}

impl Sink for Note {
    fn complete(self: Rc<Self>, completion: Completion, _: &mut Wakes) {
        let Completion { token, answer, more } = completion;
        let (seed, lane) = (self.seed, &self.lane);
        assert_eq!(self.token.get(), Some(token), "seed {seed}: FRESH");
        assert!(!self.over.replace(!more), "seed {seed}: ONCE: {answer:?} after the last answer");
        lane.answers.set(lane.answers.get() + 1);
        let fits = match (&answer, self.kind) {
            (Answer::Received(_), Kind::Receive) | (Answer::Accepted(..), Kind::Accept) => more,
            (Answer::Ready(_), Kind::Changes) => more,
            (Answer::Ready(ready), Kind::Poll) => !more && !ready.is_none(),
            (Answer::EndOfFile | Answer::Failed(_), Kind::Receive) => !more,
            (Answer::Failed(_), Kind::Accept) => !more,
            (Answer::Sent { .. } | Answer::Cancelled(Some(_)), Kind::Send) => !more,
            (Answer::Cancelled(None), kind) => !more && kind != Kind::Send,
            _ => false,
        };
        assert!(fits, "seed {seed}: {answer:?}, {more}, for {:?}", self.kind);
        match answer {
            Answer::Received(chunk) => lane.got.borrow_mut().extend_from_slice(&chunk),
            Answer::Accepted(_, peer) => lane.accepted.borrow_mut().extend(peer),
            Answer::Sent { queue, .. } | Answer::Cancelled(Some(queue)) => lane.take_back(*queue),
            _ => {}
        }
    }
}

/// A socket, what was written for it, and what came of that.
struct Lane {
    socket: RefCell<Option<Rc<Descriptor>>>,
    script: Socket,
    peer: UnixStream,
    answers: Cell<usize>,
    brought: RefCell<Vec<u8>>,
    got: RefCell<Vec<u8>>,
    called: RefCell<Vec<SocketAddr>>,
    accepted: RefCell<Vec<SocketAddr>>,
    queued: RefCell<Vec<u8>>,
    rest: RefCell<SendQueue>,
    /// What was queued, with the position behind it, as long as it is not sent.
    payloads: RefCell<VecDeque<(Arc<[u8]>, usize)>>,
}

impl Lane {
    fn new(reactor: &Reactor, kernel: &Kernel) -> Rc<Lane> {
        let (ours, peer) = UnixStream::pair().unwrap();
        peer.set_nonblocking(true).unwrap();
        let script = kernel.fresh_socket(&ours);
        let socket = reactor.adopt(ours.into(), Attach::OnFirstUse).unwrap();
        let (answers, brought, got, called, accepted) = Default::default();
        let (queued, rest, payloads) = Default::default();
        let socket = RefCell::new(Some(socket));
        Rc::new(Lane {
            socket,
            script,
            peer,
            answers,
            brought,
            got,
            called,
            accepted,
            queued,
            rest,
            payloads,
        })
    }

    /// What was not sent comes before what was queued since.
    fn take_back(&self, mut queue: SendQueue) {
        queue.append(self.rest.take());
        self.rest.replace(queue);
    }

    /// Queues some bytes, each of which tells its place.
    fn queue(&self, length: usize) {
        let mut queued = self.queued.borrow_mut();
        let bytes: Arc<[u8]> = (0..length).map(|at| (queued.len() + at) as u8).collect();
        queued.extend_from_slice(&bytes);
        self.rest.borrow_mut().push(Payload::from(bytes.clone()));
        self.payloads.borrow_mut().push_back((bytes, queued.len()));
    }

    /// LENT: what is not sent is alive, wherever it is, and nobody holds what is.
    fn check_payloads(&self, seed: u64) {
        let sent = self.script.sent().len();
        let mut payloads = self.payloads.borrow_mut();
        while let Some((bytes, _)) = payloads.pop_front_if(|(_, end)| *end <= sent) {
            assert_eq!(Arc::strong_count(&bytes), 1, "seed {seed}: sent bytes are held");
        }
        let alive = |(bytes, _): &(Arc<[u8]>, usize)| Arc::strong_count(bytes) == 2;
        assert!(payloads.iter().all(alive), "seed {seed}: LENT");
    }
}

struct World {
    seed: u64,
    random: Random,
    kernel: Kernel,
    reactor: Rc<Reactor>,
    lanes: Vec<Rc<Lane>>,
    /// Ops that are not over, as far as is known.
    notes: Vec<Rc<Note>>,
    /// Ops that are.
    over: Vec<Token>,
}

/// Errors of an accept that are of a moment, of one connection, or of the process.
const REFUSALS: [i32; 5] =
    [libc::EAGAIN, libc::ECONNABORTED, libc::EMFILE, libc::ENOMEM, libc::EPERM];

impl World {
    fn new(seed: u64) -> World {
        let kernel = Kernel::seeded(seed);
        let slack = Duration::from_micros(50);
        let reactor = Reactor::over(Backend::simulated(&kernel), "the test".to_owned(), slack);
        let reactor = reactor.unwrap();
        let lanes = (0..3).map(|_| Lane::new(&reactor, &kernel)).collect();
        let random = Random::new(seed ^ 0x5EED);
        World { seed, random, kernel, reactor, lanes, notes: Vec::new(), over: Vec::new() }
    }

    fn delay(&self) -> Duration {
        Duration::from_micros(self.random.below(3000) as u64)
    }

    /// Does something.
    fn step(&mut self) {
        let lane = self.lanes[self.random.below(self.lanes.len())].clone();
        // The last one listens, and the others are streams.
        let listens = Rc::ptr_eq(&lane, &self.lanes[2]);
        match self.random.below(12) {
            0 | 1 if listens => self.submit(&lane, Kind::Accept),
            0 | 1 => self.submit(&lane, Kind::Receive),
            2 | 3 if listens => self.call(&lane),
            2 | 3 => self.bring(&lane),
            4 if !listens => {
                lane.queue(1 + self.random.below(60));
                self.send(&lane);
            }
            5 => drop(lane.script.after(self.delay()).takes(1 + self.random.below(40)).clone()),
            6 => {
                let kind = [Kind::Poll, Kind::Changes][self.random.below(2)];
                self.submit(&lane, kind);
            }
            7 => {
                let shown = [Interest::NONE, Interest::READABLE, Interest::WRITABLE];
                lane.script.after(self.delay()).shows(shown[self.random.below(3)]);
            }
            8 if !self.notes.is_empty() => {
                let note = &self.notes[self.random.below(self.notes.len())];
                self.reactor.cancel(note.token.get().unwrap());
            }
            9 if !self.over.is_empty() => {
                let token = self.over[self.random.below(self.over.len())];
                self.kernel.answer_stray_unchecked(token, Answer::EndOfFile, self.delay() > MID);
                self.kernel.answer_stray(token, Answer::Connected, false);
                // A cancel of what is over means nobody either.
                self.reactor.cancel(token);
            }
            10 if self.random.below(8) == 0 => drop(lane.socket.take()),
            _ => self.turn(self.delay()),
        }
    }

    /// Has bytes come, or an attempt to receive fail.
    fn bring(&self, lane: &Lane) {
        let script = lane.script.after(self.delay());
        match self.random.below(8) {
            0 => drop(script.refuses(libc::EAGAIN).clone()),
            1 => drop(script.refuses(libc::ENOBUFS).clone()),
            _ => {
                let mut brought = lane.brought.borrow_mut();
                let length = 1 + self.random.below(50);
                let bytes: Vec<u8> = (0..length).map(|at| (brought.len() + at) as u8).collect();
                script.brings(&bytes);
                brought.extend(bytes);
            }
        }
    }

    /// Has somebody connect, or an attempt to accept fail.
    fn call(&self, lane: &Lane) {
        let script = lane.script.after(self.delay());
        if self.random.below(3) == 0 {
            script.refuses(REFUSALS[self.random.below(REFUSALS.len())]);
            return;
        }
        let mut called = lane.called.borrow_mut();
        let peer = SocketAddr::from(([10, 0, 0, 1], 1024 + called.len() as u16));
        script.calls(peer);
        called.push(peer);
    }

    /// Submits an op, if the direction is free and there is something to be done.
    fn submit(&mut self, lane: &Rc<Lane>, kind: Kind) {
        let Some(socket) = lane.socket.borrow().clone() else { return };
        let reads = |kind| matches!(kind, Kind::Receive | Kind::Accept);
        let is_taken = |note: &Rc<Note>| {
            let same = note.kind == kind || reads(kind) && reads(note.kind);
            Rc::ptr_eq(&note.lane, lane) && same
        };
        let is_poll = matches!(kind, Kind::Poll | Kind::Changes);
        if !is_poll && self.notes.iter().any(is_taken) {
            return;
        }
        let op = match kind {
            Kind::Receive => Op::Receive { socket },
            Kind::Accept => Op::Accept { listener: socket },
            Kind::Send => Op::Send { socket, queue: Box::new(lane.rest.take()) },
            Kind::Changes => Op::Changes { descriptor: socket },
            Kind::Poll => {
                let interest = [Interest::READABLE, Interest::READABLE | Interest::WRITABLE];
                Op::Poll { descriptor: socket, interest: interest[self.random.below(2)] }
            }
        };
        let (seed, token, over) = (self.seed, Cell::new(None), Cell::new(false));
        let note = Rc::new(Note { seed, kind, lane: lane.clone(), token, over });
        let sink: Rc<dyn Sink> = note.clone();
        note.token.set(Some(self.reactor.submit(op, Rc::downgrade(&sink)).unwrap()));
        self.notes.push(note);
    }

    /// Sends what is queued, as a stream does.
    fn send(&mut self, lane: &Rc<Lane>) {
        let Some(socket) = lane.socket.borrow().clone() else { return };
        let under_way = |note: &Rc<Note>| Rc::ptr_eq(&note.lane, lane) && note.kind == Kind::Send;
        let mut queue = lane.rest.borrow_mut();
        let before = queue.bytes() as usize;
        match self.reactor.send_now(&socket, &mut queue) {
            Some(Ok(n)) => assert_eq!(queue.bytes() as usize, before - n, "seed {}", self.seed),
            Some(Err(error)) => panic!("seed {}: {error}", self.seed),
            None => assert_eq!(queue.bytes() as usize, before, "seed {}", self.seed),
        }
        let rest = !queue.is_empty();
        drop(queue);
        if rest && !self.notes.iter().any(under_way) {
            self.submit(lane, Kind::Send);
        }
    }

    fn turn(&mut self, limit: Duration) {
        self.reactor.turn_for(Some(limit)).unwrap();
        let over = self.notes.extract_if(.., |note| note.over.get());
        self.over.extend(over.map(|note| note.token.get().unwrap()));
        self.check();
    }

    /// What holds between turns.
    fn check(&self) {
        let seed = self.seed;
        let (pending, _) = self.reactor.operations_and_descriptors();
        assert_eq!(
            pending,
            self.notes.len(),
            "seed {seed}: an op ended and its sink does not know"
        );
        for lane in &self.lanes {
            lane.check_payloads(seed);
            let is_needed = lane.socket.borrow().is_some()
                || self.notes.iter().any(|note| Rc::ptr_eq(&note.lane, lane));
            let is_open = (&lane.peer).read(&mut [0]).is_err();
            assert!(is_open || !is_needed, "seed {seed}: LENT");
        }
    }

    /// Ends all ops and says how many answers there were.
    fn end(mut self) -> usize {
        let seed = self.seed;
        for note in &self.notes {
            self.reactor.cancel(note.token.get().unwrap());
        }
        let mut turns = 0;
        while !self.notes.is_empty() {
            assert!(turns < 1_000, "seed {seed}: {} ops do not end", self.notes.len());
            turns += 1;
            self.turn(Duration::from_millis(1));
        }
        for lane in &self.lanes {
            let told = [&lane.got.borrow()[..], &lane.script.left()].concat();
            assert!(told == *lane.brought.borrow(), "seed {seed}: KEPT: received bytes");
            let accepted = lane.accepted.borrow();
            assert!(lane.called.borrow().starts_with(&accepted), "seed {seed}: KEPT: connections");
            let (sent, queued) = (lane.script.sent(), lane.queued.borrow());
            assert!(queued.starts_with(&sent), "seed {seed}: sent bytes");
            assert_eq!(
                sent.len() + lane.rest.borrow().bytes() as usize,
                queued.len(),
                "seed {seed}: KEPT"
            );
        }
        let connections: usize = self.lanes.iter().map(|lane| lane.script.callers_left()).sum();
        let (called, accepted) = (self.lanes[2].called.borrow(), self.lanes[2].accepted.borrow());
        assert_eq!(accepted.len() + connections, called.len(), "seed {seed}: KEPT: connections");
        for lane in &self.lanes {
            lane.socket.take();
        }
        self.reactor.turn(Wait::Poll).unwrap();
        // The child of another test's fork may hold a copy for as long as it lives.
        let start = Instant::now();
        let is_closed = |lane: &Rc<Lane>| (&lane.peer).read(&mut [0]).is_ok();
        while !self.lanes.iter().all(is_closed) {
            assert!(start.elapsed() < PATIENCE, "seed {seed}: a descriptor is left open");
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(self.reactor.operations_and_descriptors(), (0, 0), "seed {seed}");
        self.lanes.iter().map(|lane| lane.answers.get()).sum()
    }
}

/// What is not closed after this long is left open.
const PATIENCE: Duration = Duration::from_secs(10);

/// Half of the delays are longer.
const MID: Duration = Duration::from_micros(1500);
