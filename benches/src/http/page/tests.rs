//! Tests of the answer: how it is fetched, compared and sent.

use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::thread;

use super::*;

const ANSWER: &str = "HTTP/1.1 200 OK\r\nServer: x\r\nDate: Fri, 27 Nov 2026 16:48:36 GMT\r\n\
                      Content-Length: 5\r\n\r\nhello";

/// One that was not fetched.
pub(in crate::http) fn page(answer: &str) -> Page {
    let head = head_length(answer.as_bytes()).unwrap();
    Page::of_head("/p".to_owned(), answer.as_bytes().to_vec(), head).unwrap()
}

fn fetched(answer: &'static str) -> io::Result<Page> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _peer) = listener.accept().unwrap();
        let mut asked = vec![0; request("/p").len()];
        stream.read_exact(&mut asked).unwrap();
        assert_eq!(asked, request("/p").as_bytes());
        stream.write_all(answer.as_bytes()).unwrap();
    });
    let page = Page::fetch(address, "p");
    server.join().unwrap();
    page
}

#[test]
fn a_whole_answer_is_fetched() {
    let page = fetched(ANSWER).unwrap();
    assert_eq!(page.answer(), ANSWER.as_bytes());
    assert_eq!((page.body(), page.target()), (&b"hello"[..], "/p"));
    assert_eq!(&ANSWER[page.date()], "Fri, 27 Nov 2026 16:48:36 GMT");
    assert_eq!(page.fields().count(), 3);
    fetched("HTTP/1.1 404 Not Found\r\nDate: x\r\nContent-Length: 0\r\n\r\n").unwrap_err();
    fetched("HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 2\r\n\r\na").unwrap_err();
    fetched("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na").unwrap_err();
}

#[test]
fn likeness_is_as_far_as_it_goes() {
    let own = page(ANSWER);
    let other = |from: &str, to: &str| own.likeness(&page(&ANSWER.replace(from, to)));
    assert_eq!(other("16:48", "17:00"), Some(Likeness::Bytes));
    assert_eq!(other("Server", "server"), Some(Likeness::Fields));
    assert_eq!(other("Server: x", "Server: y"), Some(Likeness::Body));
    assert_eq!(other("200 OK", "200 Ok"), Some(Likeness::Body));
    assert_eq!(other("hello", "hallo"), None);
}

#[test]
fn the_date_becomes_that_of_now() {
    let mut page = page(ANSWER);
    page.set_date();
    let date = str::from_utf8(&page.answer()[page.date()]).unwrap();
    let age = httpdate::parse_http_date(date).unwrap().elapsed().unwrap();
    assert!(age < Duration::from_secs(5), "{age:?}");
}

#[test]
fn what_is_owed_is_sent_from_where_it_was_left() {
    let page = page(ANSWER);
    let length = ANSWER.len();
    for owed in [1, length - 1, length, length + 1, 3 * length, 200 * length + 7] {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut left = owed;
        page.send(ours.as_raw_fd(), &mut left).unwrap();
        let mut sent = vec![0; owed - left];
        theirs.read_exact(&mut sent).unwrap();
        let begin = length - 1 - (owed - 1) % length;
        let expected: Vec<u8> = ANSWER.bytes().cycle().skip(begin).take(owed - left).collect();
        assert_eq!(sent, expected, "{owed}");
    }
}
