//! The timers of one worker: a hierarchical wheel in plain data, with the clock passed in.
//!
//! Time is counted in ticks since the wheel was made. A timer lies in the list of its slot: level
//! 0 has a slot for every tick of the present 64, level 1 one for every 64 ticks of the present
//! 4,096, and so on. Which level is a matter of the highest bit in which the timer's tick differs
//! from `elapsed`, so insertion is a count of leading zeros, and the first occupied slot is the
//! lowest bit of the lowest level that has any. When time reaches a slot of a higher level, its
//! timers are *sifted*: each is put down a level, or into the heap of those that are due. A list
//! keeps the order of insertion, and while a slot is being sifted a new timer of its span joins
//! its end, so that timers of one deadline always fire in the order in which they were made.
//!
//! It promises: no timer fires early; those that fire do so by deadline, then by insertion; insert
//! and remove are O(1) and neither wakes, clones nor drops a waker (OUTSIDE); one call of `expire`
//! does at most [`STEPS_PER_EXPIRE`] steps (BOUND), and while more is due `next` says so; a key
//! reaches only the timer that it was given for (FRESH).
//!
//! The idea is Varghese and Lauck's (1987), scheme 7.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::task::Waker;
use std::time::{Duration, Instant};

/// Sixty-four slots a level: one word of occupancy bits.
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;

/// Nine levels of six bits span every `u64` of nanoseconds (584 years) even at the finest tick.
const LEVELS: usize = 9;

/// A tick is at most 2^14 ns, 16 µs: a third of the default slack, so that rounding to ticks
/// stays within what was promised, and no finer, so that a millisecond is one level away.
const COARSEST_TICK: u32 = 14;

/// A tick is at least 2^10 ns, about 1 µs: a sleeping core takes longer than that to wake.
const FINEST_TICK: u32 = 10;

/// A deadline of so many nanoseconds is the last that rounds to a tick of the highest level.
const FURTHEST: u64 = u64::MAX - (1 << COARSEST_TICK);

/// Timers that one `expire` moves or fires. At 150 ns each, in the worst of a storm, a turn is held
/// up for about half a millisecond, however many are due.
pub(crate) const STEPS_PER_EXPIRE: usize = 4096;

/// So many timers of the first slot are looked at for the earliest deadline. A slot of a higher
/// level with few in it then asks for one wake-up instead of one for every level on the way down.
const TIMERS_LOOKED_AT: usize = 8;

/// The list of timers that were late when they were inserted, behind those of the slots.
const LATE: u32 = (LEVELS * SLOTS) as u32;

/// The first entry that is a timer's; those before it are the heads of the lists.
const FIRST: u32 = LATE + 1;

/// The end of the free list.
const NIL: u32 = u32::MAX;

/// Names a timer until it fires or is removed, and nothing after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerKey {
    index: u32,
    generation: u32,
}

/// All timers of one worker.
#[derive(Debug)]
pub(crate) struct Timers {
    start: Instant,
    /// Binary logarithm of a tick's nanoseconds.
    shift: u32,
    /// Deadlines asked of the kernel are multiples of so many ticks.
    stride: u64,
    /// Every timer of this tick or an earlier one has left the slots.
    elapsed: u64,
    /// The slot at `elapsed` whose timers are not all sifted yet.
    sifting: Option<u32>,
    /// One bit a level that has an occupied slot.
    levels: u16,
    /// One bit an occupied slot.
    slots: [u64; LEVELS],
    due: BinaryHeap<Reverse<Due>>,
    /// Orders timers of one deadline in `due`.
    sifted: u64,
    /// The heads of the lists, once there has been a timer, and behind them the timers.
    entries: Vec<Entry>,
    free: u32,
    len: usize,
}

/// A timer that has left the slots. The order of the fields is the order of firing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    deadline: u64,
    order: u64,
    index: u32,
    generation: u32,
}

