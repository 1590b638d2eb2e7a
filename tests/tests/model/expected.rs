//! What a registration should do, in the plainest words.

use std::collections::VecDeque;

use super::{Deed, Ending, Event, Face, Returned, Sight, Step, Story};

/// The model.
pub(super) struct Model {
    /// What the source has.
    queue: VecDeque<Event>,
    closed: bool,
    /// Whether the source has said that it has no more.
    exhausted: bool,
    /// Whether the source is there to be given back.
    has_source: bool,
    sent: u32,
    /// The number of the handler that gets the next event, and how it is called.
    handler: (u32, Face),
    /// The handler that follows when the event in progress has ended.
    successor: Option<(u32, Face)>,
    handlers: u32,
    in_progress: Option<Event>,
    permits: u32,
    paused: bool,
    stopped: bool,
    /// The event in progress is the last one.
    last: bool,
    failures: u32,
    bears: Option<(u32, Face)>,
    ending: Option<Ending>,
    /// Whether there is a `Registration`.
    held: bool,
    sights: Vec<Sight>,
}

impl Model {
    /// What will be seen of a story.
    pub(super) fn tell(story: &Story) -> Vec<Sight> {
        let mut model = Model {
            queue: VecDeque::new(),
            closed: false,
            exhausted: false,
            has_source: true,
            sent: 0,
            handler: (0, story.face),
            successor: None,
            handlers: 1,
            in_progress: None,
            permits: 0,
            paused: story.paused,
            stopped: false,
            last: false,
            failures: 0,
            bears: story.bears,
            ending: None,
            held: true,
            sights: Vec::new(),
        };
        for step in &story.steps {
            model.take(*step);
        }
        // The stage is cleared: whoever still holds it drops it, and the source closes.
        model.take(Step::Settle);
        model.take(Step::Drop);
        model.take(Step::Close);
        model.permits = u32::MAX;
        model.paused = false;
        model.take(Step::Settle);
        model.sights
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Send(deed, returned) => {
                let number = self.sent;
                self.sent += 1;
                // Nobody listens at the other end any more once the source is dropped.
                if !self.closed && self.has_source {
                    self.queue.push_back(Event { number, deed, returned });
                }
            }
            Step::Close => self.closed = true,
            Step::Pause => self.paused = true,
            Step::Resume => self.paused = false,
            Step::Stop => self.stop(),
            Step::Replace(face) if self.held => self.replace(face),
            Step::Replace(_) => {}
            Step::Permit(count) => self.permits = self.permits.saturating_add(count),
            Step::Reclaim if self.held => self.reclaim(),
            Step::Reclaim => {}
            Step::Detach if self.held => {
                self.held = false;
                if self.ending.is_some() {
                    self.drop_source();
                }
            }
            Step::Drop if self.held => {
                self.stop();
                self.held = false;
                self.drop_source();
            }
            Step::Detach | Step::Drop => {}
            Step::Settle => self.settle(),
        }
    }

    fn drop_source(&mut self) {
        self.has_source = false;
        self.queue.clear();
    }

    fn stop(&mut self) {
        if self.ending.is_some() || self.stopped {
            return;
        }
        self.stopped = true;
        self.successor = None;
        self.abandon();
    }

    /// The event in progress is dropped with its handler.
    fn abandon(&mut self) {
        if let Some(event) = self.in_progress.take() {
            self.sights.push(Sight::Abandoned(self.handler.0, event.number));
        }
    }

    fn replace(&mut self, face: Face) {
        let number = self.handlers;
        self.handlers += 1;
        let accepted = !self.stopped && !self.last && self.ending.is_none();
        if accepted {
            self.successor = Some((number, face));
        }
        self.sights.push(Sight::Replaced(accepted));
    }

    fn reclaim(&mut self) {
        self.held = false;
        let events = self.take_source();
        self.sights.push(Sight::Reclaimed(events));
        self.stop();
    }

    fn take_source(&mut self) -> Option<Vec<u32>> {
        if !self.has_source || self.exhausted {
            return None;
        }
        self.has_source = false;
        Some(self.queue.drain(..).map(|event| event.number).collect())
    }

    fn end(&mut self, ending: Ending) {
        self.abandon();
        self.ending = Some(ending);
        self.sights.push(Sight::Ended(ending));
        if !self.held {
            self.drop_source();
        }
    }

    /// Runs until there is nothing to do.
    fn settle(&mut self) {
        while self.ending.is_none() {
            if self.stopped {
                return self.end(Ending::Stopped);
            }
            if let Some(event) = self.in_progress {
                if self.permits == 0 {
                    return;
                }
                self.permits -= 1;
                self.in_progress = None;
                self.finish(event);
                continue;
            }
            if self.last {
                return self.end(Ending::Stopped);
            }
            if let Some(successor) = self.successor.take() {
                self.handler = successor;
            }
            if self.paused {
                return;
            }
            match self.queue.pop_front() {
                Some(event) => {
                    self.sights.push(Sight::Began(self.handler.0, event.number));
                    match self.handler.1 {
                        Face::Plain => self.finish(event),
                        Face::Async => self.in_progress = Some(event),
                    }
                }
                None if self.closed => {
                    self.exhausted = true;
                    return self.end(Ending::Exhausted);
                }
                None => return,
            }
        }
    }

    /// The handler does its deed and returns.
    fn finish(&mut self, event: Event) {
        match event.deed {
            Deed::Nothing => {}
            Deed::Pause => self.paused = true,
            Deed::Stop => {
                self.stopped = true;
                self.successor = None;
            }
            Deed::Replace(face) if self.held => self.replace(face),
            Deed::Reclaim if self.held => {
                self.held = false;
                let events = self.take_source();
                self.sights.push(Sight::Reclaimed(events));
                self.last = true;
            }
            Deed::Replace(_) | Deed::Reclaim => {}
        }
        self.sights.push(Sight::Finished(self.handler.0, event.number));
        match event.returned {
            Returned::Keep => {}
            Returned::Pause => self.paused = true,
            Returned::Stop => self.end(Ending::Stopped),
            Returned::Error => self.fail(Ending::Failed),
            Returned::Panic => self.fail(Ending::Panicked),
        }
    }

    fn fail(&mut self, ending: Ending) {
        let next = self.bears.filter(|(bears, _)| self.failures < *bears);
        let Some((_, face)) = next.filter(|_| !self.stopped && !self.last) else {
            return self.end(ending);
        };
        self.failures += 1;
        self.handler = (self.handlers, face);
        self.handlers += 1;
    }
}
