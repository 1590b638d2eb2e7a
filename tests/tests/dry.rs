//! More than there is room for: more chunks held than the pool has buffers, more news than a ring holds.
//!
//! The pool is a cache and never a gate, and a completion that finds no room waits in the kernel. Whatever a
//! program holds on to, and however long it is away, it gets every byte once and in order.

#[path = "dry/order.rs"]
mod order;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use aem::Backend;
use aem_tests::child::Program;
use aem_tests::limits::raise_descriptors;
use aem_tests::scale::scaled_count;
use aem_tests::{keepers, messages, requirement};

/// No child takes longer.
const LIMIT: Duration = Duration::from_secs(40);

/// What one buffer of the pool takes: its size, and less than twice that.
const ONE_BUFFER: usize = 20_000;

const PROGRAM: &str = env!("CARGO_BIN_EXE_hoarder");

/// As many of `wanted` connections as this process may have descriptors for; the server is another process
/// with the same limit.
fn as_many_as_may_be(wanted: usize) -> usize {
    let limit = raise_descriptors().expect("a limit") as usize;
    let most = limit.saturating_sub(100);
    if wanted > most {
        let why = format!("{limit} are allowed, so {most} connections and not {wanted}");
        requirement::skip("descriptors", &why);
    }
    wanted.min(most)
}

fn connect(address: &str) -> TcpStream {
    let client = TcpStream::connect(address).expect("a connection");
    client.set_read_timeout(Some(LIMIT)).expect("a time limit");
    client.set_nodelay(true).expect("a connection");
    client
}

fn expect_answer(client: &mut TcpStream, answer: &[u8]) {
    let mut got = vec![0; answer.len()];
    client.read_exact(&mut got).expect("an answer");
    assert_eq!(got, answer);
}

/// Each connection's first message is held by the server until all of the second ones have come.
fn keep_one_of_each(command: Command, connections: usize) {
    let mut server = Program::run(command);
    let address = server.line(LIMIT);
    let mut clients: Vec<TcpStream> = (0..connections).map(|_| connect(&address)).collect();
    for (number, answer) in [(1, b"1"), (2, b"2")] {
        for (id, client) in clients.iter_mut().enumerate() {
            client.write_all(&messages::long(id as u32, number)).expect("sent");
        }
        for client in &mut clients {
            expect_answer(client, answer);
        }
    }
    assert_eq!(server.line(LIMIT), format!("done {connections}"));
    let (status, errors) = server.end(LIMIT);
    assert!(status.success() && errors.is_empty(), "{status}: {errors}");
}

#[test]
fn chunks_that_are_kept_starve_nobody() {
    let connections = as_many_as_may_be(scaled_count(5_000, 1_000)).to_string();
    // 64 buffers, then one, then none.
    for pool in [64 * ONE_BUFFER * 9 / 10, ONE_BUFFER, 0] {
        for keeper in keepers::both() {
            let arguments = ["keep", &connections, &pool.to_string()];
            let command = keepers::command(keeper, PROGRAM, &arguments);
            keep_one_of_each(command, connections.parse().expect("a number"));
        }
    }
}

/// Messages and connections come while the loop of the server stands still.
fn send_to_a_held_loop(command: Command, early: usize, late: usize) {
    let mut server = Program::run(command);
    let address = server.line(LIMIT);
    let mut clients: Vec<TcpStream> = (0..early).map(|_| connect(&address)).collect();
    // The answer says that the server receives.
    for (id, client) in clients.iter_mut().enumerate() {
        client.write_all(&messages::short(id as u32, 0)).expect("sent");
        expect_answer(client, b"!");
    }
    server.tell("hold");
    assert_eq!(server.line(LIMIT), "held");
    for number in [1, 2] {
        for (id, client) in clients.iter_mut().enumerate() {
            client.write_all(&messages::short(id as u32, number)).expect("sent");
        }
    }
    for id in early..early + late {
        let mut client = connect(&address);
        client.write_all(&messages::short(id as u32, 0)).expect("sent");
        clients.push(client);
    }
    server.tell("go");
    for (id, client) in clients.iter_mut().enumerate() {
        expect_answer(client, if id < early { b"!!" } else { b"!" });
    }
    drop(clients);
    assert_eq!(server.line(LIMIT), format!("done {} {}", early + late, 3 * early + late));
    let (status, errors) = server.end(LIMIT);
    assert!(status.success() && errors.is_empty(), "{status}: {errors}");
}

fn hold(keeper: Backend, early: usize, late: usize) -> Command {
    keepers::command(keeper, PROGRAM, &["hold", &(early + late).to_string()])
}

#[test]
fn news_that_come_while_the_loop_stands_still_come_once() {
    // More messages than a ring has room for, each on a socket that had nothing to tell before.
    let early = as_many_as_may_be(7_000) - 2_000;
    for keeper in keepers::both() {
        send_to_a_held_loop(hold(keeper, early, 2_000), early, 2_000);
    }
}

#[test]
fn news_come_once_to_older_forms_of_io_uring_too() {
    if !keepers::both().contains(&Backend::IoUring) {
        return;
    }
    for without in [
        "defer_taskrun",
        "defer_taskrun,coop_taskrun,submit_all",
        "buffer_ring",
        "multishot_receive,multishot_accept",
    ] {
        let mut command = hold(Backend::IoUring, 1_000, 500);
        command.env("AEM_IO_URING_WITHOUT", without);
        send_to_a_held_loop(command, 1_000, 500);
        let arguments = ["keep", "500", &ONE_BUFFER.to_string()];
        let mut command = keepers::command(Backend::IoUring, PROGRAM, &arguments);
        command.env("AEM_IO_URING_WITHOUT", without);
        keep_one_of_each(command, 500);
    }
}
