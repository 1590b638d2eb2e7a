//! The RFCs, request by request, over real connections: the table is that of the server's own tests, which
//! split each request at every byte.

use std::io::Write;

use crate::client::{Client, get};
use crate::server::Server;
use crate::strict_table::{Row, rows};

/// Sends a request in pieces, and another one behind it; looks whether the answers are right.
fn ask(server: &Server, row: &Row, pieces: &[&[u8]]) {
    let mut client = Client::new(server.connect());
    client.stream().set_nodelay(true).unwrap();
    for piece in [pieces, &[get("/style.css").as_bytes()]].concat() {
        // A connection that has ended need not take all.
        let _ = client.stream().write_all(piece);
    }
    let shown = String::from_utf8_lossy(&row.request);
    for (place, status) in row.answers.iter().enumerate() {
        let is_head = place == 0 && row.request.starts_with(b"HEAD");
        let answer = client.answer_to(if is_head { "HEAD" } else { "GET" });
        let is_last = row.ends && place + 1 == row.answers.len();
        let got = (answer.status.to_string(), answer.field("Connection") == Some("close"));
        assert_eq!(got, ((*status).to_owned(), is_last), "RFC {}: {shown:?}", row.section);
    }
    if row.ends {
        client.is_closed();
    } else {
        assert_eq!(client.answer().status, 200, "what follows {shown:?}");
    }
}

#[test]
fn every_request_is_answered_as_the_rfcs_want_it() {
    for backend in ["epoll", "auto"] {
        let server = Server::start(&["--backend", backend]);
        for row in rows() {
            let request = &row.request[..];
            ask(&server, &row, &[request]);
            ask(&server, &row, &request.chunks(1).collect::<Vec<_>>());
            for place in [request.len() / 3, request.len() / 2, request.len() - 1] {
                ask(&server, &row, &[&request[..place], &request[place..]]);
            }
        }
    }
}
