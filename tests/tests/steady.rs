//! What a busy server asks of the kernel: a wait a turn, a send a response, on epoll a receive, nothing else.
//!
//! `strace` writes down every call of a server with a hundred connections. Looked at is the middle of the
//! run, when all connections are there and none ends. No call for a timer, a futex or an `epoll_ctl` is
//! among them, and no thread is there but the one: neither ours nor one of the kernel's for io_uring.
//!
//! AEMhttpd opens, looks at, reads and closes a file for each response, and that comes on top.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use aem::Backend;
use aem_tests::child::Program;
use aem_tests::{example, keepers, requirement};

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(30);

const CONNECTIONS: usize = 100;

/// Requests on each connection.
const ROUNDS: usize = 20;

/// Those whose calls are not looked at, at both ends of the run.
const MARGIN: usize = 5;

/// How AEMhttpd asks whether a file is still as it was, which it does once a millisecond at most.
const LOOK: &[&str] = &["newfstatat", "fstatat64", "statx"];

/// How the clients ask.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// All at once, and then all wait for their answers.
    Crowd,
    /// One after the other, each once the one before has been answered.
    Line,
}

/// A server under strace.
struct Traced {
    strace: Program,
    /// The server itself.
    pid: u32,
    first_line: String,
    log: PathBuf,
}

impl Traced {
    fn start(keeper: Backend, name: &str, program: &Path, arguments: &[&str]) -> Traced {
        let name = format!("steady-{}-{name}-{}", std::process::id(), keepers::name(keeper));
        let log = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let mut command = keepers::command(keeper, "strace", &["-f", "-o"]);
        command.arg(&log).arg(program).args(arguments);
        let mut strace = Program::run(command);
        let first_line = strace.line(LIMIT);
        let children = format!("/proc/{0}/task/{0}/children", strace.pid());
        let children = fs::read_to_string(children).expect("the children of strace");
        let pid = children.trim().parse().expect("one child");
        Traced { strace, pid, first_line, log }
    }

    /// The names of its threads.
    fn threads(&self) -> Vec<String> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid)).expect("it lives");
        let comm = |path: PathBuf| fs::read_to_string(path.join("comm")).unwrap_or_default();
        tasks.map(|task| comm(task.expect("a thread").path()).trim().to_owned()).collect()
    }

    /// Ends it, and gives the names of its calls.
    fn end(self) -> Vec<String> {
        let pid = libc::pid_t::try_from(self.pid).expect("a pid");
        // SAFETY: no memory is passed; strace waits for the process, so that its number is still its own.
        unsafe { libc::kill(pid, libc::SIGTERM) };
        let (status, errors) = self.strace.end(LIMIT);
        assert!(status.success(), "{status}: {errors}");
        let log = fs::read_to_string(&self.log).expect("what strace saw");
        // A number, a name, and an opening bracket; what is resumed was named before.
        let name = |line: &str| {
            let call = line.split_whitespace().nth(1)?.split_once('(')?.0;
            Some(call.to_owned()).filter(|call| !call.is_empty())
        };
        log.lines().filter_map(name).collect()
    }
}

/// The calls of the middle of a run, and how many of them were sends.
#[derive(Debug)]
struct Middle {
    counts: BTreeMap<String, usize>,
    /// Waits that followed on another wait, with nothing done between.
    waits_in_a_row: usize,
}

fn is_send(call: &str) -> bool {
    ["sendto", "sendmsg"].contains(&call)
}

fn is_wait(call: &str) -> bool {
    ["io_uring_enter", "epoll_wait", "epoll_pwait", "epoll_pwait2"].contains(&call)
}

impl Middle {
    /// What lies between the two margins.
    fn of(calls: &[String]) -> Middle {
        let sends: Vec<usize> = (0..calls.len()).filter(|index| is_send(&calls[*index])).collect();
        assert_eq!(sends.len(), CONNECTIONS * ROUNDS, "one send a response");
        let (first, last) = (CONNECTIONS * MARGIN, CONNECTIONS * (ROUNDS - MARGIN));
        let middle = &calls[sends[first - 1] + 1..=sends[last - 1]];
        let mut counts = BTreeMap::new();
        for call in middle {
            *counts.entry(call.clone()).or_default() += 1;
        }
        let in_a_row = middle.windows(2).filter(|two| two.iter().all(|call| is_wait(call)));
        Middle { counts, waits_in_a_row: in_a_row.count() }
    }

    fn count(&self, is_one: impl Fn(&str) -> bool) -> usize {
        self.counts.iter().filter(|(call, _)| is_one(call)).map(|(_, count)| count).sum()
    }

