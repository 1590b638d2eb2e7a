//! A test in a process of its own, for what other tests must not disturb: memory, descriptors, time.
//!
//! The process is this program again, told to run the one test, which knows by a variable that it
//! is the child.

use std::env;
use std::process::Command;
use std::time::Duration;

use crate::child::Program;
use crate::requirement;

const VARIABLE: &str = "AEM_TEST_ALONE";

/// Whether this process was started for the test `name` alone.
#[must_use]
pub fn is_child(name: &str) -> bool {
    env::var(VARIABLE).is_ok_and(|alone| alone == name)
}

/// Starts this program again for the test `name` alone.
///
/// # Panics
/// If it cannot be started.
#[must_use]
pub fn start(name: &str) -> Program {
    start_under(name, &[])
}

/// The same by way of a command that is told which program to start, and how, by its last arguments.
fn start_under(name: &str, wrapper: &[&str]) -> Program {
    let program = env::current_exe().expect("the path of this program");
    let mut command = match wrapper {
        [] => Command::new(program),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
    };
    command.args([name, "--exact", "--nocapture", "--test-threads=1"]).env(VARIABLE, name);
    Program::run(command)
}

/// Runs the body of the test `name` in a process of its own: this function is the whole test.
///
/// # Panics
/// If the body did, or took longer than `limit`.
#[track_caller]
pub fn run(name: &str, limit: Duration, body: impl FnOnce()) {
    run_under(name, limit, &[], body);
}

/// The same in surroundings that a command makes, `unshare` say, which is told what to start by its last
/// arguments. Where these cannot be had the test is skipped.
///
/// # Panics
/// If the body did, or took longer than `limit`.
#[track_caller]
pub fn run_under(name: &str, limit: Duration, wrapper: &[&str], body: impl FnOnce()) {
    if is_child(name) {
        return body();
    }
    // The pipes to a child are descriptors, which a watched test would count.
    let _alone = crate::watch::alone();
    if let [first, rest @ ..] = wrapper {
        let tried = Command::new(first).args(rest).arg("true").output();
        let why = match tried {
            Ok(output) if output.status.success() => None,
            Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(why) = why {
            return requirement::skip(first, &why);
        }
    }
    let mut child = start_under(name, wrapper);
    // A name with a mistake in it is no test's, and a program that runs none succeeds.
    while !matches!(child.line(limit).as_str(), "running 1 test") {}
    let (status, stderr) = child.end(limit);
    eprint!("{stderr}");
    assert!(status.success(), "{name} failed in its own process: {status}");
}
