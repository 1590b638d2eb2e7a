//! What a registration does.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use aem::{Control, End, HandlerError, Next, Registration, Restart, on, on_async, yield_now};
use futures::Stream;
use futures::channel::mpsc;

use super::{Deed, Ending, Event, Face, Returned, Sight, Step, Story};

/// The text of panics that are meant.
pub(super) const MEANT: &str = "a panic that is meant";

type Source = mpsc::UnboundedReceiver<Event>;

/// All that a registration and those around it share.
pub(super) struct Stage {
    sights: RefCell<Vec<Sight>>,
    held: RefCell<Option<Registration<Source>>>,
    control: RefCell<Option<Control>>,
    handlers: Cell<u32>,
    permits: Cell<u32>,
    waiting: RefCell<Option<Waker>>,
    /// What was reclaimed stays open, as the model's does.
    reclaimed: RefCell<Option<Source>>,
}

/// Runs all that is ready, as far as one job after the other may lead.
async fn settle() {
    for _ in 0..12 {
        yield_now().await;
    }
}

/// Waits for a permit.
struct Permit<'a>(&'a Stage);

impl Future for Permit<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match self.0.permits.get() {
            0 => {
                *self.0.waiting.borrow_mut() = Some(context.waker().clone());
                Poll::Pending
            }
            permits => {
                self.0.permits.set(permits - 1);
                Poll::Ready(())
            }
        }
    }
}

/// Tells of an event that was dropped with its handler.
struct InProgress<'a>(&'a Stage, u32, u32);

impl Drop for InProgress<'_> {
    fn drop(&mut self) {
        self.0.sights.borrow_mut().push(Sight::Abandoned(self.1, self.2));
    }
}

impl Stage {
    /// Plays a story, and tells what was seen of it.
    pub(super) async fn play(story: &Story) -> Vec<Sight> {
        let stage = Rc::new(Stage {
            sights: RefCell::default(),
            held: RefCell::default(),
            control: RefCell::default(),
            handlers: Cell::new(0),
            permits: Cell::new(0),
            waiting: RefCell::default(),
            reclaimed: RefCell::default(),
        });
        let (sender, source) = mpsc::unbounded();
        let mut sender = Some(sender);
        let registration = stage.register(story, source);
        let control = registration.control();
        *stage.control.borrow_mut() = Some(control.clone());
        *stage.held.borrow_mut() = Some(registration);
        let mut sent = 0;
        for step in &story.steps {
            if let Step::Send(deed, returned) = *step {
                let event = Event { number: sent, deed, returned };
                sent += 1;
                // A source that is gone takes nothing.
                let _ = sender.as_ref().map(|sender| sender.unbounded_send(event));
            } else if let Step::Close = step {
                sender = None;
            } else {
                stage.take(*step, &control).await;
            }
        }
        settle().await;
        stage.drop_held();
        drop(sender);
        stage.permits.set(u32::MAX);
        stage.wake();
        control.resume();
        settle().await;
        stage.control.take();
        stage.sights.take()
    }

    fn register(self: &Rc<Self>, story: &Story, source: Source) -> Registration<Source> {
        let number = self.next_handler();
        let mut registration = match story.face {
            Face::Plain => on(source, self.plain(number)),
            Face::Async => on_async(source, self.slow(number)),
        };
        let stage = Rc::clone(self);
        registration = registration.on_end(move |end| stage.ended(end));
        if let Some((bears, face)) = story.bears {
            let stage = Rc::clone(self);
            let restart = Restart::new()
                .times(bears)
                .within(Duration::MAX)
                .back_off(Duration::ZERO, Duration::ZERO);
            registration = match face {
                Face::Plain => {
                    registration.restart(restart, move || stage.plain(stage.next_handler()))
                }
                Face::Async => {
                    registration.restart_async(restart, move || stage.slow(stage.next_handler()))
                }
            };
        }
        if story.paused {
            registration = registration.paused();
        }
        registration
    }

    fn next_handler(&self) -> u32 {
        self.handlers.replace(self.handlers.get() + 1)
    }

    fn see(&self, sight: Sight) {
        self.sights.borrow_mut().push(sight);
    }

