//! How long a long test is: `AEM_TEST_SCALE` makes it a fraction of its full length.

use std::time::Duration;

/// `AEM_TEST_SCALE`, from above zero to one; a twentieth unless set.
///
/// # Panics
/// If it is set to something else.
#[must_use]
pub fn scale() -> f64 {
    let Ok(text) = std::env::var("AEM_TEST_SCALE") else { return 0.05 };
    let scale: f64 = text.parse().expect("AEM_TEST_SCALE is a number");
    assert!(scale > 0.0 && scale <= 1.0, "AEM_TEST_SCALE={text} is not in (0, 1]");
    scale
}

/// That part of `whole`, at least `least`.
#[must_use]
pub fn scaled(whole: Duration, least: Duration) -> Duration {
    whole.mul_f64(scale()).max(least)
}

/// That part of `whole`, at least `least`.
#[must_use]
pub fn scaled_count(whole: usize, least: usize) -> usize {
    ((whole as f64 * scale()) as usize).max(least)
}
