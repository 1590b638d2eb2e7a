//! The contenders, behind one trait: a fresh runtime for each round, and tasks that stay on its
//! thread.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::floor;

/// A runtime that can be given the work of [`crate::workloads`].
pub trait Runtime: 'static {
    /// As it stands in the tables.
    const NAME: &'static str;
    /// Whether its wakers may be used on other threads.
    const WAKES_FROM_AFAR: bool = true;
    /// The handle of a task. What it gives is not looked at.
    type Task: Future;

    /// Runs a future on a fresh runtime of this thread.
    fn block_on<F: Future + 'static>(future: F) -> io::Result<F::Output>
    where
        F::Output: 'static;

    /// Spawns a task of the runtime of this thread; inside of `block_on`.
    fn spawn(future: impl Future<Output = u64> + 'static) -> Self::Task;

    /// Its own way to give way; by waking itself, where it has none.
    fn yield_now() -> impl Future<Output = ()> {
        wake_self()
    }
}

/// A runtime that has timers.
pub trait Timers: Runtime {
    /// Its own future that is ready after a while.
    fn sleep(duration: Duration) -> impl Future + 'static;
}

/// Gives way as any future can: wakes itself, and is pending once.
pub async fn wake_self() {
    let mut is_woken = false;
    poll_fn(|context| {
        if is_woken {
            return Poll::Ready(());
        }
        is_woken = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Calls a macro with all contenders, the floor first.
#[macro_export]
macro_rules! for_all_contenders {
    ($call:ident) => {
        $call!(Floor, Aem, TokioLocal, TokioCurrent, Smol, Monoio, Glommio, Compio)
    };
}

/// [`floor`].
#[derive(Debug)]
pub struct Floor;

impl Runtime for Floor {
    const NAME: &'static str = "floor";
    const WAKES_FROM_AFAR: bool = false;
    type Task = floor::JoinHandle<u64>;

    fn block_on<F: Future + 'static>(future: F) -> io::Result<F::Output> {
        // SAFETY: no workload sends a waker where WAKES_FROM_AFAR is false, and all await their
        // tasks.
        Ok(unsafe { floor::block_on(future) })
    }

    fn spawn(future: impl Future<Output = u64> + 'static) -> Self::Task {
        floor::spawn(future)
    }
}

/// aem, as shipped.
#[derive(Debug)]
pub struct Aem;

impl Runtime for Aem {
    const NAME: &'static str = "aem";
    type Task = aem::JoinHandle<u64>;

    fn block_on<F: Future + 'static>(future: F) -> io::Result<F::Output> {
        Ok(aem::block_on(future))
    }

    fn spawn(future: impl Future<Output = u64> + 'static) -> Self::Task {
        aem::spawn(future)
    }

    fn yield_now() -> impl Future<Output = ()> {
        aem::yield_now()
    }
}

impl Timers for Aem {
    fn sleep(duration: Duration) -> impl Future + 'static {
        aem::time::sleep(duration)
    }
}

fn tokio_runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// tokio's `LocalSet` on its current-thread runtime.
#[derive(Debug)]
pub struct TokioLocal;

impl Runtime for TokioLocal {
    const NAME: &'static str = "tokio LocalSet";
    type Task = tokio::task::JoinHandle<u64>;

    fn block_on<F: Future + 'static>(future: F) -> io::Result<F::Output> {
        let local = tokio::task::LocalSet::new();
        Ok(tokio_runtime()?.block_on(local.run_until(future)))
    }

    fn spawn(future: impl Future<Output = u64> + 'static) -> Self::Task {
        tokio::task::spawn_local(future)
    }

    fn yield_now() -> impl Future<Output = ()> {
        tokio::task::yield_now()
    }
}

/// tokio's current-thread runtime with `tokio::spawn`.
#[derive(Debug)]
pub struct TokioCurrent;

/// A future that is said to be `Send`, for `tokio::spawn` asks for it.
struct SaidToBeSend<F>(F);

// SAFETY: the runtime has one thread, which makes, polls and drops its tasks.
unsafe impl<F> Send for SaidToBeSend<F> {}

