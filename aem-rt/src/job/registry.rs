//! Cold facts of the jobs of a worker: what no wake and no run needs to touch.
//!
//! A job's place in here is known to its header, so that the header can stay small. The registry also is
//! the list of all jobs that the end of the worker goes through (DRAIN).

use std::collections::BTreeMap;
use std::fmt;
use std::panic::Location;
use std::ptr::NonNull;
use std::sync::Arc;

use super::cell::{Header, Tally};
use super::id::JobId;
use crate::queue::Priority;

/// The slot of a job that is in no registry.
pub(crate) const UNREGISTERED: u32 = u32::MAX;

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

/// What a spawn writes down of a job: half a cache line.
#[derive(Debug)]
struct Entry {
    /// None in a vacant place.
    job: Option<NonNull<Header>>,
    id: JobId,
    location: &'static Location<'static>,
    /// In a vacant place, the next one; else whether the job has a name.
    mark: u32,
    kind: Kind,
}

/// Few jobs live for long enough to have statistics, so these lie apart from the entry, and their place is
/// cleared by the first job that needs it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Statistics {
    /// The job they are about. Another job's are those of an earlier one in the same place.
    of: JobId,
    /// Runs, but for those that the header still counts.
    pub(crate) runs: u64,
    /// Nanoseconds, exact for handlers, estimated from samples for tasks.
    pub(crate) running: u64,
    pub(crate) queued: u64,
    /// In microseconds, rounded up, so that it fits: up to 71 minutes.
    pub(crate) longest_us: u32,
    /// Events that came before their handler was done with the one before. It stays at its greatest.
    pub(crate) overruns: u32,
}

impl Statistics {
    fn none(of: JobId) -> Self {
        Statistics { of, runs: 0, running: 0, queued: 0, longest_us: 0, overruns: 0 }
    }
}

/// Which jobs are behind a job, as far as that was traced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cause {
    /// The job they are about, as for statistics.
    of: Option<JobId>,
    /// Which one made it.
    pub(crate) parent: Option<JobId>,
    /// Which one made it ready last; none if that was the kernel, the clock or another thread.
    pub(crate) waker: Option<JobId>,
}

/// The mark of a job without a name.
const NAMELESS: u32 = 0;
const NAMED: u32 = 1;

/// What the registry knows of a job.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub(super) job: NonNull<Header>,
    pub(crate) id: JobId,
    pub(crate) kind: Kind,
    pub(crate) location: &'static Location<'static>,
    pub(crate) name: Option<&'a Arc<str>>,
    pub(crate) statistics: Statistics,
    pub(crate) cause: Cause,
}

/// What others may know of a job: its record, with what its header says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight<'a> {
    pub(crate) record: Record<'a>,
    /// All of them.
    pub(crate) runs: u64,
    pub(crate) priority: Priority,
    pub(crate) tally: Tally,
}

/// All jobs of a worker. Names are kept apart, as few jobs have one.
///
/// A slab of its own, with the entries written in their places: moving one there by way of the stack costs
/// a spawn 10 ns, as its fields are read back in larger pieces than they were written in.
#[derive(Debug)]
pub(crate) struct Registry {
    entries: Vec<Entry>,
    /// The first vacant place, or [`UNREGISTERED`].
    vacant: u32,
    len: usize,
    /// In the places of the entries; shorter than they are, as long as those at the end have none.
    statistics: Vec<Statistics>,
    names: BTreeMap<u32, Arc<str>>,
    /// In the places of the entries, as far as they were traced.
    causes: Vec<Cause>,
}

impl Default for Registry {
    fn default() -> Self {
        Registry {
            entries: Vec::new(),
            vacant: UNREGISTERED,
            len: 0,
            statistics: Vec::new(),
            names: BTreeMap::new(),
            causes: Vec::new(),
        }
    }
}

impl Registry {
    /// Enters a job that has not run.
    #[inline]
    pub(crate) fn insert(&mut self, job: NonNull<Header>, id: JobId, facts: Facts) -> u32 {
        let slot = self.vacant;
        let Some(entry) = self.entries.get_mut(slot as usize) else {
            return self.append(job, id, facts);
        };
        self.vacant = entry.mark;
        self.len += 1;
        entry.job = Some(job);
        entry.id = id;
        entry.location = facts.location;
        entry.mark = NAMELESS;
        entry.kind = facts.kind;
        slot
    }

