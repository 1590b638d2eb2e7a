//! How figures lie: their median, their quartiles, and where the median can be.
//!
//! The interval is that of the sign test: it reaches from one of the sorted figures to another, and
//! holds the median of all rounds that there could be, whatever their distribution, in at least 95 of
//! 100 cases. It takes six figures, and single wild ones do not move it.

use std::fmt;

use crate::rounds::{Series, quartiles};

/// What is left out of the interval on either side, at most.
const LEFT_OUT: f64 = 0.025;

/// A description of some figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The one in the middle.
    pub median: f64,
    /// Between these are half of them.
    pub quartiles: (f64, f64),
    /// Between these the median is, with 95 % confidence. None of fewer than six figures.
    pub interval: Option<(f64, f64)>,
}

impl Spread {
    /// That of these, of which there is at least one.
    pub fn of(figures: &[f64]) -> Spread {
        let [low, median, high] = quartiles(figures);
        Spread { median, quartiles: (low, high), interval: interval(figures) }
    }

    /// That of the ratios round by round. None if one of the two had rounds that the other had not.
    pub fn of_ratios(own: &Series, base: &Series) -> Option<Spread> {
        let are_pairs = own.figures.len() == base.figures.len() && !own.figures.is_empty();
        let pairs = own.figures.iter().zip(&base.figures);
        are_pairs.then(|| Spread::of(&pairs.map(|(own, base)| own / base).collect::<Vec<_>>()))
    }

    /// The interval as it stands in tables, with so many digits.
    pub fn tell_interval(&self, digits: usize) -> String {
        let told = |(low, high)| format!("{low:.digits$} to {high:.digits$}");
        self.interval.map_or("too few rounds".to_owned(), told)
    }
}

/// Median and quartiles; with `#` the interval too.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = self.quartiles;
        write!(f, "{:.2} ({low:.2} to {high:.2})", self.median)?;
        if f.alternate() { write!(f, ", 95 %: {}", self.tell_interval(3)) } else { Ok(()) }
    }
}

fn interval(figures: &[f64]) -> Option<(f64, f64)> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    // The chance that so many tosses of so many coins fall on the same side.
    let count = sorted.len();
    let mut chance = 0.5_f64.powi(count as i32);
    let (mut sum, mut left_out) = (chance, 0);
    while sum <= LEFT_OUT {
        left_out += 1;
        chance *= (count - left_out + 1) as f64 / left_out as f64;
        sum += chance;
    }
    (left_out > 0).then(|| (sorted[left_out - 1], sorted[count - left_out]))
}

#[cfg(test)]
mod tests;
