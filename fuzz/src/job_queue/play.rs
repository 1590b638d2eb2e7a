//! Carries out an input on a worker and on the model, and compares them after each operation.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use aem::JoinHandle;
use aem::fuzzing::{Worker, away};

use super::model::Model;
use super::{ASKERS, Act, EVENTS, Event, JOBS, note, priority};
use crate::{Coverage, Input};

/// The longest script of a job.
const ACTS: usize = 5;

/// What a job gives.
struct Output(usize);

impl Drop for Output {
    fn drop(&mut self) {
        note(Event::OutputDropped(self.0));
    }
}

/// Sees a future go.
struct Inside(usize);

impl Drop for Inside {
    fn drop(&mut self) {
        note(Event::FutureDropped(self.0));
    }
}

/// Who asks for outputs.
struct Asker(usize);

impl Wake for Asker {
    fn wake(self: Arc<Self>) {
        note(Event::Woken(self.0));
    }
}

/// What the outside has of a job.
struct Held {
    handle: Option<JoinHandle<Output>>,
    wakers: Vec<Waker>,
}

thread_local! {
    /// Jobs turn on each other by these. Nothing is borrowed while one is used.
    static HELD: RefCell<Vec<Held>> = const { RefCell::new(Vec::new()) };
}

fn with_held<R>(job: usize, act: impl FnOnce(&mut Held) -> R) -> R {
    HELD.with(|held| act(&mut held.borrow_mut()[job]))
}

/// Lends out a handle and puts it back.
fn with_handle(job: usize, act: impl FnOnce(&JoinHandle<Output>)) {
    if let Some(handle) = with_held(job, |held| held.handle.take()) {
        act(&handle);
        with_held(job, |held| held.handle = Some(handle));
    }
}

/// As above, for a waker.
fn with_waker(job: usize, act: impl FnOnce(&Waker)) {
    if let Some(waker) = with_held(job, |held| held.wakers.pop()) {
        act(&waker);
        with_held(job, |held| held.wakers.push(waker));
    }
}

/// A future that follows a script.
fn follow(job: usize, mut script: VecDeque<Act>) -> impl Future<Output = Output> + Send {
    let inside = Inside(job);
    poll_fn(move |context| {
        let _whole = &inside;
        note(Event::Polled(job));
        match script.pop_front().unwrap_or(Act::Finish) {
            Act::Wait => {}
            Act::WakeSelf => context.waker().wake_by_ref(),
            Act::Wake(other) => with_waker(other, Waker::wake_by_ref),
            Act::Abort(other) => with_handle(other, JoinHandle::abort),
            Act::DropHandle(other) => drop(with_held(other, |held| held.handle.take())),
            Act::Finish => return Poll::Ready(Output(job)),
            Act::Panic => resume_unwind(Box::new(job)),
        }
        Poll::Pending
    })
}

fn script(input: &mut Input<'_>, job: usize) -> VecDeque<Act> {
    let length = input.below(ACTS);
    let mut act = || match input.below(12) {
        0 | 1 => Act::Wait,
        2..=4 => Act::WakeSelf,
        5 | 6 => Act::Wake(input.below(job + 1)),
        7 => Act::Abort(input.below(job + 1)),
        8 => Act::DropHandle(input.below(job + 1)),
        9 => Act::Panic,
        _ => Act::Finish,
    };
    (0..length).map(|_| act()).collect()
}

/// Both sides of a play.
struct Stage {
    // First, as a worker is taken off its thread when it goes.
    worker: Worker,
    sender: aem::fuzzing::Sender,
    model: Model,
    askers: Vec<Waker>,
    coverage: Coverage,
}

/// Plays an input.
pub fn run(input: &[u8]) -> Coverage {
    EVENTS.take();
    HELD.take();
    let worker = Worker::default();
    let askers = (0..ASKERS).map(|asker| Waker::from(Arc::new(Asker(asker)))).collect();
    let sender = worker.sender();
    let model = Model::new();
    let mut stage = Stage { worker, sender, model, askers, coverage: Coverage::new() };
    let mut input = Input::new(input);
    while !input.is_empty() {
        let operation = input.byte();
        // A third of all operations is done by a stranger.
        let is_away = operation % 3 == 0;
        let name = if is_away {
            stage.model.at_home = false;
            let name = away(|| stage.step(operation / 3, &mut input));
            stage.model.at_home = true;
            name
        } else {
            stage.step(operation / 3, &mut input)
        };
        *stage.coverage.entry(name).or_default() += 1;
        if is_away {
            *stage.coverage.entry("away").or_default() += 1;
        }
        stage.compare(name);
    }
    stage.end()
}

