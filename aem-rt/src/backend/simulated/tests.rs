//! The simulated kernel itself: that it does what is written, when it is written, and that what no kernel
//! may do is noticed.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use super::*;
use crate::backend::{Backend, Interest};

const FAR: &str = "10.0.0.7:4000";

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A keeper, and one socket of its with its script.
struct Rig {
    kernel: Kernel,
    backend: Backend,
}

impl Rig {
    fn new(kernel: Kernel) -> Rig {
        let backend = Backend::simulated(&kernel);
        Rig { kernel, backend }
    }

    fn socket(&mut self) -> (Rc<Descriptor>, Socket) {
        let (ours, _) = UnixStream::pair().unwrap();
        let script = self.kernel.fresh_socket(&ours);
        (self.backend.adopt(ours.into(), Attach::OnFirstUse).unwrap(), script)
    }

    /// What the next turn tells, each with the milliseconds that have passed.
    fn turn(&mut self, wait: Option<Duration>) -> Vec<String> {
        let mut done = Vec::new();
        if self.backend.start() {
            done.extend(std::iter::from_fn(|| self.backend.next()));
        }
        let wait = if done.is_empty() { wait } else { Some(Duration::ZERO) };
        self.backend.wait(wait).unwrap();
        done.extend(std::iter::from_fn(|| self.backend.next()));
        let now = self.kernel.elapsed().as_millis();
        done.into_iter().map(|completion| format!("{now}: {}", text(completion))).collect()
    }
}

fn text(Completion { answer, more, .. }: Completion) -> String {
    let text = match answer {
        Answer::Accepted(_, peer) => format!("from {}", peer.unwrap()),
        Answer::Received(chunk) => String::from_utf8(chunk.into_vec()).unwrap(),
        Answer::Sent { queue, result } => format!("sent {result:?}, left {}", queue.bytes()),
        Answer::Failed(error) => format!("error {}", error.raw_os_error().unwrap()),
        other => format!("{other:?}"),
    };
    if more { text + " +" } else { text }
}

#[test]
fn what_is_written_happens_when_it_is_written() {
    let mut rig = Rig::new(Kernel::new());
    let (a, script) = rig.socket();
    let (listener, callers) = rig.socket();
    script.after(ms(3)).brings("late").after(ms(2)).brings("later");
    callers.refuses(libc::EMFILE).refuses(libc::EMFILE);
    callers.after(ms(4)).calls(FAR.parse().unwrap());
    script.takes(7);
    let mut queue = Box::new(SendQueue::default());
    queue.push("seven bytes and more");

    rig.backend.submit(Op::Receive { socket: a.clone() });
    rig.backend.submit(Op::Send { socket: a.clone(), queue });
    let accept = || Op::Accept { listener: listener.clone() };
    rig.backend.submit(accept());
    assert_eq!(rig.turn(None), ["0: error 24", "0: sent Ok(7), left 13"]);
    rig.backend.submit(accept());
    assert_eq!(rig.turn(None), ["0: error 24"]);
    rig.backend.submit(accept());
    assert_eq!(rig.turn(None), ["3: late +"]);
    assert_eq!(rig.turn(None), ["4: from 10.0.0.7:4000 +"]);
    assert_eq!(rig.turn(None), ["5: later +"]);
    assert_eq!(script.sent(), b"seven b");
}

// ONCE, KEPT: whether a cancel wins its race or not, there is one last answer, and no byte is lost.
#[test]
fn a_cancel_arrives_when_it_is_written() {
    for (delay, told, left) in [
        (ms(0), vec!["0: Cancelled(None)"], "onetwo"),
        (ms(2), vec!["1: one +", "2: Cancelled(None)"], "two"),
        (ms(9), vec!["1: one +", "3: two +", "9: Cancelled(None)"], ""),
    ] {
        let mut rig = Rig::new(Kernel::new());
        let (socket, script) = rig.socket();
        script.after(ms(1)).brings("one").after(ms(2)).brings("two");
        script.cancels_after(delay);
        let token = rig.backend.submit(Op::Receive { socket: socket.clone() });
        rig.backend.cancel(token);
        rig.backend.cancel(token);
        let mut all = Vec::new();
        while rig.backend.pending() > 0 {
            all.extend(rig.turn(None));
        }
        assert_eq!(all, told);
        assert_eq!(script.left(), left.as_bytes());
    }
}

#[test]
fn a_connect_that_is_done_is_not_cancelled_any_more() {
    type Write = fn(&Socket) -> &Socket;
    let writes: [(u64, Write, &str); 3] = [
        (3, Socket::connects, "3: Connected"),
        (6, |script| script.refuses_a_connect(libc::ECONNREFUSED), "6: error 111"),
        (9, Socket::connects, "8: Cancelled(None)"),
    ];
    for (at, write, told) in writes {
        let mut rig = Rig::new(Kernel::new());
        let address: SocketAddr = FAR.parse().unwrap();
        let script = rig.kernel.peer(address);
        write(&script.cancels_after(ms(8)).after(ms(at)));
        let (socket, _) = rig.socket();
        let connect = Op::Connect { socket: socket.clone(), address: Box::new(address.into()) };
        let token = rig.backend.submit(connect);
        rig.backend.cancel(token);
        assert_eq!(rig.turn(None), [told]);
    }
}

