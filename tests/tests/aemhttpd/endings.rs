//! Signals, drains, a busy port, and what the process costs meanwhile.

use crate::client::{Client, get};
use crate::server::{Directory, Server, command, wait};
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::process::Output;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn a_signal_ends_it_at_once_when_nothing_runs() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let server = Server::start(&[]);
        let mut kept = Client::new(server.connect());
        assert_eq!(kept.get("/").status, 200);
        let _silent = server.connect();
        let start = Instant::now();
        server.signal(signal);
        kept.is_closed();
        let (status, stderr) = server.wait();
        assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }
}

#[test]
fn a_signal_is_heard_from_the_first_line_on() {
    for _ in 0..10 {
        let server = Server::start(&[]);
        server.signal(libc::SIGTERM);
        let (status, stderr) = server.wait();
        assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
    }
}

#[test]
fn a_client_that_never_reads_does_not_hold_up_the_end() {
    let directory = Directory::new();
    directory.write("big", vec![7_u8; 32 << 20]);
    let server = Server::on(directory.path());
    let mut client = Client::new(server.connect());
    client.send(get("/big"));
    let mut first = [0; 1];
    client.stream().peek(&mut first).unwrap();
    let start = Instant::now();
    server.signal(libc::SIGTERM);
    let (status, stderr) = server.wait();
    let said = "aemhttpd: ended with answers unfinished: 1\n";
    assert_eq!((status.code(), stderr.as_str()), (Some(0), said));
    // It had a fair time all the same.
    assert!(start.elapsed() > Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn a_signal_lets_answers_in_progress_end() {
    let directory = Directory::new();
    let big = vec![7_u8; 32 << 20];
    directory.write("big", &big);
    let server = Server::on(directory.path());
    let mut client = Client::new(server.connect());
    client.send([get("/big"), get("/big")].concat());
    // The answer has begun and cannot end: nobody reads it.
    let mut first = [0; 1];
    client.stream().peek(&mut first).unwrap();
    server.signal(libc::SIGTERM);
    let refused = (0..400).any(|_| {
        thread::sleep(Duration::from_millis(5));
        TcpStream::connect(server.address).is_err()
    });
    assert!(refused, "new connections are still accepted");
    assert!(client.answer().body == big, "the answer in progress was cut");
    // The second request was not begun yet, and is not.
    client.is_closed();
    let (status, stderr) = server.wait();
    assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_server_with_idle_clients_sleeps() {
    let server = Server::start(&[]);
    let mut clients: Vec<_> = (0..100).map(|_| Client::new(server.connect())).collect();
    for client in &mut clients {
        assert_eq!(client.get("/style.css").status, 200);
    }
    // It may still be on its way to sleep from the last answer.
    thread::sleep(Duration::from_millis(100));
    let before = server.fact("voluntary_ctxt_switches:");
    thread::sleep(Duration::from_secs(1));
    assert_eq!(server.fact("voluntary_ctxt_switches:"), before);
    assert_eq!(server.fact("Threads:"), 1);
}

#[test]
fn a_busy_port_is_one_clear_line() {
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = busy.local_addr().unwrap();
    let output = command(&["--listen", &address.to_string()]).output().unwrap();
    let stderr = failure(&output);
    assert!(stderr.contains(&format!("cannot listen on {address}: ")), "{stderr}");
    assert!(stderr.contains("Address already in use"), "{stderr}");
}

#[test]
fn a_root_that_is_not_there_is_one_clear_line() {
    let output = command(&["--root", "/nowhere/at/all"]).output().unwrap();
    assert!(failure(&output).contains("cannot serve /nowhere/at/all: "));
}

#[test]
fn a_backend_that_is_not_there_is_never_replaced_in_silence() {
    let mut child = command(&["--backend", "io_uring", "--listen", "127.0.0.1:0"]).spawn().unwrap();
    let mut first = [0; 1];
    if child.stdout.as_mut().unwrap().read(&mut first).unwrap() == 0 {
        let output = child.wait_with_output().unwrap();
        assert!(failure(&output).contains("io_uring"), "{output:?}");
        eprintln!("skipped: io_uring may not be used here");
    } else {
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        let line = String::from_utf8(output.stdout).unwrap();
        assert!(line.ends_with("/ backend=io_uring\n"), "{line}");
    }
    let server = Server::start(&["--backend", "epoll"]);
    assert_eq!(server.backend, "epoll");
}

#[test]
fn help_names_every_flag_and_a_wrong_flag_is_refused() {
    let output = command(&["--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    for flag in ["--listen", "--root", "--backend", "--idle", "127.0.0.1:8080"] {
        assert!(output.status.success() && help.contains(flag), "{flag}: {help}");
    }
    let mut child = command(&["--lisen"]).spawn().unwrap();
    assert_eq!(wait(&mut child).code(), Some(2));
}

/// Asserts an exit with 1 after one line on standard error and nothing else; returns the line.
fn failure(output: &Output) -> String {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(output.stdout.is_empty(), "{output:?}");
    assert!(stderr.starts_with("aemhttpd: ") && stderr.lines().count() == 1, "{stderr}");
    stderr
}
