//! What the kernel has written down of processes, and of all memory of its own.

use std::{fs, io};

/// Of a process, in kilobytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// All that is in memory: its own, what it shares, the touched pages of the program.
    pub resident: u64,
    /// What it has allocated and written to.
    pub anonymous: u64,
}

/// The processor time that a process has had, and those that it started, in nanoseconds.
///
/// # Errors
///
/// It has ended, or this kernel does not count.
pub fn cpu_nanos(process: u32) -> io::Result<u64> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        let figures = fs::read_to_string(task?.path().join("schedstat"))?;
        let nanos = figures.split_whitespace().next().and_then(|nanos| nanos.parse::<u64>().ok());
        sum += nanos.ok_or_else(|| io::Error::other("schedstat without a figure"))?;
    }
    for child in children(process)? {
        sum += cpu_nanos(child)?;
    }
    Ok(sum)
}

/// The memory that a process has, and those that it started.
///
/// # Errors
///
/// It has ended.
pub fn memory(process: u32) -> io::Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let mut memory = Memory {
        resident: kilobytes(&status, "VmRSS:")?,
        anonymous: kilobytes(&status, "RssAnon:")?,
    };
    for child in children(process)? {
        let of_child = self::memory(child)?;
        memory.resident += of_child.resident;
        memory.anonymous += of_child.anonymous;
    }
    Ok(memory)
}

/// The kilobytes in the kernel's slabs.
///
/// # Errors
///
/// `/proc` is not there.
pub fn slab() -> io::Result<u64> {
    kilobytes(&fs::read_to_string("/proc/meminfo")?, "Slab:")
}

/// Those that its main thread started.
fn children(process: u32) -> io::Result<Vec<u32>> {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children"))?;
    Ok(children.split_whitespace().filter_map(|child| child.parse().ok()).collect())
}

fn kilobytes(text: &str, name: &str) -> io::Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    let number = number.and_then(|number| number.parse().ok());
    number.ok_or_else(|| io::Error::other(format!("there is no line {name}")))
}
