//! Tests of jobs on one thread, and of the end of a worker among busy neighbours.

mod drops;
mod end;
mod reentry;
mod statistics;