    fn plain(self: &Rc<Self>, number: u32) -> impl FnMut(Event) -> aem::Result<Next> + use<> {
        let stage = Rc::clone(self);
        move |event| {
            stage.see(Sight::Began(number, event.number));
            stage.finish(number, event)
        }
    }

    fn slow(self: &Rc<Self>, number: u32) -> impl AsyncFnMut(Event) -> aem::Result<Next> + use<> {
        let stage = Rc::clone(self);
        async move |event: Event| {
            stage.see(Sight::Began(number, event.number));
            let in_progress = InProgress(&stage, number, event.number);
            Permit(&stage).await;
            std::mem::forget(in_progress);
            stage.finish(number, event)
        }
    }

    fn finish(self: &Rc<Self>, number: u32, event: Event) -> aem::Result<Next> {
        match event.deed {
            Deed::Nothing => {}
            Deed::Pause => self.control().pause(),
            Deed::Stop => self.control().stop(),
            Deed::Replace(face) => self.replace(face),
            Deed::Reclaim => self.reclaim(),
        }
        self.see(Sight::Finished(number, event.number));
        match event.returned {
            Returned::Keep => Ok(Next::Keep),
            Returned::Pause => Ok(Next::Pause),
            Returned::Stop => Ok(Next::Stop),
            Returned::Error => Err("an error that is meant".into()),
            Returned::Panic => panic!("{MEANT}"),
        }
    }

    fn control(&self) -> Control {
        self.control.borrow().clone().expect("it was registered before it runs")
    }

    fn drop_held(&self) {
        let Some(registration) = self.held.take() else { return };
        // Else the runtime would remark on those that never got to poll their source.
        registration.stop();
        drop(registration);
    }

    fn with_held(&self, act: impl FnOnce(&Registration<Source>)) {
        // Not borrowed meanwhile: what is dropped may come by here.
        let held = self.held.take();
        if let Some(registration) = &held {
            act(registration);
        }
        *self.held.borrow_mut() = held;
    }

    fn replace(self: &Rc<Self>, face: Face) {
        self.with_held(|registration| {
            let number = self.next_handler();
            let replaced = match face {
                Face::Plain => registration.replace(self.plain(number)),
                Face::Async => registration.replace_async(self.slow(number)),
            };
            self.see(Sight::Replaced(replaced));
        });
    }

    fn reclaim(&self) {
        let Some(registration) = self.held.take() else { return };
        let place = self.sights.borrow().len();
        let source = registration.reclaim();
        let mut events = None;
        if let Some(mut source) = source {
            let mut numbers = Vec::new();
            let mut context = Context::from_waker(Waker::noop());
            while let Poll::Ready(Some(Event { number, .. })) =
                Pin::new(&mut source).poll_next(&mut context)
            {
                numbers.push(number);
            }
            events = Some(numbers);
            *self.reclaimed.borrow_mut() = Some(source);
        }
        // What was in progress is dropped in `reclaim`: the model says that after it.
        self.sights.borrow_mut().insert(place, Sight::Reclaimed(events));
    }

    fn ended(&self, end: &Result<End, HandlerError>) {
        self.see(Sight::Ended(match end {
            Ok(End::Exhausted) => Ending::Exhausted,
            Ok(End::Stopped) => Ending::Stopped,
            Err(error) if error.is_panic() => Ending::Panicked,
            Err(_) => Ending::Failed,
        }));
    }

    fn wake(&self) {
        let waiting = self.waiting.take();
        waiting.into_iter().for_each(Waker::wake);
    }

    async fn take(self: &Rc<Self>, step: Step, control: &Control) {
        match step {
            Step::Pause => control.pause(),
            Step::Resume => control.resume(),
            Step::Stop => control.stop(),
            Step::Replace(face) => self.replace(face),
            Step::Permit(count) => {
                self.permits.set(self.permits.get() + count);
                self.wake();
            }
            Step::Reclaim => self.reclaim(),
            Step::Detach => self.held.take().into_iter().for_each(Registration::detach),
            Step::Drop => self.drop_held(),
            Step::Settle => settle().await,
            Step::Send(..) | Step::Close => unreachable!("done by who has the sender"),
        }
    }
}
