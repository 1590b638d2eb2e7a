//! Tests of the histogram.

use std::time::Duration;

use super::{Latencies, nanos_of, place_of};

#[test]
fn small_ones_are_exact_and_great_ones_within_two_percent() {
    for nanos in 0..128 {
        assert_eq!(nanos_of(place_of(nanos)), nanos);
    }
    for nanos in [128, 129, 255, 256, 1_000, 65_535, 65_536, 1_000_000_007, u64::MAX] {
        let read = nanos_of(place_of(nanos));
        assert!(read <= nanos && (nanos - read) as f64 <= nanos as f64 / 64.0, "{nanos} {read}");
    }
}

#[test]
fn places_have_the_order_of_durations() {
    let places: Vec<usize> = (0..100_000).map(place_of).collect();
    assert!(places.is_sorted());
    let last = place_of(u64::MAX);
    assert_eq!(Latencies::default().counts.len(), last + 1);
}

#[test]
fn those_of_one_place_lie_evenly_in_it() {
    let mut latencies = Latencies::default();
    // Their place reaches from 6,400 to 6,464 nanoseconds.
    (0..4).for_each(|_| latencies.add(Duration::from_nanos(6_410)));
    assert_eq!(latencies.micros_at(0.0), 6.4);
    assert_eq!(latencies.micros_at(0.5), 6.432);
}

#[test]
fn shares_are_counted_from_below() {
    let mut latencies = Latencies::default();
    assert_eq!(latencies.micros_at(0.5), 0.0);
    (1..=100).for_each(|nanos| latencies.add(Duration::from_nanos(nanos)));
    assert_eq!(latencies.micros_at(0.5), 0.051);
    assert_eq!(latencies.micros_at(0.99), 0.1);
    assert!((latencies.mean_micros() - 0.0505).abs() < 1e-9);
}
