//! Trees, watched with all that is made in them: who believes what he is told knows them as they are.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aem::fs::{Change, ChangeKind, Changes, Watch};
use aem::time::timeout;
use aem_tests::random::Random;
use aem_tests::scale::scaled_count;
use futures::TryStreamExt;

use super::{Place, next, on_both, told};

/// After so long without a change there is none: longer than half a move is waited for.
const PAUSE: Duration = Duration::from_millis(40);

/// So often that is waited for who does not know the tree as it is.
const PAUSES: usize = 50;

async fn watch(place: &Place) -> Changes {
    Watch::new().recursive(true).start(place.path("tree")).await.expect("watched")
}

/// All that is below a directory. What is moved while this looks may be in it, or not.
fn walk(path: &Path) -> BTreeSet<PathBuf> {
    let (mut all, mut above) = (BTreeSet::new(), vec![path.to_owned()]);
    while let Some(directory) = above.pop() {
        let Ok(entries) = std::fs::read_dir(directory) else { continue };
        for entry in entries {
            let entry = entry.expect("an entry");
            if entry.file_type().expect("known").is_dir() {
                above.push(entry.path());
            }
            all.insert(entry.path());
        }
    }
    all
}

/// What somebody knows who is told of changes.
struct Believer {
    root: PathBuf,
    known: BTreeSet<PathBuf>,
    /// How often he had to look for himself.
    looks: usize,
    /// Whether he may be told what is not so, and to look soon after.
    is_patient: bool,
}

impl Believer {
    fn new(place: &Place) -> Believer {
        let root = place.path("tree");
        Believer { known: walk(&root), root, looks: 0, is_patient: false }
    }

    fn hear(&mut self, change: Change) {
        let Change { kind, path, .. } = change;
        match kind {
            ChangeKind::Created => {
                let is_new = self.known.insert(path.clone());
                assert!(is_new || self.is_patient, "{path:?} is created twice");
            }
            ChangeKind::Removed => self.known.retain(|it| !it.starts_with(&path)),
            ChangeKind::Renamed { from } => {
                let moved: Vec<_> =
                    self.known.iter().filter(|it| it.starts_with(&from)).cloned().collect();
                assert!(!moved.is_empty() || self.is_patient, "{from:?} was not known");
                if moved.is_empty() && path.exists() {
                    // A look has missed it, as it was moved meanwhile.
                    self.known.extend(walk(&path));
                    self.known.insert(path.clone());
                }
                for old in moved {
                    self.known.remove(&old);
                    self.known.insert(moved_path(&old, &from, &path).expect("it is below"));
                }
            }
            ChangeKind::Overflow => {
                self.known = walk(&self.root);
                self.looks += 1;
            }
            ChangeKind::Modified | ChangeKind::Closed | ChangeKind::Attributes => {}
            other => panic!("{other:?}"),
        }
    }

    /// Hears all until this directory is made, and what follows at once.
    async fn hear_until(&mut self, changes: &mut Changes, last: &Path) {
        let mut is_there = false;
        while !is_there {
            let change = next(changes).await;
            is_there = change.path == last || change.kind == ChangeKind::Overflow && last.exists();
            self.hear(change);
        }
        // Half a move is told late, and a busy machine is slow.
        for _ in 0..PAUSES {
            while let Ok(change) = timeout(PAUSE, changes.try_next()).await {
                self.hear(change.expect("no error").expect("it goes on"));
            }
            if self.known == walk(&self.root) {
                return;
            }
        }
        self.must_be_right();
    }

    #[track_caller]
    fn must_be_right(&self) {
        let there = walk(&self.root);
        let lost: Vec<_> = there.difference(&self.known).collect();
        let gone: Vec<_> = self.known.difference(&there).collect();
        assert!(lost.is_empty() && gone.is_empty(), "lost {lost:?}, gone {gone:?}");
    }
}

fn moved_path(path: &Path, from: &Path, to: &Path) -> Option<PathBuf> {
    let rest = path.strip_prefix(from).ok()?;
    Some(if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) })
}

#[test]
fn a_thousand_directories_at_once_lose_nothing() {
    on_both("thousand", async |place| {
        let root = place.path("tree");
        std::fs::create_dir(&root).expect("made");
        let mut changes = watch(&place).await;
        let (top, count) = (root.clone(), scaled_count(1_000, 1_000));
        let making = aem::spawn_blocking(move || {
            let mut random = Random::new(1);
            let mut directories = vec![top];
            for n in 0..count {
                let directory = &directories[random.below(directories.len())];
                let new = directory.join(format!("dir {n}"));
                std::fs::create_dir(&new).expect("made");
                std::fs::File::create(new.join("file")).expect("made");
                directories.push(new);
            }
        });
        let mut believer = Believer::new(&place);
        believer.known.clear();
        while believer.known.len() < 2 * count {
            believer.hear(next(&mut changes).await);
        }
        making.await.expect("made");
        believer.must_be_right();
        assert_eq!(believer.looks, 0, "it was told to look");
        // And each of them is watched.
        for (n, directory) in walk(&root).iter().filter(|path| path.is_dir()).enumerate() {
            if n % 50 == 0 {
                std::fs::File::create(directory.join("new")).expect("made");
                while next(&mut changes).await.path != directory.join("new") {}
            }
        }
    });
}

