//! Turns: what reaches a sink and when, who is woken, and how it ends.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;
use std::thread;

use super::*;

mod random;
mod simulated;

fn reactor() -> Rc<Reactor> {
    let config = Config { pool_bytes: 1 << 18, ..Config::default() };
    Reactor::new(&config).unwrap()
}

/// A sink that notes what it is told.
#[derive(Default)]
struct Log {
    answers: RefCell<Vec<String>>,
    flushes: Cell<usize>,
    waker: RefCell<Option<Waker>>,
}

impl Sink for Log {
    fn complete(self: Rc<Self>, completion: Completion, wakes: &mut Wakes) {
        let Completion { answer, more, .. } = completion;
        let text = match answer {
            Answer::Received(chunk) => format!("{chunk:?}"),
            Answer::Sent { queue, result } => format!("sent {result:?}, left {}", queue.bytes()),
            other => format!("{other:?}"),
        };
        self.answers.borrow_mut().push(if more { text + "+" } else { text });
        wakes.extend(self.waker.take());
    }

    fn flush(self: Rc<Self>, _: &mut Wakes) {
        self.flushes.set(self.flushes.get() + 1);
    }
}

impl Log {
    fn weak(self: &Rc<Self>) -> Weak<dyn Sink> {
        let sink: Rc<dyn Sink> = self.clone();
        Rc::downgrade(&sink)
    }
}

/// A waker that counts.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Count {
    fn now(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A connected pair: ours, adopted, and the peer's.
fn pair(reactor: &Reactor) -> (Rc<Descriptor>, UnixStream) {
    let (ours, peer) = UnixStream::pair().unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    (reactor.adopt(ours.into(), Attach::Now).unwrap(), peer)
}

#[test]
fn a_completion_reaches_its_sink_and_wakes_after_it() {
    let reactor = reactor();
    let (socket, mut peer) = pair(&reactor);
    let (log, count) = (Rc::new(Log::default()), Arc::new(Count::default()));
    reactor.submit(Op::Receive { socket }, log.weak()).unwrap();
    log.waker.replace(Some(count.clone().into()));
    reactor.turn(Wait::Poll).unwrap();
    assert_eq!(count.now(), 0);
    peer.write_all(b"one").unwrap();
    reactor.turn(Wait::Sleep).unwrap();
    assert_eq!(count.now(), 1);
    assert_eq!(*log.answers.borrow(), ["b\"one\"+"]);
    drop(peer);
    reactor.turn(Wait::Sleep).unwrap();
    assert_eq!(log.answers.borrow()[1..], ["EndOfFile"]);
}

/// A queue of so many bytes, each of which tells its place.
fn queue_of(length: usize) -> SendQueue {
    let mut queue = SendQueue::default();
    let bytes: Vec<u8> = (0..length).map(|index| (index / 7) as u8).collect();
    bytes.chunks(10_000).for_each(|piece| queue.push(piece.to_vec()));
    queue
}

/// All that a peer gets until the end of the stream.
fn read_all(mut peer: UnixStream) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        peer.read_to_end(&mut all).unwrap();
        all
    })
}

/// Whether these are the bytes of a `queue_of` so many.
fn is_whole(bytes: &[u8], length: usize) -> bool {
    bytes.len() == length && bytes.iter().enumerate().all(|(at, byte)| *byte == (at / 7) as u8)
}

/// More than the kernel buffers for a pair of sockets.
const MUCH: usize = 2_000_000;

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static REACTOR: RefCell<Option<Rc<Reactor>>> = const { RefCell::new(None) };
}

struct Bomb;

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        panic!("boom");
    }
}

