//! How many connections a server has, so that it can end with the last one.
//!
//! Counted when one comes and when it goes, never between.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::channel::oneshot;

/// The count, and what happens at its end.
#[derive(Debug)]
pub struct Visitors {
    once: bool,
    counted: Arc<Counted>,
    has_ended: oneshot::Receiver<()>,
}

/// What visitors share. It may cross threads, as some runtimes ask that of their tasks.
#[derive(Debug)]
struct Counted {
    open: AtomicUsize,
    end: Mutex<Option<oneshot::Sender<()>>>,
}

/// Whoever lets visitors in.
#[derive(Clone, Debug)]
pub struct Door {
    once: bool,
    counted: Arc<Counted>,
}

/// One visitor. It leaves when this is dropped.
#[derive(Debug)]
pub struct Visit(Door);

impl Visitors {
    /// Nobody yet. `once` tells whether the last one to leave ends it all.
    pub fn new(once: bool) -> Visitors {
        let (end, has_ended) = oneshot::channel();
        let counted = Arc::new(Counted { open: AtomicUsize::new(0), end: Some(end).into() });
        Visitors { once, counted, has_ended }
    }

    /// Whether the last one to leave ends it all.
    pub fn is_once(&self) -> bool {
        self.once
    }

    /// The way in, and what is ready when all have left, which is never if it is not `once`.
    pub fn split(self) -> (Door, oneshot::Receiver<()>) {
        (Door { once: self.once, counted: self.counted }, self.has_ended)
    }
}

impl Door {
    /// Lets one in.
    pub fn enter(&self) -> Visit {
        // Relaxed: every server that is counted here has one thread.
        self.counted.open.fetch_add(1, Ordering::Relaxed);
        Visit(self.clone())
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let Door { once, counted } = &self.0;
        if counted.open.fetch_sub(1, Ordering::Relaxed) == 1 && *once {
            let end = counted.end.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(end) = end {
                // Nobody listens any more when the server is ending already.
                let _ = end.send(());
            }
        }
    }
}
