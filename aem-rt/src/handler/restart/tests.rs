//! How long a rest is, and when it is once too often. What becomes of handlers is in the tests of the crate.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn rests(restart: &mut Restart, start: Instant, seconds: &[u64]) -> Vec<Option<Duration>> {
    seconds.iter().map(|second| restart.rest_after(start + *second as u32 * SECOND)).collect()
}

#[test]
fn rests_double_up_to_the_longest() {
    let mut restart = Restart::new().times(6).within(100 * SECOND).back_off(SECOND, 10 * SECOND);
    let rests = rests(&mut restart, Instant::now(), &[0, 1, 2, 3, 4, 5, 6]);
    let doubled = [1, 2, 4, 8, 10, 10].map(|seconds| Some(seconds * SECOND));
    assert_eq!(rests[..6], doubled);
    assert_eq!(rests[6], None, "the seventh is once too often");
}

#[test]
fn failures_are_forgotten_one_by_one() {
    let mut restart = Restart::new().times(2).within(10 * SECOND).back_off(SECOND, 9 * SECOND);
    let rests = rests(&mut restart, Instant::now(), &[0, 5, 6, 11, 12, 40]);
    let expected = [Some(1), Some(2), None, Some(2), None, Some(1)];
    assert_eq!(rests, expected.map(|rest| rest.map(|seconds: u32| seconds * SECOND)));
}

#[test]
fn the_greatest_numbers_overflow_nothing() {
    let mut restart = Restart::new()
        .times(u32::MAX)
        .within(Duration::MAX)
        .back_off(Duration::from_secs(u64::MAX / 4), Duration::MAX);
    let start = Instant::now();
    for _ in 0..100 {
        assert!(restart.rest_after(start).is_some());
    }
    assert_eq!(Restart::new().times(0).rest_after(start), None);
    assert_eq!(
        Restart::new().back_off(SECOND, Duration::ZERO).rest_after(start),
        Some(Duration::ZERO)
    );
}
