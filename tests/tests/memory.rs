//! What things cost in memory: nothing for a wake, a yield or an event, at most one allocation for a spawn.
//!
//! Each is done thousands of times in a process of its own, under an allocator that counts.

use std::time::Duration;

use aem_tests::child::Program;

const LIMIT: Duration = Duration::from_secs(60);

/// What was counted in all.
struct Sums {
    calls: u64,
    bytes: i64,
    rounds: i64,
}

fn measure(what: &str) -> Sums {
    let mut child = Program::start(env!("CARGO_BIN_EXE_frugal"), &[what]);
    println!("{}", child.line(LIMIT));
    let line = child.line(LIMIT);
    let sums: Vec<i64> = line.split(' ').map(|n| n.parse().expect("a number")).collect();
    let (status, errors) = child.end(LIMIT);
    assert!(status.success(), "{errors}");
    Sums { calls: sums[0].unsigned_abs(), bytes: sums[1], rounds: sums[2] }
}

/// No allocation at all, however often.
#[track_caller]
fn assert_free(what: &str) {
    let sums = measure(what);
    assert_eq!(sums.calls, 0, "allocations in {} rounds of {what}", sums.rounds);
}

/// Exactly so many allocations each, and no memory left of it.
#[track_caller]
fn assert_costs(what: &str, each: i64) {
    let sums = measure(what);
    let rounds = each * sums.rounds;
    assert_eq!(sums.calls, rounds.unsigned_abs(), "{what}");
}

#[track_caller]
fn assert_weighs(what: &str, most: i64) {
    let sums = measure(what);
    let each = sums.bytes / sums.rounds;
    assert!(each <= most, "{each} bytes each in {what}, more than {most}");
}

#[test]
fn a_wake_allocates_nothing() {
    assert_free("wakes");
    assert_free("wakes_from_afar");
}

#[test]
fn a_yield_allocates_nothing() {
    assert_free("yields");
}

#[test]
fn an_event_allocates_nothing() {
    assert_free("events");
    assert_free("events_async");
    assert_free("events_state");
    assert_free("ticks");
    assert_free("echoes");
}

#[test]
fn a_message_costs_the_one_allocation_of_its_channel() {
    assert_costs("messages", 1);
}

#[test]
fn a_sleep_allocates_nothing() {
    assert_free("sleeps");
}

#[test]
fn a_spawn_allocates_at_most_once() {
    // In the memory of the one before.
    assert_free("spawns");
    assert_costs("spawns_of_a_kilobyte", 1);
    assert_costs("spawns_by_handle", 1);
}

#[test]
fn an_event_of_a_cloner_costs_no_more_than_its_task() {
    assert_free("events_each");
}

#[test]
fn what_waits_is_small() {
    assert_weighs("weigh_tasks", 256);
    assert_weighs("weigh_sleeps", 375);
    // AEM's own claim was 375 bytes an event; with the channel's own memory a little more.
    assert_weighs("weigh_timers", 375);
    assert_weighs("weigh_channels", 512);
    assert_weighs("weigh_connections", 560);
}

#[test]
fn nothing_is_left_of_a_runtime() {
    let sums = measure("runtimes");
    assert_eq!(sums.bytes, 0, "bytes left of {} runtimes", sums.rounds);
}

/// The pool's four megabytes are pages that nobody has touched, also when others were used before.
#[test]
fn an_unused_pool_is_not_resident() {
    let sums = measure("pools");
    assert!(sums.bytes < 1 << 20, "{} bytes", sums.bytes);
}
