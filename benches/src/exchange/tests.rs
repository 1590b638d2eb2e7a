//! The message, trip by trip.

use super::*;

#[test]
fn both_sides_agree_about_every_trip_and_measure_all_but_the_first() {
    let (mut serves, mut returns) =
        (Exchange::new(Side::Serves, 10), Exchange::new(Side::Returns, 10));
    assert!(returns.opening().is_none());
    let mut message = serves.opening();
    let mut trips = 0;
    while let Some(bytes) = message {
        let answer = returns.received(&bytes).unwrap().unwrap();
        message = serves.received(&answer).unwrap();
        trips += 1;
    }
    assert_eq!(trips, FIRST + 10);
    assert!(serves.is_over() && returns.is_over());
    assert!(serves.figures().unwrap().wall > 0.0 && returns.figures().is_ok());
}

#[test]
fn a_wrong_message_is_noticed() {
    let mut returns = Exchange::new(Side::Returns, 10);
    assert!(returns.received(&[1; MESSAGE]).is_err());
    assert!(returns.received(&[0; MESSAGE - 1]).is_err());
    assert!(returns.figures().is_err());
}
