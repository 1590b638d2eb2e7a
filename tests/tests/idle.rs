//! Idle is idle: a process that waits for much and is told of nothing does nothing at all.
//!
//! Ten thousand timers of an hour and a thousand idle connections, in a child process. From outside, by its
//! entries in `/proc`: no time on a processor, no switch, no read or write, one thread, which sits in the
//! same call of epoll's from beginning to end.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use aem_tests::child::Program;
use aem_tests::limits::raise_descriptors;
use aem_tests::proc::{Doings, doings};
use aem_tests::scale::scaled;

const LIMIT: Duration = Duration::from_secs(30);

/// The names of the calls in which it may sit.
const WAITS: [i64; 4] =
    [libc::SYS_epoll_wait, libc::SYS_epoll_pwait, libc::SYS_epoll_pwait2, libc::SYS_io_uring_enter];

fn observe(pid: u32) -> Doings {
    doings(pid).expect("the child lives")
}

/// Waits until the child has sat still for a moment: it writes its last line before it sleeps.
fn settled(pid: u32) -> Doings {
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut before = observe(pid);
    loop {
        std::thread::sleep(Duration::from_millis(100));
        let after = observe(pid);
        if before == after || Instant::now() > deadline {
            return after;
        }
        before = after;
    }
}

#[test]
fn an_idle_process_does_nothing() {
    let limit = raise_descriptors().expect("a limit");
    assert!(limit > 1_100, "{limit} descriptors are not enough for this test");
    let (timers, connections) = (10_000, 1_000);
    let arguments = [timers.to_string(), connections.to_string()];
    let arguments = arguments.each_ref().map(String::as_str);
    let mut child = Program::start(env!("CARGO_BIN_EXE_idler"), &arguments);
    let address = child.line(LIMIT);
    let mut clients: Vec<TcpStream> =
        (0..connections).map(|_| TcpStream::connect(&address).expect("a connection")).collect();
    assert_eq!(child.line(LIMIT), "idle");

    let before = settled(child.pid());
    let whole = scaled(Duration::from_secs(60), Duration::from_secs(3));
    let end = Instant::now() + whole;
    let mut looks = 0;
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(250).min(whole));
        assert_eq!(observe(child.pid()), before, "something was done");
        looks += 1;
    }
    println!("{timers} timers, {connections} connections, {whole:?}, {looks} looks: {before:?}");
    assert_eq!(before.threads, 1);
    let call = before.inside.split(' ').next().and_then(|number| number.parse().ok());
    // A kernel without the entry says nothing; the counts above stand.
    if !before.inside.is_empty() {
        assert!(call.is_some_and(|call| WAITS.contains(&call)), "it sits in {}", before.inside);
    }

    // It was idle, not dead.
    for client in clients.iter_mut().step_by(99) {
        client.write_all(b"there?").expect("sent");
        let mut answer = [0; 6];
        client.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"there?");
    }
    assert_ne!(settled(child.pid()), before, "what it did just now is not seen");
    child.signal(libc::SIGTERM);
    let (status, errors) = child.end(LIMIT);
    assert_eq!((status.code(), errors.as_str()), (Some(0), ""));
}
