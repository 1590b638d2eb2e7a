//! The budget of lines.

use super::*;

#[test]
fn a_storm_is_counted_not_printed() {
    let start = Instant::now();
    let mut budget = Budget { lines: BURST, since: None, left_out: 0 };
    for _ in 0..BURST {
        assert_eq!(budget.take(start), Some(0));
    }
    assert_eq!(budget.take(start), None);
    assert_eq!(budget.take(start), None);
    assert_eq!(budget.take(start + REFILL), Some(2));
    assert_eq!(budget.take(start + REFILL), None);
    assert_eq!(budget.take(start + REFILL * 1000), Some(1));
}
