//! Models of jobs: loom runs each in every order in which its threads may interleave.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release -p aem-rt --lib loom` explores them; without loom the same
//! functions are stress tests with real threads. They are sorted by what they are about:
//!
//! | file | what it models |
//! |-|-|
//! | `wake` | wakes and aborts, during runs, completions and sleep (AWAKE, AGAIN, SINGLE) |
//! | `count` | references: last ones, debts, folds, merges, posts of cells |
//! | `join` | handles on other threads: notes, outputs, panics that nobody read |
//! | `end` | the end of a worker: close, bounce, seal, what outlives it (DRAIN, HOME) |
//! | `table` | each row of the transition table, the owner's column against the others' |
//! | `super::rig` | what the models are built of |
//!
//! How they notice: values of jobs are made on the thread that races, in cells whose every access
//! loom checks ([`Plain`](super::rig::Plain)), and the memory of each cell holds such a value until
//! it is freed. What a job must learn by a wake alone it reads from a Relaxed flag: if the wake
//! does not carry it, some execution reads the old value, and the job is never done, which loom
//! calls a deadlock.

mod count;
mod end;
mod join;

mod table;
mod wake;
