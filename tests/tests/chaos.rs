//! Everything at once, at random: the matrix of `reentrancy.rs` takes one step, this takes thousands.
//!
//! Registrations of all faces, tasks and scopes share a seeded world. Anything may be done to anybody by
//! the main future, by handlers, tasks, `on_end`s, destructors and sources. Nobody knows what the log ought
//! to be; what must hold all the same: no event is seen twice, no handler runs inside another, nothing
//! hangs, and nothing is left when it is over.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use aem::{Control, JoinHandle, Next, Priority, Registration, Scope, State, yield_now};
use aem_tests::random::Random;
use aem_tests::scale::scaled_count;
use aem_tests::watch::{Tracked, Watch, watched};
use futures::channel::mpsc;
use futures::{Stream, StreamExt};

/// Places for registrations, each with a source.
const SLOTS: usize = 12;

/// So deep may one thing lead to another on the stack.
const DEPTH: usize = 4;

/// What the main future does in a world.
const STEPS: usize = 300;

struct World {
    random: RefCell<Random>,
    slots: Vec<Cell<Option<Registration<Source>>>>,
    senders: Vec<RefCell<mpsc::UnboundedSender<(usize, u64)>>>,
    controls: RefCell<Vec<Control>>,
    tasks: RefCell<Vec<JoinHandle<()>>>,
    scope: Scope,
    state: State<u64>,
    next_event: Cell<u64>,
    seen: RefCell<HashSet<u64>>,
    depth: Cell<usize>,
    in_handler: Cell<bool>,
    over: Cell<bool>,
    watch: Watch,
    myself: Weak<World>,
}

/// A source that may do something when it is polled, and when it is dropped.
struct Source {
    receiver: mpsc::UnboundedReceiver<(usize, u64)>,
    token: Token,
}

impl Stream for Source {
    type Item = (usize, u64);

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.token.maybe_act(20);
        let polled = self.receiver.poll_next_unpin(context);
        self.token.maybe_act(20);
        polled
    }
}

/// May do something when it is dropped.
struct Token {
    world: Weak<World>,
    _tracked: Tracked,
}

impl Token {
    fn maybe_act(&self, one_in: usize) {
        if let Some(world) = self.world.upgrade() {
            world.maybe_act(one_in);
        }
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.maybe_act(4);
    }
}

impl World {
    fn new(seed: u64, watch: Watch) -> Rc<World> {
        Rc::new_cyclic(|myself| World {
            random: RefCell::new(Random::new(seed)),
            slots: (0..SLOTS).map(|_| Cell::new(None)).collect(),
            senders: (0..SLOTS).map(|_| RefCell::new(mpsc::unbounded().0)).collect(),
            controls: RefCell::default(),
            tasks: RefCell::default(),
            scope: Scope::new(),
            state: State::new(0),
            next_event: Cell::new(0),
            seen: RefCell::default(),
            depth: Cell::new(0),
            in_handler: Cell::new(false),
            over: Cell::new(false),
            watch,
            myself: myself.clone(),
        })
    }

    fn below(&self, limit: usize) -> usize {
        self.random.borrow_mut().below(limit)
    }

    fn token(&self) -> Token {
        Token { world: self.myself.clone(), _tracked: self.watch.tracked() }
    }

    fn maybe_act(&self, one_in: usize) {
        if !self.over.get() && self.depth.get() < DEPTH && self.below(one_in) == 0 {
            self.depth.set(self.depth.get() + 1);
            self.act();
            self.depth.set(self.depth.get() - 1);
        }
    }

    fn see(&self, event: (usize, u64)) {
        assert!(self.seen.borrow_mut().insert(event.1), "{event:?} was seen twice");
    }

    /// A plain handler's whole run, in which no other handler may run.
    fn handle(&self, event: (usize, u64)) -> Next {
        assert!(!self.in_handler.replace(true), "a handler inside a handler");
        self.see(event);
        self.maybe_act(3);
        self.in_handler.set(false);
        match self.below(40) {
            0 => Next::Stop,
            1 => Next::Pause,
            _ => Next::Keep,
        }
    }

    fn handler(&self) -> impl FnMut((usize, u64)) -> Next + use<> {
        let token = self.token();
        move |event| token.world.upgrade().map_or(Next::Stop, |world| world.handle(event))
    }

    fn async_handler(&self) -> impl AsyncFn((usize, u64)) -> Next + use<> {
        let token = self.token();
        async move |event| {
            let Some(world) = token.world.upgrade() else { return Next::Stop };
            let _event = world.token();
            world.see(event);
            world.maybe_act(3);
            let (yields, last) = (world.below(4), world.below(40));
            drop(world);
            for _ in 0..yields {
                yield_now().await;
                token.maybe_act(6);
            }
            match last {
                0 => Next::Stop,
                1 => Next::Pause,
                _ => Next::Keep,
            }
        }
    }

