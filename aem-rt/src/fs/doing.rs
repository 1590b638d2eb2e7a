//! Having an op on a file done: by the keeper if that can, else by a thread that may block.

use std::any::Any;
use std::cell::Cell;
use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use futures::FutureExt;

use crate::backend::{FileAnswer, FileOp};
use crate::error::panic_text;
use crate::job::join::JoinHandle;
use crate::reactor::{Answer, Completion, Reactor, Sink, Token, Wakes, ended, home};
use crate::runtime::{context, spawn};

/// Has an op done. Dropped before that is so, it has the op cancelled, which what has begun may outrun.
pub(super) async fn perform(op: FileOp) -> io::Result<FileAnswer> {
    let reactor = context::reactor();
    let answered = Rc::<Answered>::default();
    let sink: Weak<Answered> = Rc::downgrade(&answered);
    match reactor.submit_file(op, sink)? {
        Ok(token) => Doing { reactor, token, answered }.await,
        Err(op) => on_a_thread(move || op.perform()).await,
    }
}

/// Has an op done by a job of its own, which needs nobody to poll it.
///
/// # Errors
///
/// Outside of a runtime.
pub(super) fn begin(op: FileOp) -> io::Result<Underway> {
    if context::try_current().is_none() {
        return Err(io::Error::other(
            "a file is used outside of a runtime: await it inside of a block_on",
        ));
    }
    Ok(Underway(spawn(perform(op))))
}

/// An op that a job has done, though this is dropped. It belongs to the runtime where it was begun, ends
/// with that, and may be awaited anywhere.
pub(super) struct Underway(JoinHandle<io::Result<FileAnswer>>);

impl Underway {
    /// Dropping it before it is over has it cancelled.
    pub(super) fn needs_me(self) -> Underway {
        Underway(self.0.abort_on_drop())
    }
}

impl Future for Underway {
    type Output = io::Result<FileAnswer>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<FileAnswer>> {
        self.0.poll_unpin(cx).map(|result| result.unwrap_or_else(|error| Err(error.into())))
    }
}

/// Has something done that may block. Dropped before it has begun, it is not done.
///
/// It is no job, as an op of the keeper's is none: where jobs are born cancelled, because the runtime was
/// told to shut down, the main future can still save what it has, whoever does that.
pub(super) async fn on_a_thread<T: Send + 'static>(
    act: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let waiting = AssertUnwindSafe(context::current().pool().submit(act));
    // As when no thread could be started.
    let panicked = |panic: Box<dyn Any + Send>| io::Error::other(panic_text(&*panic).to_owned());
    waiting.catch_unwind().await.unwrap_or_else(|panic| Err(panicked(panic)))
}

/// An op that the keeper has.
struct Doing {
    reactor: Rc<Reactor>,
    token: Token,
    answered: Rc<Answered>,
}

/// Where the answer arrives. Dropped with an answer that nobody took, it closes what was opened.
#[derive(Default)]
struct Answered {
    answer: Cell<Option<io::Result<FileAnswer>>>,
    waker: Cell<Option<Waker>>,
}

impl Sink for Answered {
    fn complete(self: Rc<Self>, completion: Completion, wakes: &mut Wakes) {
        self.answer.set(Some(match completion.answer {
            Answer::File(answer) => Ok(answer),
            Answer::Failed(error) => Err(error),
            _ => Err(ended()),
        }));
        wakes.extend(self.waker.take());
    }
}

impl Future for Doing {
    type Output = io::Result<FileAnswer>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<FileAnswer>> {
        home::check(&self.reactor)?;
        // A clone is user code, so it comes before the look; the old one goes after it.
        let old = self.answered.waker.replace(Some(cx.waker().clone()));
        drop(old);
        match self.answered.answer.take() {
            Some(answer) => Poll::Ready(answer),
            None => Poll::Pending,
        }
    }
}

impl Drop for Doing {
    fn drop(&mut self) {
        // Of an op that is over this is no more than a look at its token.
        self.reactor.cancel(self.token);
    }
}
