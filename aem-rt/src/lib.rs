//! An async runtime for Linux in the spirit of AEM.
#![deny(unsafe_code)]
#[cfg(not(target_os = "linux"))]
compile_error!("aem-rt runs on Linux only: its reactor is made of epoll and io_uring");

mod backend;
mod chunk;
mod error;
pub mod fd;
mod handler;
mod job;
mod metrics;
pub mod net;
mod payload;
mod queue;
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
    CloseReport, Closing, Control, End, Idle, IntoNext, Next, RUN_EVENTS, Registration, Scope,
    ScopeHandle, State, WeakState, on, on_async, on_each, on_ok,
};
pub use job::join::JoinHandle;
pub use metrics::{JobId, JobInfo, JobKind, JobStats, Metrics, jobs, metrics};
pub use payload::Payload;
pub use queue::Priority;
pub use queue::ready::{LOW_AGE, NORMAL_AGE};
pub use runtime::{
    Backend, BackendKind, BackendReport, Builder, Handle, PanicPolicy, Runtime, TURN_JOBS,
    YieldNow, block_on, spawn, spawn_blocking, yield_now,
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
