//! Tests of what passes for the page, and of how connections are chosen.

use std::net::TcpListener;
use std::thread;

use super::*;

const ANSWER: &str = "HTTP/1.1 200 OK\r\nDate: Fri, 27 Nov 2026 16:48:36 GMT\r\n\
                      Content-Length: 5\r\n\r\nhello";

/// A server that gives the answer once on each connection and then keeps it open, but for `ending`.
fn server(ending: Option<usize>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut open = Vec::new();
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1_024]).unwrap();
            stream.write_all(ANSWER.as_bytes()).unwrap();
            if ending != Some(number) {
                open.push(stream);
            }
        }
    });
    address
}

#[test]
fn all_but_the_date_has_to_be_the_same() {
    let page = Page::fetch(server(None), "p").unwrap();
    let (other_date, other_body) =
        (ANSWER.replace("16:48", "09:00"), ANSWER.replace("hell", "hall"));
    for from in 0..ANSWER.len() {
        for to in from..=ANSWER.len() {
            check(&page, &other_date.as_bytes()[from..to], from).unwrap();
        }
    }
    check(&page, other_body.as_bytes(), 0).unwrap_err();
    check(&page, &ANSWER.as_bytes()[1..], 2).unwrap_err();
}

#[test]
fn connections_are_chosen_evenly() {
    let mut crowd = Crowd::new(server(None), "p").unwrap();
    crowd.grow(30).unwrap();
    let chosen = crowd.spread(10);
    let all = [0, 3, 6, 9, 12, 15, 18, 21, 24, 27].map(|at| crowd.streams[at].as_raw_fd());
    assert_eq!(chosen.iter().map(|stream| stream.as_raw_fd()).collect::<Vec<_>>(), all);
    drop(chosen);
    crowd.finish().unwrap();
}

#[test]
fn an_idle_connection_that_was_ended_is_seen() {
    // The first connection is the one that fetches the page.
    let mut crowd = Crowd::new(server(Some(2)), "p").unwrap();
    crowd.grow(3).unwrap();
    thread::sleep(Duration::from_millis(50));
    assert!(crowd.finish().unwrap_err().to_string().contains("ended"));
}
