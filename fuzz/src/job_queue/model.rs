//! What should happen: the protocol of the job cell in plain words, without pointers or atomics.

use std::collections::VecDeque;

use super::{Act, Event};

/// As in the crate: after so many pops of others, Normal and Low get their turn.
const AGES: [u32; 3] = [u32::MAX, 32, 64];
const NORMAL: usize = 1;

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Value,
    Cancelled,
    Panic,
}

#[derive(Debug)]
pub(super) struct Job {
    script: VecDeque<Act>,
    priority: usize,
    scheduled: bool,
    running: bool,
    done: bool,
    cancelled: bool,
    unheld: bool,
    /// References that count at home, and those that count elsewhere.
    local: i64,
    remote: i64,
    merged: bool,
    /// In the mail, with what others want.
    queued: bool,
    wish_wake: bool,
    wish_abort: bool,
    wish_left: bool,
    registered: bool,
    slot: usize,
    output: Option<Outcome>,
    /// Who waits for the end, and whom the last note of the handle named.
    join: Option<usize>,
    noted: Option<usize>,
    pub(super) has_handle: bool,
    pub(super) wakers: usize,
}

#[derive(Debug)]
enum Mail {
    Cell(usize),
    Wake(usize, usize),
    Unread(usize),
}

/// A worker and all there is around it.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) jobs: Vec<Job>,
    ready: [VecDeque<usize>; 3],
    passed_over: [u32; 3],
    mail: VecDeque<Mail>,
    /// So much of it the worker has taken in, and reads before it looks for more.
    unread: usize,
    /// The registry gives the slot that was vacated last, as a slab does.
    slots: Vec<Option<usize>>,
    vacant: Vec<usize>,
    pub(super) lost: usize,
    closing: bool,
    closed: bool,
    /// Whether this thread is the worker's own now.
    pub(super) at_home: bool,
    pub(super) events: Vec<Event>,
}

impl Model {
    pub(super) fn new() -> Self {
        Model { at_home: true, ..Model::default() }
    }

    pub(super) fn ready(&self) -> usize {
        self.ready.iter().map(VecDeque::len).sum()
    }

