//! Directories: made, listed, changed and removed, with the same errors on both keepers.

use std::cell::Cell;
use std::collections::HashSet;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::rc::Rc;

use aem::fs::{self, DirBuilder};
use aem_tests::scale::scaled_count;
use futures::{StreamExt, TryStreamExt};

use super::{Place, abandon, code, on_both};

#[test]
fn names_are_made_changed_and_removed() {
    on_both("names", async |_, place| {
        let path = |name: &str| place.file(name);
        fs::create_dir(path("dir")).await.expect("made");
        fs::write(path("dir/a"), "text").await.expect("written");
        fs::hard_link(path("dir/a"), path("b")).await.expect("linked");
        fs::symlink("dir/a", path("s")).await.expect("linked");
        assert_eq!(fs::read_link(path("s")).await.expect("read"), Path::new("dir/a"));
        assert_eq!(fs::read_to_string(path("s")).await.expect("read"), "text");
        assert_eq!(fs::metadata(path("s")).await.expect("there").nlink(), 2);
        let link = fs::symlink_metadata(path("s")).await.expect("there");
        assert!(link.is_symlink() && !link.is_file() && link.file_type().is_symlink());
        let whole = fs::canonicalize(path("dir/../s")).await.expect("there");
        assert_eq!(whole, std::fs::canonicalize(path("dir/a")).expect("there"));
        fs::rename(path("dir"), path("other")).await.expect("renamed");
        assert!(!fs::exists(path("s")).await.expect("told"), "it leads nowhere now");
        assert!(fs::exists(path("other/a")).await.expect("told"));
        fs::rename(path("b"), path("other/a")).await.expect("the same file");
        fs::remove_file(path("other/a")).await.expect("removed");
        fs::remove_dir(path("other")).await.expect("removed");
        fs::create_dir_all(path("x/y/z")).await.expect("made");
        fs::create_dir_all(path("x/y/z")).await.expect("there already");
        DirBuilder::new().mode(0o700).create(path("x/mine")).await.expect("made");
        let mode = fs::metadata(path("x/mine")).await.expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        fs::remove_dir_all(path("x")).await.expect("removed");
        assert!(!path("x").exists());
    });
}

/// Whatever is refused: what it is, and what the standard library says to the same.
#[test]
fn errors_are_those_of_the_kernel() {
    on_both("refused-names", async |_, place| {
        let path = |name: &str| place.file(name);
        std::fs::create_dir_all(path("full/x")).expect("made");
        std::fs::write(path("file"), "").expect("written");
        let long = "x".repeat(300);
        assert_eq!(code(fs::create_dir(path("full")).await), Some(libc::EEXIST));
        assert_eq!(code(fs::create_dir(path("no/a")).await), Some(libc::ENOENT));
        assert_eq!(code(fs::create_dir(path(&long)).await), Some(libc::ENAMETOOLONG));
        assert_eq!(code(fs::create_dir_all(path("file/a")).await), Some(libc::ENOTDIR));
        assert_eq!(code(fs::rename(path("no"), path("a")).await), Some(libc::ENOENT));
        assert_eq!(code(fs::rename(path("file"), path("full")).await), Some(libc::EISDIR));
        assert_eq!(code(fs::rename("/proc/version", path("a")).await), Some(libc::EXDEV));
        assert_eq!(code(fs::remove_file(path("full")).await), Some(libc::EISDIR));
        assert_eq!(code(fs::remove_file(path("no")).await), Some(libc::ENOENT));
        assert_eq!(code(fs::remove_dir(path("full")).await), Some(libc::ENOTEMPTY));
        assert_eq!(code(fs::remove_dir(path("file")).await), Some(libc::ENOTDIR));
        assert_eq!(code(fs::remove_dir_all(path("no")).await), Some(libc::ENOENT));
        assert_eq!(code(fs::hard_link(path("full"), path("a")).await), Some(libc::EPERM));
        assert_eq!(code(fs::symlink("a", path("file")).await), Some(libc::EEXIST));
        assert_eq!(code(fs::read_link(path("file")).await), Some(libc::EINVAL));
        assert_eq!(code(fs::canonicalize(path("no")).await), Some(libc::ENOENT));
        assert_eq!(code(fs::symlink_metadata(path("no")).await), Some(libc::ENOENT));
        assert_eq!(code(fs::exists(path("file/a")).await), Some(libc::ENOTDIR));
        let all = std::fs::Permissions::from_mode(0o777);
        assert_eq!(code(fs::set_permissions(path("no"), all).await), Some(libc::ENOENT));
        assert_eq!(code(fs::read_dir(path("no")).await), Some(libc::ENOENT));
        assert_eq!(code(fs::read_dir(path("file")).await), Some(libc::ENOTDIR));
        let kind = async |result: io::Result<()>| result.expect_err("no path").kind();
        let zeros = [
            kind(fs::create_dir("a\0").await).await,
            kind(fs::rename("a\0", "b").await).await,
            kind(fs::remove_dir_all("a\0").await).await,
            kind(fs::read_dir("a\0").await.map(drop)).await,
        ];
        assert_eq!(zeros, [io::ErrorKind::InvalidInput; 4]);
    });
}

