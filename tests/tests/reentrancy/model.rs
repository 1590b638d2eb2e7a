//! What ought to happen, from the words of the contract alone.
//!
//! The model knows nothing of wakers, cells and borrows. It has five jobs at most, one queue, and these
//! rules, each of which is a sentence of the documentation:
//!
//! 1. Jobs run in the order in which they became ready; an event during a run causes one more (AGAIN).
//! 2. A handler takes all that its source has in one run; an async one and a task pause at their await.
//! 3. `pause`: the source is not asked. An event in progress goes on.
//! 4. `stop` from outside: the event in progress, then the handler are dropped at once. From inside its own
//!    handler: when that returns, or waits. From inside its own source: when that returns, and what it
//!    returned is dropped, as the handler never runs again.
//! 5. Dropping the registration: as `stop`, then the source goes, at once unless it is being polled.
//! 6. `replace`: the event in progress belongs to the old handler; false once it ends or has been stopped.
//! 7. `reclaim` from outside: as `stop`. From inside its own handler: that event runs to its end. None while
//!    the source is being polled. Either way the registration is gone.
//! 8. When a registration has ended, its handler is gone; the source is kept for who holds the registration,
//!    else dropped. `on_end` is heard in a run of its own. A scope lets go of it after that.
//! 9. `abort`: what a task owns is dropped instead of its next run.
//! 10. `Scope::stop`: as dropping each registration and aborting each task.
//! 11. A state is lent unless its handler, or `with`, is further up the stack.

use std::collections::VecDeque;

use crate::script::{
    ACTING_EVENT, ADDED, Action, Answer, BATCH_EVENT, Cell, Ended, Entry, FAMILY, FIRST_EVENTS,
    Hand, LATER_EVENT, Place, SENT_BY_HANDLER, SENT_BY_TASK, Sibling, Who,
};

/// The log that this cell must give.
pub(crate) fn predict(cell: Cell) -> Vec<Entry> {
    let mut model = Model {
        cell,
        log: Vec::new(),
        ready: VecDeque::new(),
        jobs: Default::default(),
        running: None,
        gate_open: false,
        acted: false,
        count: 0,
    };
    model.play();
    model.log
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Async,
    Task,
    /// A task without a source.
    Errand,
}

/// Where an async handler or a task stands in its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Yielded,
    Gate,
}

#[derive(Debug)]
struct Job {
    kind: Kind,
    scheduled: bool,
    over: bool,
    // The source.
    events: VecDeque<u32>,
    closed: bool,
    /// The source has been asked in vain, and will wake the job.
    asked: bool,
    source: bool,
    being_polled: bool,
    /// To be dropped when its poll returns.
    doomed: bool,
    // The handler.
    hand: Option<Hand>,
    successor: bool,
    amid: Option<(u32, Wait)>,
    paused: bool,
    /// Stopped, and what is still there goes when user code returns.
    stopped: bool,
    /// Reclaimed in its event.
    last: bool,
    ended: Option<Ended>,
    /// Somebody holds the registration, so that the source is kept.
    held: bool,
    scoped: bool,
    // The task.
    aborted: bool,
    joinable: bool,
    finished: bool,
}

impl Job {
    fn new(kind: Kind) -> Job {
        Job {
            kind,
            scheduled: false,
            over: false,
            events: FIRST_EVENTS.into(),
            closed: false,
            asked: false,
            source: true,
            being_polled: false,
            doomed: false,
            hand: Some(Hand::First),
            successor: false,
            amid: None,
            paused: false,
            stopped: false,
            last: false,
            ended: None,
            held: true,
            scoped: false,
            aborted: false,
            joinable: true,
            finished: false,
        }
    }

    fn is_task(&self) -> bool {
        matches!(self.kind, Kind::Task | Kind::Errand)
    }
}

struct Model {
    cell: Cell,
    log: Vec<Entry>,
    ready: VecDeque<Who>,
    jobs: [Option<Job>; 5],
    running: Option<Who>,
    gate_open: bool,
    acted: bool,
    count: u32,
}

impl Model {
    fn job(&mut self, who: Who) -> &mut Job {
        self.jobs[who as usize].as_mut().expect("a job that was made")
    }

    fn note(&mut self, entry: Entry) {
        self.log.push(entry);
    }

    /// Rule 1.
    fn schedule(&mut self, who: Who) {
        let running = self.running == Some(who);
        let job = self.job(who);
        if job.over || job.scheduled {
            return;
        }
        job.scheduled = true;
        if !running {
            self.ready.push_back(who);
        }
    }

