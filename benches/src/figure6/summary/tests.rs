//! Tests of the slopes.

use super::super::records::tests::records;
use super::*;

#[test]
fn slope_is_that_of_least_squares() {
    assert_eq!(slope(&[(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]), 2.0);
    // By hand: the means are 1 and 2, the sums 1 and 2.
    assert_eq!(slope(&[(0.0, 1.0), (1.0, 3.0), (2.0, 2.0)]), 0.5);
    assert_eq!(slope(&[(7.0, 1.0)]), 0.0);
}

#[test]
fn each_round_is_compared_with_itself() {
    let records = records(&[
        (0, "s", 0, 100.0),
        (0, "s", 10_000, 110.0),
        (0, "t", 0, 1.0),
        (1, "s", 0, 200.0),
        (1, "s", 10_000, 220.0),
    ]);
    let one = |record: &Record| record.median_micros;
    let slopes = slopes(&records, "s", one);
    assert!(slopes.len() == 2 && slopes.iter().all(|slope| (slope - 10.0).abs() < 1e-9));
    let growths = growths(&records, "s", one);
    assert!(growths.len() == 2 && growths.iter().all(|growth| (growth - 1.1).abs() < 1e-9));
}
