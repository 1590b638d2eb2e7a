//! An async runtime for Linux: callbacks and futures are jobs in one queue.
//!
//! In the spirit of AEM, Ericsson's Asynchronous Event Mechanism: an application registers a callback for
//! an event, and the callback runs with the event's data in its parameters. Beside the callbacks stand
//! futures. One idea carries both: **every source of events is a [`Stream`](futures::Stream).**
//! [`on`] lets the runtime drain it into your handler; `source.next().await` drains it yourself.
//!
//! # Handlers
//!
//! ```
//! use std::time::Duration;
//! use aem::{End, Next};
//!
//! #[aem::main]
//! async fn main() -> aem::Result {
//!     let mut count = 0;
//!     let clock = aem::on(aem::time::every(Duration::from_millis(1)), move |tick| {
//!         assert!(tick.scheduled <= aem::time::now());
//!         count += 1;
//!         if count == 3 { Next::Stop } else { Next::Keep }
//!     });
//!     assert_eq!(clock.await?, End::Stopped);
//!     Ok(())
//! }
//! ```
//!
//! The [`Registration`] owns the handler: dropping it stops it, [`detach`](Registration::detach)
//! lets it live, awaiting it tells how it ended, [`replace`](Registration::replace) changes it
//! while it runs, and [`reclaim`](Registration::reclaim) gives the source back with every event it
//! still holds. All of that may be done from inside the handler itself. [`on_ok`] is for sources
//! that may fail, [`on_async`] for handlers that await, [`on_each`] for a task an event. [`State`]
//! gives several handlers one `&mut`, [`Scope`] gives many jobs one end.
//!
//! # Futures
//!
//! ```
//! #[aem::main]
//! async fn main() -> aem::Result {
//!     let listener = aem::net::TcpListener::bind("127.0.0.1:0")?;
//!     let address = listener.local_addr()?;
//!     let echo = aem::spawn(async move {
//!         let (stream, _peer) = listener.accept().await?;
//!         let chunk = stream.recv().await?;
//!         stream.send(chunk).await
//!     });
//!     let stream = aem::net::TcpStream::connect(address).await?;
//!     stream.send("hello");
//!     assert_eq!(&*stream.recv().await?, b"hello");
//!     echo.await??;
//!     Ok(())
//! }
//! ```
//!
//! A job never changes threads, so nothing local needs to be `Send`; wakers, [`JoinHandle`]s,
//! [`Chunk`]s and the runtime's [`Handle`] travel. Every await of the types in here is safe to
//! cancel.
//!
//! # What comes with it
//!
//! - [`net`]: TCP, UDP and Unix sockets, with owned chunks in and queued sends out; [`fs`]: files and their
//!   changes; [`fd`]: any other descriptor; [`process`]: children and their ends; [`time`]: sleeps, timeouts,
//!   ticks; [`signal`]: any signal, and the end that somebody asks for. Every other `Stream` is a source
//!   too: a `futures::channel::mpsc::Receiver` brings messages from other threads.
//! - [`metrics()`] and [`jobs()`]: what runs, how often, for how long, and where it was made.
//!
//! # Where the ideas come from
//!
//! AEM: Frédéric Rossi, Linux Journal 6777 (2003) and 6980 (2004). The job cell: biased reference
//! counting, Choi, Shull and Torrellas (2018). The timers: hashed and hierarchical wheels, Varghese
//! and Lauck (1987).
#![deny(unsafe_code)]
#[cfg(not(target_os = "linux"))]
compile_error!("aem-rt runs on Linux only: its reactor is made of epoll and io_uring");

mod backend;
mod chunk;
mod error;
pub mod fd;
pub mod fs;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod handler;
mod job;
mod metrics;
pub mod net;
mod payload;
pub mod process;
mod queue;
mod rare;
mod reactor;
mod report;
mod runtime;
pub mod signal;
mod sync;
mod sys;
pub mod time;

pub use chunk::Chunk;
pub use error::{BoxError, HandlerError, JoinError, Result};
pub use handler::{
    CloseReport, Closing, Control, End, Idle, IntoNext, Next, RUN_EVENTS, Registration, Restart,
    Scope, ScopeHandle, State, WeakState, on, on_async, on_each, on_ok, supervise,
};
pub use job::join::JoinHandle;
pub use metrics::{JobId, JobInfo, JobKind, JobStats, Metrics};
pub use payload::Payload;
pub use queue::Priority;
pub use queue::ready::{LOW_AGE, NORMAL_AGE};
pub use runtime::{
    Backend, BackendKind, BackendReport, Builder, Handle, PanicPolicy, Runtime, TURN_JOBS,
    YieldNow, block_on, cause, jobs, metrics, spawn, spawn_blocking, trace_causes, yield_now,
};

/// Runs an `async fn main` on a fresh runtime of its own.
///
/// The function may return whatever `fn main` may: `()`, `Result<(), E>`,
/// [`ExitCode`](std::process::ExitCode). When no runtime can be built, the program prints
/// `aem: ` and the error on standard error and exits with status 1.
///
/// The arguments, all optional:
///
/// - `backend = "auto" | "epoll" | "io_uring"`: how the kernel is asked; `"auto"` unless said.
/// - `workers = 1`: how many threads run jobs. More than one comes in a later version.
/// - `crate = "path::to::aem"`: where this crate is found, for those who re-export it.
///
/// ```
/// #[aem::main(backend = "epoll")]
/// async fn main() -> std::io::Result<()> {
///     let answer = aem::spawn(async { 6 * 7 }).await?;
///     println!("{answer}");
///     Ok(())
/// }
/// ```
#[cfg(feature = "macros")]
#[doc(inline)]
pub use aem_macros::main;

/// Makes an `async fn` a test that runs on a fresh runtime of its own.
///
/// The arguments are those of [`main`](macro@main); `seeds = A..B`, which will run the test on the
/// simulated kernel, comes in a later version. `#[ignore]`, `#[should_panic]` and a return type
/// of `Result<(), E>` work as with `#[test]`. When no runtime can be built, the test panics with
/// the error.
///
/// ```
/// #[aem::test]
/// async fn a_task_gives_back_what_it_computed() -> Result<(), aem::BoxError> {
///     assert_eq!(aem::spawn(async { 6 * 7 }).await?, 42);
///     Ok(())
/// }
/// ```
#[cfg(feature = "macros")]
#[doc(inline)]
pub use aem_macros::test;