    fn run_next(&mut self) -> bool {
        let Some(who) = self.ready.pop_front() else { return false };
        self.job(who).scheduled = false;
        self.running = Some(who);
        match self.job(who).kind {
            Kind::Plain | Kind::Async => self.run_handler(who),
            Kind::Task => self.run_task(who),
            Kind::Errand => {
                self.note(Entry::Saw(who, Hand::First, 0));
                self.feed(self.cell.target(), SENT_BY_TASK);
                self.job(who).over = true;
            }
        }
        self.running = None;
        if self.job(who).scheduled && !self.job(who).over {
            self.ready.push_back(who);
        }
        true
    }

    /// The script that the world plays too.
    fn play(&mut self) {
        self.make(Who::Parent, Kind::Plain);
        self.job(Who::Parent).events = [0].into();
        self.run_next();
        self.feed(Who::Parent, 1);
        self.feed(Who::Parent, 2);
        self.settle();
        self.gate_open = true;
        if matches!(self.job(Who::Sibling).amid, Some((_, Wait::Gate))) {
            self.schedule(Who::Sibling);
        }
        FAMILY.into_iter().for_each(|who| self.feed(who, LATER_EVENT));
        self.settle();
        for who in FAMILY {
            let job = self.job(who);
            if !job.is_task() && (job.held || job.scoped) {
                job.paused = false;
                self.schedule(who);
            }
        }
        self.settle();
        for who in FAMILY {
            self.job(who).closed = true;
            if std::mem::take(&mut self.job(who).asked) {
                self.schedule(who);
            }
        }
        self.settle();
        for who in FAMILY {
            let job = self.job(who);
            if job.is_task() {
                if job.joinable {
                    let finished = job.finished;
                    self.note(Entry::Joined(who, finished));
                }
            } else if job.held {
                self.let_go(who);
            }
        }
        self.settle();
        self.note(Entry::Count(self.count));
    }

    fn settle(&mut self) {
        while self.run_next() {}
    }

    fn make(&mut self, who: Who, kind: Kind) {
        let mut job = Job::new(kind);
        job.scoped = self.cell.aims(Action::ScopeStop, who);
        self.jobs[who as usize] = Some(job);
        self.schedule(who);
    }

    fn make_family(&mut self) {
        let actor = match self.cell.place {
            Place::AsyncHandler => Kind::Async,
            Place::Task => Kind::Task,
            _ => Kind::Plain,
        };
        self.make(Who::Actor, actor);
        let sibling = if self.cell.sibling == Sibling::Amid { Kind::Async } else { Kind::Plain };
        self.make(Who::Sibling, sibling);
        self.job(Who::Sibling).paused = self.cell.aims(Action::Resume, Who::Sibling);
        self.make(Who::Task, Kind::Task);
    }

    fn feed(&mut self, who: Who, event: u32) {
        let job = self.job(who);
        job.events.push_back(event);
        if std::mem::take(&mut job.asked) {
            self.schedule(who);
        }
    }

    // What runs.

    /// Rules 2, 3, 6 and 8.
    fn run_handler(&mut self, who: Who) {
        if let Some(ended) = self.job(who).ended {
            return self.hear(who, ended);
        }
        loop {
            if self.job(who).stopped {
                return self.end(who, Ended::Stopped);
            }
            if let Some((event, wait)) = self.job(who).amid {
                if wait == Wait::Gate && !self.gate_open {
                    return;
                }
                self.job(who).amid = None;
                self.note(Entry::Did(who, event));
                continue;
            }
            if std::mem::take(&mut self.job(who).successor) {
                self.note(Entry::Gone(who, Hand::First));
                self.job(who).hand = Some(Hand::Second);
                self.job(who).kind = Kind::Plain;
                continue;
            }
            if self.job(who).last {
                return self.end(who, Ended::Stopped);
            }
            if self.job(who).paused {
                return;
            }
            if !self.take_event(who) {
                return;
            }
        }
    }

