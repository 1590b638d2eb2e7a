//! What the benchmarks share: the contenders behind one trait, the work they are given, and how
//! rounds of it are measured and told.
//!
//! Everything in one table was measured in one run, in turns: a round goes once through all
//! contenders, each round begins with another one, and what is compared is the median of the ratios
//! within rounds. So whatever else the machine does meets all of them.

pub mod contenders;
pub mod datagrams;
pub mod dispatch;
pub mod echo;
pub mod floor;
pub mod hyper_server;
pub mod meter;
pub mod rounds;
pub mod server;
pub mod timers;
pub mod workloads;
pub mod wrk;
