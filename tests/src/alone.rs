//! A test in a process of its own, for what other tests must not disturb: memory, descriptors, time.
//!
//! The process is this program again, told to run the one test, which knows by a variable that it
//! is the child.

use std::env;
use std::process::Command;
use std::time::Duration;

use crate::child::Program;

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
    let mut command = Command::new(env::current_exe().expect("the path of this program"));
    command.args([name, "--exact", "--nocapture", "--test-threads=1"]).env(VARIABLE, name);
    Program::run(command)
}

/// Runs the body of the test `name` in a process of its own: this function is the whole test.
///
/// # Panics
/// If the body did, or took longer than `limit`.
#[track_caller]
pub fn run(name: &str, limit: Duration, body: impl FnOnce()) {
    if is_child(name) {
        return body();
    }
    // The pipes to the child are descriptors, which a watched test would count.
    let _alone = crate::watch::alone();
    let mut child = start(name);
    // A name with a mistake in it is no test's, and a program that runs none succeeds.
    while !matches!(child.line(limit).as_str(), "running 1 test") {}
    let (status, stderr) = child.end(limit);
    eprint!("{stderr}");
    assert!(status.success(), "{name} failed in its own process: {status}");
}