/// Names a directory is full of.
fn fill(place: &Place, count: usize) -> HashSet<String> {
    let names: HashSet<String> = (0..count).map(|n| format!("file {n}")).collect();
    for name in &names {
        std::fs::File::create(place.file(name)).expect("made");
    }
    names
}

#[test]
fn every_name_in_a_directory_is_told_once() {
    on_both("list", async |_, place| {
        let mut names = fill(&place, scaled_count(100_000, 1_500));
        std::fs::create_dir(place.file("dir")).expect("made");
        std::os::unix::fs::symlink("nowhere", place.file("link")).expect("made");
        let (mut entries, mut given_up) = (fs::read_dir(&place.0).await.expect("a list"), 0);
        loop {
            // KEPT: now and then an await is given up.
            let next = futures::future::poll_immediate(entries.next()).await;
            let entry = match next {
                Some(Some(entry)) => entry.expect("an entry"),
                Some(None) => break,
                None => {
                    given_up += 1;
                    aem::yield_now().await;
                    continue;
                }
            };
            let name = entry.file_name().to_str().expect("text").to_owned();
            let kind = entry.file_type().await.expect("there");
            assert_eq!(entry.path(), place.file(&name));
            match name.as_str() {
                "dir" => assert!(kind.is_dir()),
                "link" => assert!(kind.is_symlink()),
                _ => assert!(kind.is_file() && names.remove(&name), "{name} is told again"),
            }
            if given_up % 100 == 1 {
                let known = entry.metadata().await.expect("there");
                assert_eq!((known.ino(), known.file_type()), (entry.ino(), kind));
            }
        }
        assert!(names.is_empty(), "{} are missing", names.len());
        assert!(given_up > 3 && entries.next().await.is_none());
    });
}

#[test]
fn a_handler_lists_and_may_stop() {
    on_both("list-handler", async |_, place| {
        let count = fill(&place, 1_000).len();
        let heard = Rc::new(Cell::new(0));
        let list = async || fs::read_dir(&place.0).await.expect("a list");
        let hears = Rc::clone(&heard);
        let handler = aem::on_ok(list().await, move |_| hears.set(hears.get() + 1));
        assert_eq!(handler.await.expect("no error"), aem::End::Exhausted);
        assert_eq!(heard.get(), count);

        let handler = aem::on_ok(list().await, |_| aem::Next::Stop);
        assert_eq!(handler.await.expect("no error"), aem::End::Stopped);
        // Dropped while a thread reads.
        let mut entries = list().await;
        abandon(entries.next(), 1).await;
        drop(entries);
        // Used after its directory was removed.
        let mut entries = list().await;
        std::fs::remove_dir_all(&place.0).expect("removed");
        while entries.try_next().await.expect("a part of it, or nothing").is_some() {}
        std::fs::create_dir(&place.0).expect("made");
    });
}

/// Names changed under way are changed or not, and nothing is left behind.
#[test]
fn a_change_of_names_that_was_dropped_happens_or_not() {
    on_both("dropped-names", async |_, place| {
        let (a, b) = (place.file("a"), place.file("b"));
        fs::write(&a, "one").await.expect("written");
        for n in 0..scaled_count(2_000, 100) {
            let (from, to) = if a.exists() { (&a, &b) } else { (&b, &a) };
            abandon(fs::rename(from, to), n % 4).await;
            abandon(fs::create_dir(place.file("dir")), n % 3).await;
            let _ = fs::remove_dir(place.file("dir")).await;
        }
        // What was dropped last may be under way; what follows waits for nothing of it.
        while let Err(error) = fs::rename(&a, &b).await {
            assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
            if fs::exists(&b).await.expect("told") {
                break;
            }
        }
    });
}
