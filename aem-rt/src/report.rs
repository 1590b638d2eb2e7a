//! One line on stderr for what nobody else will say: a panic that nobody read, a detached handler that
//! failed, a listener out of descriptors.
//!
//! Limited in rate, so that a storm of failures does not become a storm of output: what was left out is
//! counted, and the count said with the next line.

use std::fmt;
use std::io::Write;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// So many lines may come in a burst: enough to show a pattern.
const BURST: u32 = 10;

/// One more line is allowed after each of these.
const REFILL: Duration = Duration::from_millis(500);

struct Budget {
    lines: u32,
    since: Option<Instant>,
    left_out: u64,
}

static BUDGET: Mutex<Budget> = Mutex::new(Budget { lines: BURST, since: None, left_out: 0 });

impl Budget {
    /// Whether a line may be written now, and how many were left out before it.
    fn take(&mut self, now: Instant) -> Option<u64> {
        let since = *self.since.get_or_insert(now);
        let refills = (now - since).as_millis() / REFILL.as_millis();
        if refills > 0 {
            self.lines =
                BURST.min(self.lines.saturating_add(refills.min(u128::from(BURST)) as u32));
            self.since = Some(now);
        }
        if self.lines == 0 {
            self.left_out += 1;
            return None;
        }
        self.lines -= 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

/// Writes a line to stderr, unless too many came before it.
pub(crate) fn line(text: fmt::Arguments<'_>) {
    let mut budget = BUDGET.lock().unwrap_or_else(|poison| poison.into_inner());
    let allowed = budget.take(Instant::now());
    drop(budget);
    let left_out = match allowed {
        None => return,
        Some(0) => String::new(),
        Some(number) => format!(" ({number} lines were left out before this one)"),
    };
    // One write, so that lines of several threads do not mix. If stderr is gone there is nobody to tell.
    let line = format!("aem: {text}{left_out}\n");
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

#[cfg(test)]
mod tests;
