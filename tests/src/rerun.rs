//! An ignored test of this program, run in a process of its own: what it says on standard error, how it
//! ends.

use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use crate::child::Program;
use crate::proc::descriptors;

/// No such test takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// How a child ended, and what it said.
#[derive(Debug)]
pub struct Said {
    /// How.
    pub status: ExitStatus,
    /// Its standard error.
    pub stderr: String,
}

/// Runs the ignored test of that name, alone.
///
/// # Panics
/// If this program cannot be run again, or not in time.
#[must_use]
pub fn rerun(test: &str) -> Said {
    // The pipes of a child are descriptors too.
    let _alone = crate::watch::alone();
    let before = descriptors();
    let mut command = Command::new(std::env::current_exe().expect("the path of this program"));
    command.args([test, "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env("RUST_BACKTRACE", "0");
    let (status, stderr) = Program::run(command).end(LIMIT);
    // A thread reads the child's output to its end, and closes the pipe only then.
    let deadline = Instant::now() + LIMIT;
    while descriptors() > before && Instant::now() < deadline {
        std::thread::yield_now();
    }
    Said { status, stderr }
}

impl Said {
    /// The lines that the runtime wrote.
    #[must_use]
    pub fn lines(&self) -> Vec<&str> {
        self.stderr.lines().filter_map(|line| line.strip_prefix("aem: ")).collect()
    }

    /// The lines of a child that went well.
    ///
    /// # Panics
    /// If it failed.
    #[track_caller]
    #[must_use]
    pub fn fine(&self) -> Vec<&str> {
        assert!(self.status.success(), "{}: {}", self.status, self.stderr);
        self.lines()
    }
}
