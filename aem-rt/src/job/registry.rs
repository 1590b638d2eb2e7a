//! Cold facts of the jobs of a worker: what no wake and no run needs to touch.
//!
//! A job's place in here is known to its header, so that the header can stay small. The registry also is
//! the list of all jobs that the end of the worker goes through (DRAIN).

use std::fmt;
use std::panic::Location;
use std::ptr::NonNull;
use std::sync::Arc;

use slab::Slab;

use super::cell::Header;

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

/// What is known of a job.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) job: NonNull<Header>,
    pub(crate) id: JobId,
    pub(crate) kind: Kind,
    pub(crate) location: &'static Location<'static>,
    pub(crate) name: Option<Arc<str>>,
    /// Runs, but for those that the header still counts.
    pub(crate) runs: u64,
    /// Nanoseconds, exact for handlers, estimated from samples for tasks.
    pub(crate) running: u64,
    pub(crate) longest: u64,
    pub(crate) queued: u64,
}

impl Record {
    /// A record of a job that has not run.
    pub(crate) fn new(job: NonNull<Header>, id: JobId, facts: Facts) -> Self {
        let Facts { kind, location } = facts;
        Record { job, id, kind, location, name: None, runs: 0, running: 0, longest: 0, queued: 0 }
    }
}

/// All records of a worker.
pub(crate) type Registry = Slab<Record>;

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
