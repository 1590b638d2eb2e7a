//! What was measured, a line each, in a file of comma-separated values.
//!
//! Its first line says when and where, behind a `#`; the second names the columns. Tables and the picture
//! are made of this file alone.

use std::fmt::Write;
use std::path::Path;
use std::{fs, io};

/// One server, one number of idle connections, one round.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Counted from 0.
    pub round: usize,
    /// The contender's name.
    pub server: String,
    /// Connections that were open and silent.
    pub idle: usize,
    /// Answers that came.
    pub requests: u64,
    /// The time that took.
    pub seconds: f64,
    /// Half of the answers came faster.
    pub median_micros: f64,
    /// 99 of 100 came faster.
    pub most_micros: f64,
    /// All of it by the number of answers.
    pub mean_micros: f64,
    /// The server's processor time by the number of answers.
    pub cpu_micros: f64,
    /// What the server had allocated and written to, at the end of it.
    pub anonymous_kb: u64,
    /// The kernel's slabs then, of the whole machine.
    pub slab_kb: u64,
}

/// All of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Records {
    /// When and where.
    pub caption: String,
    /// In the order in which they were taken by each server.
    pub all: Vec<Record>,
}

const COLUMNS: &str = "round,server,idle,requests,seconds,p50_us,p99_us,mean_us,server_cpu_us,\
                       server_anonymous_kb,machine_slab_kb";

impl Records {
    /// Writes the file.
    ///
    /// # Errors
    ///
    /// The file's.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        fs::write(path, self.text())
    }

    /// Reads the file.
    ///
    /// # Errors
    ///
    /// The file's, and what is not understood.
    pub fn read(path: &Path) -> io::Result<Records> {
        let told =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let text = fs::read_to_string(path).map_err(told)?;
        Records::of(&text).ok_or_else(|| told(io::Error::other("it is not understood")))
    }

    /// The servers, in the order in which they come first.
    pub fn servers(&self) -> Vec<&str> {
        let mut servers: Vec<&str> = Vec::new();
        for record in &self.all {
            if !servers.contains(&record.server.as_str()) {
                servers.push(&record.server);
            }
        }
        servers
    }

    /// The numbers of idle connections, from the least.
    pub fn steps(&self) -> Vec<usize> {
        let mut steps: Vec<usize> = self.all.iter().map(|record| record.idle).collect();
        steps.sort_unstable();
        steps.dedup();
        steps
    }

    /// One figure of one server with so many idle connections, round by round.
    pub fn figures(&self, server: &str, idle: usize, one: fn(&Record) -> f64) -> Vec<f64> {
        let own = self.all.iter().filter(|it| it.server == server && it.idle == idle);
        own.map(one).collect()
    }

    fn text(&self) -> String {
        let mut text = format!("# {}\n{COLUMNS}\n", self.caption);
        for it in &self.all {
            let Record { round, server, idle, requests, .. } = it;
            writeln!(
                text,
                "{round},{server},{idle},{requests},{:.3},{:.2},{:.2},{:.2},{:.4},{},{}",
                it.seconds,
                it.median_micros,
                it.most_micros,
                it.mean_micros,
                it.cpu_micros,
                it.anonymous_kb,
                it.slab_kb,
            )
            .expect("a String takes all that is written");
        }
        text
    }

    fn of(text: &str) -> Option<Records> {
        let mut lines = text.lines();
        let caption = lines.next()?.strip_prefix("# ")?.to_owned();
        lines.next().filter(|line| *line == COLUMNS)?;
        let all = lines.map(Record::of).collect::<Option<Vec<_>>>()?;
        (!all.is_empty()).then_some(Records { caption, all })
    }
}

impl Record {
    fn of(line: &str) -> Option<Record> {
        let words: Vec<&str> = line.split(',').collect();
        let [round, server, idle, requests, seconds, median, most, mean, cpu, anonymous, slab] =
            words[..]
        else {
            return None;
        };
        Some(Record {
            round: round.parse().ok()?,
            server: server.to_owned(),
            idle: idle.parse().ok()?,
            requests: requests.parse().ok()?,
            seconds: seconds.parse().ok()?,
            median_micros: median.parse().ok()?,
            most_micros: most.parse().ok()?,
            mean_micros: mean.parse().ok()?,
            cpu_micros: cpu.parse().ok()?,
            anonymous_kb: anonymous.parse().ok()?,
            slab_kb: slab.parse().ok()?,
        })
    }
}

#[cfg(test)]
pub(super) mod tests;