#[test]
fn directories_that_move_take_their_paths_along() {
    on_both("moves", async |place| {
        std::fs::create_dir_all(place.path("tree/a/b/c")).expect("made");
        let mut changes = watch(&place).await;
        std::fs::rename(place.path("tree/a"), place.path("tree/x")).expect("moved");
        place.make("tree/x/b/c/1");
        let expected = ["a to x", "Created x/b/c/1", "Closed x/b/c/1"];
        assert_eq!(told(&mut changes, 3).await, expected);
        // Out of sight.
        std::fs::rename(place.path("tree/x"), place.path("out")).expect("moved");
        assert_eq!(told(&mut changes, 1).await, ["Removed x"]);
        place.make("out/b/2");
        place.make("tree/3");
        assert_eq!(told(&mut changes, 2).await, ["Created 3", "Closed 3"]);
        // And back, with what happened meanwhile.
        std::fs::rename(place.path("out"), place.path("tree/y")).expect("moved");
        let mut all = told(&mut changes, 5).await;
        assert_eq!(all[..2], ["Created y", "Created y/b"]);
        all[2..].sort();
        assert_eq!(all[2..], ["Created y/b/2", "Created y/b/c", "Created y/b/c/1"]);
        place.make("tree/y/b/c/4");
        assert_eq!(told(&mut changes, 1).await, ["Created y/b/c/4"]);
    });
}

#[test]
fn links_are_not_followed() {
    on_both("links", async |place| {
        std::fs::create_dir_all(place.path("tree")).expect("made");
        std::fs::create_dir_all(place.path("out")).expect("made");
        let mut changes = watch(&place).await;
        std::os::unix::fs::symlink("../out", place.path("tree/link")).expect("linked");
        std::os::unix::fs::symlink("..", place.path("tree/up")).expect("linked");
        place.make("out/unseen");
        place.make("tree/seen");
        let all = told(&mut changes, 3).await;
        assert_eq!(all, ["Created link", "Created up", "Created seen"]);
    });
}

/// What somebody does at random, as fast as he can.
struct Disturber {
    root: PathBuf,
    directories: Vec<PathBuf>,
    random: Random,
    count: usize,
}

impl Disturber {
    fn new(place: &Place, seed: u64) -> Disturber {
        let root = place.path("tree");
        let (directories, random) = (vec![root.clone()], Random::new(seed));
        Disturber { root, directories, random, count: 0 }
    }

    fn any(&mut self) -> PathBuf {
        self.directories[self.random.below(self.directories.len())].clone()
    }

    fn new_name(&mut self) -> PathBuf {
        self.count += 1;
        self.any().join(self.count.to_string())
    }

    fn make(&mut self) {
        let new = self.new_name();
        if self.random.one_in(2) {
            std::fs::create_dir(&new).expect("made");
            self.directories.push(new);
        } else {
            std::fs::File::create(new).expect("made");
        }
    }

    fn change(&mut self) {
        let (directory, to) = (self.any(), self.new_name());
        if directory == self.root || to.starts_with(&directory) {
            return;
        }
        if self.random.one_in(4) {
            std::fs::remove_dir_all(&directory).expect("removed");
            return self.directories.retain(|path| !path.starts_with(&directory));
        }
        std::fs::rename(&directory, &to).expect("moved");
        for path in &mut self.directories {
            if let Some(new) = moved_path(path, &directory, &to) {
                *path = new;
            }
        }
    }

    /// The last thing: a directory of this name.
    fn sign(&mut self) -> PathBuf {
        self.count += 1;
        let last = self.root.join(format!("last {}", self.count));
        std::fs::create_dir(&last).expect("made");
        self.directories.push(last.clone());
        last
    }
}

/// Runs a test for each of some seeds, or for that which `AEM_TEST_SEED` says.
fn seeds(test: impl Fn(u64)) {
    let seed = std::env::var("AEM_TEST_SEED").ok().map(|seed| seed.parse().expect("a number"));
    for number in 0..scaled_count(100, 4) as u64 {
        let seed = seed.unwrap_or(number);
        println!("AEM_TEST_SEED={seed}");
        test(seed);
    }
}

/// What is made is made at once, and what is there is moved and removed at once, but not both: then nobody
/// has to look for himself.
#[test]
fn who_believes_all_changes_knows_the_tree() {
    seeds(|seed| {
        on_both("random", async |place| {
            std::fs::create_dir(place.path("tree")).expect("made");
            let mut changes = watch(&place).await;
            let (mut believer, mut disturber) =
                (Believer::new(&place), Disturber::new(&place, seed));
            for round in 0..6 {
                let disturbing = aem::spawn_blocking(move || {
                    for _ in 0..100 {
                        if round % 2 == 0 { disturber.make() } else { disturber.change() }
                    }
                    let last = disturber.sign();
                    (disturber, last)
                });
                let (back, last) = disturbing.await.expect("it has no panic");
                disturber = back;
                believer.hear_until(&mut changes, &last).await;
                assert_eq!(believer.looks, 0, "he was told to look");
            }
        });
    });
}

/// All at once: now and then somebody has to look for himself, and knows that.
#[test]
fn who_believes_all_changes_of_a_storm_is_told_when_to_look() {
    seeds(|seed| {
        on_both("storm", async |place| {
            std::fs::create_dir(place.path("tree")).expect("made");
            let mut changes = watch(&place).await;
            let (mut believer, mut disturber) =
                (Believer::new(&place), Disturber::new(&place, seed));
            believer.is_patient = true;
            let disturbing = aem::spawn_blocking(move || {
                for _ in 0..300 {
                    if disturber.random.one_in(2) { disturber.make() } else { disturber.change() }
                }
                disturber.sign()
            });
            while !disturbing.is_finished() {
                if let Ok(change) = timeout(PAUSE, changes.try_next()).await {
                    believer.hear(change.expect("no error").expect("it goes on"));
                }
            }
            let last = disturbing.await.expect("it has no panic");
            if believer.known.contains(&last) {
                std::fs::remove_dir(&last).expect("removed");
                std::fs::create_dir(&last).expect("made");
            }
            believer.hear_until(&mut changes, &last).await;
            println!("{} looks", believer.looks);
        });
    });
}