#[test]
fn a_panicking_waker_is_reported_and_the_others_are_woken() {
    let reactor = reactor();
    reactor.set_reporter(|line| LINES.with_borrow_mut(|lines| lines.push(line.to_string())));
    let count = Arc::new(Count::default());
    let wakers: [Waker; 5] = [
        count.clone().into(),
        Arc::new(Bomb).into(),
        count.clone().into(),
        Arc::new(Bomb).into(),
        count.clone().into(),
    ];
    let now = reactor.now();
    for waker in wakers {
        reactor.insert_timer(now, waker);
    }
    let start = Instant::now();
    while reactor.timers() > 0 {
        reactor.turn(Wait::Sleep).unwrap();
    }
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(count.now(), 3);
    assert_eq!(LINES.take(), ["a waker panicked: boom"; 2]);
    reactor.turn(Wait::Poll).unwrap();
}

/// A waker that asks the reactor for all that it can do.
struct Meddler;

impl Wake for Meddler {
    fn wake(self: Arc<Self>) {
        let reactor = REACTOR.with_borrow(|reactor| reactor.clone()).unwrap();
        let (socket, _peer) = pair(&reactor);
        let log = Rc::new(Log::default());
        let token = reactor.submit(Op::Receive { socket }, log.weak()).unwrap();
        reactor.cancel(token);
        reactor.mark_dirty(log);
        let key = reactor.insert_timer(reactor.now(), Waker::noop().clone());
        assert!(reactor.set_timer_waker(key, &Arc::new(Count::default()).into()));
        assert!(reactor.remove_timer(key).is_some());
        reactor.on_descriptor_freed(Waker::noop().clone());
        reactor.request_shutdown();
    }
}

