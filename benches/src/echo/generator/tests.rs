//! Tests of what the generator accepts, against servers that are wrong in one way each.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

use super::{Generator, Limit};

const SIZE: usize = 40_000;

/// Serves connections one after the other, so many; `answer` makes of each piece what is sent back.
fn server(connections: usize, answer: fn(Vec<u8>) -> Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let echo = move |mut stream: TcpStream| {
        let mut buffer = vec![0; 7_001];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            let answer = answer(buffer[..count].to_vec());
            if answer.is_empty() || stream.write_all(&answer).is_err() {
                return;
            }
        }
    };
    thread::spawn(move || {
        for _ in 0..connections {
            let (stream, _peer) = listener.accept().unwrap();
            thread::spawn(move || echo(stream));
        }
    });
    address
}

fn asked(answer: fn(Vec<u8>) -> Vec<u8>) -> Result<u64, String> {
    let ask = || {
        let mut generator = Generator::connect(server(3, answer), 3, SIZE)?;
        let report = generator.run(Limit::Requests(10))?;
        generator.finish()?;
        Ok(report.requests)
    };
    ask().map_err(|error: std::io::Error| error.to_string())
}

#[test]
fn faithful_server_passes() {
    assert_eq!(asked(|piece| piece), Ok(10));
}

#[test]
fn one_changed_byte_is_seen() {
    let changed = asked(|mut piece| {
        *piece.last_mut().unwrap() ^= 1;
        piece
    });
    assert!(changed.unwrap_err().contains("other bytes"));
}

#[test]
fn bytes_in_another_order_are_seen() {
    let swapped = asked(|mut piece| {
        piece.reverse();
        piece
    });
    assert!(swapped.unwrap_err().contains("other bytes"));
}

#[test]
fn byte_too_many_is_seen() {
    let longer = asked(|mut piece| {
        piece.push(0);
        piece
    });
    assert!(longer.unwrap_err().starts_with("WRONG ECHO"));
}

#[test]
fn early_end_is_seen() {
    assert!(asked(|_piece| Vec::new()).is_err());
}

#[test]
fn answer_to_another_connection_would_be_seen() {
    let mut generator = Generator::connect(server(2, |piece| piece), 2, SIZE).unwrap();
    generator.run(Limit::Requests(2)).unwrap();
    let [one, other] = &generator.connections[..] else { panic!("there are two") };
    let message = |place: usize| &generator.pattern[place..place + SIZE];
    assert_ne!(message(one.place)[..8], message(other.place)[..8]);
    generator.finish().unwrap();
}
