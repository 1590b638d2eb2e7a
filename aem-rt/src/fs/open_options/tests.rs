//! The flags are those that the standard library's options lead to.

use super::*;

type Set = fn(&mut OpenOptions, bool) -> &mut OpenOptions;

const SETS: [Set; 6] = [
    OpenOptions::read,
    OpenOptions::write,
    OpenOptions::append,
    OpenOptions::truncate,
    OpenOptions::create,
    OpenOptions::create_new,
];

/// What the standard library makes of the same options: whether it calls them invalid before it asks.
fn std_refuses(number: u32) -> bool {
    let mut options = std::fs::OpenOptions::new();
    let bit = |place: u32| number >> place & 1 == 1;
    options.read(bit(0)).write(bit(1)).append(bit(2));
    options.truncate(bit(3)).create(bit(4)).create_new(bit(5));
    // A directory that is not there: whatever is asked in earnest fails with ENOENT.
    let error = options.open("/nowhere/at/all").unwrap_err();
    error.kind() == io::ErrorKind::InvalidInput
}

#[test]
fn what_makes_no_sense_is_refused_as_by_std() {
    for number in 0..64 {
        let mut options = OpenOptions::new();
        for (place, set) in SETS.iter().enumerate() {
            set(&mut options, number >> place & 1 == 1);
        }
        assert_eq!(options.flags().is_err(), std_refuses(number), "{options:?}");
    }
}

#[test]
fn flags_say_what_was_asked() {
    let flags = |options: &mut OpenOptions| options.flags().unwrap();
    let none = libc::O_CLOEXEC;
    assert_eq!(flags(OpenOptions::new().read(true)), none | libc::O_RDONLY);
    let made = none | libc::O_WRONLY | libc::O_CREAT;
    assert_eq!(flags(OpenOptions::new().write(true).create(true)), made);
    assert_eq!(
        flags(OpenOptions::new().write(true).create(true).truncate(true)),
        made | libc::O_TRUNC
    );
    assert_eq!(flags(OpenOptions::new().write(true).create_new(true)), made | libc::O_EXCL);
    let custom = libc::O_NOFOLLOW | libc::O_RDWR;
    let nofollow = none | libc::O_NOFOLLOW;
    assert_eq!(flags(OpenOptions::new().read(true).custom_flags(custom)), nofollow);
}
