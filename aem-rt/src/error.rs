//! The errors that users meet, and the one line that a panic nobody read becomes.
//!
//! An error is a value that can go to any thread and into an `io::Error`. What an application put in
//! comes out again: the panic of a job by [`JoinError::into_panic`], the error of a handler by
//! [`HandlerError::failed`], an `io::Error` unchanged by `Into<io::Error>`.

use std::any::Any;
use std::error::Error;
use std::{fmt, io};

use crate::rare::Rare;

/// Any error, as handlers and `main` may return it.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// A result with any error. `|event| -> aem::Result { .. Ok(()) }` lets a handler use `?`.
pub type Result<T = (), E = BoxError> = std::result::Result<T, E>;

/// The text of a panic, as far as it has one.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&'static str>() {
        text
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        "a value that is not a text"
    }
}

/// What a panic carried. It may be moved to another thread but not looked at from two, so it sits where no
/// shared reference reaches it.
struct Panic {
    text: String,
    payload: std::sync::Mutex<Box<dyn Any + Send>>,
}

impl Panic {
    fn new(payload: Box<dyn Any + Send>) -> Self {
        let text = panic_text(&*payload).to_owned();
        Panic { text, payload: std::sync::Mutex::new(payload) }
    }

    fn into_payload(self) -> Box<dyn Any + Send> {
        self.payload.into_inner().unwrap_or_else(|poison| poison.into_inner())
    }
}

/// Why a job has no output: it panicked, or it was cancelled.
pub struct JoinError {
    /// Else it was cancelled.
    panic: Rare<Panic>,
}

impl JoinError {
    /// The job panicked.
    pub(crate) fn panic(payload: Box<dyn Any + Send>) -> Self {
        JoinError { panic: Rare::some(Panic::new(payload)) }
    }

    /// The job was cancelled.
    pub(crate) fn cancelled() -> Self {
        JoinError { panic: Rare::none() }
    }

    pub(crate) fn into_payload(mut self) -> Option<Box<dyn Any + Send>> {
        self.panic.take().map(Panic::into_payload)
    }

    /// Whether the job panicked.
    pub fn is_panic(&self) -> bool {
        self.panic.get().is_some()
    }

    /// Whether the job was aborted, or its runtime ended first.
    pub fn is_cancelled(&self) -> bool {
        self.panic.get().is_none()
    }

    /// What the panic carried, for `std::panic::resume_unwind`.
    ///
    /// # Panics
    /// If the job did not panic.
    pub fn into_panic(self) -> Box<dyn Any + Send> {
        self.into_payload().expect("JoinError::into_panic on a job that was cancelled")
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.panic.get() {
            Some(panic) => write!(f, "JoinError::Panic({:?})", panic.text),
            None => f.write_str("JoinError::Cancelled"),
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.panic.get() {
            Some(panic) => write!(f, "the job panicked: {}", panic.text),
            None => f.write_str("the job was cancelled"),
        }
    }
}

impl Error for JoinError {}

impl From<JoinError> for io::Error {
    fn from(error: JoinError) -> Self {
        io::Error::other(error)
    }
}

/// Why a handler ended before its source did: it returned an error, or it panicked.
pub struct HandlerError {
    cause: Cause,
}

enum Cause {
    Failed(BoxError),
    Panicked(Box<Panic>),
}

impl HandlerError {
    pub(crate) fn new_failed(error: BoxError) -> Self {
        HandlerError { cause: Cause::Failed(error) }
    }

    /// As [`new_failed`](Self::new_failed), but an error of a handler stays what it is.
    pub(crate) fn from_box(error: BoxError) -> Self {
        match error.downcast::<HandlerError>() {
            Ok(error) => *error,
            Err(error) => HandlerError::new_failed(error),
        }
    }

    pub(crate) fn new_panic(payload: Box<dyn Any + Send>) -> Self {
        HandlerError { cause: Cause::Panicked(Box::new(Panic::new(payload))) }
    }

    /// The error that the handler returned, or that its source gave to `on_ok`.
    pub fn failed(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        match &self.cause {
            Cause::Failed(error) => Some(&**error),
            Cause::Panicked(_) => None,
        }
    }

    /// Whether the handler or its source panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self.cause, Cause::Panicked(_))
    }

    /// What the panic carried.
    ///
    /// # Panics
    /// If it was not a panic.
    pub fn into_panic(self) -> Box<dyn Any + Send> {
        match self.cause {
            Cause::Panicked(panic) => panic.into_payload(),
            Cause::Failed(error) => {
                panic!("HandlerError::into_panic on a handler that failed with: {error}")
            }
        }
    }

    /// Whether the peer of a connection simply went away.
    pub(crate) fn is_connection_loss(&self) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        let kind = self.failed().and_then(|error| error.downcast_ref()).map(io::Error::kind);
        matches!(kind, Some(BrokenPipe | ConnectionAborted | ConnectionReset))
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Failed(error) => write!(f, "HandlerError::Failed({error:?})"),
            Cause::Panicked(panic) => write!(f, "HandlerError::Panic({:?})", panic.text),
        }
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Failed(error) => error.fmt(f),
            Cause::Panicked(panic) => write!(f, "the handler panicked: {}", panic.text),
        }
    }
}

impl Error for HandlerError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.cause {
            Cause::Failed(error) => error.source(),
            Cause::Panicked(_) => None,
        }
    }
}

impl From<HandlerError> for io::Error {
    fn from(error: HandlerError) -> Self {
        match error.cause {
            Cause::Failed(inner) => match inner.downcast::<io::Error>() {
                Ok(io) => *io,
                Err(other) => io::Error::other(other),
            },
            Cause::Panicked(_) => io::Error::other(error),
        }
    }
}