#[test]
fn a_wait_takes_no_time_and_ends_at_its_deadline() {
    let mut rig = Rig::new(Kernel::new());
    let (socket, script) = rig.socket();
    script.after(ms(7_200_000)).brings("x");
    rig.backend.submit(Op::Receive { socket });
    let start = std::time::Instant::now();
    assert!(rig.turn(Some(ms(3_600_000))).is_empty());
    assert_eq!(rig.kernel.elapsed(), ms(3_600_000));
    assert_eq!(rig.turn(None), ["7200000: x +"]);
    assert!(rig.turn(Some(Duration::ZERO)).is_empty());
    assert_eq!(rig.kernel.elapsed(), ms(7_200_000), "a look takes no time");
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[test]
fn polls_and_watches_are_told_what_the_descriptor_is_like() {
    let mut rig = Rig::new(Kernel::new());
    let (ours, _peer) = UnixStream::pair().unwrap();
    let script = rig.kernel.fresh_socket(&ours);
    let descriptor = rig.backend.adopt_borrowed(ours.as_fd()).unwrap();
    let poll = |interest| Op::Poll { descriptor: descriptor.clone(), interest };
    script.shows(Interest::WRITABLE).after(ms(1)).shows(Interest::READABLE);
    script.after(ms(2)).shows(Interest::NONE).after(ms(1)).refuses_a_poll(libc::EBADF);
    rig.backend.submit(poll(Interest::READABLE));
    rig.backend.submit(poll(Interest::WRITABLE));
    assert_eq!(rig.turn(None), ["0: Ready(WRITABLE)"]);
    rig.backend.submit(Op::Changes { descriptor: descriptor.clone() });
    assert_eq!(rig.turn(None), ["1: Ready(READABLE)", "1: Ready(READABLE) +"]);
    // It is level: whoever asks later is told as well.
    rig.backend.submit(poll(Interest::READABLE | Interest::WRITABLE));
    assert_eq!(rig.turn(None), ["1: Ready(READABLE)"]);
    assert_eq!(rig.turn(None), ["2: Ready(NONE) +"]);
    rig.backend.submit(poll(Interest::READABLE));
    rig.backend.submit(poll(Interest::WRITABLE));
    assert_eq!(rig.turn(None), ["3: error 9", "3: error 9", "3: error 9"]);
    descriptor.release();
}

// BOUND: a kernel that has nothing but refusals to tell does not keep a turn for ever.
#[test]
fn refusals_that_are_of_no_concern_are_passed_over() {
    let mut rig = Rig::new(Kernel::new());
    let (socket, script) = rig.socket();
    (0..1000).for_each(|_| drop(script.refuses(libc::EAGAIN).refuses(libc::EINTR).clone()));
    script.brings("at last");
    rig.backend.submit(Op::Receive { socket });
    let mut turns = 0;
    let told = loop {
        turns += 1;
        let told = rig.turn(None);
        if !told.is_empty() {
            break told;
        }
    };
    assert_eq!(told, ["0: at last +"]);
    assert!(turns > 2000 / (2 * ANSWERS_PER_TURN), "{turns} turns");

    let (listener, callers) = rig.socket();
    (0..100).for_each(|_| drop(callers.refuses(libc::ECONNABORTED).clone()));
    callers.calls(FAR.parse().unwrap());
    (0..100).for_each(|_| drop(callers.refuses(libc::EPERM).clone()));
    rig.backend.submit(Op::Accept { listener });
    let mut told = Vec::new();
    while told.len() < 2 {
        told.extend(rig.turn(None));
    }
    assert_eq!(told, ["0: from 10.0.0.7:4000 +", "0: error 1"], "so they are the socket's own");
}

// FRESH: an answer to an op that is over finds nobody, though another op has its place by now.
#[test]
fn a_second_last_answer_is_noticed_and_given_to_nobody() {
    let mut rig = Rig::new(Kernel::new());
    let (socket, script) = rig.socket();
    script.ends();
    let over = rig.backend.submit(Op::Receive { socket: socket.clone() });
    assert_eq!(rig.turn(None), ["0: EndOfFile"]);
    rig.kernel.answer_stray(over, Answer::EndOfFile, false);
    rig.kernel.answer_stray(over, Answer::Connected, true);
    let (other, _script) = rig.socket();
    let waits = rig.backend.submit(Op::Receive { socket: other });
    assert_eq!(waits.index(), over.index(), "the place is used again");
    assert!(rig.turn(Some(Duration::ZERO)).is_empty());
    assert_eq!((rig.kernel.strays_noticed(), rig.backend.pending()), (2, 1));
}

#[test]
fn a_seed_says_the_order_of_what_happens() {
    let told = |seed| {
        let mut rig = Rig::new(Kernel::seeded(seed));
        let mut sockets = Vec::new();
        for _ in 0..8 {
            let (socket, script) = rig.socket();
            script.brings("x").after(ms(1)).brings("y").ends();
            rig.backend.submit(Op::Receive { socket: socket.clone() });
            sockets.push(socket);
        }
        let mut all = Vec::new();
        while rig.backend.pending() > 0 {
            rig.backend.start();
            rig.backend.wait(None).unwrap();
            while let Some(completion) = rig.backend.next() {
                all.push(format!("{} {}", completion.token.index(), text(completion)));
            }
        }
        all
    };
    assert_eq!(told(1), told(1));
    assert_ne!(told(1), told(2));
    for seed in 0..100 {
        let all = told(seed);
        assert_eq!(all.len(), 24, "seed {seed}");
        for index in 0..8 {
            let own: Vec<&str> =
                all.iter().filter_map(|line| line.strip_prefix(&format!("{index} "))).collect();
            assert_eq!(own, ["x +", "y +", "EndOfFile"], "seed {seed}: the order of one socket");
        }
    }
}

#[test]
#[should_panic(expected = "nothing to say")]
fn a_test_that_would_hang_is_told_so() {
    let bell = Bell::default();
    bell.wait_for(ms(1));
}
