//! An error that is told to everyone who asks, not only to the first.
//!
//! An `io::Error` cannot be cloned. What a socket fails with is nearly always a number of the
//! system's, which can be; of others the kind and the text are kept.

use std::io;
use std::rc::Rc;

/// The first error of one direction of a stream.
#[derive(Clone, Debug)]
pub(super) enum Kept {
    /// A number of the system's.
    System(i32),
    /// The stream was closed here.
    Closed,
    /// The writing side was shut down here.
    ShutDown,
    /// Anything else: its kind and its text.
    Other(Rc<(io::ErrorKind, String)>),
}

impl Kept {
    pub(super) fn new(error: &io::Error) -> Kept {
        match error.raw_os_error() {
            Some(number) => Kept::System(number),
            None => Kept::Other(Rc::new((error.kind(), error.to_string()))),
        }
    }

    pub(super) fn error(&self) -> io::Error {
        use io::ErrorKind::{BrokenPipe, NotConnected};
        match self {
            Kept::System(number) => io::Error::from_raw_os_error(*number),
            Kept::Closed => io::Error::new(NotConnected, "the stream was closed"),
            Kept::ShutDown => io::Error::new(BrokenPipe, "the stream was shut down for writing"),
            Kept::Other(error) => io::Error::new(error.0, error.1.clone()),
        }
    }
}