/// A timer, or the head of a list. A list is a ring through its head, so that the neighbours of a
/// timer close the gap that it leaves without asking which list it is. A timer in no list, as its
/// key is in the heap of due timers or its deadline lies beyond what the wheel can count, is a ring
/// of its own.
#[derive(Debug)]
struct Entry {
    waker: Option<Waker>,
    /// Nanoseconds since the start of the wheel.
    deadline: u64,
    /// The neighbours in the list; of a free entry, `next` is the next free one.
    next: u32,
    previous: u32,
    generation: u32,
}

impl Entry {
    /// In no list.
    fn alone(index: u32) -> Entry {
        Entry { waker: None, deadline: 0, next: index, previous: index, generation: 0 }
    }
}

impl Timers {
    /// An empty wheel whose time begins at `start`. What it asks of the kernel is at most `slack`
    /// after the deadline it is for (and at most a microsecond for a slack below that).
    pub(crate) fn new(slack: Duration, start: Instant) -> Timers {
        let slack = u64::try_from(slack.as_nanos()).unwrap_or(u64::MAX);
        let shift = slack.max(1).ilog2().clamp(FINEST_TICK, COARSEST_TICK);
        Timers {
            start,
            shift,
            stride: (slack >> shift).max(1),
            elapsed: 0,
            sifting: None,
            levels: 0,
            slots: [0; LEVELS],
            due: BinaryHeap::new(),
            sifted: 0,
            entries: Vec::new(),
            free: NIL,
            len: 0,
        }
    }

    /// Timers that have neither fired nor been removed.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Moves the time of an empty wheel on to `now`, so that a new timer's place is found from there.
    pub(crate) fn catch_up(&mut self, now: Instant) {
        debug_assert!(self.is_empty());
        self.elapsed = self.elapsed.max(self.nanos(now) >> self.shift);
    }

    /// Adds a timer. One whose deadline has passed fires at the next `expire`; one further away
    /// than 584 years never does, but can be removed.
    pub(crate) fn insert(&mut self, deadline: Instant, waker: Waker) -> TimerKey {
        let deadline = self.nanos(deadline);
        let list = self.list_for_new(deadline);
        let index = self.take_entry();
        let entry = &mut self.entries[index as usize];
        entry.waker = Some(waker);
        entry.deadline = deadline;
        let key = TimerKey { index, generation: entry.generation };
        match list {
            Some(list) => self.link(index, list),
            None => self.leave_alone(index),
        }
        self.len += 1;
        key
    }

    /// Takes a timer out, and gives its waker to be dropped where user code may run. `None` if it
    /// has fired.
    pub(crate) fn remove(&mut self, key: TimerKey) -> Option<Waker> {
        self.entry(key)?;
        self.unlink(key.index);
        self.release(key.index)
    }

    /// The waker of a timer that has not fired.
    pub(crate) fn waker(&self, key: TimerKey) -> Option<&Waker> {
        self.entry(key)?.waker.as_ref()
    }

    /// Exchanges a timer's waker and gives the old one back. For a timer that has fired it gives
    /// back the one that came, as the error.
    pub(crate) fn replace_waker(&mut self, key: TimerKey, waker: Waker) -> Result<Waker, Waker> {
        let entry = self.entries.get_mut(key.index as usize);
        match entry.filter(|entry| entry.generation == key.generation) {
            Some(Entry { waker: Some(held), .. }) => Ok(std::mem::replace(held, waker)),
            _ => Err(waker),
        }
    }

    /// When to call `expire` next: at or after the first deadline, by at most the slack, or
    /// earlier when timers of a higher level have to be sifted. In the past while some are due.
    pub(crate) fn next(&self) -> Option<Instant> {
        if !self.due.is_empty() || self.unsifted().is_some() {
            return Some(self.instant(self.elapsed));
        }
        let (list, begins) = self.first_slot()?;
        let tick = self.earliest_of(list).unwrap_or(begins);
        let rounded = tick.div_ceil(self.stride).checked_mul(self.stride);
        Some(self.instant(rounded.unwrap_or(tick)))
    }