    /// No place is vacant.
    #[cold]
    fn append(&mut self, job: NonNull<Header>, id: JobId, facts: Facts) -> u32 {
        let slot = u32::try_from(self.entries.len()).expect("fewer than 2^32 jobs");
        assert!(slot != UNREGISTERED, "fewer than 2^32 jobs");
        let Facts { kind, location } = facts;
        self.entries.push(Entry { job: Some(job), id, location, mark: NAMELESS, kind });
        self.len += 1;
        slot
    }

    /// Strikes out a job.
    #[inline]
    pub(crate) fn remove(&mut self, slot: u32) {
        let Some(entry) = self.entries.get_mut(slot as usize) else { return };
        if entry.job.take().is_none() {
            return;
        }
        let mark = std::mem::replace(&mut entry.mark, self.vacant);
        self.vacant = slot;
        self.len -= 1;
        if mark == NAMED {
            self.forget_name(slot);
        }
    }

    #[cold]
    fn forget_name(&mut self, slot: u32) {
        // A name is a text: dropping it runs no foreign code.
        self.names.remove(&slot);
    }

    fn entry(&self, slot: u32) -> Option<&Entry> {
        self.entries.get(slot as usize).filter(|entry| entry.job.is_some())
    }

    /// What is known of the job in that place.
    pub(crate) fn record(&self, slot: u32) -> Option<Record<'_>> {
        let Entry { job, id, kind, location, .. } = *self.entries.get(slot as usize)?;
        let kept = self.statistics.get(slot as usize).filter(|kept| kept.of == id);
        let statistics = kept.copied().unwrap_or(Statistics::none(id));
        let cause = self.causes.get(slot as usize).filter(|cause| cause.of == Some(id));
        let cause = cause.copied().unwrap_or_default();
        let name = self.names.get(&slot);
        Some(Record { job: job?, id, kind, location, name, statistics, cause })
    }

    /// The statistics of a job, to be added to.
    pub(crate) fn statistics(&mut self, slot: u32) -> Option<&mut Statistics> {
        let id = self.entry(slot)?.id;
        let place = slot as usize;
        if place >= self.statistics.len() {
            self.statistics.resize(place + 1, Statistics::none(id));
        }
        let statistics = &mut self.statistics[place];
        if statistics.of != id {
            *statistics = Statistics::none(id);
        }
        Some(statistics)
    }

    /// Notes that the job in the place `by`, if there is one, has made that in `slot` ready. The first time
    /// it has made it, too.
    pub(super) fn note_cause(&mut self, slot: u32, by: u32) {
        let Some(id) = self.entry(slot).map(|entry| entry.id) else { return };
        let waker = self.entry(by).map(|entry| entry.id);
        let place = slot as usize;
        if place >= self.causes.len() {
            self.causes.resize(place + 1, Cause::default());
        }
        let cause = &mut self.causes[place];
        let is_known = cause.of == Some(id);
        let parent = if is_known { cause.parent } else { waker };
        *cause = Cause { of: Some(id), parent, waker };
    }

    /// Gives back what it took to trace them.
    pub(super) fn forget_causes(&mut self) {
        self.causes = Vec::new();
    }

    pub(crate) fn set_name(&mut self, slot: u32, name: Arc<str>) {
        let entry = self.entries.get_mut(slot as usize).filter(|entry| entry.job.is_some());
        if let Some(entry) = entry {
            entry.mark = NAMED;
            self.names.insert(slot, name);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// All jobs.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        (0..self.entries.len()).filter_map(|slot| self.record(slot as u32))
    }

    /// All jobs that are wanted by their kind.
    pub(crate) fn jobs(&self, is_wanted: impl Fn(Kind) -> bool) -> Vec<NonNull<Header>> {
        let entries = self.entries.iter().filter(|entry| is_wanted(entry.kind));
        entries.filter_map(|entry| entry.job).collect()
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
