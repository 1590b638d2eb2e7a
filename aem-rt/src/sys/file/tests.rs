//! Calls on files, on real ones.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd};

use super::*;

/// A file of this test's, with no name any more.
fn nameless() -> OwnedFd {
    let path = std::env::temp_dir();
    let path = CString::new(path.into_os_string().into_encoded_bytes()).unwrap();
    open(&path, libc::O_TMPFILE | libc::O_RDWR, 0o600).unwrap()
}

#[test]
fn a_file_is_opened_written_and_read_back() {
    let file = nameless();
    assert_eq!(write_at(file.as_fd(), b"0123456789", 5).unwrap(), 10);
    let mut bytes = Vec::with_capacity(32);
    assert_eq!(read_at(file.as_fd(), &mut bytes, 32, 3).unwrap(), 12);
    assert_eq!(bytes, b"\0\x000123456789");
    sync(file.as_fd(), true).unwrap();
    sync(file.as_fd(), false).unwrap();
    close(file).unwrap();
}

#[test]
fn a_read_appends_and_stays_within_its_room() {
    let file = nameless();
    write_at(file.as_fd(), &[7; 100], 0).unwrap();
    let mut bytes = Vec::with_capacity(8);
    bytes.extend([1, 2]);
    let room = bytes.capacity() - 2;
    assert_eq!(read_at(file.as_fd(), &mut bytes, 3, 0).unwrap(), 3);
    assert_eq!(bytes, [1, 2, 7, 7, 7]);
    assert_eq!(read_at(file.as_fd(), &mut bytes, 100, 0).unwrap(), room - 3);
    assert_eq!(read_at(file.as_fd(), &mut bytes, 100, 0).unwrap(), 0, "no room is no read");
}

#[test]
fn the_status_of_a_file_is_that_of_its_path() {
    let file = nameless();
    write_at(file.as_fd(), b"four", 0).unwrap();
    let own = status(Some(file.as_fd()), c"").unwrap();
    let path = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
    let named = status(None, &path).unwrap();
    assert_eq!((own.stx_size, own.stx_ino), (4, named.stx_ino));
    assert_eq!(no_status().stx_size, 0);
    let link = status_of_link(&path).unwrap();
    assert_eq!(u32::from(link.stx_mode) & libc::S_IFMT, libc::S_IFLNK);
}

#[test]
fn what_fails_says_why() {
    let error = open(c"/nowhere/at/all", libc::O_RDONLY, 0).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
    assert_eq!(status(None, c"/nowhere").unwrap_err().raw_os_error(), Some(libc::ENOENT));
    let file = nameless();
    let error = read_at(file.as_fd(), &mut Vec::with_capacity(1), 1, u64::MAX).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    let error = write_at(file.as_fd(), b"x", 1 << 63).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
}

#[test]
fn only_what_has_positions_says_so() {
    assert!(has_positions(nameless().as_fd()));
    let (reader, writer) = io::pipe().unwrap();
    assert!(!has_positions(reader.as_fd()) && !has_positions(writer.as_fd()));
}

#[test]
fn what_has_no_positions_is_read_as_it_comes() {
    let (reader, writer) = io::pipe().unwrap();
    assert_eq!(write(writer.as_fd(), b"abc").unwrap(), 3);
    let mut bytes = Vec::with_capacity(8);
    assert_eq!(read(reader.as_fd(), &mut bytes, 2).unwrap(), 2);
    assert_eq!(read(reader.as_fd(), &mut bytes, 2).unwrap(), 1);
    drop(writer);
    assert_eq!(read(reader.as_fd(), &mut bytes, 2).unwrap(), 0);
    assert_eq!(bytes, b"abc");
}