    #[track_caller]
    fn check(&self, keeper: Backend, manner: Manner, looks: &[&str]) {
        let responses = CONNECTIONS * (ROUNDS - 2 * MARGIN);
        assert_eq!(self.count(is_send), responses, "{self:?}");
        let receives = self.count(|call| call == "recvfrom");
        let enters = self.count(|call| call == "io_uring_enter");
        let waits = self.count(is_wait);
        if keeper == Backend::IoUring {
            assert_eq!((receives, waits), (0, enters), "{self:?}");
        } else {
            assert_eq!((receives, enters), (responses, 0), "{self:?}");
        }
        // A timer may come between.
        let few = 1 + responses / 100;
        assert!(self.waits_in_a_row <= few, "turns in which nothing is done: {self:?}");
        match manner {
            Manner::Line => assert!(waits.abs_diff(responses) <= few, "{self:?}"),
            Manner::Crowd => assert!(waits <= responses + few, "{self:?}"),
        }
        for (call, count) in &self.counts {
            let is_look = looks.contains(&call.as_str());
            let is_known = is_send(call) || is_wait(call) || call == "recvfrom";
            // More may be in memory at once than ever before.
            let is_allocators = call == "brk" && *count <= few;
            assert!(is_known || is_look || is_allocators, "{call}: {self:?}");
            assert!(!is_look || *count <= responses, "{call}: {self:?}");
        }
    }
}

/// A client who knows how long an answer is.
fn ask(clients: &mut [TcpStream], request: &[u8], length: usize) {
    for client in &mut *clients {
        client.write_all(request).expect("sent");
    }
    for client in &mut *clients {
        client.read_exact(&mut vec![0; length]).expect("an answer");
    }
}

/// Has a server answer in the middle of which its threads are looked at.
fn run(
    traced: &Traced,
    address: &str,
    manner: Manner,
    request: &[u8],
    first: impl Fn(&mut TcpStream) -> usize,
) {
    let connect = |_| {
        let client = TcpStream::connect(address).expect("a connection");
        client.set_read_timeout(Some(LIMIT)).expect("a time limit");
        client.set_nodelay(true).expect("a connection");
        client
    };
    let mut clients: Vec<TcpStream> = (0..CONNECTIONS).map(connect).collect();
    let lengths: Vec<usize> = clients
        .iter_mut()
        .map(|client| {
            client.write_all(request).expect("sent");
            first(client)
        })
        .collect();
    for round in 1..ROUNDS {
        match manner {
            Manner::Crowd => ask(&mut clients, request, lengths[0]),
            Manner::Line => {
                clients.chunks_mut(1).for_each(|client| ask(client, request, lengths[0]));
            }
        }
        if round == ROUNDS / 2 {
            let threads = traced.threads();
            assert_eq!(threads.len(), 1, "{threads:?}");
        }
    }
}

/// The length of an answer with a head.
fn length_of_page(client: &mut TcpStream) -> usize {
    let mut answer = Vec::new();
    loop {
        // Byte by byte, as nobody knows yet how many there are; this repeats what a signal interrupts.
        let mut byte = [0];
        client.read_exact(&mut byte).expect("an answer");
        answer.extend_from_slice(&byte);
        let text = String::from_utf8_lossy(&answer);
        let Some(end) = text.find("\r\n\r\n") else { continue };
        let length = text.split("Content-Length: ").nth(1).expect("a length");
        let length: usize = length.split("\r\n").next().expect("a line").parse().expect("a number");
        if answer.len() == end + 4 + length {
            assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
            return answer.len();
        }
    }
}

/// Why calls cannot be seen here, if they cannot.
fn why_not() -> Option<String> {
    match Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).output() {
        Err(error) => Some(error.to_string()),
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

#[test]
fn an_echo_server_waits_and_sends_and_does_nothing_else() {
    if let Some(why) = why_not() {
        return requirement::skip("strace", &why);
    }
    let program = Path::new(env!("CARGO_BIN_EXE_idler"));
    for keeper in keepers::both() {
        for manner in [Manner::Crowd, Manner::Line] {
            let connections = CONNECTIONS.to_string();
            let traced = Traced::start(keeper, "echo", program, &["0", &connections]);
            let length = |client: &mut TcpStream| {
                client.read_exact(&mut [0; 6]).expect("an answer");
                6
            };
            run(&traced, &traced.first_line, manner, b"there?", length);
            let middle = Middle::of(&traced.end());
            println!("echo on {}, {manner:?}: {middle:?}", keepers::name(keeper));
            middle.check(keeper, manner, &[]);
        }
    }
}

#[test]
fn aemhttpd_adds_at_most_a_look_at_its_file() {
    if let Some(why) = why_not() {
        return requirement::skip("strace", &why);
    }
    let program = example::path("aemhttpd");
    for keeper in keepers::both() {
        for manner in [Manner::Crowd, Manner::Line] {
            let arguments = ["--listen", "127.0.0.1:0", "--backend", keepers::name(keeper)];
            let traced = Traced::start(keeper, "http", &program, &arguments);
            let address = traced.first_line.strip_prefix("http://").expect("an address");
            let address = address.split('/').next().expect("an address").to_owned();
            let request = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";
            run(&traced, &address, manner, request, length_of_page);
            let middle = Middle::of(&traced.end());
            println!("AEMhttpd on {}, {manner:?}: {middle:?}", keepers::name(keeper));
            middle.check(keeper, manner, LOOK);
        }
    }
}
