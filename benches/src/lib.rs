//! What the benchmarks share: the contenders behind one trait, the work they are given, and how
//! rounds of it are measured and told.
//!
//! Everything in one table was measured in one run, in turns: a round goes once through all
//! contenders, each round begins with another one, and what is compared is the median of the ratios
//! within rounds. So whatever else the machine does meets all of them.

pub mod accounts;
pub mod contenders;
pub mod counting;
pub mod datagrams;
pub mod dispatch;
pub mod echo;
pub mod exchange;
pub mod figure6;
pub mod floor;
pub mod http;
pub mod interface;
pub mod kernel;
pub mod latency;
pub mod meter;
pub mod noise;
pub mod provided;
pub mod ring;
pub mod rounds;
pub mod scale;
pub mod server;
pub mod spread;
pub mod timers;
pub mod workloads;
pub mod wrk;
