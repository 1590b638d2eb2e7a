//! What the integration tests share: guards, traffic, a fixed random generator.

pub mod alone;
pub mod bounded;
pub mod child;
pub mod counting;
pub mod elsewhere;
pub mod example;
pub mod forked;
pub mod guarded;
pub mod keepers;
pub mod limits;
pub mod messages;
pub mod passing;
pub mod proc;
pub mod random;
pub mod requirement;
pub mod rerun;
pub mod scale;
pub mod traffic;
pub mod watch;

/// The programs of the README compile, and those that end are run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
#[derive(Debug)]
pub struct Readme;
