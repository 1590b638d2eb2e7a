//! Tests of where heads end.

use super::*;

#[test]
fn a_head_ends_wherever_its_empty_line_is() {
    for length in 0..20 {
        let name = "x".repeat(length);
        let text = format!("GET /{name} HTTP/1.1\r\nA: {name}\r\n\r\nGET /next HTTP/1.1\r\n\r\n");
        let request = Request::read(text.as_bytes()).unwrap();
        assert_eq!(request.method, b"GET");
        assert_eq!(request.target, format!("/{name}").as_bytes());
        assert_eq!(&text[request.length..], "GET /next HTTP/1.1\r\n\r\n");
        for part in 0..request.length {
            assert_eq!(Request::read(&text.as_bytes()[..part]), None, "{part} of {text:?}");
        }
    }
}

#[test]
fn line_ends_of_other_kinds_do_not_end_a_head() {
    for text in ["a\r\r\n\r", "a\n\r\n\r", "a\r\n\n\r\n", "\r\n\r", "a\n\n\n\n\n", "\r\r\r\r\r\n"] {
        assert_eq!(head_length(text.as_bytes()), None, "{text:?}");
    }
    assert_eq!(head_length(b"\r\r\n\r\n"), Some(5));
    assert_eq!(head_length(b"\n\r\n\r\n"), Some(5));
    assert_eq!(head_length(b"\r\n\r\n"), Some(4));
}

#[test]
fn a_line_without_a_target_has_none() {
    assert_eq!(Request::read(b"GET\r\n\r\n").unwrap().target, b"\n");
}
