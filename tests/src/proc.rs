//! What `/proc` tells of a process from outside: its time, its sleeps, its calls, its descriptors.

use std::fs;
use std::io;

/// All that must stand still in a process that is idle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doings {
    /// Ticks of the processor, a hundredth of a second each, in user and kernel mode.
    pub ticks: u64,
    /// Nanoseconds on a processor, and how often it was given one.
    pub scheduled: String,
    /// How often a thread gave up its processor, by its own will and against it.
    pub switches: (u64, u64),
    /// Calls of `read` and `write` and their kin.
    pub calls: (u64, u64),
    /// The call that it sits in, with its arguments.
    pub inside: String,
    /// Threads.
    pub threads: u64,
}

/// What a process has done until now.
///
/// # Errors
/// If it is gone.
pub fn doings(pid: u32) -> io::Result<Doings> {
    let read = |what: &str| fs::read_to_string(format!("/proc/{pid}/{what}"));
    let stat = read("stat")?;
    // The name in brackets may hold anything; what follows it is numbers.
    let numbers: Vec<&str> = after_name(&stat).split_whitespace().collect();
    let number = |index: usize| numbers.get(index).and_then(|n| n.parse().ok()).unwrap_or(0_u64);
    let status = read("status")?;
    let calls = read("io").unwrap_or_default();
    Ok(Doings {
        ticks: number(11) + number(12),
        scheduled: read("schedstat").unwrap_or_default().trim().to_owned(),
        switches: (
            field(&status, "voluntary_ctxt_switches:"),
            field(&status, "nonvoluntary_ctxt_switches:"),
        ),
        calls: (field(&calls, "syscr:"), field(&calls, "syscw:")),
        inside: read("syscall").unwrap_or_default().trim().to_owned(),
        threads: field(&status, "Threads:"),
    })
}

fn after_name(stat: &str) -> &str {
    stat.rfind(')').map_or(stat, |end| &stat[end + 1..])
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// How many descriptors this process has open.
///
/// # Panics
/// Without `/proc`.
#[must_use]
pub fn descriptors() -> usize {
    // The one that reads the folder is among them.
    fs::read_dir("/proc/self/fd").expect("/proc").count() - 1
}

/// How many threads this process has.
///
/// # Panics
/// Without `/proc`.
#[must_use]
pub fn threads() -> u64 {
    field(&fs::read_to_string("/proc/self/status").expect("/proc"), "Threads:")
}

/// The resident memory of this process, in bytes.
///
/// # Panics
/// Without `/proc`.
#[must_use]
pub fn resident() -> u64 {
    field(&fs::read_to_string("/proc/self/status").expect("/proc"), "VmRSS:") * 1024
}

/// The virtual memory of this process, in bytes.
///
/// # Panics
/// Without `/proc`.
#[must_use]
pub fn virtual_size() -> u64 {
    field(&fs::read_to_string("/proc/self/status").expect("/proc"), "VmSize:") * 1024
}

/// The children of this process that are not forgotten yet, each with the letter of its state: `Z` has ended.
///
/// # Panics
/// Without `/proc`.
#[must_use]
pub fn children() -> Vec<(u32, char)> {
    let own = std::process::id();
    let entries = fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let child = |pid: u32| {
        // It may be gone by now.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut words = after_name(&stat).split_whitespace();
        let (state, parent) = (words.next()?.chars().next()?, words.next()?);
        (parent.parse() == Ok(own)).then_some((pid, state))
    };
    pids.filter_map(child).collect()
}