    /// Asks the source and hands its event over; false if that was all.
    fn take_event(&mut self, who: Who) -> bool {
        let acts = self.cell.place == Place::Poll && self.is_acting(who);
        if acts && self.job(who).events.front() == Some(&ACTING_EVENT) {
            self.job(who).being_polled = true;
            self.act();
            self.job(who).being_polled = false;
        }
        let in_vain = self.cell.place == Place::PollInVain
            && self.is_acting(who)
            && self.job(who).events.is_empty();
        if in_vain {
            self.job(who).being_polled = true;
            self.act();
            self.job(who).being_polled = false;
            self.job(who).asked = true;
        }
        let event = self.job(who).events.pop_front();
        if std::mem::take(&mut self.job(who).doomed) {
            self.drop_source(who);
        }
        if in_vain {
            // What was asked meanwhile is done now.
            return true;
        }
        let Some(event) = event else {
            if self.job(who).closed {
                self.end(who, Ended::Exhausted);
            } else {
                self.job(who).asked = true;
            }
            return false;
        };
        if self.job(who).stopped {
            self.note(Entry::Lost(who, event));
            return true;
        }
        if std::mem::take(&mut self.job(who).successor) {
            self.note(Entry::Gone(who, Hand::First));
            self.job(who).hand = Some(Hand::Second);
            self.job(who).kind = Kind::Plain;
        }
        self.handle(who, event)
    }

    /// Calls the handler; false if the run ends with that.
    fn handle(&mut self, who: Who, event: u32) -> bool {
        let hand = self.job(who).hand.expect("a handler that was not dropped");
        self.note(Entry::Saw(who, hand, event));
        self.counted(who);
        if who == Who::New {
            self.feed(self.cell.target(), SENT_BY_HANDLER);
        }
        if who == Who::Parent && event == 0 {
            self.make_family();
            if self.cell.aims(Action::Resume, Who::Parent) {
                self.job(who).paused = true;
            }
        }
        if event == ACTING_EVENT && hand == Hand::First && self.is_acting(who) {
            match self.cell.place {
                Place::Handler | Place::AsyncHandler => self.act(),
                Place::OnEnd | Place::Drop => {
                    self.end(who, Ended::Stopped);
                    return false;
                }
                Place::Task | Place::Poll | Place::PollInVain => {}
            }
        }
        if self.job(who).kind == Kind::Plain {
            return true;
        }
        // An async handler: the actor yields in each event, the sibling waits for the gate.
        let wait = if who == Who::Actor {
            self.schedule(who);
            Wait::Yielded
        } else if self.gate_open {
            self.note(Entry::Did(who, event));
            return true;
        } else {
            Wait::Gate
        };
        self.job(who).amid = Some((event, wait));
        if self.job(who).stopped {
            self.end(who, Ended::Stopped);
        }
        false
    }

    fn run_task(&mut self, who: Who) {
        if self.job(who).aborted {
            self.drop_event(who);
            return self.finish_task(who, false);
        }
        if let Some((event, _)) = self.job(who).amid.take() {
            self.note(Entry::Did(who, event));
        }
        match self.job(who).events.pop_front() {
            Some(event) => {
                self.note(Entry::Saw(who, Hand::First, event));
                self.counted(who);
                if event == ACTING_EVENT && self.is_acting(who) {
                    self.act();
                }
                self.job(who).amid = Some((event, Wait::Yielded));
                self.schedule(who);
            }
            None if self.job(who).closed => self.finish_task(who, true),
            None => self.job(who).asked = true,
        }
    }

    fn finish_task(&mut self, who: Who, finished: bool) {
        self.drop_source(who);
        self.note(Entry::Gone(who, Hand::First));
        let job = self.job(who);
        (job.over, job.finished) = (true, finished);
    }

    // How things end.

    fn drop_event(&mut self, who: Who) {
        if let Some((event, _)) = self.job(who).amid.take() {
            self.note(Entry::Lost(who, event));
        }
    }

    fn drop_handler(&mut self, who: Who) {
        self.drop_event(who);
        if let Some(hand) = self.job(who).hand.take() {
            self.note(Entry::Gone(who, hand));
            if self.cell.place == Place::Drop && self.is_acting(who) && hand == Hand::First {
                self.act();
            }
        }
        if std::mem::take(&mut self.job(who).successor) {
            self.note(Entry::Gone(who, Hand::Second));
        }
    }

    fn drop_source(&mut self, who: Who) {
        let job = self.job(who);
        if job.being_polled {
            job.doomed = true;
        } else if std::mem::take(&mut job.source) {
            job.asked = false;
            self.note(Entry::Source(who));
        }
    }

    /// Rule 8.
    fn end(&mut self, who: Who, how: Ended) {
        self.job(who).ended = Some(how);
        self.drop_handler(who);
        if !self.job(who).held {
            self.drop_source(who);
        }
        self.schedule(who);
    }

