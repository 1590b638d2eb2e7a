//! `wrk`, which asks a server for a page again and again, and what it says about that.

use std::io;
use std::process::Command;

/// How many connections are open.
pub const CONNECTIONS: usize = 100;

/// The program's last words, read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Report {
    /// Answers that came.
    pub requests: u64,
    /// The same by the time it took.
    pub requests_per_second: f64,
    /// Failed connects, reads and writes, timeouts, and answers that were not 2xx or 3xx.
    pub errors: u64,
}

/// Whether it is installed.
pub fn is_there() -> bool {
    // Without arguments it says how it is used, and exits with 1.
    Command::new("wrk").output().is_ok()
}

/// Has it send several requests at once.
const PIPELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/wrk/pipeline.lua");

/// Asks for `url` on [`CONNECTIONS`] connections for so long, with so many requests at once on each.
///
/// # Errors
///
/// It does not run, or says what is not understood here.
pub fn run(url: &str, seconds: u64, pipeline: usize) -> io::Result<Report> {
    let mut command = Command::new("wrk");
    command.args(["-t1", &format!("-c{CONNECTIONS}"), &format!("-d{seconds}s")]);
    match pipeline {
        2.. => command.args(["-s", PIPELINE, url, "--", &pipeline.to_string()]),
        _ => command.arg(url),
    };
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    read(&text).ok_or_else(|| {
        io::Error::other(format!("wrk said {text:?} {}", String::from_utf8_lossy(&output.stderr)))
    })
}

fn read(text: &str) -> Option<Report> {
    let mut report = Report::default();
    for line in text.lines().map(str::trim) {
        if let Some((requests, _)) = line.split_once(" requests in ") {
            report.requests = requests.parse().ok()?;
        } else if let Some(rate) = line.strip_prefix("Requests/sec:") {
            report.requests_per_second = rate.trim().parse().ok()?;
        } else if let Some(errors) = line.strip_prefix("Socket errors:") {
            // connect 0, read 1, write 0, timeout 0
            for error in errors.split(',') {
                report.errors += error.split_whitespace().nth(1)?.parse::<u64>().ok()?;
            }
        } else if let Some(answers) = line.strip_prefix("Non-2xx or 3xx responses:") {
            report.errors += answers.trim().parse::<u64>().ok()?;
        }
    }
    (report.requests > 0).then_some(report)
}

#[cfg(test)]
mod tests;