impl Stage {
    /// One operation; gives its name.
    fn step(&mut self, operation: u8, input: &mut Input<'_>) -> &'static str {
        let count = self.model.jobs.len();
        match operation % 24 {
            0..=3 if count < JOBS => return self.birth(input),
            4..=6 if self.model.at_home => {
                for _ in 0..=input.below(4) {
                    assert_eq!(self.worker.run(), self.model.run());
                }
                return "run";
            }
            7 | 8 if self.model.at_home => {
                let limit = input.below(5);
                self.worker.drain(limit);
                self.model.drain(limit);
                return "drain";
            }
            9 if self.model.at_home => {
                assert_eq!(self.worker.may_sleep(), self.model.may_sleep());
                return "sleep";
            }
            10 if self.model.at_home && input.below(16) == 0 => {
                self.worker.begin_closing();
                self.model.begin_closing();
                return "begin closing";
            }
            11 if self.model.at_home && input.below(24) == 0 => {
                assert_eq!(self.worker.finish(), 0);
                self.model.finish();
                return "finish";
            }
            _ => {}
        }
        // The first one from there on of which there is something to hold.
        let start = input.below(count);
        let is_held = |job: &usize| {
            let job = &self.model.jobs[*job];
            job.has_handle || job.wakers > 0
        };
        match (start..count).chain(0..start).find(is_held) {
            Some(job) => self.turn_on(job, operation, input),
            None => "nothing",
        }
    }

    /// Makes a job.
    fn birth(&mut self, input: &mut Input<'_>) -> &'static str {
        let job = self.model.jobs.len();
        let script = script(input, job);
        let held = if self.model.at_home {
            let index = input.below(3);
            self.model.spawn(script.clone(), index);
            let (handle, waker) = self.worker.spawn(follow(job, script), priority(index));
            Held { handle: Some(handle), wakers: vec![waker] }
        } else {
            self.model.post(script.clone());
            Held { handle: Some(self.sender.post(follow(job, script))), wakers: Vec::new() }
        };
        HELD.with(|all| all.borrow_mut().push(held));
        if self.model.at_home { "spawn" } else { "post" }
    }

    /// Does something to a job that is there.
    fn turn_on(&mut self, job: usize, operation: u8, input: &mut Input<'_>) -> &'static str {
        let (wakers, has_handle) = (self.model.jobs[job].wakers, self.model.jobs[job].has_handle);
        match operation % 9 {
            0 | 1 if wakers > 0 => {
                with_waker(job, Waker::wake_by_ref);
                self.model.wake(job);
                "wake"
            }
            2 if wakers > 0 => {
                with_held(job, |held| held.wakers.pop()).into_iter().for_each(Waker::wake);
                self.model.wake_by_value(job);
                "wake by value"
            }
            3 if wakers > 0 => {
                let copy = with_held(job, |held| held.wakers.last().cloned());
                with_held(job, |held| held.wakers.extend(copy));
                self.model.clone_waker(job);
                "clone"
            }
            4 if wakers > 0 => {
                drop(with_held(job, |held| held.wakers.pop()));
                self.model.drop_waker(job);
                "drop"
            }
            5 if has_handle => {
                with_handle(job, JoinHandle::abort);
                self.model.abort(job);
                "abort"
            }
            6 if has_handle => {
                drop(with_held(job, |held| held.handle.take()));
                self.model.drop_handle(job);
                "drop handle"
            }
            7 | 8 if has_handle => {
                let asker = input.below(ASKERS);
                self.model.poll(job, asker);
                self.poll(job, asker);
                "join"
            }
            // What cannot be done to it becomes what can.
            other => {
                let instead = if wakers > 0 { other % 5 } else { 5 + other % 4 };
                self.turn_on(job, instead, input)
            }
        }
    }

    fn poll(&self, job: usize, asker: usize) {
        let Some(mut handle) = with_held(job, |held| held.handle.take()) else { return };
        let mut context = Context::from_waker(&self.askers[asker]);
        match Pin::new(&mut handle).poll(&mut context) {
            Poll::Pending => with_held(job, |held| held.handle = Some(handle)),
            Poll::Ready(Ok(output)) => note(Event::Gave(output.0)),
            Poll::Ready(Err(error)) if error.is_panic() => note(Event::Panicked(job)),
            Poll::Ready(Err(_)) => note(Event::Cancelled(job)),
        }
    }

    fn compare(&mut self, name: &str) {
        let events = EVENTS.take();
        assert_eq!(events, self.model.events, "after {name}");
        self.model.events.clear();
        assert_eq!(self.worker.ready(), self.model.ready(), "jobs that are ready, after {name}");
        assert_eq!(self.worker.registered(), self.model.registered(), "records, after {name}");
        let lost = std::mem::take(&mut self.model.lost);
        assert_eq!(self.worker.lost(), lost, "unread panics, after {name}");
    }

    /// Ends the worker and lets everything go.
    fn end(mut self) -> Coverage {
        assert_eq!(self.worker.finish(), 0);
        self.model.finish();
        self.compare("the end");
        for job in 0..self.model.jobs.len() {
            while self.model.jobs[job].wakers > 0 {
                with_held(job, |held| held.wakers.pop()).into_iter().for_each(Waker::wake);
                self.model.wake_by_value(job);
            }
            if self.model.jobs[job].has_handle {
                drop(with_held(job, |held| held.handle.take()));
                self.model.drop_handle(job);
            }
            self.compare("the last things");
        }
        self.coverage
    }
}
