//! What goes in comes out, in order and once, however the kernel takes it.

use std::os::fd::AsFd;

use super::*;

/// All that is left, as the kernel would see it.
fn pending(queue: &SendQueue) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); SendQueue::MAX_SLICES];
    let count = queue.io_slices(&mut slices);
    slices[..count].iter().flat_map(|slice| slice.to_vec()).collect()
}

#[test]
fn every_kind_keeps_its_bytes() {
    let payloads: [Payload; 9] = [
        b"static slice".as_slice().into(),
        b"static array".into(),
        "static text".into(),
        b"vector".to_vec().into(),
        String::from("text").into(),
        Box::<[u8]>::from(*b"boxed").into(),
        Arc::<[u8]>::from(*b"shared").into(),
        Arc::<str>::from("shared text").into(),
        Chunk::from(b"chunk".to_vec()).into(),
    ];
    let bytes: Vec<&[u8]> = payloads.iter().map(Payload::as_slice).collect();
    assert_eq!(bytes[0], b"static slice");
    assert_eq!(bytes[3..].concat(), b"vectortextboxedsharedshared textchunk");
    assert!(!payloads[8].is_empty());
}

#[test]
fn sending_in_any_steps_sends_each_byte_once() {
    let parts: [&'static str; 5] = ["a", "bcdef", "", "gh", "ijklmnop"];
    let whole: Vec<u8> = parts.concat().into_bytes();
    for step in 1..=whole.len() {
        let mut queue = SendQueue::default();
        parts.iter().for_each(|part| queue.push(*part));
        let mut sent = 0;
        while !queue.is_empty() {
            assert_eq!(pending(&queue), &whole[sent..]);
            assert_eq!(queue.bytes() as usize, whole.len() - sent);
            let (front, only) = queue.front();
            assert!(!front.is_empty());
            assert_eq!(only, front.len() as u64 == queue.bytes());
            let n = step.min(queue.bytes() as usize);
            queue.advance(n);
            sent += n;
        }
        assert_eq!(sent, whole.len());
        assert_eq!(queue.front(), (&[][..], true));
    }
}

#[test]
fn a_queue_takes_at_most_the_slices_it_is_given() {
    let mut queue = SendQueue::default();
    (0..100).for_each(|_| queue.push("xy"));
    let mut slices = [IoSlice::new(&[]); SendQueue::MAX_SLICES];
    assert_eq!(queue.io_slices(&mut slices), SendQueue::MAX_SLICES);
    assert_eq!(queue.bytes(), 200);
    queue.advance(200);
    assert!(
        queue.rest.is_none_or(|rest| rest.payloads.capacity() <= SendQueue::MAX_KEPT),
        "an idle queue holds no memory"
    );
}

#[test]
fn what_was_begun_goes_before_what_is_appended() {
    let mut begun = SendQueue::default();
    begun.push("begun");
    begun.push("!");
    begun.advance(2);
    let mut later = SendQueue::default();
    later.push(" and");
    later.push(" later");
    begun.append(later);
    assert_eq!(pending(&begun), b"gun! and later");

    let mut empty = SendQueue::default();
    empty.append(begun);
    assert_eq!(pending(&empty), b"gun! and later");
    empty.append(SendQueue::default());
    assert_eq!(empty.bytes(), 14);
}

#[test]
#[should_panic(expected = "1 bytes more were sent than there are")]
fn more_than_there_is_cannot_be_sent() {
    let mut queue = SendQueue::default();
    queue.push("ab");
    queue.advance(3);
}

/// Descriptors as they are told apart: by how many there are.
fn descriptors(count: usize) -> Vec<OwnedFd> {
    (0..count).map(|_| std::io::stdin().as_fd().try_clone_to_owned().unwrap()).collect()
}

#[test]
fn descriptors_go_with_their_byte_however_it_is_taken() {
    // Where they go with, and how many.
    let passes = [(0, 1), (3, 2), (4, 3), (11, 4)];
    let parts = ["abc", "d", "efghijk", "l"];
    for step in 1..=13 {
        let mut queue = SendQueue::default();
        for (part, (_, count)) in parts.iter().zip(passes) {
            queue.push_with((*part).into(), descriptors(count));
        }
        queue.push("m");
        let (mut sent, mut gone) = (0, Vec::new());
        while !queue.is_empty() {
            let offered = pending(&queue);
            assert!(!offered.is_empty());
            if !queue.descriptors().is_empty() {
                gone.push((sent, queue.descriptors().len()));
            }
            let next = passes.iter().map(|(place, _)| *place).find(|place| *place > sent);
            assert_eq!(offered, b"abcdefghijklm"[sent..next.unwrap_or(13)]);
            let n = offered.len().min(step);
            queue.advance(n);
            sent += n;
        }
        assert_eq!(gone, passes, "{step} at a time");
    }
}

#[test]
fn queues_with_descriptors_are_joined() {
    for taken in 0..4 {
        let mut first = SendQueue::default();
        first.push("ab");
        first.push_with("cd".into(), descriptors(1));
        if taken > 0 {
            first.advance(taken.min(2));
            first.advance(taken.saturating_sub(2));
        }
        let mut second = SendQueue::default();
        second.push("e");
        second.push_with("f".into(), descriptors(2));
        first.append(second);
        let mut gone = Vec::new();
        while !first.is_empty() {
            let offered = pending(&first);
            gone.push((String::from_utf8(offered.clone()).unwrap(), first.descriptors().len()));
            first.advance(offered.len());
        }
        let expected: &[(&str, usize)] = match taken {
            0 => &[("ab", 0), ("cde", 1), ("f", 2)],
            1 => &[("b", 0), ("cde", 1), ("f", 2)],
            2 => &[("cde", 1), ("f", 2)],
            _ => &[("de", 0), ("f", 2)],
        };
        let gone: Vec<(&str, usize)> = gone.iter().map(|(text, n)| (&text[..], *n)).collect();
        assert_eq!(gone, expected);
    }
}

/// A part of a file that nobody reads.
fn file_part(bytes: std::ops::Range<u64>) -> FilePart {
    let file = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    FilePart::new(file, bytes).unwrap()
}

#[test]
fn files_go_between_the_payloads_that_they_were_queued_between() {
    // Files stand first, behind each other, last, and beside a byte with descriptors.
    let expected = "0123ab45678c9";
    for step in 1..=expected.len() {
        for joined in [false, true] {
            let mut queue = SendQueue::default();
            queue.push_file(file_part(0..4));
            queue.push("ab");
            let mut behind = SendQueue::default();
            let later = if joined { &mut behind } else { &mut queue };
            later.push_file(file_part(4..5));
            later.push_file(file_part(7..7));
            later.push_file(file_part(5..9));
            later.push_with("c".into(), descriptors(1));
            later.push_file(file_part(9..10));
            queue.append(behind);
            let (mut sent, mut with_descriptors) = (String::new(), Vec::new());
            while !queue.is_empty() {
                assert_eq!(queue.bytes() as usize, expected.len() - sent.len());
                let offered = pending(&queue);
                let (text, is_file) = match queue.file_part() {
                    Some(part) => (part.bytes().map(|byte| byte.to_string()).collect(), true),
                    None => (String::from_utf8(offered.clone()).unwrap(), false),
                };
                assert!(!text.is_empty() && (!is_file || offered.is_empty()), "{queue:?}");
                let rest = &expected[sent.len() + text.len()..];
                let file_follows = rest.starts_with(|it: char| it.is_ascii_digit());
                assert!(is_file || queue.has_file_next() == file_follows, "before {rest}");
                with_descriptors.extend(queue.descriptors().first().map(|_| sent.len()));
                let n = text.len().min(step);
                queue.advance(n);
                sent.push_str(&text[..n]);
            }
            assert_eq!((&*sent, queue.bytes()), (expected, 0));
            assert_eq!(with_descriptors, [11], "{step} at a time");
        }
    }
}

#[test]
fn what_is_no_part_of_a_file_is_refused() {
    for range in [(3, 2), (0, u64::MAX)] {
        let file = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
        let error = FilePart::new(file, range.0..range.1).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains("is no part of a file"), "{error}");
    }
}
