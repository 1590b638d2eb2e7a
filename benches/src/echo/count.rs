//! How many instructions and system calls of the server a request takes.
//!
//! The server is run twice under valgrind or strace, once with so many requests and once with three
//! times as many; the difference is free of start, connections and end. Under either it is many
//! times slower than the one who asks, so that as much waits for it at a time as can: what a turn
//! costs is shared by more requests than on a free machine. With one connection it never is.

use std::io;
use std::process::Command;

use super::generator::{Generator, Limit};
use crate::counting::{Counted, Counts};
use crate::server::{Server, on_server_core};

/// Requests on each connection, at least: the first ones find nothing prepared.
const LEAST: u64 = 20;

/// One kind of work, for any server.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// At a time.
    pub connections: usize,
    /// Bytes of a message.
    pub size: usize,
    /// In the shorter of the two runs. More are made if each connection would have few.
    pub requests: u64,
}

/// So many of that name for each request.
pub type Share = (String, f64);

/// What a request takes of a server that `serve` starts, which is to end with its last visitor.
/// The most frequent first.
///
/// # Errors
///
/// The server does not run so, or does not echo; what was counted is not understood.
pub fn count(counted: Counted, serve: &Command, load: Load) -> io::Result<Vec<Share>> {
    let requests = load.requests.max(LEAST * load.connections as u64);
    let few = total(counted, serve, load, requests)?;
    let many = total(counted, serve, load, 3 * requests)?;
    let share = |(name, count): (String, u64)| {
        let before = few.iter().find(|few| few.0 == name).map_or(0, |few| few.1);
        let each = (count as f64 - before as f64) / (2 * requests) as f64;
        (name, each)
    };
    let mut shares: Vec<Share> = many.into_iter().map(share).collect();
    shares.sort_by(|one, other| other.1.total_cmp(&one.1));
    Ok(shares)
}

/// All that a server takes for so many requests, from its start to its end.
fn total(
    counted: Counted,
    serve: &Command,
    load: Load,
    requests: u64,
) -> io::Result<Vec<(String, u64)>> {
    let counts = Counts::new(counted);
    let mut command = counts.command(serve);
    let server = on_server_core(|| Server::start(&mut command))?;
    let mut generator = Generator::connect(server.address(), load.connections, load.size)?;
    generator.run(Limit::Requests(requests))?;
    generator.finish()?;
    server.finish()?;
    counts.read()
}
