//! The border of the root, and pages read in pieces.

use super::*;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory of its own that is removed at the end of the test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Directory {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("aemhttpd-files-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(path.join("root/docs")).unwrap();
        fs::write(path.join("secret"), "outside").unwrap();
        fs::write(path.join("root/a.txt"), "inside").unwrap();
        fs::write(path.join("root/docs/index.html"), "<p>docs").unwrap();
        Directory(path)
    }

    fn root(&self) -> PathBuf {
        self.0.join("root")
    }

    fn site(&self) -> Site {
        Site::open(&self.root()).unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn find(site: &Site, path: &str) -> Result<Found, Status> {
    site.find(path.as_bytes().to_vec())
}

fn page(site: &Site, path: &str) -> Page {
    match find(site, path) {
        Ok(Found::Page(page)) => page,
        other => panic!("{path}: {other:?}"),
    }
}

#[test]
fn a_page_comes_with_its_facts_and_its_bytes() {
    let directory = Directory::new();
    let mut found = page(&directory.site(), "a.txt");
    assert_eq!((found.tag.length, found.media_type), (6, "text/plain; charset=utf-8"));
    let modified = fs::metadata(directory.root().join("a.txt")).unwrap().modified().unwrap();
    assert_eq!(found.tag.modified, modified);
    let mut out = b"head ".to_vec();
    found.rest.read(&mut out, 100).unwrap();
    assert_eq!(out, b"head inside");
    assert!(found.rest.is_over());
}

#[test]
fn a_directory_is_its_index_or_a_hint() {
    let directory = Directory::new();
    let site = directory.site();
    assert_eq!(page(&site, "docs/").media_type, "text/html; charset=utf-8");
    assert!(matches!(find(&site, "docs"), Ok(Found::Directory)));
    assert!(matches!(find(&site, ""), Err(Status::NOT_FOUND)));
    fs::create_dir_all(directory.root().join("x/index.html")).unwrap();
    assert!(matches!(find(&site, "x/"), Err(Status::NOT_FOUND)));
    assert!(matches!(find(&site, "a.txt/"), Err(Status::NOT_FOUND)));
}

#[test]
fn nothing_outside_of_the_root_is_opened() {
    let directory = Directory::new();
    let (site, root) = (directory.site(), directory.root());
    symlink("../secret", root.join("relative")).unwrap();
    symlink(directory.0.join("secret"), root.join("absolute")).unwrap();
    symlink("..", root.join("up")).unwrap();
    symlink("a.txt", root.join("inner")).unwrap();
    symlink("round", root.join("round")).unwrap();
    for path in ["relative", "absolute", "up/secret", "../secret", "docs/../../secret", "round"] {
        assert!(matches!(find(&site, path), Err(Status::NOT_FOUND)), "{path}");
    }
    assert!(matches!(find(&site, "/etc/passwd"), Err(Status::NOT_FOUND)));
    assert_eq!(page(&site, "inner").tag.length, 6);
}

#[test]
fn what_is_no_file_is_not_found_and_stops_nobody() {
    let directory = Directory::new();
    let status = std::process::Command::new("mkfifo").arg(directory.root().join("fifo")).status();
    if status.is_ok_and(|status| status.success()) {
        assert!(matches!(find(&directory.site(), "fifo"), Err(Status::NOT_FOUND)));
    }
    let _socket = std::os::unix::net::UnixListener::bind(directory.root().join("socket")).unwrap();
    assert!(matches!(find(&directory.site(), "socket"), Err(Status::NOT_FOUND)));
    assert!(matches!(find(&directory.site(), &"a".repeat(300)), Err(Status::NOT_FOUND)));
    assert!(matches!(find(&directory.site(), &"a/".repeat(3000)), Err(Status::NOT_FOUND)));
}

#[test]
fn pieces_add_up_and_none_is_over_its_limit() {
    let directory = Directory::new();
    let whole: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
    fs::write(directory.root().join("big.bin"), &whole).unwrap();
    let mut rest = page(&directory.site(), "big.bin").rest;
    let mut read = Vec::new();
    while !rest.is_over() {
        let mut piece = Vec::new();
        rest.read(&mut piece, 4096).unwrap();
        assert!(!piece.is_empty() && piece.len() <= 4096);
        read.extend_from_slice(&piece);
    }
    assert!(read == whole);
}

#[test]
fn what_the_head_promised_is_kept_when_the_file_changes() {
    let directory = Directory::new();
    let (site, path) = (directory.site(), directory.root().join("a.txt"));
    let mut rest = page(&site, "a.txt").rest;
    fs::write(&path, "inside and much more").unwrap();
    let mut out = Vec::new();
    rest.read(&mut out, 100).unwrap();
    assert_eq!(out, b"inside");
    let mut rest = page(&site, "a.txt").rest;
    fs::write(&path, "less").unwrap();
    let error = rest.read(&mut Vec::new(), 100).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn a_root_is_a_directory_that_is_there() {
    let directory = Directory::new();
    let kind = |path: &str| Site::open(&directory.0.join(path)).unwrap_err().kind();
    assert_eq!(kind("secret"), io::ErrorKind::NotADirectory);
    assert_eq!(kind("nowhere"), io::ErrorKind::NotFound);
}

#[test]
fn names_promise_types() {
    assert_eq!(media_type(b"a/B.PNG"), "image/png");
    assert_eq!(media_type(b"a.b/c"), "application/octet-stream");
    assert_eq!(media_type(b"a.tar.gz"), "application/gzip");
}