impl<F: Future> Future for SaidToBeSend<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: the only field is pinned with the whole.
        unsafe { self.map_unchecked_mut(|whole| &mut whole.0) }.poll(context)
    }
}

impl Runtime for TokioCurrent {
    const NAME: &'static str = "tokio current_thread";
    type Task = tokio::task::JoinHandle<u64>;

    fn block_on<F: Future + 'static>(future: F) -> io::Result<F::Output> {
        Ok(tokio_runtime()?.block_on(future))
    }

    fn spawn(future: impl Future<Output = u64> + 'static) -> Self::Task {
        tokio::spawn(SaidToBeSend(future))
    }

    fn yield_now() -> impl Future<Output = ()> {
        tokio::task::yield_now()
    }
}

impl Timers for TokioCurrent {
    fn sleep(duration: Duration) -> impl Future + 'static {
        tokio::time::sleep(duration)
    }
}

/// async-executor's `LocalExecutor`, driven by async-io's `block_on`.
#[derive(Debug)]
pub struct Smol;

thread_local! {
    static SMOL: async_executor::LocalExecutor<'static> =
        const { async_executor::LocalExecutor::new() };
}

impl Runtime for Smol {
    const NAME: &'static str = "async-executor LocalExecutor";
    type Task = async_executor::Task<u64>;

    fn block_on<F: Future + 'static>(future: F) -> io::Result<F::Output> {
        Ok(SMOL.with(|executor| async_io::block_on(executor.run(future))))
    }

    fn spawn(future: impl Future<Output = u64> + 'static) -> Self::Task {
        SMOL.with(|executor| executor.spawn(future))
    }

    fn yield_now() -> impl Future<Output = ()> {
        futures_lite::future::yield_now()
    }
}

impl Timers for Smol {
    fn sleep(duration: Duration) -> impl Future + 'static {
        async_io::Timer::after(duration)
    }
}

/// monoio, on io_uring. Its wakers may leave the thread with its feature `sync` only, which is off
/// by default and here; without it the parts that wake from another thread never ended.
#[derive(Debug)]
pub struct Monoio;

impl Runtime for Monoio {
    const NAME: &'static str = "monoio";
    const WAKES_FROM_AFAR: bool = false;
    type Task = monoio::task::JoinHandle<u64>;

    fn block_on<F: Future + 'static>(future: F) -> io::Result<F::Output>
    where
        F::Output: 'static,
    {
        let builder = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new();
        Ok(builder.enable_timer().build()?.block_on(future))
    }

    fn spawn(future: impl Future<Output = u64> + 'static) -> Self::Task {
        monoio::spawn(future)
    }
}

impl Timers for Monoio {
    fn sleep(duration: Duration) -> impl Future + 'static {
        monoio::time::sleep(duration)
    }
}

/// glommio.
#[derive(Debug)]
pub struct Glommio;

impl Runtime for Glommio {
    const NAME: &'static str = "glommio";
    type Task = glommio::Task<u64>;

    fn block_on<F: Future + 'static>(future: F) -> io::Result<F::Output> {
        let executor = glommio::LocalExecutorBuilder::default().make();
        let executor = executor.map_err(|error| io::Error::other(error.to_string()))?;
        Ok(executor.run(future))
    }

    fn spawn(future: impl Future<Output = u64> + 'static) -> Self::Task {
        glommio::spawn_local(future)
    }
}

/// compio, on io_uring.
#[derive(Debug)]
pub struct Compio;

impl Runtime for Compio {
    const NAME: &'static str = "compio";
    type Task = compio::runtime::JoinHandle<u64>;

    fn block_on<F: Future + 'static>(future: F) -> io::Result<F::Output> {
        Ok(compio::runtime::Runtime::new()?.block_on(future))
    }

    fn spawn(future: impl Future<Output = u64> + 'static) -> Self::Task {
        compio::runtime::spawn(future)
    }
}

impl Timers for Compio {
    fn sleep(duration: Duration) -> impl Future + 'static {
        compio::time::sleep(duration)
    }
}
