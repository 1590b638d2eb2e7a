//! Tests of what a connection owes for what came.

use super::super::page::tests::page;
use super::*;

const ANSWER: &str = "HTTP/1.1 200 OK\r\nDate: Fri, 27 Nov 2026 16:48:36 GMT\r\n\
                      Content-Length: 5\r\n\r\nhello";
const ASKED: &str = "GET /p HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn each_whole_request_is_owed_one_answer() {
    let (page, three) = (page(ANSWER), ASKED.repeat(3));
    for piece in 1..three.len() {
        let mut connection = Connection::default();
        for bytes in three.as_bytes().chunks(piece) {
            connection.hear(&page, bytes).unwrap();
        }
        assert_eq!(connection.owed, 3 * ANSWER.len(), "in pieces of {piece}");
        assert!(connection.unread.is_empty());
    }
}

#[test]
fn what_is_not_for_the_page_is_refused() {
    let page = page(ANSWER);
    for wrong in ["HEAD /p HTTP/1.1", "GET /q HTTP/1.1", "", "GET"] {
        let asked = format!("{wrong}\r\nHost: a\r\n\r\n");
        Connection::default().hear(&page, asked.as_bytes()).unwrap_err();
    }
    let mut connection = Connection::default();
    connection.hear(&page, &[b'x'; MOST_UNREAD]).unwrap();
    connection.hear(&page, b"x").unwrap_err();
}
