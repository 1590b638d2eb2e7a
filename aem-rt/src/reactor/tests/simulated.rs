//! The reactor over a kernel that is late, loses races, takes little, refuses, or is broken.

use super::*;
use crate::backend::simulated::{Kernel, Socket};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn over(kernel: &Kernel) -> Rc<Reactor> {
    let slack = Duration::from_micros(50);
    Reactor::over(Backend::simulated(kernel), "the test".to_owned(), slack).unwrap()
}

/// One of our sockets, its script, and its other end, which tells only whether ours is open.
fn scripted(reactor: &Reactor, kernel: &Kernel) -> (Rc<Descriptor>, Socket, UnixStream) {
    let (ours, peer) = UnixStream::pair().unwrap();
    peer.set_nonblocking(true).unwrap();
    let script = kernel.fresh_socket(&ours);
    (reactor.adopt(ours.into(), Attach::OnFirstUse).unwrap(), script, peer)
}

fn is_closed(mut peer: &UnixStream) -> bool {
    peer.read(&mut [0]).is_ok()
}

/// Sleeps in turns until nothing is under way.
fn until_idle(reactor: &Reactor) {
    while reactor.operations_and_descriptors().0 > 0 {
        reactor.turn(Wait::Sleep).unwrap();
    }
}

// KEPT, FRESH: what comes after a cancel reaches the sink that asked, and no other.
#[test]
fn late_answers_reach_the_sink_that_asked() {
    let kernel = Kernel::new();
    let reactor = over(&kernel);
    let (first, script, _peer) = scripted(&reactor, &kernel);
    let (second, other_script, _peer) = scripted(&reactor, &kernel);
    let [late, other] = [(); 2].map(|()| Rc::new(Log::default()));
    script.cancels_after(ms(5)).after(ms(2)).brings("late").after(ms(9)).brings("too late");
    let token = reactor.submit(Op::Receive { socket: first.clone() }, late.weak()).unwrap();
    reactor.cancel(token);
    other_script.after(ms(3)).brings("other").ends();
    reactor.submit(Op::Receive { socket: second }, other.weak()).unwrap();
    until_idle(&reactor);
    assert_eq!(*late.answers.borrow(), ["b\"late\"+", "Cancelled(None)"]);
    assert_eq!(*other.answers.borrow(), ["b\"other\"+", "EndOfFile"]);
    assert_eq!(kernel.elapsed(), ms(5));
    reactor.submit(Op::Receive { socket: first }, late.weak()).unwrap();
    reactor.turn(Wait::Sleep).unwrap();
    assert_eq!(late.answers.borrow()[2..], ["b\"too late\"+"]);
    assert_eq!(kernel.elapsed(), ms(11));
}

// LENT: an op whose sink and descriptor everybody has dropped ends before the descriptor closes.
#[test]
fn a_descriptor_waits_for_the_late_end_of_its_op() {
    let kernel = Kernel::new();
    let reactor = over(&kernel);
    let (socket, script, peer) = scripted(&reactor, &kernel);
    script.cancels_after(ms(5)).after(ms(1)).brings("nobody wants it");
    let log = Rc::new(Log::default());
    let token = reactor.submit(Op::Receive { socket }, log.weak()).unwrap();
    drop(log);
    reactor.cancel(token);
    while reactor.operations_and_descriptors().0 > 0 {
        assert!(!is_closed(&peer));
        reactor.turn(Wait::Sleep).unwrap();
    }
    assert_eq!(kernel.elapsed(), ms(5));
    reactor.turn(Wait::Sleep).unwrap();
    assert!(is_closed(&peer));
}

// ONCE, FRESH: a kernel that answers twice, and a keeper that lets it, reach no sink a second time.
#[test]
fn a_second_last_answer_reaches_no_sink() {
    let kernel = Kernel::new();
    kernel.answer_twice();
    let reactor = over(&kernel);
    let (socket, script, _peer) = scripted(&reactor, &kernel);
    let logs: Vec<Rc<Log>> = (0..3).map(|_| Rc::new(Log::default())).collect();
    for log in &logs {
        script.brings("x").ends();
        let op = Op::Receive { socket: socket.clone() };
        let token = reactor.submit(op, log.weak()).unwrap();
        until_idle(&reactor);
        // Again when the place of the op is another's.
        kernel.answer_stray_unchecked(token, Answer::EndOfFile, false);
        kernel.answer_stray_unchecked(token, Answer::EndOfFile, true);
    }
    let (waiting, _script, _peer) = scripted(&reactor, &kernel);
    let log = Rc::new(Log::default());
    reactor.submit(Op::Receive { socket: waiting }, log.weak()).unwrap();
    reactor.turn(Wait::Poll).unwrap();
    assert!(log.answers.borrow().is_empty());
    assert_eq!(*logs[0].answers.borrow(), ["b\"x\"+", "EndOfFile"]);
    // The end of the file stays, and the second time there are no bytes before it.
    assert!(logs[1..].iter().all(|log| *log.answers.borrow() == ["EndOfFile"]));
}

#[test]
fn a_wait_that_fails_loses_no_answer() {
    let kernel = Kernel::new();
    kernel.answer_at_once();
    let reactor = over(&kernel);
    let (socket, script, _peer) = scripted(&reactor, &kernel);
    let (log, count) = (Rc::new(Log::default()), Arc::new(Count::default()));
    log.waker.replace(Some(count.clone().into()));
    script.brings("before");
    reactor.submit(Op::Receive { socket }, log.weak()).unwrap();
    kernel.fail_wait(libc::ENOMEM);
    let error = reactor.turn(Wait::Sleep).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOMEM));
    assert_eq!(*log.answers.borrow(), ["b\"before\"+"]);
    assert_eq!(count.now(), 1);
    reactor.turn(Wait::Poll).unwrap();
}

