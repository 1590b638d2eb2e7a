//! How many instructions and system calls of the server a request takes.
//!
//! The server is run twice under valgrind or strace, once with so many requests and once with three
//! times as many; the difference is free of start, connections and end. Under either it is many
//! times slower than the one who asks, so that as much waits for it at a time as can: what a turn
//! costs is shared by more requests than on a free machine. With one connection it never is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::generator::{Generator, Limit};
use crate::server::{Server, on_server_core};

/// Requests on each connection, at least: the first ones find nothing prepared.
const LEAST: u64 = 20;

/// What is to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Those of the user's side, by valgrind's callgrind.
    Instructions,
    /// By name, by strace.
    SystemCalls,
}

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

impl Counted {
    /// By its word in the arguments.
    pub fn named(word: &str) -> Option<Counted> {
        match word {
            "instructions" => Some(Counted::Instructions),
            "syscalls" => Some(Counted::SystemCalls),
            _ => None,
        }
    }

    /// The program that counts.
    pub fn program(self) -> &'static str {
        match self {
            Counted::Instructions => "valgrind",
            Counted::SystemCalls => "strace",
        }
    }

    /// Whether it is installed.
    pub fn is_there(self) -> bool {
        let mut command = Command::new(self.program());
        command.arg("--version").stdout(Stdio::null()).status().is_ok()
    }

    fn command(self, counts: &Path) -> Command {
        let mut command = Command::new(self.program());
        match self {
            Counted::Instructions => {
                let mut out = std::ffi::OsString::from("--callgrind-out-file=");
                out.push(counts);
                command.args(["--tool=callgrind", "-q"]).arg(out);
            }
            Counted::SystemCalls => {
                command.args(["-f", "-c", "-U", "calls,name", "-o"]).arg(counts);
            }
        }
        command
    }

    fn read(self, text: &str) -> Option<Vec<(String, u64)>> {
        match self {
            Counted::Instructions => read_callgrind(text),
            Counted::SystemCalls => read_strace(text),
        }
    }
}

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
    let mut command = counted.command(&counts.0);
    command.arg(serve.get_program()).args(serve.get_args());
    let server = on_server_core(|| Server::start(&mut command))?;
    let mut generator = Generator::connect(server.address(), load.connections, load.size)?;
    generator.run(Limit::Requests(requests))?;
    generator.finish()?;
    server.finish()?;
    let text = fs::read_to_string(&counts.0)?;
    counted.read(&text).ok_or_else(|| {
        io::Error::other(format!("{} said what is not understood", counted.program()))
    })
}

/// The file that the counting program writes, which goes with this.
struct Counts(PathBuf);

impl Counts {
    fn new(counted: Counted) -> Counts {
        let name = format!("aem-echo-{}-{}", std::process::id(), counted.program());
        Counts(std::env::temp_dir().join(name))
    }
}

impl Drop for Counts {
    fn drop(&mut self) {
        // Where the program failed there is none.
        let _ = fs::remove_file(&self.0);
    }
}

fn read_callgrind(text: &str) -> Option<Vec<(String, u64)>> {
    let line = text.lines().find_map(|line| line.strip_prefix("totals: "))?;
    Some(vec![("instructions".to_owned(), line.trim().parse().ok()?)])
}

/// A table with two lines of heading, a line of dashes and the sum after the last.
fn read_strace(text: &str) -> Option<Vec<(String, u64)>> {
    let mut counts = Vec::new();
    for line in text.lines().skip(2).take_while(|line| !line.starts_with("--")) {
        let (count, name) = line.trim().split_once(' ')?;
        counts.push((name.trim().to_owned(), count.parse().ok()?));
    }
    (!counts.is_empty()).then_some(counts)
}

#[cfg(test)]
mod tests;
