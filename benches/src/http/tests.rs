//! Tests of the servers that are this program itself, each in a thread that goes with the process.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use super::page::{request, tests::page};
use super::*;

/// More than a socket takes at once, so that each server has to wait for room.
const BODY: usize = 8 << 20;

/// Requests at once.
const REQUESTS: usize = 3;

/// Connected to a server of that name, which has a page of [`BODY`] bytes.
fn connect(name: &str) -> (TcpStream, Page) {
    let Some(Contender { program: Program::Own(serve), .. }) = named(name) else {
        panic!("{name}")
    };
    let body: String = (0..BODY).map(|at| char::from(b'a' + (at % 23) as u8)).collect();
    let date = "Fri, 27 Nov 2026 16:48:36 GMT";
    let page =
        page(&format!("HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: {BODY}\r\n\r\n{body}"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (address, own) = (listener.local_addr().unwrap(), page.clone());
    thread::spawn(move || serve(listener, own).unwrap());
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    (stream, page)
}

/// Sends requests at once, lets the server wait, and compares all that comes with the page.
fn ask(name: &str) {
    let (mut stream, page) = connect(name);
    stream.write_all(request(page.target()).repeat(REQUESTS).as_bytes()).unwrap();
    thread::sleep(Duration::from_millis(50));
    let mut answer = vec![0; page.answer().len()];
    for _ in 0..REQUESTS {
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer[page.answer().len() - BODY..], *page.body());
    }
    // And once more, now that it waits for bytes again, in two pieces.
    let asked = request(page.target());
    let (one, two) = asked.split_at(10);
    stream.write_all(one.as_bytes()).unwrap();
    thread::sleep(Duration::from_millis(10));
    stream.write_all(two.as_bytes()).unwrap();
    stream.read_exact(&mut answer).unwrap();
    // What is owed to one who sends no more is sent, and then the connection ended.
    stream.write_all(asked.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(rest.len(), page.answer().len());
}

/// Those that wait for room where the client does not read.
#[test]
fn a_slow_client_gets_all_that_it_asked_for() {
    for name in ["select", "poll", "hand-epoll", "hand-uring"] {
        ask(name);
    }
}

#[test]
fn one_who_asks_for_something_else_is_shown_the_door() {
    for name in ["select", "poll", "hand-epoll", "hand-uring"] {
        let (mut stream, _page) = connect(name);
        stream.write_all(request("/other").as_bytes()).unwrap();
        assert_eq!(stream.read(&mut [0; 100]).unwrap_or(0), 0, "{name}");
    }
}
