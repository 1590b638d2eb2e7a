//! Makes the corpora, from fixed seeds: `seeds` writes them, `seeds play N` plays N inputs that it does not
//! keep, from seeds beyond those.

use std::fs;
use std::path::Path;

use aem_fuzz::{Coverage, job_queue, ledger};

/// So many files each corpus has: the operations of all of them together must be all there are.
const FILES: u64 = 32;
/// The longest input.
const BYTES: u64 = 600;

/// xorshift64*: the same numbers everywhere and for ever.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32
    }
}

fn input(seed: u64) -> Vec<u8> {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let length = 16 + random.next() % BYTES;
    (0..length).map(|_| random.next() as u8).collect()
}

type Target = (&'static str, fn(&[u8]) -> Coverage, usize);

/// With the number of operations that there are.
const TARGETS: [Target; 2] = [("job_queue", job_queue::run, 16), ("ledger", ledger::run, 7)];

fn main() -> std::io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let inputs = match words.as_slice() {
        [] => 1..=FILES,
        [play, number] if play == "play" => {
            FILES + 1..=FILES + number.parse::<u64>().map_err(std::io::Error::other)?
        }
        _ => return Err(std::io::Error::other("usage: seeds [play NUMBER]")),
    };
    for (name, run, operations) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let mut coverage = Coverage::new();
        for seed in inputs.clone() {
            let input = input(seed);
            for (operation, times) in run(&input) {
                *coverage.entry(operation).or_default() += times;
            }
            if words.is_empty() {
                fs::create_dir_all(&folder)?;
                fs::write(folder.join(format!("seed-{seed:02}")), input)?;
            }
        }
        println!("{name}: {coverage:?}");
        assert!(coverage.len() >= operations, "{name}: not all operations are covered");
    }
    Ok(())
}
