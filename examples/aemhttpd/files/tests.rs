//! The border of the root, and what becomes of pages that are kept while their files change.

use super::*;
use crate::limits::{FRESH, MAX_SHELF, SETTLED};
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

fn page(site: &Site, target: &str) -> Rc<Page> {
    match site.find(target.as_bytes(), Instant::now()) {
        Ok(Found::Page(page)) => page,
        other => panic!("{target}: {other:?}"),
    }
}

/// All of a page that is read.
fn content(page: &Page) -> String {
    let mut out = Answers::at(Instant::now());
    page.put(0..page.tag.length, &mut out).unwrap();
    assert!(!out.has_files());
    String::from_utf8(out.bytes().clone()).unwrap()
}

#[test]
fn a_page_comes_with_its_facts_and_its_bytes() {
    let directory = Directory::new();
    let found = page(&directory.site(), "/a.txt");
    assert_eq!((found.tag.length, found.media_type), (6, "text/plain; charset=utf-8"));
    let modified = fs::metadata(directory.root().join("a.txt")).unwrap().modified().unwrap();
    assert_eq!(found.tag.modified, modified);
    assert_eq!(content(&found), "inside");
    let mut out = Answers::at(Instant::now());
    out.bytes().extend_from_slice(b"head ");
    found.put(2..4, &mut out).unwrap();
    assert_eq!(out.bytes(), b"head si");
}

#[test]
fn a_directory_is_its_index_or_a_hint() {
    let directory = Directory::new();
    let site = directory.site();
    assert_eq!(page(&site, "/docs/").media_type, "text/html; charset=utf-8");
    assert!(matches!(site.find(b"/docs", Instant::now()), Ok(Found::Directory)));
    assert!(matches!(site.find(b"/", Instant::now()), Err(Status::NOT_FOUND)));
    fs::create_dir_all(directory.root().join("x/index.html")).unwrap();
    assert!(matches!(site.find(b"/x/", Instant::now()), Err(Status::NOT_FOUND)));
    assert!(matches!(site.find(b"/a.txt/", Instant::now()), Err(Status::NOT_FOUND)));
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
    for target in ["/relative", "/absolute", "/up/secret", "/round", "//etc/passwd"] {
        assert!(
            matches!(site.find(target.as_bytes(), Instant::now()), Err(Status::NOT_FOUND)),
            "{target}"
        );
    }
    // What the reader of targets would not let through does not get through here.
    for path in ["../secret", "docs/../../secret", "/etc/passwd"] {
        assert!(site.open_beneath(path.as_bytes()).is_err(), "{path}");
    }
    assert_eq!(page(&site, "/inner").tag.length, 6);
}

#[test]
fn what_is_no_file_is_not_found_and_stops_nobody() {
    let directory = Directory::new();
    let status = std::process::Command::new("mkfifo").arg(directory.root().join("fifo")).status();
    if status.is_ok_and(|status| status.success()) {
        assert!(matches!(directory.site().find(b"/fifo", Instant::now()), Err(Status::NOT_FOUND)));
    }
    let _socket = std::os::unix::net::UnixListener::bind(directory.root().join("socket")).unwrap();
    assert!(matches!(directory.site().find(b"/socket", Instant::now()), Err(Status::NOT_FOUND)));
    assert!(matches!(
        directory.site().find(["/", &"a".repeat(300)].concat().as_bytes(), Instant::now()),
        Err(Status::NOT_FOUND)
    ));
    assert!(matches!(
        directory.site().find("/a".repeat(3000).as_bytes(), Instant::now()),
        Err(Status::NOT_FOUND)
    ));
}

