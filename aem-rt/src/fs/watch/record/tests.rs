//! Records, whole and broken.

use super::*;

fn encoded(number: i32, mask: u32, cookie: u32, name: &[u8]) -> Vec<u8> {
    let mut bytes = number.to_ne_bytes().to_vec();
    for word in [mask, cookie, name.len() as u32] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes.extend(name);
    bytes
}

fn all(mut bytes: &[u8]) -> (Vec<Record>, usize) {
    let mut records = Vec::new();
    while let Some(record) = Record::take(&mut bytes) {
        records.push(record);
    }
    (records, bytes.len())
}

#[test]
fn records_follow_one_another() {
    let mut bytes = encoded(3, libc::IN_CREATE, 0, b"name\0\0\0\0");
    bytes.extend(encoded(-1, libc::IN_Q_OVERFLOW, 0, b""));
    bytes.extend(encoded(4, libc::IN_MOVED_TO, 7, b"\xff not UTF-8 \0"));
    let (records, left) = all(&bytes);
    assert_eq!((records.len(), left), (3, 0));
    assert_eq!((records[0].number, records[0].name.as_bytes()), (3, &b"name"[..]));
    assert!(records[1].says(libc::IN_Q_OVERFLOW) && records[1].number == -1);
    assert_eq!((records[2].cookie, records[2].name.as_bytes()), (7, &b"\xff not UTF-8 "[..]));
}

#[test]
fn what_is_cut_short_is_the_end() {
    let mut bytes = encoded(1, libc::IN_CREATE, 0, b"first\0\0\0");
    let whole = bytes.len();
    bytes.extend(encoded(1, libc::IN_CREATE, 0, b"second\0\0"));
    for end in 0..bytes.len() {
        let (records, left) = all(&bytes[..end]);
        let expected = usize::from(end >= whole);
        assert_eq!((records.len(), left), (expected, end - whole * expected));
    }
}

#[test]
fn a_length_that_lies_is_the_end() {
    for length in [9, 1 << 20, u32::MAX] {
        let mut bytes = encoded(1, libc::IN_CREATE, 0, b"name\0\0\0\0");
        bytes[12..16].copy_from_slice(&length.to_ne_bytes());
        assert_eq!(all(&bytes).0, []);
    }
}

#[test]
fn a_name_without_an_end_is_all_of_it() {
    let (records, _) = all(&encoded(1, 0, 0, b"name"));
    assert_eq!(records[0].name, "name");
}
