//! System calls that fail once, whichever and whenever: an error or none, never a hang or a wrong wake.
//!
//! `strace` has the n-th call of a name fail with an error number, in a program that exchanges bytes and
//! checks what it is woken with. A run without faults counts the calls, so that every fault is one that
//! happens. `AEM_TEST_SCALE=1` runs all of the table, less than that a sample that is spread over it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use aem::Backend;
use aem_tests::child::Program;
use aem_tests::scale::scaled_count;
use aem_tests::{keepers, requirement};

/// The calls that fail.
const CALLS: &[&str] = &[
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "mmap",
    "epoll_ctl",
    "epoll_wait",
    "epoll_pwait2",
    "accept4",
    "recvfrom",
    "sendto",
    "close",
];

/// Those that the epoll keeper repeats until they say that there is nothing left.
const ASKED_AFTER_AN_EDGE: &[&str] = &["accept4", "recvfrom", "sendto"];

/// What they fail with.
const ERRORS: &[&str] = &["EAGAIN", "EINTR", "ENOMEM", "EBUSY", "EMFILE"];

/// How many calls of a name may be the one that fails.
const POSITIONS: usize = 20;

/// A sample is never smaller.
const LEAST: usize = 120;

/// The program ends itself when it hangs, sooner than this.
const LIMIT: Duration = Duration::from_secs(30);

/// As the program has it: the calls before it are those of the loader.
const MARK: &str = "/aem-tests-begin";

const PROGRAM: &str = env!("CARGO_BIN_EXE_exchange");

/// One fault: the `position`-th of these calls on this keeper fails.
#[derive(Clone, Copy, Debug)]
struct Fault {
    keeper: Backend,
    call: &'static str,
    error: &'static str,
    /// Counted from the beginning of the program.
    position: usize,
    /// Calls before that.
    before: usize,
}

/// The program under strace, which writes what it saw to a file.
fn traced(keeper: Backend, options: &[&str]) -> (Command, PathBuf) {
    let name = format!("injected-{}-{}", std::process::id(), keepers::name(keeper));
    let log = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut command = keepers::command(keeper, "strace", &["-o"]);
    command.arg(&log).args(options).arg(PROGRAM).env("RUST_BACKTRACE", "0");
    (command, log)
}

/// Why faults cannot be injected here, if they cannot.
fn why_not() -> Option<String> {
    match Command::new("strace").args(["-o", "/dev/null", "-e", "trace=close", "true"]).output() {
        Err(error) => Some(error.to_string()),
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

/// What of the table can happen on this keeper: a run without faults tells how often what is called.
fn faults(keeper: Backend) -> Vec<Fault> {
    let trace = format!("trace=openat,{}", CALLS.join(","));
    let (command, log) = traced(keeper, &["-e", &trace]);
    let mut child = Program::run(command);
    assert_eq!(child.line(LIMIT), "ok", "{keeper:?} without any fault");
    let (status, errors) = child.end(LIMIT);
    assert!(status.success(), "{keeper:?} without any fault: {status}: {errors}");
    let seen = fs::read_to_string(&log).expect("what strace saw");
    let begin = seen.find(MARK).expect("the mark in what strace saw");
    let count = |text: &str, call: &str| {
        let start = format!("{call}(");
        text.lines().filter(|line| line.starts_with(&start)).count()
    };
    let mut faults = Vec::new();
    for call in CALLS {
        // To such a call `EAGAIN` says that there is nothing now; where there is something the kernel never
        // says it, and whoever waits for a change then waits for ever, whoever he is.
        let would_lie = keeper == Backend::Epoll && ASKED_AFTER_AN_EDGE.contains(call);
        let errors = ERRORS.iter().filter(|error| !(would_lie && **error == "EAGAIN"));
        let before = count(&seen[..begin], call);
        let after = count(&seen[begin..], call).min(POSITIONS);
        for position in 1..=after {
            let fault = |error| Fault { keeper, call, error, position, before };
            faults.extend(errors.clone().map(|error| fault(error)));
        }
    }
    faults
}

/// How a run with a fault ended.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Fine,
    Error,
    /// The program made fewer calls this time.
    NotReached,
    Wrong(String),
}

fn outcome(fault: Fault) -> Outcome {
    let Fault { keeper, call, error, position, before } = fault;
    let inject = format!("inject={call}:error={error}:when={}", before + position);
    let trace = format!("trace={call}");
    let (command, log) = traced(keeper, &["-e", &trace, "-e", &inject]);
    let mut child = Program::run(command);
    let said = child.try_line(LIMIT).unwrap_or_default();
    let (status, errors) = child.end(LIMIT);
    let seen = fs::read_to_string(log).expect("what strace saw");
    // An allocator without memory ends the process; that is std's doing and nobody else's.
    let without_memory = errors.contains("memory allocation of");
    if !seen.contains("(INJECTED)") {
        return Outcome::NotReached;
    }
    if errors.contains("panicked") || !(status.success() || without_memory) {
        return Outcome::Wrong(format!("{status}, {said:?}: {}", errors.trim()));
    }
    if said == "ok" { Outcome::Fine } else { Outcome::Error }
}

/// Whichever keeper there is, and the choice between them.
fn backends() -> Vec<Backend> {
    let mut backends = keepers::both();
    if backends.contains(&Backend::IoUring) {
        backends.push(Backend::Auto);
    }
    backends
}

#[test]
fn calls_that_fail_end_in_an_error_or_in_none() {
    if let Some(why) = why_not() {
        return requirement::skip("strace", &why);
    }
    let mut table: Vec<Fault> = backends().into_iter().flat_map(faults).collect();
    // To choose is to set up; the rest is as on the keeper that was chosen.
    table.retain(|fault| {
        fault.keeper != Backend::Auto
            || ["io_uring_setup", "io_uring_register"].contains(&fault.call)
    });
    let wanted = scaled_count(table.len(), LEAST).min(table.len());
    let (mut fine, mut failed, mut not_reached, mut wrong) = (0, 0, 0, Vec::new());
    for index in 0..wanted {
        let fault = table[index * table.len() / wanted];
        match outcome(fault) {
            Outcome::Fine => fine += 1,
            Outcome::Error => failed += 1,
            Outcome::NotReached => not_reached += 1,
            Outcome::Wrong(what) => wrong.push(format!("{fault:?}: {what}")),
        }
    }
    println!(
        "{wanted} of {}: {fine} without an error, {failed} with one, {not_reached} not reached",
        table.len()
    );
    assert!(wrong.is_empty(), "{} of {wanted} went wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(not_reached <= wanted / 4, "{not_reached} of {wanted} faults did not happen");
    assert!(fine > 0 && failed > 0, "{fine} runs were fine, {failed} had an error");
}
