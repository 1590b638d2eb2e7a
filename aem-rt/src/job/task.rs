//! The work of a future: poll it, drop it in its place, keep its output until somebody takes it.
//!
//! The future is dropped as soon as it is done, before its output is published. If its destructor panics,
//! that panic is the job's result, as nobody else could hear of it.
#![allow(unsafe_code)]

use std::mem::{needs_drop, replace};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::cell::{Birth, Work};
use super::{Payload, contain, dispose};
use crate::error::JoinError;
use crate::sync::UnsafeCell;

enum Stage<F: Future> {
    Pending(F),
    Output(Result<F::Output, JoinError>),
    Gone,
}

/// A future as a job.
pub(crate) struct Task<F: Future> {
    stage: UnsafeCell<Stage<F>>,
}

impl<F: Future> Task<F> {
    /// Wraps a future.
    pub(crate) fn new(future: F) -> Self {
        Task { stage: UnsafeCell::new(Stage::Pending(future)) }
    }

    /// Drops the future where it stands and puts the output in its place.
    #[inline]
    fn finish(&self, output: Result<F::Output, JoinError>) {
        let output = if needs_drop::<F>() { self.drop_future(output) } else { output };
        // SAFETY: called by the owner during `run` or `cancel`, which do not overlap; what stood there was
        // dropped.
        self.stage.with_mut(|stage| unsafe { stage.write(Stage::Output(output)) });
    }

    /// Drops the future where it stands. If that panics, the panic is the job's result.
    fn drop_future(&self, output: Result<F::Output, JoinError>) -> Result<F::Output, JoinError> {
        let dropped = contain(|| {
            self.stage.with_mut(|stage| {
                // SAFETY: as in `finish`.
                if let Stage::Pending(future) = unsafe { &mut *stage } {
                    // SAFETY: pinned, so dropped in place; `finish` overwrites it without another drop.
                    unsafe { std::ptr::drop_in_place(future) };
                }
            });
        });
        let Err(panic) = dropped else { return output };
        // A second panic has no reader left: the first one is the job's result.
        if let Err(second) = contain(|| drop(output)) {
            dispose(second);
        }
        Err(JoinError::panic(panic))
    }

    /// Takes the output out.
    ///
    /// # Safety
    /// The job is done or completing, and the output is the caller's.
    unsafe fn take(&self) -> Option<Result<F::Output, JoinError>> {
        // SAFETY: by the caller's word nobody else touches the stage; the future is gone, so that nothing
        // pinned is moved.
        match self.stage.with_mut(|stage| replace(unsafe { &mut *stage }, Stage::Gone)) {
            Stage::Output(output) => Some(output),
            Stage::Gone => None,
            Stage::Pending(_) => unreachable!("the output of a job that is not done"),
        }
    }
}

impl<F: Future + 'static> Work for Task<F> {
    #[inline]
    fn run(self: Pin<&Self>, context: &mut Context<'_>) -> Poll<()> {
        let polled = contain(|| {
            self.stage.with_mut(|stage| {
                // SAFETY: the owner alone runs the job, and runs do not overlap.
                let Stage::Pending(future) = (unsafe { &mut *stage }) else {
                    unreachable!("a done job was run");
                };
                // SAFETY: the cell does not move, and the future is dropped where it stands.
                unsafe { Pin::new_unchecked(future) }.poll(context)
            })
        });
        match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => self.finish(Ok(output)),
            Err(panic) => self.finish(Err(JoinError::panic(panic))),
        }
        Poll::Ready(())
    }

    fn cancel(self: Pin<&Self>) {
        self.finish(Err(JoinError::cancelled()));
    }

    unsafe fn discard(&self) -> Option<Payload> {
        // SAFETY: passed on.
        unsafe { self.take() }?.err()?.into_payload()
    }

    unsafe fn take_output(&self, into: *mut ()) -> bool {
        // SAFETY: passed on.
        let output = unsafe { self.take() }.expect("an output is taken once");
        // SAFETY: it is room for a result of this type by the caller's word.
        unsafe { into.cast::<Result<F::Output, JoinError>>().write(output) };
        true
    }
}

/// A task that another thread makes.
pub(crate) struct Posted<F: Future> {
    task: Task<F>,
    birth: Birth,
}

impl<F: Future> Posted<F> {
    /// Wraps a future.
    pub(crate) fn new(future: F, birth: Birth) -> Self {
        Posted { task: Task::new(future), birth }
    }

    fn task(self: Pin<&Self>) -> Pin<&Task<F>> {
        // SAFETY: the field is pinned as the whole is: it is never moved out.
        unsafe { self.map_unchecked(|posted| &posted.task) }
    }
}

impl<F: Future + 'static> Work for Posted<F> {
    fn run(self: Pin<&Self>, context: &mut Context<'_>) -> Poll<()> {
        self.task().run(context)
    }

    fn cancel(self: Pin<&Self>) {
        self.task().cancel();
    }

    unsafe fn discard(&self) -> Option<Payload> {
        // SAFETY: passed on.
        unsafe { self.task.discard() }
    }

    unsafe fn take_output(&self, into: *mut ()) -> bool {
        // SAFETY: passed on.
        unsafe { self.task.take_output(into) }
    }

    fn birth(&self) -> Option<Birth> {
        Some(self.birth)
    }
}

/// A future that is made on its first poll, from a closure that could travel when the future cannot.
pub(crate) enum Lazy<M, F> {
    /// The closure.
    Make(Option<M>),
    /// What it made.
    Made(F),
}

impl<M: FnOnce() -> F, F: Future> Future for Lazy<M, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: the closure is moved out, which was never pinned; the future stays where it is.
        let this = unsafe { self.get_unchecked_mut() };
        if let Lazy::Make(make) = this {
            let make = make.take().expect("a panic in the closure ends the job");
            *this = Lazy::Made(make());
        }
        match this {
            // SAFETY: it does not move until it is dropped, which happens in place.
            Lazy::Made(future) => unsafe { Pin::new_unchecked(future) }.poll(context),
            Lazy::Make(_) => unreachable!("made above"),
        }
    }
}
