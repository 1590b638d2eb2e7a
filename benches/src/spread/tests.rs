//! Tests of the interval, against the tables of the sign test.

use super::*;

fn first(count: u32) -> Vec<f64> {
    (1..=count).map(f64::from).collect()
}

#[test]
fn interval_is_that_of_the_tables() {
    let tables = [(5, None), (6, Some((1.0, 6.0))), (8, Some((1.0, 8.0))), (9, Some((2.0, 8.0)))];
    for (count, expected) in tables {
        assert_eq!(interval(&first(count)), expected, "of {count}");
    }
    assert_eq!(interval(&first(12)), Some((3.0, 10.0)));
    assert_eq!(interval(&first(25)), Some((8.0, 18.0)));
}

#[test]
fn one_wild_figure_does_not_move_it() {
    let mut figures = first(9);
    figures[8] = 1_000.0;
    assert_eq!(Spread::of(&figures).interval, Some((2.0, 8.0)));
}

#[test]
fn ratios_are_taken_round_by_round() {
    let series = |figures: &[f64]| Series { name: String::new(), figures: figures.to_vec() };
    let (own, base) = (series(&[2.0, 40.0, 6.0]), series(&[1.0, 20.0, 3.0]));
    let spread = Spread::of_ratios(&own, &base).unwrap();
    assert_eq!((spread.median, spread.quartiles, spread.interval), (2.0, (2.0, 2.0), None));
    assert_eq!(Spread::of_ratios(&own, &series(&[1.0])), None);
}
