//! Changes of files: whatever happens is told, once and in order, or it is told that not all of it was.
//!
//! Every test runs on both keepers.

#[path = "watch_files/trees.rs"]
mod trees;

use std::cell::RefCell;
use std::collections::HashSet;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use aem::Backend;
use aem::fs::{self, Change, ChangeKind, Changes, Watch};
use aem::time::timeout;
use aem_tests::scale::scaled_count;
use aem_tests::watch::watched_on;
use aem_tests::{alone, keepers};
use futures::future::poll_immediate;
use futures::{StreamExt, TryStreamExt};

/// Nothing here takes longer, unless it hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// A directory that goes with its test.
struct Place(PathBuf);

impl Place {
    fn new(name: &str, keeper: Backend) -> Place {
        let name = format!("watch-{name}-{}-{}", keepers::name(keeper), std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).expect("a directory");
        Place(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Makes an empty file.
    fn make(&self, name: &str) {
        std::fs::File::create(self.path(name)).expect("made");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs a test on each keeper, under guard.
fn on_both<F: Future>(name: &str, test: impl Fn(Place) -> F) {
    for keeper in keepers::both() {
        watched_on(keepers::builder(keeper), async |_| {
            let place = Place::new(name, keeper);
            timeout(LIMIT, test(place)).await.expect("the test hangs")
        });
    }
}

async fn next(changes: &mut Changes) -> Change {
    changes.try_next().await.expect("no error").expect("it goes on")
}

/// The next changes of a kind and a name each, as text.
async fn told(changes: &mut Changes, count: usize) -> Vec<String> {
    let mut all = Vec::new();
    for _ in 0..count {
        let root = changes.path().to_owned();
        let name = |path: &Path| path.strip_prefix(&root).expect("below").display().to_string();
        let Change { kind, path, .. } = next(changes).await;
        all.push(match kind {
            ChangeKind::Renamed { from } => format!("{} to {}", name(&from), name(&path)),
            kind => format!("{kind:?} {}", name(&path)),
        });
    }
    all
}

#[test]
fn every_kind_of_change_is_told_in_order() {
    on_both("kinds", async |place| {
        std::fs::create_dir(place.path("sub")).expect("made");
        let mut changes = fs::watch(&place.0).expect("watched");
        std::fs::write(place.path("a"), "text").expect("written");
        std::fs::rename(place.path("a"), place.path("b")).expect("renamed");
        let read_only = std::os::unix::fs::PermissionsExt::from_mode(0o400);
        std::fs::set_permissions(place.path("b"), read_only).expect("changed");
        std::fs::rename(place.path("b"), place.path("sub/b")).expect("moved away");
        std::fs::rename(place.path("sub/b"), place.path("c")).expect("moved here");
        std::fs::remove_file(place.path("c")).expect("removed");
        std::fs::remove_dir(place.path("sub")).expect("removed");
        let expected = [
            "Created a",
            "Modified a",
            "Closed a",
            "a to b",
            "Attributes b",
            "Removed b",
            "Created c",
            "Removed c",
            "Removed sub",
        ];
        assert_eq!(told(&mut changes, 9).await, expected);
        std::fs::create_dir(place.path("d")).expect("made");
        let change = next(&mut changes).await;
        assert!(change.is_dir && change.path == place.path("d"), "{change:?}");
        assert!(poll_immediate(changes.next()).await.is_none(), "nothing else has happened");
    });
}

#[test]
fn a_handler_hears_changes_and_its_source_can_be_taken_back() {
    on_both("handler", async |place| {
        let heard = Rc::new(RefCell::new(Vec::new()));
        let hears = Rc::clone(&heard);
        let changes = fs::watch(&place.0).expect("watched");
        let handler = aem::on_ok(changes, move |change: Change| {
            if change.kind == ChangeKind::Created {
                hears.borrow_mut().push(change.path);
            }
        });
        for name in ["a", "b"] {
            place.make(name);
            while heard.borrow().last() != Some(&place.path(name)) {
                aem::time::sleep(Duration::from_micros(100)).await;
            }
        }
        assert_eq!(*heard.borrow(), [place.path("a"), place.path("b")]);
        let mut changes = handler.reclaim().expect("it has not ended");
        place.make("c");
        while next(&mut changes).await.path != place.path("c") {}
    });
}

/// KEPT: however often an await is given up, nothing is lost.
#[test]
fn a_cancelled_await_loses_no_change() {
    on_both("cancel", async |place| {
        let mut changes = fs::watch(&place.0).expect("watched");
        let (mut made, mut seen) = (0, 0);
        while seen < 200 {
            if made < 200 && made <= seen + 3 {
                place.make(&made.to_string());
                made += 1;
            }
            match poll_immediate(changes.try_next()).await {
                Some(change) => {
                    let change = change.expect("no error").expect("it goes on");
                    if change.kind == ChangeKind::Created {
                        assert_eq!(change.path, place.path(&seen.to_string()));
                        seen += 1;
                    }
                }
                None => aem::yield_now().await,
            }
        }
    });
}

#[test]
fn the_end_of_what_is_watched_is_the_last_change() {
    on_both("gone", async |place| {
        let root = place.path("root");
        let make = || std::fs::create_dir(&root).expect("made");
        for moved in [false, true] {
            for recursive in [false, true] {
                make();
                let watch = Watch::new().recursive(recursive);
                let mut changes = watch.start(&root).await.expect("watched");
                std::fs::write(root.join("a"), "").expect("written");
                if moved {
                    std::fs::rename(&root, place.path("else")).expect("moved");
                    std::fs::remove_dir_all(place.path("else")).expect("removed");
                } else {
                    std::fs::remove_dir_all(&root).expect("removed");
                }
                let all: Vec<Change> = changes.by_ref().try_collect().await.expect("no error");
                let [first, .., last] = &all[..] else { panic!("{all:?}") };
                assert_eq!(first.kind, ChangeKind::Created);
                assert_eq!((&last.kind, &last.path), (&ChangeKind::Gone, &root));
                assert!(last.is_dir && changes.next().await.is_none());
            }
        }
        // A handler ends with its source.
        make();
        let handler = aem::on_ok(fs::watch(&root).expect("watched"), drop);
        std::fs::remove_dir(&root).expect("removed");
        assert_eq!(handler.await.expect("no error"), aem::End::Exhausted);
    });
}

#[test]
fn a_single_file_is_watched() {
    on_both("file", async |place| {
        place.make("file");
        let path = place.path("file");
        let mut changes = fs::watch(&path).expect("watched");
        place.make("other");
        std::fs::write(&path, "text").expect("written");
        std::fs::remove_file(&path).expect("removed");
        let mut kinds = Vec::new();
        while let Some(change) = changes.try_next().await.expect("no error") {
            assert!(change.path == path && !change.is_dir, "{change:?}");
            kinds.push(change.kind);
        }
        kinds.dedup();
        let [ChangeKind::Modified, ChangeKind::Closed, .., ChangeKind::Gone] = kinds[..] else {
            panic!("{kinds:?}")
        };
    });
}

#[test]
fn what_cannot_be_watched_is_an_error_at_once() {
    on_both("errors", async |place| {
        let kind = |result: io::Result<Changes>| result.expect_err("an error").kind();
        assert_eq!(kind(fs::watch(place.path("no"))), io::ErrorKind::NotFound);
        assert_eq!(kind(fs::watch("a\0")), io::ErrorKind::InvalidInput);
        for recursive in [false, true] {
            let watch = Watch::new().recursive(recursive);
            let missing = watch.clone().start(place.path("no")).await;
            assert_eq!(kind(missing), io::ErrorKind::NotFound);
            assert_eq!(kind(watch.start("a\0").await), io::ErrorKind::InvalidInput);
        }
    });
}

#[test]
fn a_source_elsewhere_is_an_error() {
    for keeper in keepers::both() {
        let place = Place::new("elsewhere", keeper);
        let runtime = keepers::builder(keeper).build().expect("a runtime");
        let mut changes = runtime.block_on(async { fs::watch(&place.0).expect("watched") });
        place.make("a");
        let error = aem::block_on(async { changes.next().await.expect("an item") });
        assert!(error.is_err(), "{error:?}");
        let rest = runtime.block_on(async { changes.next().await });
        assert!(rest.is_none(), "an error is the end: {rest:?}");
        let mut changes = runtime.block_on(async { fs::watch(&place.0).expect("watched") });
        drop(runtime);
        let error = aem::block_on(async { changes.next().await.expect("an item") });
        assert!(error.is_err(), "{error:?}");
    }
}

/// Makes so many files, and sees each of them made, unless it is told that not all was seen.
async fn make_many(place: &Place, count: usize, listen_meanwhile: bool) -> (usize, bool) {
    let mut changes = fs::watch(&place.0).expect("watched");
    let path = place.0.clone();
    let make = move || {
        for n in 0..count {
            std::fs::File::create(path.join(n.to_string())).expect("made");
        }
        std::fs::create_dir(path.join("last")).expect("made");
    };
    let making = aem::spawn_blocking(make);
    if !listen_meanwhile {
        making.await.expect("made");
    }
    let (mut seen, mut lost) = (HashSet::new(), false);
    loop {
        let change = next(&mut changes).await;
        match change.kind {
            ChangeKind::Created if change.is_dir => break,
            ChangeKind::Created => assert!(seen.insert(change.path), "told twice"),
            ChangeKind::Overflow => {
                lost = true;
                break;
            }
            ChangeKind::Closed => {}
            other => panic!("nobody has done that: {other:?}"),
        }
    }
    (seen.len(), lost)
}

#[test]
fn every_creation_is_seen_or_an_overflow() {
    on_both("many", async |place| {
        let count = scaled_count(10_000, 2_000);
        let (seen, lost) = make_many(&place, count, true).await;
        assert!(seen == count || lost, "{seen} of {count} seen");
    });
}

#[test]
fn who_does_not_listen_is_told_that_changes_were_lost() {
    on_both("overflow", async |place| {
        let kept = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events");
        let kept: usize = kept.expect("a limit").trim().parse().expect("a number");
        if kept > 100_000 {
            return aem_tests::requirement::skip("a queue of inotify that fills", "it is large");
        }
        let (seen, lost) = make_many(&place, kept, false).await;
        assert!(lost && seen >= kept / 2 - 1, "{seen} seen of {kept} records, lost: {lost}");
    });
}

#[test]
fn after_an_overflow_it_goes_on() {
    on_both("goes-on", async |place| {
        let mut changes = Watch::new().recursive(true).start(&place.0).await.expect("watched");
        let kept = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events");
        let kept: usize = kept.expect("a limit").trim().parse().expect("a number");
        if kept > 100_000 {
            return aem_tests::requirement::skip("a queue of inotify that fills", "it is large");
        }
        // Two records each, which are not like the one before.
        place.make("a");
        for _ in 0..kept / 2 + 10 {
            std::fs::rename(place.path("a"), place.path("b")).expect("renamed");
            std::fs::rename(place.path("b"), place.path("a")).expect("renamed");
        }
        std::fs::create_dir_all(place.path("new/deep")).expect("made, and lost");
        while next(&mut changes).await.kind != ChangeKind::Overflow {}
        place.make("new/deep/x");
        let change = next(&mut changes).await;
        assert_eq!((change.kind, change.path), (ChangeKind::Created, place.path("new/deep/x")));
    });
}

/// In a namespace of its own a user may be given few watches.
#[test]
fn out_of_watches_the_error_names_the_limit() {
    let script = "echo 5 > /proc/sys/user/max_inotify_watches && exec \"$@\"";
    let wrapper = ["unshare", "-U", "-r", "sh", "-c", script, "sh"];
    alone::run_under("out_of_watches_the_error_names_the_limit", LIMIT, &wrapper, || {
        on_both("limit", async |place| {
            let text = |error: io::Error| {
                assert_eq!(error.kind(), io::ErrorKind::StorageFull);
                error.to_string()
            };
            let watch = Watch::new().recursive(true);
            // Three watches are there, and a fourth and a fifth come.
            std::fs::create_dir_all(place.path("a/b")).expect("made");
            let mut changes = watch.clone().start(&place.0).await.expect("watched");
            for n in 0..4 {
                std::fs::create_dir(place.path(&n.to_string())).expect("made");
            }
            let (mut created, mut failed) = (0, 0);
            while created + failed < 6 {
                match changes.next().await.expect("it goes on") {
                    Ok(change) => created += usize::from(change.kind == ChangeKind::Created),
                    Err(error) => {
                        failed += 1;
                        let text = text(error);
                        assert!(text.contains("max_user_watches"), "{text}");
                    }
                }
            }
            assert_eq!((created, failed), (4, 2));
            drop(changes);
            let error = watch.start(&place.0).await.expect_err("six directories");
            assert!(text(error).contains("max_user_watches"));
        });
    });
}