    /// Moves time on to `now` and the wakers of the timers that are due into `wakes`, first
    /// deadline first, as many as its limit allows.
    pub(crate) fn expire(&mut self, now: Instant, wakes: &mut impl Extend<Waker>) {
        let now = self.nanos(now) >> self.shift;
        for _ in 0..STEPS_PER_EXPIRE {
            if let Some(list) = self.unsifted() {
                self.sift_one(list);
            } else if let Some(Reverse(due)) = self.due.pop() {
                wakes.extend(self.fire(due));
            } else if !self.advance(now) {
                return;
            }
        }
    }

    /// Moves time to the first occupied slot, or to `now` if there is none by then.
    fn advance(&mut self, now: u64) -> bool {
        match self.first_slot() {
            Some((list, begins)) if begins <= now => {
                self.elapsed = begins;
                self.sifting = Some(list);
                true
            }
            _ => {
                self.elapsed = self.elapsed.max(now);
                false
            }
        }
    }

    /// The list that has to be empty before the first of the due timers is known.
    fn unsifted(&self) -> Option<u32> {
        if self.first(LATE).is_none() { self.sifting } else { Some(LATE) }
    }

    /// Puts the first timer of `list` where it belongs as time stands now.
    fn sift_one(&mut self, list: u32) {
        if let Some(index) = self.first(list) {
            self.unlink(index);
            let Entry { deadline, generation, .. } = self.entries[index as usize];
            let tick = self.tick(deadline);
            if tick <= self.elapsed {
                let order = self.sifted;
                self.sifted += 1;
                self.leave_alone(index);
                self.due.push(Reverse(Due { deadline, order, index, generation }));
            } else {
                self.link(index, self.slot_of(tick));
            }
        }
        if list != LATE && self.first(list).is_none() {
            self.sifting = None;
        }
    }

    /// The waker of a due timer, unless it was removed since.
    fn fire(&mut self, due: Due) -> Option<Waker> {
        self.entry(TimerKey { index: due.index, generation: due.generation })?;
        self.release(due.index)
    }

    /// Where a new timer goes; nowhere if it never fires.
    fn list_for_new(&self, deadline: u64) -> Option<u32> {
        if deadline > FURTHEST {
            return None;
        }
        let tick = self.tick(deadline);
        if let Some(list) = self.sifting {
            let span = list / SLOTS as u32 * SLOT_BITS;
            if tick >> span == self.elapsed >> span {
                return Some(list);
            }
        }
        Some(if tick <= self.elapsed { LATE } else { self.slot_of(tick) })
    }

    /// The slot of a tick that is still to come.
    fn slot_of(&self, tick: u64) -> u32 {
        debug_assert!(tick > self.elapsed);
        let level = (tick ^ self.elapsed).ilog2() / SLOT_BITS;
        let slot = (tick >> (level * SLOT_BITS)) as u32 % SLOTS as u32;
        level * SLOTS as u32 + slot
    }

    /// The first occupied slot and the tick it begins with.
    fn first_slot(&self) -> Option<(u32, u64)> {
        if self.levels == 0 {
            return None;
        }
        let level = self.levels.trailing_zeros();
        let slot = self.slots[level as usize].trailing_zeros();
        let below = (level + 1) * SLOT_BITS;
        let begins = self.elapsed >> below << below | u64::from(slot) << (level * SLOT_BITS);
        Some((level * SLOTS as u32 + slot, begins))
    }

    /// The earliest tick in a list, if it is short.
    fn earliest_of(&self, list: u32) -> Option<u64> {
        let mut at = self.first(list)?;
        let mut earliest = u64::MAX;
        for _ in 0..TIMERS_LOOKED_AT {
            let entry = &self.entries[at as usize];
            earliest = earliest.min(entry.deadline);
            at = entry.next;
            if at == list {
                return Some(self.tick(earliest));
            }
        }
        None
    }

