//! One `&mut T` for any number of handlers, without a lock or a `RefCell` in user code.
//!
//! Handlers of a worker never overlap, so each may have the state for itself while it runs. Two things can
//! ask for it twice all the same: code that runs inside a handler and calls [`State::with`], and code
//! inside `with` that does so. They are told.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::Location;
use std::rc::{Rc, Weak};

use futures::Stream;

use super::{Control, IntoNext, Next, Registration, face};

/// A value that several handlers of one worker share, each with `&mut` while it runs.
///
/// ```
/// use futures::stream;
///
/// # aem::block_on(async {
/// let count = aem::State::new(0);
/// let ones = count.on(stream::iter([1, 1, 1]), |count, one| *count += one);
/// let tens = count.on(stream::iter([10, 10]), |count, ten| *count += ten);
/// ones.await?;
/// tens.await?;
/// assert_eq!(count.with(|count| *count), 23);
/// # Ok::<(), aem::HandlerError>(())
/// # }).unwrap();
/// ```
///
/// A panic of a handler does not poison it.
pub struct State<T> {
    inner: Rc<Inner<T>>,
}

/// A reference that does not keep the state alive: for a state that holds its own registrations.
pub struct WeakState<T> {
    inner: Weak<Inner<T>>,
}

struct Inner<T> {
    value: RefCell<T>,
    dependants: Cell<Option<Box<Dependants>>>,
}

/// Handlers that end with a state. Most have none, which costs a word.
#[derive(Default)]
struct Dependants(Vec<Control>);

impl<T> Drop for Inner<T> {
    fn drop(&mut self) {
        if let Some(dependants) = self.dependants.take() {
            dependants.0.into_iter().for_each(|control| control.stop());
        }
    }
}

/// Dependants that have ended are forgotten when their number has doubled, and not before there are so many.
const DEPENDANTS_MIN: usize = 4;

impl<T: 'static> State<T> {
    /// Wraps a value.
    pub fn new(value: T) -> Self {
        let (value, dependants) = (RefCell::new(value), Cell::new(None));
        State { inner: Rc::new(Inner { value, dependants }) }
    }

    /// Registers a handler that gets the value beside each event. The registration keeps the state alive.
    ///
    /// # Panics
    /// As [`aem::on`](crate::on).
    #[track_caller]
    pub fn on<S, R>(
        &self,
        source: S,
        mut handler: impl FnMut(&mut T, S::Item) -> R + 'static,
    ) -> Registration<S>
    where
        S: Stream + 'static,
        R: IntoNext,
    {
        let state = self.clone();
        let face = face::plain(move |event| handler(&mut state.borrow_mut(), event));
        Registration::new(source, face, Location::caller())
    }

    #[track_caller]
    fn borrow_mut(&self) -> std::cell::RefMut<'_, T> {
        match self.inner.value.try_borrow_mut() {
            Ok(value) => value,
            Err(_) => panic!(
                "this State is in use further up the stack, by State::with or by a handler of it: \
                 do the inner work after that returns, or use try_with"
            ),
        }
    }

    /// Lends the value.
    ///
    /// # Panics
    /// Inside itself, and inside a handler of the same state.
    #[track_caller]
    pub fn with<R>(&self, user: impl FnOnce(&mut T) -> R) -> R {
        user(&mut self.borrow_mut())
    }

    /// Lends the value, unless it is in use further up the stack.
    pub fn try_with<R>(&self, user: impl FnOnce(&mut T) -> R) -> Option<R> {
        let mut value = self.inner.value.try_borrow_mut().ok()?;
        Some(user(&mut value))
    }

    /// A reference that does not keep the state alive.
    pub fn downgrade(&self) -> WeakState<T> {
        WeakState { inner: Rc::downgrade(&self.inner) }
    }
}

impl<T: 'static> WeakState<T> {
    /// The state, if it is alive.
    pub fn upgrade(&self) -> Option<State<T>> {
        self.inner.upgrade().map(|inner| State { inner })
    }

    /// As [`State::on`], but the registration does not keep the state alive: it ends
    /// [`Stopped`](crate::End::Stopped) when the state is gone.
    ///
    /// # Panics
    /// As [`aem::on`](crate::on).
    #[track_caller]
    pub fn on<S, R>(
        &self,
        source: S,
        mut handler: impl FnMut(&mut T, S::Item) -> R + 'static,
    ) -> Registration<S>
    where
        S: Stream + 'static,
        R: IntoNext,
    {
        let state = self.clone();
        let face = face::plain(move |event| match state.upgrade() {
            Some(state) => handler(&mut state.borrow_mut(), event).into_next(),
            None => Ok(Next::Stop),
        });
        let registration = Registration::new(source, face, Location::caller());
        match self.inner.upgrade() {
            Some(inner) => inner.depend(registration.control()),
            None => registration.stop(),
        }
        registration
    }
}

impl<T> Inner<T> {
    fn depend(&self, control: Control) {
        let mut dependants = self.dependants.take().unwrap_or_default();
        let mut ended = Vec::new();
        let all = &mut dependants.0;
        if all.len() == all.capacity() && all.len() >= DEPENDANTS_MIN {
            ended = all.extract_if(.., |control| control.is_ended()).collect();
        }
        all.push(control);
        self.dependants.set(Some(dependants));
        drop(ended);
    }
}

impl<T> Clone for State<T> {
    fn clone(&self) -> Self {
        State { inner: Rc::clone(&self.inner) }
    }
}

impl<T> Clone for WeakState<T> {
    fn clone(&self) -> Self {
        WeakState { inner: Weak::clone(&self.inner) }
    }
}

impl<T: fmt::Debug> fmt::Debug for State<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.inner.value.try_borrow() {
            Ok(value) => f.debug_tuple("State").field(&*value).finish(),
            Err(_) => f.write_str("State(in use)"),
        }
    }
}

impl<T> fmt::Debug for WeakState<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakState")
    }
}
