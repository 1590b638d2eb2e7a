//! What is a request, what is none, and where it ends.

use super::*;

fn complete(text: &str) -> (Request<'_>, usize) {
    match parse(text.as_bytes()) {
        Parsed::Complete(request, length) => (request, length),
        other => panic!("{text:?}: {other:?}"),
    }
}

fn refused(text: &str) -> Status {
    match parse(text.as_bytes()) {
        Parsed::Refused(status) => status,
        other => panic!("{text:?}: {other:?}"),
    }
}

/// A request for `/` with a host and these fields.
fn with(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

#[test]
fn a_request_ends_where_its_head_ends() {
    let text = "GET /a?b HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\n";
    let (request, length) = complete(text);
    assert_eq!((request.method, request.target), (Method::Get, Target::Path(b"/a")));
    assert!(request.keep_alive && !request.is_http_1_0);
    assert_eq!(&text[length..], "GET /next HTTP/1.1\r\n");
}

#[test]
fn every_beginning_of_a_request_is_partial() {
    let text = "\r\nHEAD /page HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n";
    for end in 0..text.len() {
        assert_eq!(parse(&text.as_bytes()[..end]), Parsed::Partial, "{:?}", &text[..end]);
    }
    assert_eq!(complete(text).0.method, Method::Head);
}

#[test]
fn the_connection_stays_as_each_version_has_it() {
    let keep = |text: &str| complete(text).0.keep_alive;
    assert!(keep(&with("")));
    assert!(keep(&with("Connection: keep-alive\r\n")));
    assert!(!keep(&with("Connection: close\r\n")));
    assert!(!keep(&with("Connection: upgrade, CLOSE\r\n")));
    assert!(!keep(&with("Connection: keep-alive\r\nConnection: close\r\n")));
    assert!(!keep("GET / HTTP/1.0\r\n\r\n"));
    assert!(keep("GET / HTTP/1.0\r\nconnection: Keep-Alive\r\n\r\n"));
    assert!(complete("GET / HTTP/1.0\r\n\r\n").0.is_http_1_0);
}

#[test]
fn a_host_is_there_once() {
    assert_eq!(refused("GET / HTTP/1.1\r\n\r\n"), Status::BAD_REQUEST);
    assert_eq!(refused(&with("Host: b\r\n")), Status::BAD_REQUEST);
    assert_eq!(refused("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"), Status::BAD_REQUEST);
}

#[test]
fn what_is_not_http_is_refused_as_soon_as_that_is_seen() {
    for text in
        ["GET\r\n", "GET /\r\n", "\u{16}\u{3}\u{1}", "\n", "\rG", "GET / HTTP/1.1\n", " G", "(G"]
    {
        assert_eq!(refused(text), Status::BAD_REQUEST, "{text:?}");
    }
    assert_eq!(refused(&"A".repeat(MAX_METHOD + 1)), Status::NOT_IMPLEMENTED);
    assert_eq!(parse(&[b'A'; MAX_METHOD]), Parsed::Partial);
}

#[test]
fn a_head_has_a_limit_in_bytes_and_in_fields() {
    let long_line = format!("GET /{}", "a".repeat(MAX_LINE));
    assert_eq!(refused(&long_line), Status::URI_TOO_LONG);
    let long_field = with(&format!("Cookie: {}\r\n", "a".repeat(MAX_HEAD)));
    assert_eq!(refused(&long_field), Status::FIELDS_TOO_LARGE);
    assert_eq!(refused(&long_field[..MAX_HEAD]), Status::FIELDS_TOO_LARGE);
    assert_eq!(parse(&long_field.as_bytes()[..MAX_HEAD - 1]), Parsed::Partial);
    let just_fits = with(&format!("Cookie: {}\r\n", "a".repeat(MAX_HEAD - with("").len() - 10)));
    assert_eq!(just_fits.len(), MAX_HEAD);
    assert!(complete(&just_fits).0.keep_alive);
    let many = with(&"A: b\r\n".repeat(MAX_FIELDS));
    assert_eq!(refused(&many), Status::FIELDS_TOO_LARGE);
    complete(&with(&"A: b\r\n".repeat(MAX_FIELDS - 1)));
}

#[test]
fn a_body_ends_where_the_fields_say() {
    let framing = |fields: &str| complete(&with(fields)).0.framing;
    assert_eq!(framing(""), Framing::None);
    assert_eq!(framing("Content-Length: 5\r\n"), Framing::Length(5));
    assert_eq!(framing(&format!("Content-Length: {}\r\n", u64::MAX)), Framing::Length(u64::MAX));
    assert_eq!(framing("Transfer-Encoding: Chunked\r\n"), Framing::Chunked);
    let expects = |fields: &str| complete(&with(fields)).0.expects;
    assert!(expects("Expect: 100-CONTINUE\r\nContent-Length: 5\r\n") && !expects(""));
}
