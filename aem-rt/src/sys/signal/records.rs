//! What came with a signal, from handlers to whoever listens.
//!
//! A ring of records that any number of signal handlers write at once, on whatever threads the kernel picks,
//! and any number of listeners read, each at his own pace. A handler may neither wait nor allocate: it
//! takes a ticket, writes its record into the place of that ticket, and says that it is done. A place has a
//! sequence word (Lamport 1977; Boehm 2012 for the fences): odd while it is written, and telling whose
//! record is in it, so that a reader knows a record that is torn, or is not the one he came for.
//!
//! A handler that finds its place in use by another gives its record up, and a listener who is too slow finds
//! his overwritten. Either way he is told that there was one (ONCE): records are lost, their number is not.

use crate::sync::{AtomicU64, Ordering, fence};

/// What came with a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Where it came from: `si_code`.
    pub(crate) code: i32,
    /// Who sent it, if `code` says that somebody did.
    pub(crate) pid: i32,
    pub(crate) uid: u32,
    /// What was sent along, if `code` says that something was.
    pub(crate) value: usize,
}

/// What a listener finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Record(Record),
    /// So many signals of which nothing else is known.
    Lost(u64),
}

/// The ring of one signal.
#[derive(Debug)]
pub(crate) struct Records {
    /// Handlers that have begun.
    tickets: AtomicU64,
    /// Handlers that are done.
    done: AtomicU64,
    places: Box<[Place]>,
}

#[derive(Debug)]
struct Place {
    /// Twice the ticket whose record is in here, and two; one less while it is written.
    sequence: AtomicU64,
    code: AtomicU64,
    /// Process and user.
    sender: AtomicU64,
    value: AtomicU64,
}

impl Records {
    pub(crate) fn new(places: usize) -> Records {
        let place = || Place {
            sequence: AtomicU64::new(0),
            code: AtomicU64::new(0),
            sender: AtomicU64::new(0),
            value: AtomicU64::new(0),
        };
        let places = (0..places).map(|_| place()).collect();
        Records { tickets: AtomicU64::new(0), done: AtomicU64::new(0), places }
    }

    fn place(&self, ticket: u64) -> &Place {
        &self.places[(ticket % self.places.len() as u64) as usize]
    }

    /// How many signals have come.
    pub(crate) fn count(&self) -> u64 {
        // Acquire: what the sender did before is visible as far as the kernel carries it.
        self.done.load(Ordering::Acquire)
    }

    /// Adds a record. It waits for nobody and allocates nothing, as it is called by signal handlers.
    pub(crate) fn add(&self, record: Record) {
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        self.write(ticket, record);
        // Release: pairs with the Acquire in `next`, which then finds the record, or that there is none.
        self.done.fetch_add(1, Ordering::Release);
    }

    fn write(&self, ticket: u64, record: Record) {
        let Place { sequence, code, sender, value } = self.place(ticket);
        let before = sequence.load(Ordering::Relaxed);
        if before % 2 == 1 || before > 2 * ticket {
            // Another handler is at work on it, or was faster by a whole round.
            return;
        }
        let writing = 2 * ticket + 1;
        // Acquire: what an earlier handler wrote comes before this.
        let taken =
            sequence.compare_exchange(before, writing, Ordering::Acquire, Ordering::Relaxed);
        if taken.is_err() {
            return;
        }
        // Release fence: pairs with the Acquire fence in `read`. Who sees a word of this record sees the odd
        // number, too.
        fence(Ordering::Release);
        code.store(u64::from(record.code as u32), Ordering::Relaxed);
        let both = u64::from(record.pid as u32) << 32 | u64::from(record.uid);
        sender.store(both, Ordering::Relaxed);
        value.store(record.value as u64, Ordering::Relaxed);
        // Release: pairs with the first Acquire in `read`.
        sequence.store(writing + 1, Ordering::Release);
    }

    /// What comes after `cursor`, which moves on. None if there is nothing yet: the handler that is at work
    /// will ring when it is done.
    pub(crate) fn next(&self, cursor: &mut u64) -> Option<Found> {
        // In this order: if they are equal, then all who had a ticket are done.
        let done = self.done.load(Ordering::Acquire);
        let tickets = self.tickets.load(Ordering::Relaxed);
        let waiting = tickets - *cursor;
        if waiting == 0 {
            return None;
        }
        let overwritten = waiting.saturating_sub(self.places.len() as u64);
        let found = match overwritten {
            0 => self.read(*cursor, done == tickets)?,
            many => Found::Lost(many),
        };
        *cursor += match found {
            Found::Record(_) => 1,
            Found::Lost(many) => many,
        };
        Some(found)
    }

    /// The record of a ticket; none if it is still to come.
    fn read(&self, ticket: u64, all_are_done: bool) -> Option<Found> {
        let Place { sequence, code, sender, value } = self.place(ticket);
        let wanted = 2 * ticket + 2;
        // Acquire: pairs with the last store in `write`.
        let before = sequence.load(Ordering::Acquire);
        if before < wanted && !all_are_done {
            return None;
        }
        if before != wanted {
            return Some(Found::Lost(1));
        }
        let code = code.load(Ordering::Relaxed);
        let sender = sender.load(Ordering::Relaxed);
        let value = value.load(Ordering::Relaxed);
        // Acquire fence: pairs with the Release fence in `write`.
        fence(Ordering::Acquire);
        if sequence.load(Ordering::Relaxed) != wanted {
            return Some(Found::Lost(1));
        }
        Some(Found::Record(Record {
            code: code as u32 as i32,
            pid: (sender >> 32) as u32 as i32,
            uid: sender as u32,
            value: value as usize,
        }))
    }
}

#[cfg(test)]
mod tests;
