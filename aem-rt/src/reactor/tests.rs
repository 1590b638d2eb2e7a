//! Turns: what reaches a sink and when, who is woken, and how it ends.

use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use super::*;

fn reactor() -> Rc<Reactor> {
    let config = Config { pool_bytes: 1 << 18, timer_slack: Duration::from_micros(50) };
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
    fn complete(self: Rc<Self>, _: Token, answer: Answer, more: bool, wakes: &mut Wakes) {
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
    use std::io::Write;
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