// OUTSIDE: whatever a waker does, nothing is borrowed.
#[test]
fn a_waker_may_ask_anything_of_the_reactor() {
    let reactor = reactor();
    REACTOR.set(Some(reactor.clone()));
    reactor.insert_timer(reactor.now(), Arc::new(Meddler).into());
    let mut key = None;
    reactor.shutdown_waiters().register(&mut key, &Arc::new(Count::default()).into());
    let (socket, peer) = pair(&reactor);
    let log = Rc::new(Log::default());
    log.waker.replace(Some(Arc::new(Meddler).into()));
    reactor.submit(Op::Receive { socket }, log.weak()).unwrap();
    drop(peer);
    for _ in 0..8 {
        reactor.turn(Wait::Poll).unwrap();
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(*log.answers.borrow(), ["EndOfFile"]);
    assert!(log.waker.borrow().is_none() && reactor.shutdown_is_requested());
    assert_eq!(reactor.timers(), 0);
    reactor.shutdown_waiters().remove(&mut key);
    reactor.close(Duration::ZERO);
    REACTOR.take();
}

#[test]
fn a_timer_wakes_its_latest_waker_and_never_early() {
    let reactor = reactor();
    let (first, second) = (Arc::new(Count::default()), Arc::new(Count::default()));
    let start = reactor.now();
    let deadline = start + Duration::from_millis(3);
    let key = reactor.insert_timer(deadline, first.clone().into());
    let gone = reactor.insert_timer(deadline, first.clone().into());
    assert!(reactor.set_timer_waker(key, &second.clone().into()));
    assert!(reactor.remove_timer(gone).is_some());
    while second.now() == 0 {
        reactor.turn(Wait::Sleep).unwrap();
    }
    assert!(Instant::now() >= deadline && reactor.turn_time() >= deadline);
    assert_eq!((first.now(), second.now()), (0, 1));
    assert!(!reactor.set_timer_waker(key, &second.into()), "it has fired");
    assert!(reactor.remove_timer(key).is_none());
}

#[test]
fn who_marks_himself_while_he_is_flushed_waits_a_turn() {
    struct Restless(Rc<Reactor>, Cell<usize>);
    impl Sink for Restless {
        fn complete(self: Rc<Self>, _: Completion, _: &mut Wakes) {}
        fn flush(self: Rc<Self>, _: &mut Wakes) {
            self.1.set(self.1.get() + 1);
            if self.1.get() < 3 {
                self.0.clone().mark_dirty(self);
            }
        }
    }
    let reactor = reactor();
    let sink = Rc::new(Restless(reactor.clone(), Cell::new(0)));
    reactor.mark_dirty(sink.clone());
    for turn in 1..=3 {
        // None of these sleeps, for there is somebody to flush.
        let wait = if turn < 3 { Wait::Sleep } else { Wait::Poll };
        reactor.turn(wait).unwrap();
        assert_eq!(sink.1.get(), turn);
    }
}

#[test]
fn a_freed_descriptor_is_told_once_to_each() {
    let reactor = reactor();
    let (count, other) = (Arc::new(Count::default()), Arc::new(Count::default()));
    let waker = Waker::from(count.clone());
    (0..3).for_each(|_| reactor.on_descriptor_freed(waker.clone()));
    reactor.on_descriptor_freed(other.clone().into());
    reactor.turn(Wait::Poll).unwrap();
    assert_eq!(count.now(), 0);
    let (socket, mut peer) = pair(&reactor);
    drop(socket);
    reactor.turn(Wait::Sleep).unwrap();
    assert_eq!((count.now(), other.now()), (1, 1));
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    let (socket, _peer) = pair(&reactor);
    drop(socket);
    reactor.turn(Wait::Sleep).unwrap();
    assert_eq!(count.now(), 1, "who wants to hear of the next one asks again");
}

#[test]
fn an_op_whose_sink_is_gone_still_ends() {
    let reactor = reactor();
    let (socket, mut peer) = pair(&reactor);
    let log = Rc::new(Log::default());
    let token = reactor.submit(Op::Receive { socket }, log.weak()).unwrap();
    drop(log);
    peer.write_all(b"to nobody").unwrap();
    reactor.turn(Wait::Poll).unwrap();
    reactor.cancel(token);
    while reactor.backend.borrow().pending() > 0 {
        reactor.turn(Wait::Sleep).unwrap();
    }
    reactor.turn(Wait::Poll).unwrap();
    assert!(peer.read(&mut [0]).is_ok_and(|n| n == 0) || peer.write(b"x").is_err(), "it is closed");
}

// KEPT: what was queued goes out, in order, though nobody holds the stream.
#[test]
fn an_orphan_sends_what_was_under_way_and_then_the_rest() {
    for under_way in [true, false] {
        let reactor = reactor();
        let (socket, peer) = pair(&reactor);
        let mut queue = queue_of(2 * MUCH);
        let mut sending = None;
        if under_way {
            // The first half is an op's by now; the second half still lies in the stream.
            let (first, rest) = (queue_of(MUCH), &mut queue);
            rest.advance(MUCH);
            let log = Rc::new(Log::default());
            let op = Op::Send { socket: socket.clone(), queue: Box::new(first) };
            sending = Some(reactor.submit(op, log.weak()).unwrap());
        }
        reactor.finish_sending(socket, sending, queue);
        let reader = read_all(peer);
        while !reactor.orphans.is_done() {
            reactor.turn(Wait::Sleep).unwrap();
        }
        reactor.turn(Wait::Poll).unwrap();
        assert!(is_whole(&reader.join().unwrap(), 2 * MUCH), "under way: {under_way}");
        assert!(reactor.orphans.next().is_none(), "nobody is woken for it any more");
    }
}

#[test]
fn orphans_that_have_ended_keep_no_memory() {
    let reactor = reactor();
    for _ in 0..20 {
        let readers: Vec<_> = (0..50)
            .map(|_| {
                let (socket, peer) = pair(&reactor);
                reactor.finish_sending(socket, None, queue_of(10));
                peer
            })
            .collect();
        while !reactor.orphans.is_done() {
            reactor.turn(Wait::Sleep).unwrap();
        }
        drop(readers);
    }
    assert!(reactor.orphans.remembered() <= 200, "{}", reactor.orphans.remembered());
}

// BOUND: a peer that has stopped reading does not hold our memory for ever.
#[test]
fn an_orphan_is_given_up_when_its_peer_takes_nothing() {
    let reactor = reactor();
    let (socket, mut peer) = pair(&reactor);
    reactor.finish_sending(socket, None, queue_of(MUCH));
    (0..1000).for_each(|_| reactor.turn(Wait::Poll).unwrap());
    assert!(!reactor.orphans.is_done());
    let deadline = reactor.orphans.next().unwrap();
    // It was moved on by what the kernel took, so the first look only notes that.
    let later = deadline + orphans::PATIENCE;
    (0..2).for_each(|_| reactor.orphans.expire(later, &reactor));
    while !reactor.orphans.is_done() {
        reactor.turn(Wait::Sleep).unwrap();
    }
    reactor.turn(Wait::Poll).unwrap();
    let mut all = Vec::new();
    peer.read_to_end(&mut all).unwrap();
    assert!(is_whole(&all, all.len()) && all.len() < MUCH, "what was taken, and then the end");
}

// DRAIN: each op has its one terminal completion, and nothing starts any more.
#[test]
fn close_ends_every_op_once_and_refuses_new_ones() {
    let reactor = reactor();
    let (socket, mut peer) = pair(&reactor);
    let (kept, mut peer_of_kept) = pair(&reactor);
    let [receives, polls, sends] = [(); 3].map(|()| Rc::new(Log::default()));
    let count = Arc::new(Count::default());
    receives.waker.replace(Some(count.clone().into()));
    let interest = crate::backend::Interest::READABLE;
    reactor.submit(Op::Receive { socket: socket.clone() }, receives.weak()).unwrap();
    let poll = Op::Poll { descriptor: socket.clone(), interest };
    reactor.submit(poll, polls.weak()).unwrap();
    let queue = Box::new(queue_of(MUCH));
    reactor.submit(Op::Send { socket: socket.clone(), queue }, sends.weak()).unwrap();
    drop(socket);
    let held = Arc::new(Count::default());
    reactor.insert_timer(reactor.now() + Duration::from_secs(3600), held.clone().into());
    reactor.on_descriptor_freed(held.clone().into());
    reactor.close(Duration::ZERO);
    reactor.close(Duration::ZERO);
    assert_eq!(*receives.answers.borrow(), ["Cancelled(None)"]);
    assert_eq!(*polls.answers.borrow(), ["Cancelled(None)"]);
    assert_eq!(sends.answers.borrow().len(), 1);
    assert_eq!(count.now(), 1);
    assert_eq!(Arc::strong_count(&held), 1, "the wakers that waited are dropped");
    let mut sent = Vec::new();
    peer.read_to_end(&mut sent).unwrap();

    let error = reactor.submit(Op::Receive { socket: kept.clone() }, polls.weak()).unwrap_err();
    assert!(error.to_string().contains("has ended"), "{error}");
    assert!(reactor.adopt(UnixStream::pair().unwrap().0.into(), Attach::Now).is_err());
    drop(kept);
    assert_eq!(peer_of_kept.read(&mut [0]).unwrap(), 0, "closed at once, as there are no turns");
}

#[test]
fn close_sends_what_is_queued_to_those_who_read() {
    let reactor = reactor();
    let (socket, peer) = pair(&reactor);
    reactor.finish_sending(socket, None, queue_of(MUCH));
    let reader = read_all(peer);
    reactor.close(Duration::from_secs(10));
    assert!(is_whole(&reader.join().unwrap(), MUCH));
}

#[test]
fn close_waits_no_longer_than_it_may_for_those_who_do_not_read() {
    let reactor = reactor();
    let (socket, mut peer) = pair(&reactor);
    reactor.finish_sending(socket, None, queue_of(MUCH));
    let start = Instant::now();
    reactor.close(Duration::from_millis(30));
    let elapsed = start.elapsed();
    assert!((Duration::from_millis(30)..Duration::from_secs(5)).contains(&elapsed), "{elapsed:?}");
    let mut all = Vec::new();
    peer.read_to_end(&mut all).unwrap();
    assert!(is_whole(&all, all.len()));
}

#[test]
fn a_sleep_is_ended_from_another_thread() {
    let reactor = reactor();
    let unparker = reactor.unparker();
    let thread = thread::spawn(move || {
        thread::sleep(Duration::from_millis(5));
        unparker.unpark();
    });
    reactor.turn(Wait::Sleep).unwrap();
    thread.join().unwrap();
}
