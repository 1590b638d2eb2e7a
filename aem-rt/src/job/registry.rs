//! Cold facts of the jobs of a worker: what no wake and no run needs to touch.
//!
//! A job's place in here is known to its header, so that the header can stay small. The registry also is
//! the list of all jobs that the end of the worker goes through (DRAIN).

use std::collections::BTreeMap;
use std::fmt;
use std::panic::Location;
use std::ptr::NonNull;
use std::sync::Arc;

use super::cell::Header;
use crate::queue::Priority;

/// The slot of a job that is in no registry.
pub(crate) const UNREGISTERED: u32 = u32::MAX;

/// The identity of a job: never given twice in a process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(pub(crate) u64);

impl JobId {
    /// The worker's number stands above these bits; below it a job has a number of its own.
    pub(crate) const WORKER_SHIFT: u32 = 40;
    /// Set in the ids that other threads give, so that they need no word in common with the owner.
    pub(crate) const POSTED: u64 = 1 << (Self::WORKER_SHIFT - 1);
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (worker, rest) = (self.0 >> Self::WORKER_SHIFT, self.0 & (Self::POSTED - 1));
        let mark = if self.0 & Self::POSTED != 0 { "p" } else { "" };
        write!(f, "{worker}.{mark}{rest}")
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobId({self})")
    }
}

/// What sort of job it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JobKind {
    /// The future given to `block_on`.
    Main,
    /// A spawned future.
    Task,
    /// A handler registered on a source.
    Handler,
    /// A closure on the blocking pool.
    Blocking,
}

/// A shorter name for the floors below the public one.
pub(crate) type Kind = JobKind;

/// What is known of a job at birth.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) kind: Kind,
    pub(crate) location: &'static Location<'static>,
}

/// What is known of a job. Small, as every spawn writes one.
#[derive(Debug)]
pub(crate) struct Record {
    /// None in a vacant place.
    job: Option<NonNull<Header>>,
    pub(crate) id: JobId,
    pub(crate) location: &'static Location<'static>,
    /// Runs, but for those that the header still counts.
    pub(crate) runs: u64,
    /// Nanoseconds, exact for handlers, estimated from samples for tasks.
    pub(crate) running: u64,
    pub(crate) queued: u64,
    /// In microseconds, rounded up, so that it fits: up to 71 minutes.
    pub(crate) longest_us: u32,
    /// In a vacant place, the next one; else whether the job has a name.
    mark: u32,
    pub(crate) kind: Kind,
}

impl Record {
    /// The job of a record that is not vacant.
    pub(crate) fn job(&self) -> NonNull<Header> {
        self.job.expect("vacant records are not given out")
    }
}

/// The mark of a job without a name.
const NAMELESS: u32 = 0;
const NAMED: u32 = 1;

/// What others may know of a job.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight<'a> {
    pub(crate) record: &'a Record,
    pub(crate) name: Option<&'a Arc<str>>,
    /// All of them.
    pub(crate) runs: u64,
    pub(crate) priority: Priority,
}

/// All records of a worker. Names are kept apart, as few jobs have one.
///
/// A slab of its own, with the records written in their places: moving one there by way of the stack costs
/// a spawn 10 ns, as its fields are read back in larger pieces than they were written in.
#[derive(Debug)]
pub(crate) struct Registry {
    records: Vec<Record>,
    /// The first vacant place, or [`UNREGISTERED`].
    vacant: u32,
    len: usize,
    names: BTreeMap<u32, Arc<str>>,
}

impl Default for Registry {
    fn default() -> Self {
        Registry { records: Vec::new(), vacant: UNREGISTERED, len: 0, names: BTreeMap::new() }
    }
}

impl Registry {
    /// Enters a job that has not run.
    #[inline]
    pub(crate) fn insert(&mut self, job: NonNull<Header>, id: JobId, facts: Facts) -> u32 {
        if self.vacant == UNREGISTERED {
            self.grow(id, facts);
        }
        let slot = self.vacant;
        let record = &mut self.records[slot as usize];
        self.vacant = record.mark;
        self.len += 1;
        record.job = Some(job);
        record.id = id;
        record.location = facts.location;
        record.kind = facts.kind;
        record.mark = NAMELESS;
        (record.runs, record.running, record.queued, record.longest_us) = (0, 0, 0, 0);
        slot
    }

    /// Adds a vacant place.
    #[cold]
    fn grow(&mut self, id: JobId, facts: Facts) {
        let slot = u32::try_from(self.records.len()).expect("fewer than 2^32 jobs");
        let Facts { kind, location } = facts;
        self.records.push(Record {
            job: None,
            id,
            location,
            runs: 0,
            running: 0,
            queued: 0,
            longest_us: 0,
            mark: UNREGISTERED,
            kind,
        });
        self.vacant = slot;
    }

    /// Strikes out a job.
    #[inline]
    pub(crate) fn remove(&mut self, slot: u32) {
        let Some(record) = self.records.get_mut(slot as usize) else { return };
        if record.job.take().is_none() {
            return;
        }
        let named = record.mark == NAMED;
        record.mark = self.vacant;
        self.vacant = slot;
        self.len -= 1;
        if named {
            // A name is a text: dropping it runs no foreign code.
            self.names.remove(&slot);
        }
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&Record> {
        self.records.get(slot as usize).filter(|record| record.job.is_some())
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut Record> {
        self.records.get_mut(slot as usize).filter(|record| record.job.is_some())
    }

    pub(crate) fn set_name(&mut self, slot: u32, name: Arc<str>) {
        if let Some(record) = self.get_mut(slot) {
            record.mark = NAMED;
            self.names.insert(slot, name);
        }
    }

    pub(crate) fn name(&self, slot: u32) -> Option<&Arc<str>> {
        self.names.get(&slot)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// All records, with their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Record)> {
        let records = self.records.iter().enumerate();
        let occupied = records.filter(|(_, record)| record.job.is_some());
        occupied.map(|(slot, record)| (slot as u32, record))
    }

    /// All jobs.
    pub(crate) fn jobs(&self) -> Vec<NonNull<Header>> {
        self.records.iter().filter_map(|record| record.job).collect()
    }
}

/// A panic that nobody read.
#[derive(Debug)]
pub(crate) struct Lost {
    pub(crate) id: Option<JobId>,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) location: Option<&'static Location<'static>>,
    pub(crate) panic: super::Payload,
}

impl Lost {
    /// A panic of a job of which nothing is known here.
    pub(crate) fn anonymous(panic: super::Payload) -> Self {
        Lost { id: None, name: None, location: None, panic }
    }

    /// Says it on stderr, where there is no worker that has a policy for it.
    pub(crate) fn tell(self) {
        crate::report::line(format_args!("{self}"));
        super::dispose(self.panic);
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a job")?;
        if let Some(id) = self.id {
            write!(f, " {id}")?;
        }
        if let Some(name) = &self.name {
            write!(f, " named {name:?}")?;
        }
        if let Some(location) = self.location {
            write!(f, " made at {location}")?;
        }
        write!(f, " panicked, and nobody asked for its result: ")?;
        f.write_str(crate::error::panic_text(&*self.panic))
    }
}
