//! A histogram of durations that costs a few instructions an entry.
//!
//! Below 128 nanoseconds each has a place of its own; above, every power of two has 64 places. Those of
//! one place are taken to lie evenly in it, so that what is read back is at most 1.6 % off.

use std::time::Duration;

const PLACES_BITS: u32 = 6;
const PLACES: usize = 1 << PLACES_BITS;

/// How often which duration was seen.
#[derive(Clone, Debug)]
pub struct Latencies {
    /// By power of two and place in it.
    counts: Vec<u64>,
    sum: u64,
    nanos: u64,
}

/// What came of asking for a while.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What was asked for and came, which is all.
    pub requests: u64,
    /// Until the last of them.
    pub elapsed: Duration,
    /// From the first byte written to the last one read of each.
    pub latencies: Latencies,
}

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies {
            counts: vec![0; PLACES * (u64::BITS as usize - PLACES_BITS as usize + 1)],
            sum: 0,
            nanos: 0,
        }
    }
}

impl Latencies {
    /// One more.
    pub fn add(&mut self, duration: Duration) {
        let nanos = duration.as_nanos() as u64;
        self.counts[place_of(nanos)] += 1;
        self.sum += 1;
        self.nanos += nanos;
    }

    /// The mean, exactly, in microseconds. 0 if there are none.
    pub fn mean_micros(&self) -> f64 {
        self.nanos as f64 / 1_000.0 / self.sum.max(1) as f64
    }

    /// What a share of all, between 0 and 1, did not exceed, in microseconds. 0 if there are none.
    pub fn micros_at(&self, share: f64) -> f64 {
        let mut rest = (self.sum as f64 * share) as u64;
        for (place, count) in self.counts.iter().enumerate() {
            if rest < *count {
                let beyond = width_of(place) as f64 * rest as f64 / *count as f64;
                return (nanos_of(place) as f64 + beyond) / 1_000.0;
            }
            rest -= count;
        }
        0.0
    }
}

fn place_of(nanos: u64) -> usize {
    // The highest places of the number, but never fewer than all of a small one.
    let power = (u64::BITS - nanos.leading_zeros()).saturating_sub(PLACES_BITS + 1);
    ((power as usize) << PLACES_BITS) + (nanos >> power) as usize
}

/// The least that has the place.
fn nanos_of(place: usize) -> u64 {
    let power = (place >> PLACES_BITS).saturating_sub(1);
    ((place - (power << PLACES_BITS)) as u64) << power
}

/// How many have the place.
fn width_of(place: usize) -> u64 {
    1 << (place >> PLACES_BITS).saturating_sub(1)
}

#[cfg(test)]
mod tests;