#[test]
fn a_big_page_is_sent_as_the_file_that_was_found() {
    let directory = Directory::new();
    let path = directory.root().join("big.bin");
    fs::write(&path, vec![7; MAX_SMALL as usize + 1]).unwrap();
    let found = page(&directory.site(), "/big.bin");
    fs::remove_file(&path).unwrap();
    let mut out = Answers::at(Instant::now());
    out.bytes().extend_from_slice(b"head");
    found.put(5..10, &mut out).unwrap();
    let [Part::Written(_), Part::File(file, bytes)] = out.parts() else { panic!("{out:?}") };
    assert_eq!((bytes.clone(), out.len()), (5..10, 4));
    assert_eq!(fstat(file).unwrap().st_size, MAX_SMALL as i64 + 1);
}

#[test]
fn a_page_is_what_its_file_is_whatever_becomes_of_that() {
    let directory = Directory::new();
    let (site, path) = (directory.site(), directory.root().join("a.txt"));
    // What has just been changed is read again each time, so that no change is missed.
    for round in 0..300 {
        let text = format!("{}", 100 + round);
        fs::write(&path, &text).unwrap();
        assert_eq!(content(&page(&site, "/a.txt")), text);
    }
    std::thread::sleep(SETTLED + Duration::from_secs(1));
    let first = page(&site, "/a.txt");
    assert!(Rc::ptr_eq(&first, &page(&site, "/a.txt")), "it is kept");
    std::thread::sleep(2 * FRESH);
    assert!(Rc::ptr_eq(&first, &page(&site, "/a.txt")), "its file is as it was");
    type Change = fn(&Path);
    let changes: [(&str, Change); 3] = [
        ("222", |path| fs::write(path, "222").unwrap()),
        ("333", |path| {
            fs::write(path.with_extension("new"), "333").unwrap();
            fs::rename(path.with_extension("new"), path).unwrap();
        }),
        ("", |path| fs::remove_file(path).unwrap()),
    ];
    for (text, change) in changes {
        page(&site, "/a.txt");
        change(&path);
        std::thread::sleep(2 * FRESH);
        match site.find(b"/a.txt", Instant::now()) {
            Ok(Found::Page(page)) => assert_eq!(content(&page), text),
            other => assert!(text.is_empty() && matches!(other, Err(Status::NOT_FOUND))),
        }
    }
}

#[test]
fn what_is_kept_is_bounded() {
    let directory = Directory::new();
    let (site, root) = (directory.site(), directory.root());
    for number in 0..300 {
        fs::write(root.join(number.to_string()), vec![0; MAX_SMALL as usize]).unwrap();
    }
    std::thread::sleep(SETTLED + Duration::from_secs(1));
    let mut kept = Vec::new();
    for number in 0..300 {
        kept.push(Rc::downgrade(&page(&site, &format!("/{number}"))));
        let bytes = kept.iter().filter_map(std::rc::Weak::upgrade).map(|page| page.tag.length);
        assert!(bytes.sum::<u64>() <= MAX_SHELF);
    }
    assert!(kept.last().unwrap().upgrade().is_some() && kept[0].upgrade().is_none());
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

#[test]
fn without_openat2_a_path_is_walked_and_no_link_followed() {
    let directory = Directory::new();
    let (root, flags) = (File::open(directory.root()).unwrap(), OFlags::RDONLY | OFlags::CLOEXEC);
    let open = |path: &[u8]| open_step_by_step(&root, path, flags);
    fs::create_dir_all(directory.root().join("one/two")).unwrap();
    fs::write(directory.root().join("one/two/page"), "here").unwrap();
    symlink("one", directory.root().join("link")).unwrap();
    symlink("page", directory.root().join("one/two/alias")).unwrap();
    let mut text = String::new();
    File::from(open(b"one/two/page").unwrap()).read_to_string(&mut text).unwrap();
    assert_eq!(text, "here");
    assert!(open(b".").is_ok() && open(b"one").is_ok());
    assert_eq!(open(b"one/three/page").unwrap_err(), Errno::NOENT);
    assert_eq!(open(b"one/two/page/x").unwrap_err(), Errno::NOTDIR);
    assert_eq!(open(b"one/two/alias").unwrap_err(), Errno::LOOP);
    assert_eq!(open(b"link/two/page").unwrap_err(), Errno::NOTDIR);
}
