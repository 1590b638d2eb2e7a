//! What a test needs of the machine, and what becomes of it where that is missing.
//!
//! A test that cannot run says so on standard error, also when the test harness keeps what tests print. What
//! `AEM_REQUIRE` names, with commas between (`AEM_REQUIRE=io_uring,strace`), must be there: then
//! the lack of it fails the test.

use std::io::Write;

/// Says that something is skipped for want of `what`.
///
/// # Panics
/// If `AEM_REQUIRE` names it.
#[track_caller]
pub fn skip(what: &str, why: &str) {
    assert!(!is_required(what), "AEM_REQUIRE names {what}, and it is missing: {why}");
    // Not by a macro that the harness captures.
    let _ = writeln!(std::io::stderr().lock(), "SKIPPED for want of {what}: {why}");
}

/// Whether `AEM_REQUIRE` names it.
#[must_use]
pub fn is_required(what: &str) -> bool {
    std::env::var("AEM_REQUIRE").is_ok_and(|names| names.split(',').any(|name| name.trim() == what))
}
