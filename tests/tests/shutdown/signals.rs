//! The end that a signal asks for: the program hears of it, finishes what runs, and exits with 0.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use aem_tests::child::Program;

use super::LIMIT;

fn start(how: &str) -> (Program, String) {
    let mut child = Program::start(env!("CARGO_BIN_EXE_stopper"), &[how]);
    let line = child.line(LIMIT);
    (child, line)
}

#[test]
fn a_server_that_is_asked_to_end_finishes_what_runs() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let (mut child, address) = start("serve");
        let mut clients: Vec<TcpStream> = (0..10)
            .map(|_| {
                let mut client = TcpStream::connect(&address).expect("a connection");
                client.write_all(b"request").expect("sent");
                client
            })
            .collect();
        assert_eq!(child.line(LIMIT), "all are in progress");
        child.signal(signal);
        assert_eq!(child.line(LIMIT), "11 ended, 0 cancelled");
        // What each was to get is far more than the system's buffers hold; it comes all the same.
        for client in &mut clients {
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).expect("the answer");
            assert_eq!(answer.len(), 7 + 400_000);
            assert!(answer.starts_with(b"request"));
        }
        let (status, errors) = child.end(LIMIT);
        assert_eq!((status.code(), errors.as_str()), (Some(0), ""));
        assert!(TcpStream::connect(&address).is_err(), "nobody listens any more");
    }
}

#[test]
fn a_signal_that_comes_before_the_await_is_not_lost() {
    let (child, _ready) = start("busy");
    child.signal(libc::SIGTERM);
    let (status, errors) = child.end(LIMIT);
    assert_eq!((status.code(), errors.as_str()), (Some(0), ""));
}

#[test]
fn ctrl_c_is_sigint_alone() {
    let (mut child, _ready) = start("ctrl_c");
    child.signal(libc::SIGINT);
    assert_eq!(child.line(LIMIT), "ctrl-c");
    child.signal(libc::SIGTERM);
    let (status, _) = child.end(LIMIT);
    assert_eq!(status.signal(), Some(libc::SIGTERM), "nobody listens to that one");
}

#[test]
fn nothing_is_installed_unless_somebody_asks_and_all_is_given_back() {
    for how in ["nobody_asks", "nobody_asks_any_more"] {
        let (child, _ready) = start(how);
        let start = Instant::now();
        child.signal(libc::SIGTERM);
        let (status, _) = child.end(LIMIT);
        assert_eq!(status.signal(), Some(libc::SIGTERM), "{how}");
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}