    fn hear(&mut self, who: Who, ended: Ended) {
        self.note(Entry::Heard(who, ended));
        if self.cell.place == Place::OnEnd && self.is_acting(who) {
            self.act();
        }
        self.job(who).over = true;
        if self.job(who).scoped && self.job(who).held {
            self.let_go(who);
        }
    }

    /// Rule 4.
    fn stop(&mut self, who: Who) {
        if self.job(who).ended.is_some() || self.job(who).stopped {
            return;
        }
        self.job(who).stopped = true;
        if self.running != Some(who) {
            self.drop_handler(who);
        } else if std::mem::take(&mut self.job(who).successor) {
            self.note(Entry::Gone(who, Hand::Second));
        }
        self.schedule(who);
    }

    /// Rule 5.
    fn let_go(&mut self, who: Who) {
        self.job(who).held = false;
        self.stop(who);
        self.drop_source(who);
    }

    // The action.

    fn is_acting(&self, who: Who) -> bool {
        who == Who::Actor && !self.acted
    }

    /// Those who work on the state count their events.
    fn counted(&mut self, who: Who) {
        if self.cell.aims(Action::TryWith, who) {
            self.count += 1;
        }
    }

    fn act(&mut self) {
        self.acted = true;
        for who in FAMILY {
            if !(who == Who::Actor && self.cell.place == Place::PollInVain) {
                self.feed(who, BATCH_EVENT);
            }
        }
        let target = self.cell.target();
        let (action, is_task) = (self.cell.action, self.job(target).is_task());
        let answer = match action {
            Action::Register => {
                self.make(Who::New, Kind::Plain);
                let new = self.job(Who::New);
                (new.events, new.closed, new.held) = ([0].into(), true, false);
                Answer::Done
            }
            Action::Spawn => {
                self.make(Who::New, Kind::Errand);
                Answer::Done
            }
            Action::Pause => {
                self.job(target).paused = true;
                Answer::Done
            }
            Action::Resume => {
                self.job(target).paused = false;
                self.schedule(target);
                Answer::Done
            }
            Action::Stop => {
                self.stop(target);
                Answer::Done
            }
            Action::Replace => Answer::Replaced(self.replace(target)),
            Action::Drop if is_task => {
                self.job(target).joinable = false;
                Answer::Done
            }
            Action::Drop => {
                self.let_go(target);
                Answer::Done
            }
            Action::Reclaim => return self.reclaim(target),
            Action::Abort => {
                self.abort(target);
                Answer::Done
            }
            Action::ScopeStop => {
                if is_task {
                    self.abort(target);
                } else if self.job(target).held {
                    self.let_go(target);
                }
                Answer::Done
            }
            Action::TryWith => Answer::Lent(self.try_with()),
        };
        self.note(Entry::Acted(answer));
    }

    /// Rule 6.
    fn replace(&mut self, who: Who) -> bool {
        let (away, running) = (self.job(who).amid.is_some(), self.running == Some(who));
        let job = self.job(who);
        if job.ended.is_some() || job.stopped || job.last {
            self.note(Entry::Gone(who, Hand::Second));
            return false;
        }
        if away || running {
            job.successor = true;
        } else {
            job.hand = Some(Hand::Second);
            job.kind = Kind::Plain;
            self.note(Entry::Gone(who, Hand::First));
        }
        self.schedule(who);
        true
    }

    /// Rule 7.
    fn reclaim(&mut self, who: Who) {
        let running = self.running == Some(who);
        let job = self.job(who);
        job.held = false;
        let left = (job.source && !job.being_polled).then_some(job.events.len());
        if left.is_none() {
            self.let_go(who);
        } else if running {
            job.last = true;
            self.schedule(who);
        } else {
            self.stop(who);
        }
        self.note(Entry::Acted(Answer::Reclaimed(left)));
        if left.is_some() {
            self.drop_source(who);
        }
    }

    /// Rule 9.
    fn abort(&mut self, who: Who) {
        if !self.job(who).over {
            self.job(who).aborted = true;
            self.schedule(who);
        }
    }

    /// Rule 11.
    fn try_with(&mut self) -> bool {
        let inside = matches!(self.cell.place, Place::Handler | Place::AsyncHandler | Place::Task);
        let lent = !(inside && self.cell.target() == Who::Actor);
        if lent {
            self.count += ADDED;
        }
        lent
    }
}
