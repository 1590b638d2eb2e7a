//! Readings against the instants of the standard library: they are of one clock.

use super::*;

#[test]
fn an_instant_of_a_reading_is_not_late_and_hardly_early() {
    let scale = Scale::new();
    let mut nearest = Duration::MAX;
    for _ in 0..1000 {
        let before = Instant::now();
        let made = scale.instant(Reading::take());
        let after = Instant::now();
        assert!(made <= after, "a timer would fire early");
        nearest = nearest.min(before.saturating_duration_since(made));
    }
    // A thread may be held up anywhere; some of a thousand readings are not.
    assert!(nearest < Duration::from_millis(1), "{nearest:?}");
}

#[test]
fn differences_are_nanoseconds_and_never_below_zero() {
    let first = Reading::take();
    std::thread::sleep(Duration::from_millis(2));
    let second = Reading::take();
    assert!(second.since(first) >= 2_000_000);
    assert_eq!(first.since(second), 0);
}