    fn register(&self, source: Source) -> Registration<Source> {
        let registration = match self.below(4) {
            0 => aem::on_async(source, self.async_handler()),
            1 => aem::on_each(source, 1 + self.below(3), self.async_handler()),
            2 => {
                let mut handler = self.handler();
                self.state.on(source, move |count, event| {
                    *count += 1;
                    handler(event)
                })
            }
            _ => aem::on(source, self.handler()),
        };
        let token = self.token();
        let priority = [Priority::High, Priority::Normal, Priority::Low][self.below(3)];
        let registration = registration.priority(priority).on_end(move |_| token.maybe_act(2));
        let mut controls = self.controls.borrow_mut();
        if controls.len() < 64 {
            controls.push(registration.control());
        }
        drop(controls);
        // Else its drop in the same turn would be remarked on.
        if self.below(4) == 0 { registration.paused() } else { registration }
    }

    fn new_source(&self, slot: usize) -> Source {
        let (sender, receiver) = mpsc::unbounded();
        drop(self.senders[slot].replace(sender));
        Source { receiver, token: self.token() }
    }

    /// Takes what is in a slot, uses it, and puts it back unless the place was taken meanwhile.
    fn with_slot(&self, slot: usize, user: impl FnOnce(&Registration<Source>)) {
        if let Some(registration) = self.slots[slot].take() {
            user(&registration);
            let newer = self.slots[slot].replace(Some(registration));
            if newer.is_some() {
                drop(self.slots[slot].replace(newer));
            }
        }
    }

    fn act(&self) {
        let slot = self.below(SLOTS);
        match self.below(16) {
            0 => {
                let registration = self.register(self.new_source(slot));
                drop(self.slots[slot].replace(Some(registration)));
            }
            1 => self.with_slot(slot, Registration::pause),
            2 | 3 => self.with_slot(slot, Registration::resume),
            4 => self.with_slot(slot, Registration::stop),
            5 => self.with_slot(slot, |registration| {
                registration.replace(self.handler());
            }),
            6 => self.with_slot(slot, |registration| {
                registration.replace_async(self.async_handler());
            }),
            7 => self.with_slot(slot, |registration| {
                registration.replace_each(1 + self.below(3), self.async_handler());
            }),
            8 => drop(self.slots[slot].take()),
            9 => self.reclaim(slot),
            10 => {
                if let Some(registration) = self.slots[slot].take() {
                    let handle = self.scope.handle();
                    handle.add(registration);
                }
            }
            11 => match self.below(6) {
                0 => self.scope.stop(),
                1 => self.scope.pause(),
                _ => self.scope.resume(),
            },
            12 => self.spawn(),
            13 => {
                let task = self.tasks.borrow_mut().pop();
                if let Some(task) = task
                    && self.below(2) == 0
                {
                    task.abort();
                }
            }
            14 => {
                let tried = self.state.try_with(|count| {
                    *count += 1;
                    self.maybe_act(3);
                });
                assert!(tried.is_some() || self.depth.get() > 0);
            }
            _ => {
                let control = {
                    let controls = self.controls.borrow();
                    (!controls.is_empty()).then(|| controls[self.below(controls.len())].clone())
                };
                match (control, self.below(3)) {
                    (Some(control), 0) => control.stop(),
                    (Some(control), 1) => control.pause(),
                    (Some(control), _) => control.resume(),
                    (None, _) => {}
                }
            }
        }
    }

    fn reclaim(&self, slot: usize) {
        let source = self.slots[slot].take().and_then(Registration::reclaim);
        if let Some(source) = source
            && self.below(4) > 0
        {
            let registration = self.register(source);
            drop(self.slots[slot].replace(Some(registration)));
        }
    }

    fn spawn(&self) {
        let token = self.token();
        let future = async move {
            for _ in 0..3 {
                token.maybe_act(2);
                yield_now().await;
            }
        };
        let task = if self.below(2) == 0 { self.scope.spawn(future) } else { aem::spawn(future) };
        self.tasks.borrow_mut().push(task);
    }
}

#[test]
fn nothing_breaks_whatever_is_done() {
    for seed in 0..scaled_count(2_000, 100) as u64 {
        let seen = watched(async |watch| {
            let world = World::new(seed, watch);
            for slot in 0..SLOTS {
                let registration = world.register(world.new_source(slot));
                world.slots[slot].set(Some(registration));
            }
            for _ in 0..STEPS {
                for _ in 0..world.below(3) {
                    let slot = world.below(SLOTS);
                    let event = world.next_event.replace(world.next_event.get() + 1);
                    // A source that is gone takes nothing.
                    let _ = world.senders[slot].borrow().unbounded_send((slot, event));
                }
                world.maybe_act(4);
                yield_now().await;
            }
            world.over.set(true);
            world.slots.iter().for_each(|slot| drop(slot.take()));
            world.scope.stop();
            let tasks = world.tasks.take();
            tasks.iter().for_each(JoinHandle::abort);
            drop(tasks);
            world.seen.borrow().len()
        });
        assert!(seen > 0, "seed {seed} shows nothing");
    }
}
