//! What is asked of a kernel that refuses, and how a refusal reads.

use super::*;

fn os(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

#[test]
fn parts_to_do_without_are_read_by_name() {
    assert_eq!(Without::parse(""), Ok(Without::default()));
    let two = Without::parse(" buffer_ring, defer_taskrun,").unwrap();
    assert!(two.contains(Without::BUFFER_RING) && two.contains(Without::DEFER_TASKRUN));
    assert!(!two.contains(Without::MULTISHOT_ACCEPT));
    assert_eq!(Without::parse("buffer_ring,bufer_ring"), Err("bufer_ring"));
    for name in Without::names().split(", ") {
        assert_ne!(Without::parse(name), Ok(Without::default()), "{name}");
    }
}

#[test]
fn a_shape_loses_one_thing_after_the_other_and_then_half_its_size() {
    let (deferred, cooperative, submit_all) = (true, true, true);
    let best = Shape { entries: 64, completions: 128, deferred, cooperative, submit_all };
    let shapes: Vec<Shape> = std::iter::successors(Some(best), |shape| with_less(*shape)).collect();
    let flags = |shape: &Shape| (shape.deferred, shape.cooperative, shape.submit_all);
    assert_eq!(
        shapes.iter().map(flags).collect::<Vec<_>>(),
        [(true, true, true), (false, true, true), (false, false, true), (false, false, false)]
    );
    let sizes: Vec<u32> = std::iter::successors(Some(best), |shape| halved(*shape))
        .map(|shape| shape.entries)
        .collect();
    assert_eq!(sizes, [64, 32, 16, 8]);
}

#[test]
fn a_refusal_has_a_reason_and_another_error_has_none() {
    for (number, name) in [
        (libc::EPERM, "EPERM"),
        (libc::ENOSYS, "ENOSYS"),
        (libc::ENOMEM, "ENOMEM"),
        (libc::EINVAL, "EINVAL"),
        (libc::EACCES, "EACCES"),
    ] {
        let why = why_not(&os(number)).unwrap();
        assert!(why.contains(name) && !why.contains('\n'), "{why}");
    }
    for number in [libc::EMFILE, libc::ENFILE, libc::EFAULT] {
        assert_eq!(why_not(&os(number)), None);
        assert!(is_granted(Err(os(number))).is_err());
    }
    let missing = io::Error::new(io::ErrorKind::Unsupported, "the kernel's io_uring has no RECV");
    assert_eq!(why_not(&missing).unwrap(), "the kernel's io_uring has no RECV");
    assert!(!is_granted(Err(os(libc::EINVAL))).unwrap() && is_granted(Ok(())).unwrap());
}

/// What nobody may lock today somebody may tomorrow.
#[test]
fn want_of_memory_is_not_noted_for_good() {
    note_refusal(&os(libc::ENOMEM), "no memory");
    assert_ne!(refused_for_good().map(String::as_str), Some("no memory"));
}
