//! The form of what goes out.

use super::*;

#[test]
fn a_head_has_its_fields_in_order_and_ends_with_an_empty_line() {
    let mut out = Answers::at(Instant::now());
    out.bytes().extend_from_slice(b"before");
    Head::new(&mut out, Status::OK, Persistence::OpenSaid).length(7).end();
    let text = String::from_utf8(out.bytes().clone()).unwrap();
    assert!(text.starts_with("beforeHTTP/1.1 200 OK\r\nServer: aemhttpd\r\nDate: "), "{text}");
    assert!(text.ends_with("Connection: keep-alive\r\nContent-Length: 7\r\n\r\n"), "{text}");
    let date = text.split("Date: ").nth(1).unwrap().lines().next().unwrap();
    let age = SystemTime::now().duration_since(httpdate::parse_http_date(date).unwrap());
    assert!(age.unwrap().as_secs() < 5, "{date}");
}

#[test]
fn a_plain_answer_states_its_length_with_and_without_its_body() {
    let make = |with_body| {
        let mut out = Answers::at(Instant::now());
        let allow = Some(("Allow", "GET, HEAD"));
        plain(&mut out, Status::METHOD_NOT_ALLOWED, Persistence::Close, with_body, allow);
        String::from_utf8(out.bytes().clone()).unwrap()
    };
    let (head, body) = {
        let whole = make(true);
        let (head, body) = whole.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    };
    assert!(head.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"), "{head}");
    assert!(head.contains("\r\nConnection: close\r\n"), "{head}");
    assert!(head.contains("\r\nAllow: GET, HEAD"), "{head}");
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
    let without_body = make(false);
    let length = format!("\r\nContent-Length: {}\r\n", body.len());
    assert!(without_body.ends_with("\r\n\r\n") && without_body.contains(&length));
}
