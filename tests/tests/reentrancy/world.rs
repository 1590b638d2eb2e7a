//! The same script on the runtime: real handlers and tasks on sources that tell what becomes of them.

use std::cell::{Cell as StdCell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use aem::{Control, End, HandlerError, JoinHandle, Next, Registration, Scope, State};
use aem_tests::watch::{Tracked, Watch};
use futures::{Stream, StreamExt};

use crate::script::{
    ACTING_EVENT, ADDED, Action, Answer, BATCH_EVENT, Cell, Ended, Entry, FAMILY, FIRST_EVENTS,
    Hand, LATER_EVENT, Place, SENT_BY_HANDLER, SENT_BY_TASK, Sibling, Who,
};

/// So many yields let everything run that can run: a chain of runs in here is shorter.
const SETTLE_YIELDS: usize = 64;

/// Plays a cell, and gives back its log.
pub(crate) async fn play(cell: Cell, watch: Watch) -> Vec<Entry> {
    let world = Rc::new_cyclic(|myself| World::new(cell, watch, myself.clone()));
    let parent = world.plain(Who::Parent, [0].into());
    world.put(Who::Parent, parent);
    aem::yield_now().await;
    world.feed(Who::Parent, 1);
    world.feed(Who::Parent, 2);
    settle().await;
    world.gate.open();
    FAMILY.into_iter().for_each(|who| world.feed(who, LATER_EVENT));
    settle().await;
    for who in FAMILY {
        world.with_slot(who, |slot| match slot {
            Slot::Held(registration) => registration.resume(),
            Slot::Scoped(control) => control.resume(),
            Slot::Task(_) | Slot::Empty => {}
        });
    }
    settle().await;
    FAMILY.into_iter().for_each(|who| world.belts[who as usize].close());
    settle().await;
    for who in FAMILY {
        match world.slots[who as usize].take() {
            Slot::Task(handle) => {
                let finished = handle.await.is_ok();
                world.log.note(Entry::Joined(who, finished));
            }
            Slot::Held(registration) => drop(registration),
            Slot::Scoped(_) | Slot::Empty => {}
        }
    }
    settle().await;
    world.log.note(Entry::Count(world.state.with(|count| *count)));
    world.log.0.take()
}

async fn settle() {
    for _ in 0..SETTLE_YIELDS {
        aem::yield_now().await;
    }
}

#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<Entry>>>);

impl Log {
    fn note(&self, entry: Entry) {
        self.0.borrow_mut().push(entry);
    }
}

/// What the script holds of someone.
#[derive(Default)]
enum Slot {
    #[default]
    Empty,
    Held(Registration<Source>),
    Scoped(Control),
    Task(JoinHandle<()>),
}

struct World {
    cell: Cell,
    watch: Watch,
    log: Log,
    acted: StdCell<bool>,
    belts: [Rc<Belt>; 5],
    slots: [StdCell<Slot>; 5],
    scope: Scope,
    state: State<u32>,
    gate: Gate,
    myself: Weak<World>,
}

/// The events of one source, and the hand that puts them there.
#[derive(Default)]
struct Belt {
    events: RefCell<VecDeque<u32>>,
    closed: StdCell<bool>,
    waker: StdCell<Option<Waker>>,
}

impl Belt {
    fn push(&self, event: u32) {
        self.events.borrow_mut().push_back(event);
        self.wake();
    }

    fn close(&self) {
        self.closed.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// A source: what a handler or a task takes events from.
struct Source {
    who: Who,
    belt: Rc<Belt>,
    log: Log,
    world: Weak<World>,
    _tracked: Tracked,
}

impl Stream for Source {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let front = self.belt.events.borrow().front().copied();
        if front == Some(ACTING_EVENT)
            && let Some(world) = self.world.upgrade()
            && world.acts(self.who, &[Place::Poll])
        {
            world.act();
        }
        if front.is_none()
            && let Some(world) = self.world.upgrade()
            && world.acts(self.who, &[Place::PollInVain])
        {
            world.act();
        }
        let front = self.belt.events.borrow_mut().pop_front();
        match front {
            Some(number) => Poll::Ready(Some(Event {
                who: self.who,
                number,
                log: self.log.clone(),
                finished: StdCell::new(false),
            })),
            None if self.belt.closed.get() => Poll::Ready(None),
            None => {
                self.belt.waker.set(Some(context.waker().clone()));
                Poll::Pending
            }
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.belt.waker.take();
        self.log.note(Entry::Source(self.who));
    }
}

struct Event {
    who: Who,
    number: u32,
    log: Log,
    finished: StdCell<bool>,
}

impl Drop for Event {
    fn drop(&mut self) {
        if !self.finished.get() {
            self.log.note(Entry::Lost(self.who, self.number));
        }
    }
}

/// What a handler captures, or a task owns.
struct Token {
    who: Who,
    hand: Hand,
    log: Log,
    world: Weak<World>,
    _tracked: Tracked,
}

impl Drop for Token {
    fn drop(&mut self) {
        self.log.note(Entry::Gone(self.who, self.hand));
        if let Some(world) = self.world.upgrade()
            && self.hand == Hand::First
            && world.acts(self.who, &[Place::Drop])
        {
            world.act();
        }
    }
}

/// What an async sibling waits for.
#[derive(Default)]
struct Gate {
    is_open: StdCell<bool>,
    waker: StdCell<Option<Waker>>,
}

impl Gate {
    fn open(&self) {
        self.is_open.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_open.get() {
            return Poll::Ready(());
        }
        self.waker.set(Some(context.waker().clone()));
        Poll::Pending
    }
}

impl World {
    fn new(cell: Cell, watch: Watch, myself: Weak<World>) -> World {
        World {
            cell,
            watch,
            log: Log::default(),
            acted: StdCell::new(false),
            belts: Default::default(),
            slots: Default::default(),
            scope: Scope::new(),
            state: State::new(0),
            gate: Gate::default(),
            myself,
        }
    }

    fn feed(&self, who: Who, event: u32) {
        self.belts[who as usize].push(event);
    }

    /// Uses what is in a slot; whoever looks meanwhile finds it empty.
    fn with_slot<R>(&self, who: Who, user: impl FnOnce(&Slot) -> R) -> R {
        let slot = self.slots[who as usize].take();
        let result = user(&slot);
        self.slots[who as usize].set(slot);
        result
    }

    fn put(&self, who: Who, registration: Registration<Source>) {
        let myself = self.myself.clone();
        let registration = registration.on_end(move |ended| {
            if let Some(world) = myself.upgrade() {
                world.hear(who, ended);
            }
        });
        let slot = if self.cell.aims(Action::ScopeStop, who) {
            Slot::Scoped(self.scope.add(registration))
        } else {
            Slot::Held(registration)
        };
        self.slots[who as usize].set(slot);
    }

    fn hear(&self, who: Who, ended: &Result<End, HandlerError>) {
        self.log.note(Entry::Heard(
            who,
            match ended {
                Ok(End::Exhausted) => Ended::Exhausted,
                Ok(End::Stopped) => Ended::Stopped,
                Err(_) => Ended::Failed,
            },
        ));
        if self.acts(who, &[Place::OnEnd]) {
            self.act();
        }
    }

    // Who takes part.

    fn source(&self, who: Who, events: VecDeque<u32>) -> Source {
        let belt = Rc::clone(&self.belts[who as usize]);
        belt.events.replace(events);
        let (log, world) = (self.log.clone(), self.myself.clone());
        Source { who, belt, log, world, _tracked: self.watch.tracked() }
    }

    fn token(&self, who: Who, hand: Hand) -> Token {
        let (log, world) = (self.log.clone(), self.myself.clone());
        Token { who, hand, log, world, _tracked: self.watch.tracked() }
    }

    fn handler(&self, who: Who, hand: Hand) -> impl FnMut(Event) -> Next + use<> {
        let token = self.token(who, hand);
        move |event: Event| {
            event.finished.set(true);
            match token.world.upgrade() {
                Some(world) => world.saw(who, token.hand, event.number),
                None => Next::Keep,
            }
        }
    }

    fn plain(&self, who: Who, events: VecDeque<u32>) -> Registration<Source> {
        let source = self.source(who, events);
        let mut handler = self.handler(who, Hand::First);
        if self.cell.aims(Action::TryWith, who) {
            self.state.on(source, move |count, event| {
                *count += 1;
                handler(event)
            })
        } else {
            aem::on(source, handler)
        }
    }

    fn one_at_a_time(&self, who: Who) -> Registration<Source> {
        let source = self.source(who, FIRST_EVENTS.into());
        let token = self.token(who, Hand::First);
        aem::on_async(source, async move |event: Event| {
            if let Some(world) = token.world.upgrade() {
                world.saw_on_state(who, event.number);
            }
            if who == Who::Actor {
                aem::yield_now().await;
            } else {
                let world = token.world.clone();
                std::future::poll_fn(|context| match world.upgrade() {
                    Some(world) => world.gate.poll(context),
                    None => Poll::Ready(()),
                })
                .await;
            }
            event.log.note(Entry::Did(who, event.number));
            event.finished.set(true);
        })
    }

    fn task(&self, who: Who) -> JoinHandle<()> {
        struct Body {
            source: Source,
            token: Token,
        }
        let source = self.source(who, FIRST_EVENTS.into());
        let body = Body { source, token: self.token(who, Hand::First) };
        let future = async move {
            let mut body = body;
            while let Some(event) = body.source.next().await {
                if let Some(world) = body.token.world.upgrade() {
                    world.saw_on_state(who, event.number);
                }
                aem::yield_now().await;
                event.log.note(Entry::Did(who, event.number));
                event.finished.set(true);
            }
        };
        if self.cell.aims(Action::ScopeStop, who) {
            self.scope.spawn(future)
        } else {
            aem::spawn(future)
        }
    }

    /// Those who are not called with the state take it themselves.
    fn saw_on_state(&self, who: Who, event: u32) {
        if self.cell.aims(Action::TryWith, who) {
            self.state.with(|count| {
                *count += 1;
                self.saw(who, Hand::First, event);
            });
        } else {
            self.saw(who, Hand::First, event);
        }
    }

    fn saw(&self, who: Who, hand: Hand, event: u32) -> Next {
        self.log.note(Entry::Saw(who, hand, event));
        if who == Who::Parent && event == 0 {
            self.make_family();
            if self.cell.aims(Action::Resume, Who::Parent) {
                return Next::Pause;
            }
        }
        if who == Who::New {
            self.feed(self.cell.target(), SENT_BY_HANDLER);
        }
        if event == ACTING_EVENT && hand == Hand::First {
            if self.acts(who, &[Place::Handler, Place::AsyncHandler, Place::Task]) {
                self.act();
            } else if self.acts(who, &[Place::OnEnd, Place::Drop]) {
                return Next::Stop;
            }
        }
        Next::Keep
    }

    fn make_family(&self) {
        match self.cell.place {
            Place::AsyncHandler => self.put(Who::Actor, self.one_at_a_time(Who::Actor)),
            Place::Task => {
                self.slots[Who::Actor as usize].set(Slot::Task(self.task(Who::Actor)));
            }
            _ => self.put(Who::Actor, self.plain(Who::Actor, FIRST_EVENTS.into())),
        }
        let mut sibling = match self.cell.sibling {
            Sibling::Between => self.plain(Who::Sibling, FIRST_EVENTS.into()),
            Sibling::Amid => self.one_at_a_time(Who::Sibling),
        };
        if self.cell.aims(Action::Resume, Who::Sibling) {
            sibling = sibling.paused();
        }
        self.put(Who::Sibling, sibling);
        self.slots[Who::Task as usize].set(Slot::Task(self.task(Who::Task)));
    }

    // The action.

    fn acts(&self, who: Who, places: &[Place]) -> bool {
        who == Who::Actor && !self.acted.get() && places.contains(&self.cell.place)
    }

    fn act(&self) {
        self.acted.set(true);
        for who in FAMILY {
            if !(who == Who::Actor && self.cell.place == Place::PollInVain) {
                self.feed(who, BATCH_EVENT);
            }
        }
        let target = self.cell.target();
        let answer = match self.cell.action {
            Action::Register => {
                let new = self.plain(Who::New, [0].into());
                self.belts[Who::New as usize].close();
                let myself = self.myself.clone();
                new.on_end(move |ended| {
                    if let Some(world) = myself.upgrade() {
                        world.hear(Who::New, ended);
                    }
                })
                .detach();
                Answer::Done
            }
            Action::Spawn => {
                let myself = self.myself.clone();
                aem::spawn(async move {
                    if let Some(world) = myself.upgrade() {
                        world.log.note(Entry::Saw(Who::New, Hand::First, 0));
                        world.feed(world.cell.target(), SENT_BY_TASK);
                    }
                });
                Answer::Done
            }
            Action::Drop => {
                drop(self.slots[target as usize].take());
                Answer::Done
            }
            Action::Reclaim => return self.reclaim(target),
            Action::ScopeStop => {
                self.scope.stop();
                Answer::Done
            }
            Action::TryWith => Answer::Lent(self.state.try_with(|count| *count += ADDED).is_some()),
            action => self.with_slot(target, |slot| self.act_on(action, target, slot)),
        };
        self.log.note(Entry::Acted(answer));
    }

    fn act_on(&self, action: Action, target: Who, slot: &Slot) -> Answer {
        match (action, slot) {
            (Action::Pause, Slot::Held(registration)) => registration.pause(),
            (Action::Resume, Slot::Held(registration)) => {
                if target == Who::Actor {
                    registration.pause();
                    registration.pause();
                }
                registration.resume();
            }
            (Action::Stop, Slot::Held(registration)) => registration.stop(),
            (Action::Replace, Slot::Held(registration)) => {
                let second = self.handler(target, Hand::Second);
                return Answer::Replaced(registration.replace(second));
            }
            (Action::Abort, Slot::Task(handle)) => handle.abort(),
            _ => panic!("{:?} has nothing to act on", self.cell),
        }
        Answer::Done
    }

    fn reclaim(&self, target: Who) {
        let Slot::Held(registration) = self.slots[target as usize].take() else {
            panic!("{:?} has nothing to reclaim", self.cell);
        };
        let source = registration.reclaim();
        let left = source.as_ref().map(|source| source.belt.events.borrow().len());
        self.log.note(Entry::Acted(Answer::Reclaimed(left)));
    }
}
