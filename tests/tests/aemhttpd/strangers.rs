//! Bad input, traversal, limits: who asks for what he must not get.

use crate::client::{Client, get};
use crate::server::{Directory, PATIENCE, Server};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn nothing_outside_of_the_root_is_served() {
    let directory = Directory::new();
    directory.write("secret", "TOP SECRET");
    directory.write("root/page", "page");
    let root = directory.path().join("root");
    symlink("../secret", root.join("relative")).unwrap();
    symlink(directory.path().join("secret"), root.join("absolute")).unwrap();
    symlink(directory.path(), root.join("up")).unwrap();
    symlink("..", root.join("parent")).unwrap();
    symlink("page", root.join("inner")).unwrap();
    let server = Server::on(&root);
    let refused = [
        "/../secret",
        "/..",
        "/%2e%2e/secret",
        "/%2E%2E%2Fsecret",
        "/.%2e/secret",
        "/..%2fsecret",
        "/x/../../secret",
        "/page/../../secret",
        "/%00/../secret",
        "/secret%00",
        "/page%00.html",
        "../secret",
        "secret",
        "file:///etc/passwd",
        "http://test/../secret",
    ];
    let not_found = [
        "/relative",
        "/absolute",
        "/up/secret",
        "/parent/secret",
        "//secret",
        "/%2f%2fsecret",
        "/%252e%252e/secret",
        "/..%5csecret",
        "/%5c..%5csecret",
        "/etc/passwd",
        "//etc/passwd",
        "/proc/self/environ",
    ];
    let cases = refused.iter().map(|it| (it, 400)).chain(not_found.iter().map(|it| (it, 404)));
    for (target, status) in cases {
        let mut client = Client::new(server.connect());
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
        let answer = client.answer();
        let body = String::from_utf8_lossy(&answer.body);
        assert_eq!(answer.status, status, "{target}: {body}");
        assert!(!body.contains("SECRET"), "{target}");
    }
    assert_eq!(Client::new(server.connect()).get("/inner").body, b"page");
}

#[test]
fn a_head_over_its_limit_is_refused_and_the_answer_arrives() {
    let server = Server::start(&[]);
    for (start, status) in [
        ("GET /", 414),
        ("GET / HTTP/1.1\r\nHost: a\r\nCookie: ", 431),
        ("GET / HTTP/1.1\r\nA: b\r\n", 431),
    ] {
        let mut client = Client::new(server.connect());
        let more = if start.ends_with('\n') { "A: b\r\n" } else { "aaaaaa" };
        client.send([start, &more.repeat(100_000)].concat());
        let answer = client.answer();
        assert_eq!((answer.status, answer.field("Connection")), (status, Some("close")));
        client.is_closed();
    }
    // Just below the limit all is well.
    let mut client = Client::new(server.connect());
    let fields = format!("Host: a\r\nCookie: {}\r\n\r\n", "a".repeat(16_000));
    client.send(format!("GET / HTTP/1.1\r\n{fields}"));
    assert_eq!(client.answer().status, 200);
}

#[test]
fn a_body_is_never_taken_for_a_request() {
    let server = Server::start(&[]);
    let smuggled = get("/smuggled");
    let length = smuggled.len();
    let mut client = Client::new(server.connect());
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE"] {
        let fields = format!("Host: a\r\nContent-Length: {length}\r\n\r\n");
        client.send(format!("{method} / HTTP/1.1\r\n{fields}{smuggled}"));
        let answer = client.answer();
        assert_eq!(
            (answer.status, answer.field("Allow")),
            (405, Some("GET, HEAD, OPTIONS")),
            "{method}"
        );
        // The connection was kept, and the next answer is to the next request.
        assert_eq!(client.get("/style.css").status, 200);
    }
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{smuggled}"));
    assert_eq!((client.answer().status, client.get("/").status), (200, 200));

    for (fields, status) in [
        ("Transfer-Encoding: chunked", 400),
        ("Content-Length: 1000000", 413),
        ("Content-Length: 40\r\nExpect: 100-continue", 405),
    ] {
        let mut client = Client::new(server.connect());
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
        client.send([head, smuggled.repeat(20)].concat());
        let answer = client.answer();
        let got = (answer.status, answer.field("Connection"));
        assert_eq!(got, (status, Some("close")), "{fields}");
        client.is_closed();
    }
}

#[test]
fn who_does_not_complete_a_request_in_time_is_let_go() {
    let server = Server::start(&["--idle", "1", "--busy", "1"]);
    let mut silent = Client::new(server.connect());
    let mut begun = Client::new(server.connect());
    let mut served = Client::new(server.connect());
    let mut trickling = server.connect();
    let start = Instant::now();
    begun.send("GET / HTTP/1.1\r\nHo");
    assert_eq!(served.get("/").status, 200);
    // Bytes that trickle in do not extend the time. At the end the server is gone.
    let trickle = thread::spawn(move || {
        trickling.write_all(b"GET / HTTP/1.1\r\nX: ").unwrap();
        while start.elapsed() < PATIENCE {
            if trickling.write_all(b"a").is_err() {
                return start.elapsed();
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("a trickling client was never let go");
    });
    silent.is_closed();
    served.is_closed();
    let answer = begun.answer();
    assert_eq!((answer.status, answer.field("Connection")), (408, Some("close")));
    begun.is_closed();
    let elapsed = start.elapsed();
    assert!(elapsed >= Duration::from_secs(1), "{elapsed:?}");
    // A client in use stays: each request begins the time anew.
    let mut busy = Client::new(server.connect());
    for _ in 0..6 {
        thread::sleep(Duration::from_millis(300));
        assert_eq!(busy.get("/style.css").status, 200);
    }
    let trickled = trickle.join().unwrap();
    assert!(trickled >= Duration::from_secs(1), "{trickled:?}");
}

#[test]
fn an_address_has_so_many_connections_and_a_connection_so_many_requests() {
    let server = Server::start(&["--max-per-address", "2", "--max-requests", "3"]);
    let mut first = Client::new(server.connect());
    let mut second = Client::new(server.connect());
    assert_eq!((first.get("/").status, second.get("/").status), (200, 200));
    let mut third = Client::new(server.connect());
    let refused = third.answer();
    assert_eq!((refused.status, refused.field("Connection")), (503, Some("close")));
    assert_eq!(first.get("/").field("Connection"), None);
    let last = first.get("/");
    assert_eq!((last.status, last.field("Connection")), (200, Some("close")));
    first.is_closed();
    drop(first);
    // There is room again, as soon as the server has heard of it.
    let start = Instant::now();
    loop {
        let mut next = Client::new(server.connect());
        next.send(get("/"));
        if next.answer().status == 200 {
            break;
        }
        assert!(start.elapsed() < PATIENCE);
    }
}

#[test]
fn beyond_its_limit_the_server_accepts_nobody_until_somebody_goes() {
    let server = Server::start(&["--max-connections", "2"]);
    let mut clients = [Client::new(server.connect()), Client::new(server.connect())];
    assert!(clients.iter_mut().all(|client| client.get("/").status == 200));
    let mut waiting = Client::new(server.connect());
    waiting.send(get("/"));
    waiting.stream().set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut byte = [0];
    let silence = waiting.stream().peek(&mut byte).unwrap_err();
    assert_eq!(silence.kind(), std::io::ErrorKind::WouldBlock);
    waiting.stream().set_read_timeout(Some(PATIENCE)).unwrap();
    drop(clients);
    assert_eq!(waiting.answer().status, 200);
}
