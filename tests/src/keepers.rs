//! The keepers that a test runs on: both from one command, whatever `AEM_BACKEND` says.
//!
//! A machine whose kernel refuses io_uring skips that half aloud, and fails if `AEM_REQUIRE` names
//! `io_uring`.

use std::process::Command;
use std::sync::OnceLock;

use aem::{Backend, Builder, Runtime};

use crate::requirement;

/// epoll, and io_uring where the kernel has it.
///
/// # Panics
/// If `AEM_REQUIRE` names `io_uring` and the kernel refuses it.
#[must_use]
#[track_caller]
pub fn both() -> Vec<Backend> {
    // Tried once: a ring is descriptors, which a watched test beside this one would count.
    static REFUSAL: OnceLock<Option<String>> = OnceLock::new();
    let try_it = || Runtime::builder().backend(Backend::IoUring).build();
    match REFUSAL.get_or_init(|| try_it().err().map(|error| error.to_string())) {
        None => vec![Backend::Epoll, Backend::IoUring],
        Some(refusal) => {
            requirement::skip("io_uring", refusal);
            vec![Backend::Epoll]
        }
    }
}

/// A builder of runtimes on this keeper.
#[must_use]
pub fn builder(keeper: Backend) -> Builder {
    Runtime::builder().backend(keeper)
}

/// The value of `AEM_BACKEND` that asks for this keeper.
#[must_use]
pub fn name(keeper: Backend) -> &'static str {
    match keeper {
        Backend::Auto => "auto",
        Backend::Epoll => "epoll",
        Backend::IoUring => "io_uring",
    }
}

/// A program of this crate, `env!("CARGO_BIN_EXE_name")`, that is to run on this keeper.
#[must_use]
pub fn command(keeper: Backend, path: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(path);
    command.args(arguments).env("AEM_BACKEND", name(keeper)).env_remove("AEM_IO_URING_WITHOUT");
    command
}
