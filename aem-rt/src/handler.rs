//! Handlers: callbacks that the runtime calls with each event of a source.
//!
//! A source is any `Stream`. Registering a handler makes one job that owns both: each time the source has
//! something, the job runs, takes events out, and calls the handler with each, up to a budget. While the
//! handler runs it is out of its place, so that anything may be done to the registration meanwhile, by the
//! handler itself too: what cannot happen at once happens when it returns (OUTSIDE).
//!
//! | file | what it holds |
//! |-|-|
//! | [`core`] | the job: source, handler, flags; what a run does, how it ends |
//! | [`face`] | the ways to be called: a closure, an async closure |
//! | [`cloner`] | the third way: a task for each event |
//! | [`restart`] | going on after a failure: `Restart`, `supervise` |
//! | [`registration`] | `Registration` and `Control`: what users hold |
//! | [`state`] | `State`: one `&mut T` for many handlers |
//! | [`scope`] | `Scope`: many jobs with one end |

mod cloner;
mod core;
mod face;
mod registration;
mod restart;
mod scope;
mod state;

use std::panic::Location;

use futures::Stream;

pub use self::core::RUN_EVENTS;
pub use self::registration::{Control, Registration};
pub use self::restart::{Restart, supervise};
pub use self::scope::{CloseReport, Closing, Idle, Scope, ScopeHandle};
pub use self::state::{State, WeakState};
use crate::error::{BoxError, HandlerError};

/// What a handler wants next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Next {
    /// The next event.
    #[default]
    Keep,
    /// Nothing until [`Registration::resume`].
    Pause,
    /// Nothing any more: the registration ends with [`End::Stopped`].
    Stop,
}

/// Why a registration ended, if not by an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// The source has no more events.
    Exhausted,
    /// It was stopped: by [`Next::Stop`], by `stop()`, by its scope, or with the runtime.
    Stopped,
}

/// What a handler may return: nothing, a [`Next`], never, or a `Result` of these with any error.
///
/// An error ends the registration with [`HandlerError`].
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    label = "this closure returns `{Self}`",
    note = "a handler returns `()`, `aem::Next`, or a `Result` of these, as `aem::Result`",
    note = "if it returns a future: register it with `aem::on_async(source, async move |event| \
            ..)`, or start the future with `aem::spawn(..)`",
    note = "if it returns a `Registration`: end the line with `.detach();`, or keep it somewhere, \
            as dropping it stops its handler",
    note = "if it returns some other value that you do not need: end the line with `;`"
)]
pub trait IntoNext {
    /// What the handler wants next, or why it failed.
    ///
    /// # Errors
    /// What the handler failed with.
    fn into_next(self) -> Result<Next, BoxError>;
}

impl IntoNext for () {
    fn into_next(self) -> Result<Next, BoxError> {
        Ok(Next::Keep)
    }
}

impl IntoNext for Next {
    fn into_next(self) -> Result<Next, BoxError> {
        Ok(self)
    }
}

impl<T: IntoNext, E: Into<BoxError>> IntoNext for Result<T, E> {
    fn into_next(self) -> Result<Next, BoxError> {
        self.map_err(Into::into)?.into_next()
    }
}

/// A way to name `!`, which is not yet a type that can be written here.
#[doc(hidden)]
pub trait Returns {
    /// What the function returns.
    type Output;
}

impl<R> Returns for fn() -> R {
    type Output = R;
}

#[diagnostic::do_not_recommend]
impl IntoNext for <fn() -> ! as Returns>::Output {
    fn into_next(self) -> Result<Next, BoxError> {
        self
    }
}

/// What came of an event.
type Outcome = Result<Next, HandlerError>;

fn outcome(returned: impl IntoNext) -> Outcome {
    returned.into_next().map_err(HandlerError::new_failed)
}

/// Registers a handler: it is called with each event of the source, one after the other.
///
/// The registration owns the handler: dropping it stops the handler, [`Registration::detach`] lets it live
/// as long as the source. Awaiting it tells how it ended.
///
/// ```
/// use futures::stream;
///
/// # aem::block_on(async {
/// let mut sum = 0;
/// let done = aem::on(stream::iter(1..=4), move |number| {
///     sum += number;
///     if sum == 6 { aem::Next::Stop } else { aem::Next::Keep }
/// });
/// assert_eq!(done.await?, aem::End::Stopped);
/// # Ok::<(), aem::HandlerError>(())
/// # }).unwrap();
/// ```
///
/// # Panics
/// Outside of a runtime. A panic of the handler ends its registration, and nothing else.
#[track_caller]
pub fn on<S, R>(source: S, handler: impl FnMut(S::Item) -> R + 'static) -> Registration<S>
where
    S: Stream + 'static,
    R: IntoNext,
{
    Registration::new(source, face::plain(handler), Location::caller())
}

/// Registers a handler for the good events of a source that may fail; an error of the source ends the
/// registration with it.
///
/// ```
/// use std::io;
/// use futures::stream;
///
/// # aem::block_on(async {
/// let lines = stream::iter([Ok("one"), Err(io::Error::other("the line is dead"))]);
/// let error = aem::on_ok(lines, |line| assert_eq!(line, "one")).await.unwrap_err();
/// assert_eq!(error.to_string(), "the line is dead");
/// # });
/// ```
///
/// # Panics
/// As [`on`].
#[track_caller]
pub fn on_ok<S, T, E, R>(source: S, handler: impl FnMut(T) -> R + 'static) -> Registration<S>
where
    S: Stream<Item = Result<T, E>> + 'static,
    E: Into<BoxError> + 'static,
    T: 'static,
    R: IntoNext,
{
    Registration::new(source, face::good(handler), Location::caller())
}

/// Registers an async handler. The next event waits until this one has been handled: that is back-pressure.
///
/// One future serves all events of the registration; none is allocated for an event.
///
/// ```
/// use std::time::Duration;
/// use futures::stream;
///
/// # aem::block_on(async {
/// let mut seen = Vec::new();
/// let done = aem::on_async(stream::iter(0..3), async move |number| {
///     aem::time::sleep(Duration::from_millis(1)).await;
///     seen.push(number);
///     if seen.len() == 3 { assert_eq!(seen, [0, 1, 2]) }
/// });
/// assert_eq!(done.await?, aem::End::Exhausted);
/// # Ok::<(), aem::HandlerError>(())
/// # }).unwrap();
/// ```
///
/// # Panics
/// As [`on`].
#[track_caller]
pub fn on_async<S, R>(
    source: S,
    handler: impl AsyncFnMut(S::Item) -> R + 'static,
) -> Registration<S>
where
    S: Stream + 'static,
    R: IntoNext + 'static,
{
    Registration::new(source, face::one_at_a_time(handler), Location::caller())
}

/// Registers a cloner: each event gets a task of its own, at most `limit` of them at once.
///
/// An error or a panic ends the task of that event only; it is reported as the error of a detached handler
/// is. [`Next::Stop`] stops all. The registration ends with the source and the last task. The tasks are as
/// urgent as the registration is when they begin.
///
/// # Panics
/// As [`on`], and if `limit` is zero.
#[track_caller]
pub fn on_each<S, R>(
    source: S,
    limit: usize,
    handler: impl AsyncFn(S::Item) -> R + 'static,
) -> Registration<S>
where
    S: Stream + 'static,
    R: IntoNext + 'static,
{
    Registration::new(source, cloner::each(limit, handler), Location::caller())
}

#[cfg(test)]
mod tests;