// DRAIN, BOUND: the end waits for a kernel that grants no cancel as long as it says, and tells.
#[test]
fn the_end_waits_for_late_cancels_and_not_for_ever() {
    for (delay, lines) in [(ms(4_900), 0), (Duration::MAX, 1)] {
        let kernel = Kernel::new();
        let reactor = over(&kernel);
        reactor.set_reporter(|line| LINES.with_borrow_mut(|lines| lines.push(line.to_string())));
        let (socket, script, _peer) = scripted(&reactor, &kernel);
        script.cancels_after(delay);
        let log = Rc::new(Log::default());
        reactor.submit(Op::Receive { socket }, log.weak()).unwrap();
        reactor.close(Duration::ZERO);
        assert_eq!(kernel.elapsed(), delay.min(DRAIN_WAIT));
        assert_eq!(log.answers.borrow().len(), 1 - lines);
        let told = LINES.take();
        assert_eq!(told.len(), lines, "{told:?}");
        assert!(told.iter().all(|line| line.contains("did not end 1 operations")), "{told:?}");
    }
}

#[test]
fn the_end_flushes_for_its_time_and_no_longer() {
    let kernel = Kernel::new();
    let reactor = over(&kernel);
    let (socket, script, _peer) = scripted(&reactor, &kernel);
    (1..=20).for_each(|round| drop(script.after(ms(100 * round)).takes(1_000).clone()));
    reactor.finish_sending(socket, None, queue_of(MUCH));
    reactor.close(ms(1_050));
    assert_eq!(kernel.elapsed(), ms(1_050));
    assert!(is_whole(&script.sent(), 10_000), "{} bytes", script.sent().len());
}

// KEPT: however little a send takes, each byte goes out once and in order.
#[test]
fn short_sends_lose_and_double_nothing() {
    for ops_only in [false, true] {
        let kernel = Kernel::new();
        if ops_only {
            kernel.take_ops_only();
        }
        let reactor = over(&kernel);
        let (socket, script, peer) = scripted(&reactor, &kernel);
        for round in 0..500_u64 {
            script.after(ms(round)).takes(1 + (round * round) as usize % 20_001);
            if round % 3 == 0 {
                script.after(ms(round)).refuses_a_send(libc::EAGAIN);
            }
        }
        reactor.finish_sending(socket, None, queue_of(MUCH));
        while !reactor.orphans.is_done() {
            reactor.turn(Wait::Sleep).unwrap();
        }
        assert!(is_whole(&script.sent(), MUCH));
        reactor.turn(Wait::Poll).unwrap();
        assert!(is_closed(&peer));
    }
}

// BOUND: patience with a peer begins anew with each byte that he takes.
#[test]
fn an_orphan_is_given_up_half_a_minute_after_the_last_byte() {
    let kernel = Kernel::new();
    let reactor = over(&kernel);
    let (socket, script, peer) = scripted(&reactor, &kernel);
    let almost = orphans::PATIENCE - ms(1);
    let mut slow = script.clone();
    for _ in 0..10 {
        slow = slow.after(almost);
        slow.takes(1);
    }
    slow.never().takes(1);
    reactor.finish_sending(socket, None, queue_of(100));
    while !reactor.orphans.is_done() {
        assert!(!is_closed(&peer));
        reactor.turn(Wait::Sleep).unwrap();
    }
    assert_eq!(kernel.elapsed(), almost * 10 + orphans::PATIENCE);
    assert!(is_whole(&script.sent(), 10));
    reactor.turn(Wait::Poll).unwrap();
    assert!(is_closed(&peer));
}

/// A waker that notes when it was woken.
struct Stamp(std::sync::mpsc::Sender<(Instant, Instant)>, Instant);

impl Wake for Stamp {
    fn wake(self: Arc<Self>) {
        let reactor = REACTOR.with_borrow(|reactor| reactor.clone()).unwrap();
        self.0.send((self.1, reactor.turn_time())).unwrap();
    }
}

#[test]
fn a_day_of_timers_takes_no_time() {
    let kernel = Kernel::new();
    let reactor = over(&kernel);
    REACTOR.set(Some(reactor.clone()));
    let start = reactor.now();
    let (sender, receiver) = std::sync::mpsc::channel();
    // In no order: every tenth of a second, and a second within the last one of the day.
    for at in (0..864_000_u64).map(|n| n * 7 % 864_000).step_by(97) {
        let deadline = start + ms(100 * at + at % 3);
        reactor.insert_timer(deadline, Arc::new(Stamp(sender.clone(), deadline)).into());
    }
    let timers = reactor.timers();
    let mut turns = 0;
    while reactor.timers() > 0 {
        reactor.turn(Wait::Sleep).unwrap();
        turns += 1;
    }
    let fired: Vec<(Instant, Instant)> = receiver.try_iter().collect();
    assert_eq!(fired.len(), timers);
    assert!(fired.is_sorted(), "by deadline");
    let slack = Duration::from_micros(66);
    let on_time =
        |(deadline, woken): &(Instant, Instant)| woken >= deadline && *woken - *deadline <= slack;
    assert!(fired.iter().all(on_time), "never early, and no later than a slack and a tick");
    assert!(kernel.elapsed() > ms(86_300_000));
    assert!(turns < 4 * timers, "{turns} turns for {timers} timers");
    REACTOR.take();
}
