//! What the fuzz targets do: an input is read as a list of operations, which are carried out on the real
//! thing and on a model, and both must agree after each.
//!
//! On stable, `cargo run --release --bin job_queue -- corpus/job_queue/*` plays inputs; with nightly and
//! cargo-fuzz, `cargo +nightly fuzz run job_queue` looks for new ones. The corpora are made by
//! `cargo run --release --bin seeds`, from fixed seeds; `seeds play N` plays N more without keeping them.

use std::collections::BTreeMap;

pub mod job_queue;
pub mod ledger;

/// Reads operations from an input; when it is used up there are only zeros.
#[derive(Clone, Debug)]
pub struct Input<'a> {
    left: &'a [u8],
}

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Input { left: bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.left.split_first() else { return 0 };
        self.left = rest;
        first
    }

    /// A number below the limit.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::from(self.byte()) % limit.max(1)
    }
}

/// How often each operation was carried out.
pub type Coverage = BTreeMap<&'static str, usize>;