    /// Nanoseconds since the start: none before it, and `u64::MAX` for what is too far away.
    fn nanos(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.start);
        let whole = since.as_secs().checked_mul(1_000_000_000);
        whole.map_or(u64::MAX, |whole| whole.saturating_add(u64::from(since.subsec_nanos())))
    }

    /// The first tick that is not before a deadline.
    fn tick(&self, deadline: u64) -> u64 {
        let part_of_a_tick = deadline & ((1 << self.shift) - 1);
        (deadline >> self.shift) + u64::from(part_of_a_tick != 0)
    }

    fn instant(&self, tick: u64) -> Instant {
        let since = Duration::from_nanos(tick.saturating_mul(1 << self.shift));
        // 584 years fit into any Instant of this system. If they did not, waking at the start,
        // which has passed, would be too often but never too late.
        self.start.checked_add(since).unwrap_or(self.start)
    }

    /// Ends: the wakers of all timers.
    pub(crate) fn into_wakers(self) -> Vec<Waker> {
        self.entries.into_iter().filter_map(|entry| entry.waker).collect()
    }

    fn entry(&self, key: TimerKey) -> Option<&Entry> {
        // A free entry's generation is that of the next key.
        let entry = self.entries.get(key.index as usize)?;
        (entry.generation == key.generation).then_some(entry)
    }

    #[inline]
    fn take_entry(&mut self) -> u32 {
        if self.free == NIL {
            return self.add_entry();
        }
        let index = self.free;
        self.free = self.entries[index as usize].next;
        index
    }

    fn add_entry(&mut self) -> u32 {
        if self.entries.is_empty() {
            self.entries.extend((0..FIRST).map(Entry::alone));
        }
        let index = u32::try_from(self.entries.len()).unwrap_or(NIL);
        assert!(index != NIL, "a worker has at most {} timers", NIL - FIRST);
        self.entries.push(Entry::alone(index));
        index
    }

    /// Gives an entry that is in no list back. Its key is dead from here on.
    #[inline]
    fn release(&mut self, index: u32) -> Option<Waker> {
        let entry = &mut self.entries[index as usize];
        entry.generation = entry.generation.wrapping_add(1);
        entry.next = self.free;
        self.free = index;
        self.len -= 1;
        entry.waker.take()
    }

    /// The first timer of a list.
    #[inline]
    fn first(&self, list: u32) -> Option<u32> {
        let first = self.entries.get(list as usize)?.next;
        (first != list).then_some(first)
    }

    /// Puts an entry at the end of a list.
    #[inline]
    fn link(&mut self, index: u32, list: u32) {
        let head = &mut self.entries[list as usize];
        let last = std::mem::replace(&mut head.previous, index);
        self.entries[last as usize].next = index;
        let entry = &mut self.entries[index as usize];
        (entry.next, entry.previous) = (list, last);
        if last == list {
            self.mark(list, true);
        }
    }

    /// Makes an entry that was taken out of its list, or comes from the free one, a ring of its own.
    fn leave_alone(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        (entry.next, entry.previous) = (index, index);
    }

    /// Takes an entry out of its list, if it is in one. It goes on pointing there.
    #[inline]
    fn unlink(&mut self, index: u32) {
        let Entry { next, previous, .. } = self.entries[index as usize];
        self.entries[previous as usize].next = next;
        self.entries[next as usize].previous = previous;
        if next == previous {
            // It was the last one and both are the head, or it was in none and both are its own.
            self.mark(next, false);
        }
    }

    /// Notes in the bitmaps whether a slot is occupied.
    fn mark(&mut self, list: u32, occupied: bool) {
        if list >= LATE {
            return;
        }
        let (level, slot) = (list as usize / SLOTS, list as usize % SLOTS);
        if occupied {
            self.slots[level] |= 1 << slot;
            self.levels |= 1 << level;
        } else {
            self.slots[level] &= !(1 << slot);
            if self.slots[level] == 0 {
                self.levels &= !(1 << level);
            }
        }
    }
}

#[cfg(test)]
mod tests;
