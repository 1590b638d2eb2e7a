//! The programs that count what another one does: valgrind its instructions, strace its system calls.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What is to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Those of the user's side, by valgrind's callgrind.
    Instructions,
    /// By name, by strace.
    SystemCalls,
}

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

/// The file that the counting program writes, which goes with this.
#[derive(Debug)]
pub struct Counts {
    counted: Counted,
    path: PathBuf,
}

impl Counts {
    /// One that is not there yet.
    pub fn new(counted: Counted) -> Counts {
        let name = format!("aem-benches-{}-{}", std::process::id(), counted.program());
        Counts { counted, path: std::env::temp_dir().join(name) }
    }

    /// What runs a program and counts what it does.
    pub fn command(&self, counted: &Command) -> Command {
        let mut command = self.counted.command(&self.path);
        command.arg(counted.get_program()).args(counted.get_args());
        command
    }

    /// What was counted, by name, when that program has ended.
    ///
    /// # Errors
    ///
    /// It is not there, or not understood.
    pub fn read(&self) -> io::Result<Vec<(String, u64)>> {
        let text = std::fs::read_to_string(&self.path)?;
        self.counted.read(&text).ok_or_else(|| {
            io::Error::other(format!("{} said what is not understood", self.counted.program()))
        })
    }
}

impl Drop for Counts {
    fn drop(&mut self) {
        // Where the program failed there is none.
        let _ = std::fs::remove_file(&self.path);
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
