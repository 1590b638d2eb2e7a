//! Records are whole, in order, and counted where they are lost. Run by loom in every order.

use super::*;
use crate::sync::testing::spawn;
use crate::sync::{Arc, model};

fn record(number: i32) -> Record {
    Record { code: number, pid: number, uid: number as u32, value: number as usize }
}

/// Reads what there is; all of a record must be of one handler.
fn read(records: &Records, cursor: &mut u64, into: &mut Vec<i32>) -> u64 {
    let mut lost = 0;
    while let Some(found) = records.next(cursor) {
        match found {
            Found::Record(found) => {
                assert_eq!(found, record(found.code), "a torn record");
                into.push(found.code);
            }
            Found::Lost(many) => lost += many,
        }
    }
    lost
}

fn loom_of(places: usize, writers: i32) {
    let records = Arc::new(Records::new(places));
    let threads: Vec<_> = (1..=writers)
        .map(|number| {
            let records = Arc::clone(&records);
            spawn(move || records.add(record(number)))
        })
        .collect();
    let (mut cursor, mut seen) = (0, Vec::new());
    let mut lost = read(&records, &mut cursor, &mut seen);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    lost += read(&records, &mut cursor, &mut seen);
    assert_eq!(seen.len() as u64 + lost, writers as u64, "each is told of once");
    assert_eq!((records.count(), cursor), (writers as u64, writers as u64));
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len() as u64 + lost, writers as u64, "none is told of twice");
    if places >= writers as usize {
        assert_eq!(lost, 0, "there was room for all");
    }
}

#[test]
fn loom_handlers_with_room_for_all_lose_nothing() {
    model(|| loom_of(2, 2));
}

#[test]
fn loom_handlers_that_meet_in_one_place_tear_nothing() {
    model(|| loom_of(1, 2));
}

#[test]
fn loom_a_handler_may_come_a_round_later() {
    model(|| {
        let records = Arc::new(Records::new(1));
        let own = Arc::clone(&records);
        let thread = spawn(move || {
            own.add(record(1));
            own.add(record(2));
        });
        let (mut cursor, mut seen) = (0, Vec::new());
        let mut lost = read(&records, &mut cursor, &mut seen);
        thread.join().unwrap();
        lost += read(&records, &mut cursor, &mut seen);
        assert!(seen.is_sorted());
        assert_eq!(seen.last(), Some(&2), "the last one is always there");
        assert_eq!(seen.len() as u64 + lost, 2);
    });
}

#[test]
fn loom_two_listeners_read_at_their_own_pace() {
    model(|| {
        let records = Arc::new(Records::new(1));
        let own = Arc::clone(&records);
        let listener = spawn(move || {
            let (mut cursor, mut seen) = (0, Vec::new());
            let lost = read(&own, &mut cursor, &mut seen);
            assert_eq!(seen.len() as u64 + lost, cursor);
        });
        records.add(record(1));
        let (mut cursor, mut seen) = (0, Vec::new());
        assert_eq!(read(&records, &mut cursor, &mut seen), 0);
        assert_eq!(seen, [1]);
        listener.join().unwrap();
    });
}

#[test]
fn a_slow_listener_is_told_how_many_he_missed() {
    if crate::sync::MODELLED {
        return;
    }
    let records = Records::new(4);
    let mut cursor = 0;
    (0..10).for_each(|number| records.add(record(number)));
    assert_eq!(records.next(&mut cursor), Some(Found::Lost(6)));
    for number in 6..10 {
        assert_eq!(records.next(&mut cursor), Some(Found::Record(record(number))));
    }
    assert_eq!(records.next(&mut cursor), None);
    let negative = Record { code: -6, pid: -1, uid: u32::MAX, value: usize::MAX };
    records.add(negative);
    assert_eq!(records.next(&mut cursor), Some(Found::Record(negative)));
}
