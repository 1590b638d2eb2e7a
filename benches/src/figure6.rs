//! The AEM paper's Figure 6: the response time of active connections while others are idle.
//!
//! [`round`] measures one server, in a process that is new: its idle connections become more from step
//! to step and stay until the last. The active ones are chosen evenly from all that are open, so
//! that whatever a server keeps of them lies scattered among what it keeps of the others.

pub mod asking;
pub mod crowd;
pub mod drawing;
pub mod records;
pub mod summary;

use std::io;
use std::thread;
use std::time::Duration;

use crowd::Crowd;
use records::Record;

use crate::accounts::slab;
use crate::http::{Contender, Model};

/// The page that is asked for.
pub const PAGE: &str = "index.html";

/// Connections that ask.
pub const ACTIVE: usize = 100;

/// Connections that are open and silent.
pub const STEPS: &[usize] = &[0, 1_000, 5_000, 10_000, 18_000];

/// Those who are measured, by name.
pub const SERVERS: &[&str] = &[
    "aemhttpd-uring",
    "aemhttpd-epoll",
    "hand-uring",
    "hand-epoll",
    "hyper",
    "nginx",
    "poll",
    "select",
];

/// A step is preceded by a part of itself that is not measured.
const WARM_UP: f64 = 0.2;

/// So long what was asked of the kernel may take until its counters tell.
const SETTLE: Duration = Duration::from_millis(100);

/// One server, with each of these numbers of idle connections in turn.
///
/// # Errors
///
/// It cannot be had, gives another answer than it did, or ends a connection that is idle.
pub fn round(
    contender: Contender,
    model: &Model,
    steps: &[usize],
    time: Duration,
) -> io::Result<Vec<Record>> {
    let server = contender.start(model)?;
    let mut crowd = Crowd::new(server.address(), PAGE)?;
    let mut records = Vec::new();
    for idle in steps {
        crowd.grow(idle + ACTIVE)?;
        thread::sleep(SETTLE);
        let active = crowd.spread(ACTIVE);
        asking::ask(&active, crowd.page(), time.mul_f64(WARM_UP))?;
        let before = server.settled_cpu_nanos()?;
        let report = asking::ask(&active, crowd.page(), time)?;
        let nanos = server.settled_cpu_nanos()? - before;
        records.push(Record {
            // Whoever counts the rounds fills it in.
            round: 0,
            server: contender.name.to_owned(),
            idle: *idle,
            requests: report.requests,
            seconds: report.elapsed.as_secs_f64(),
            median_micros: report.latencies.micros_at(0.5),
            most_micros: report.latencies.micros_at(0.99),
            mean_micros: report.latencies.mean_micros(),
            cpu_micros: nanos as f64 / 1_000.0 / report.requests as f64,
            anonymous_kb: server.memory()?.anonymous,
            slab_kb: slab()?,
        });
    }
    crowd.finish()?;
    Ok(records)
}
