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
mod runtime;
pub mod signal;
mod sync;
mod sys;
pub mod time;
