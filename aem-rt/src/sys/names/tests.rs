//! Calls on names, in a directory of the test's own.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::*;

fn c(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

fn place() -> PathBuf {
    std::env::temp_dir().join(format!("aem-names-{}", std::process::id()))
}

#[test]
fn names_come_and_go() {
    let place = place();
    make_directory(&c(&place), 0o700).unwrap();
    let path = |name: &str| place.join(name);
    std::fs::write(path("a"), "text").unwrap();
    link(&c(&path("a")), &c(&path("b"))).unwrap();
    rename(&c(&path("b")), &c(&path("c"))).unwrap();
    symlink(c"c", &c(&path("s"))).unwrap();
    assert_eq!(std::fs::read_link(path("s")).unwrap(), Path::new("c"));
    assert_eq!(std::fs::read_to_string(path("s")).unwrap(), "text");
    link(&c(&path("s")), &c(&path("t"))).unwrap();
    assert!(path("t").is_symlink(), "a link of a link is one too");
    for name in ["a", "c", "s", "t"] {
        remove(&c(&path(name)), false).unwrap();
    }
    remove(&c(&place), true).unwrap();
    assert!(!place.exists());
}

#[test]
fn what_is_refused_says_why() {
    let code = |result: io::Result<()>| result.unwrap_err().raw_os_error().unwrap();
    assert_eq!(code(make_directory(c"/", 0o777)), libc::EEXIST);
    assert_eq!(code(rename(c"/nowhere/a", c"/nowhere/b")), libc::ENOENT);
    assert_eq!(code(remove(c"/nowhere/a", true)), libc::ENOENT);
    assert_eq!(code(remove(c"/", false)), libc::EISDIR);
    assert_eq!(code(link(c"/nowhere/a", c"/nowhere/b")), libc::ENOENT);
    assert_eq!(code(symlink(c"a", c"/")), libc::EEXIST);
}
