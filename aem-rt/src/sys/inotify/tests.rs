//! inotify, on a directory of the test's own.

use std::ffi::CString;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use super::*;

#[test]
fn what_is_watched_is_told() {
    let place = std::env::temp_dir().join(format!("aem-inotify-{}", std::process::id()));
    std::fs::create_dir(&place).unwrap();
    let path = CString::new(place.as_os_str().as_bytes()).unwrap();
    let inotify = new().unwrap();
    let number = add(inotify.as_fd(), &path, libc::IN_CREATE).unwrap();
    assert_eq!(add(inotify.as_fd(), &path, libc::IN_CREATE).unwrap(), number);
    std::fs::write(place.join("a"), "").unwrap();
    let mut bytes = [0; 256];
    let n = std::fs::File::from(inotify.try_clone().unwrap()).read(&mut bytes).unwrap();
    assert_eq!(n, 32);
    assert_eq!(bytes[..4], number.to_ne_bytes());
    remove(inotify.as_fd(), number).unwrap();
    let error = remove(inotify.as_fd(), number).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    let error = add(inotify.as_fd(), c"/nowhere", libc::IN_CREATE).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
    std::fs::remove_dir_all(place).unwrap();
}