    pub(super) fn registered(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    pub(super) fn may_sleep(&self) -> bool {
        self.mail.is_empty() && !self.closed
    }

    fn see(&mut self, event: Event) {
        self.events.push(event);
    }

    fn is_home(&self, job: usize) -> bool {
        self.at_home && !self.jobs[job].merged
    }

    // ---- births ----

    fn birth(&mut self, script: VecDeque<Act>, priority: usize) -> usize {
        self.jobs.push(Job {
            script,
            priority,
            scheduled: false,
            running: false,
            done: false,
            cancelled: false,
            unheld: false,
            local: 0,
            remote: 0,
            merged: false,
            queued: false,
            wish_wake: false,
            wish_abort: false,
            wish_left: false,
            registered: false,
            slot: 0,
            output: None,
            join: None,
            noted: None,
            has_handle: true,
            wakers: 0,
        });
        self.jobs.len() - 1
    }

    fn register(&mut self, job: usize) {
        let slot = self.vacant.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(job);
        self.jobs[job].slot = slot;
        self.jobs[job].registered = true;
    }

    fn strike_out(&mut self, job: usize) {
        if std::mem::take(&mut self.jobs[job].registered) {
            let slot = self.jobs[job].slot;
            self.slots[slot] = None;
            self.vacant.push(slot);
        }
    }

    /// A job that nobody took: done, with one reference that counts on no thread in particular.
    fn reject(&mut self, job: usize) {
        self.see(Event::FutureDropped(job));
        let this = &mut self.jobs[job];
        (this.done, this.merged, this.remote) = (true, true, 1);
        this.output = Some(Outcome::Cancelled);
    }

    pub(super) fn spawn(&mut self, script: VecDeque<Act>, priority: usize) {
        let job = self.birth(script, NORMAL);
        if self.closed {
            self.reject(job);
        } else {
            self.register(job);
            // The worker's and the handle's.
            self.jobs[job].local = 2;
            if self.closing {
                self.abort_home(job);
            } else {
                self.wake_home(job);
            }
        }
        self.jobs[job].priority = priority;
        self.clone_waker(job);
    }

    pub(super) fn post(&mut self, script: VecDeque<Act>) {
        let job = self.birth(script, NORMAL);
        if self.closing {
            self.reject(job);
            return;
        }
        let this = &mut self.jobs[job];
        (this.local, this.remote, this.queued, this.wish_wake) = (1, 1, true, true);
        self.mail.push_back(Mail::Cell(job));
    }

    // ---- references ----

    pub(super) fn clone_waker(&mut self, job: usize) {
        self.retain(job);
        self.jobs[job].wakers += 1;
    }

    fn retain(&mut self, job: usize) {
        if self.is_home(job) {
            self.jobs[job].local += 1;
        } else {
            self.jobs[job].remote += 1;
        }
    }

    fn release(&mut self, job: usize) {
        if self.is_home(job) {
            self.release_home(job);
            return;
        }
        let this = &mut self.jobs[job];
        this.remote -= 1;
        if !this.merged && !this.queued && this.remote < 0 {
            self.push_cell(job);
        }
    }

    fn release_home(&mut self, job: usize) {
        self.jobs[job].local -= 1;
        let this = &mut self.jobs[job];
        if this.local > 0 || this.queued || self.closed {
            return;
        }
        let total = this.local + this.remote;
        if total == 0 {
            assert!(this.done, "the model lost a job that lives");
            self.strike_out(job);
        } else if this.done {
            (this.merged, this.remote) = (true, total);
            self.strike_out(job);
        } else {
            (this.local, this.remote) = (total, 0);
        }
    }

    /// The cell goes into the mail; a closed queue turns it away.
    fn push_cell(&mut self, job: usize) {
        if !self.closed {
            self.jobs[job].queued = true;
            self.mail.push_back(Mail::Cell(job));
        }
    }

    pub(super) fn drop_waker(&mut self, job: usize) {
        self.jobs[job].wakers -= 1;
        self.release(job);
    }

    // ---- wishes ----

    pub(super) fn wake(&mut self, job: usize) {
        if self.is_home(job) {
            self.wake_home(job);
        } else {
            self.tell(job, |this| this.wish_wake = true);
        }
    }

    pub(super) fn wake_by_value(&mut self, job: usize) {
        self.wake(job);
        self.drop_waker(job);
    }

    pub(super) fn abort(&mut self, job: usize) {
        if self.is_home(job) {
            self.abort_home(job);
        } else {
            self.tell(job, |this| this.wish_abort = true);
        }
    }

    fn wake_home(&mut self, job: usize) {
        let this = &mut self.jobs[job];
        if this.scheduled || this.done {
            return;
        }
        this.scheduled = true;
        if !this.running {
            self.ready[this.priority].push_back(job);
        }
    }

    fn abort_home(&mut self, job: usize) {
        self.jobs[job].cancelled |= !self.jobs[job].done;
        self.wake_home(job);
    }

    /// False if the job is done and its counts are merged.
    fn tell(&mut self, job: usize, wish: fn(&mut Job)) -> bool {
        if self.jobs[job].merged {
            return false;
        }
        wish(&mut self.jobs[job]);
        if !self.jobs[job].queued {
            self.push_cell(job);
        }
        true
    }

    // ---- runs ----

    fn pop(&mut self) -> Option<usize> {
        let first = (0..3).find(|&list| !self.ready[list].is_empty())?;
        let aged =
            |list: usize| !self.ready[list].is_empty() && self.passed_over[list] >= AGES[list];
        let chosen = [2, 1].into_iter().find(|&list| aged(list)).unwrap_or(first);
        for list in [1, 2] {
            if list != chosen && !self.ready[list].is_empty() {
                self.passed_over[list] += 1;
            }
        }
        self.passed_over[chosen] = 0;
        self.ready[chosen].pop_front()
    }

    pub(super) fn run(&mut self) -> bool {
        let Some(job) = self.pop() else { return false };
        let this = &mut self.jobs[job];
        (this.scheduled, this.running) = (false, true);
        if this.cancelled {
            self.see(Event::FutureDropped(job));
            self.complete(job, Outcome::Cancelled);
            return true;
        }
        let act = this.script.pop_front().unwrap_or(Act::Finish);
        self.see(Event::Polled(job));
        match act {
            Act::Wait => {}
            Act::WakeSelf => self.wake(job),
            Act::Wake(other) if self.jobs[other].wakers > 0 => self.wake(other),
            Act::Abort(other) if self.jobs[other].has_handle => self.abort(other),
            Act::DropHandle(other) if self.jobs[other].has_handle => self.drop_handle(other),
            Act::Wake(_) | Act::Abort(_) | Act::DropHandle(_) => {}
            Act::Finish | Act::Panic => {
                self.see(Event::FutureDropped(job));
                let panics = matches!(act, Act::Panic);
                self.complete(job, if panics { Outcome::Panic } else { Outcome::Value });
                return true;
            }
        }
        let this = &mut self.jobs[job];
        this.running = false;
        if this.scheduled {
            self.ready[this.priority].push_back(job);
        }
        true
    }

    fn complete(&mut self, job: usize, outcome: Outcome) {
        self.jobs[job].output = Some(outcome);
        if self.jobs[job].unheld {
            self.discard(job);
        }
        let this = &mut self.jobs[job];
        (this.done, this.scheduled, this.running) = (true, false, false);
        if let Some(asker) = this.join.take() {
            self.see(Event::Woken(asker));
        }
        self.release_home(job);
    }

    /// Drops an output; a panic in it has not been read.
    fn discard(&mut self, job: usize) {
        if self.drop_output(job) {
            self.lost += 1;
        }
    }

    fn drop_output(&mut self, job: usize) -> bool {
        match self.jobs[job].output.take() {
            Some(Outcome::Value) => self.see(Event::OutputDropped(job)),
            Some(Outcome::Panic) => return true,
            Some(Outcome::Cancelled) | None => {}
        }
        false
    }

    // ---- handles ----

    pub(super) fn drop_handle(&mut self, job: usize) {
        self.jobs[job].has_handle = false;
        if self.is_home(job) {
            self.leave(job);
        } else if self.jobs[job].done || !self.tell(job, |this| this.wish_left = true) {
            self.discard_away(job);
        }
        self.release(job);
    }

    fn leave(&mut self, job: usize) {
        if self.jobs[job].done {
            self.discard(job);
        } else {
            (self.jobs[job].unheld, self.jobs[job].join) = (true, None);
        }
    }

    fn discard_away(&mut self, job: usize) {
        // When the worker has ended, a panic is a line on stderr.
        if self.drop_output(job) && !self.closed {
            self.retain(job);
            self.mail.push_back(Mail::Unread(job));
        }
    }

    pub(super) fn poll(&mut self, job: usize, asker: usize) {
        if self.jobs[job].done || (self.closed && !self.is_home(job)) {
            self.take(job);
        } else if self.jobs[job].noted.is_none() && self.is_home(job) {
            self.jobs[job].join = Some(asker);
        } else if self.jobs[job].noted != Some(asker) {
            self.jobs[job].noted = Some(asker);
            self.retain(job);
            self.mail.push_back(Mail::Wake(job, asker));
        }
    }

    fn take(&mut self, job: usize) {
        self.jobs[job].has_handle = false;
        let outcome = self.jobs[job].output.take();
        self.release(job);
        match outcome.expect("the handle is there, and so is the output") {
            Outcome::Value => {
                self.see(Event::Gave(job));
                self.see(Event::OutputDropped(job));
            }
            Outcome::Cancelled => self.see(Event::Cancelled(job)),
            Outcome::Panic => self.see(Event::Panicked(job)),
        }
    }

    // ---- mail and the end ----

    pub(super) fn drain(&mut self, limit: usize) {
        for _ in 0..limit {
            if self.unread == 0 {
                self.unread = self.mail.len();
            }
            let mail = self.mail.pop_front();
            self.unread = self.unread.saturating_sub(1);
            match mail {
                Some(Mail::Cell(job)) => self.receive(job),
                Some(Mail::Wake(job, asker)) => {
                    let this = &mut self.jobs[job];
                    if !this.unheld && this.done {
                        self.see(Event::Woken(asker));
                    } else if !this.unheld {
                        this.join = Some(asker);
                    }
                    self.release(job);
                }
                Some(Mail::Unread(job)) => {
                    self.lost += 1;
                    self.release(job);
                }
                None => return,
            }
        }
    }

    fn receive(&mut self, job: usize) {
        use std::mem::take;
        let this = &mut self.jobs[job];
        this.local += 1;
        this.queued = false;
        let (wake, mut abort) = (take(&mut this.wish_wake), take(&mut this.wish_abort));
        let left = take(&mut this.wish_left);
        let debt = this.remote.min(0);
        this.local += debt;
        this.remote -= debt;
        if !this.registered && !this.done {
            self.register(job);
            abort |= self.closing;
        }
        if left {
            self.leave(job);
        }
        if abort {
            self.abort_home(job);
        } else if wake {
            self.wake_home(job);
        }
        self.release_home(job);
    }

    pub(super) fn begin_closing(&mut self) {
        self.closing = true;
    }

    pub(super) fn finish(&mut self) {
        if self.closed {
            return;
        }
        self.begin_closing();
        loop {
            let all: Vec<usize> = self.slots.iter().flatten().copied().collect();
            for job in all {
                self.abort_home(job);
            }
            for _ in 0..self.ready() {
                self.run();
            }
            let batch = if self.unread == 0 { self.mail.len() } else { self.unread };
            self.drain(batch);
            let mut left = self.slots.iter().flatten();
            if left.all(|&job| self.jobs[job].done) && self.ready() == 0 && self.mail.is_empty() {
                break;
            }
        }
        self.closed = true;
        let sealed: Vec<usize> = std::mem::take(&mut self.slots).into_iter().flatten().collect();
        self.vacant.clear();
        for job in sealed {
            let this = &mut self.jobs[job];
            (this.registered, this.merged) = (false, true);
            this.remote += this.local;
            if this.wish_left {
                self.discard(job);
            }
        }
    }
}
