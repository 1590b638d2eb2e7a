//! Trees that are told of what might have happened, in all its orders.

use super::*;

const DIR: u32 = libc::IN_ISDIR;

fn tree() -> Tree {
    Tree::new("/r".into(), true, 1, true)
}

fn record(number: Number, mask: u32, cookie: u32, name: &str) -> Record {
    Record { number, mask, cookie, name: name.into() }
}

fn take(tree: &mut Tree, number: Number, mask: u32, name: &str) {
    tree.take(record(number, mask, 0, name));
}

/// All that is told, as text.
fn told(tree: &mut Tree) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(change) = tree.next() {
        let Change { kind, path, .. } = change.unwrap();
        all.push(match kind {
            ChangeKind::Renamed { from } => format!("{} to {}", from.display(), path.display()),
            kind => format!("{kind:?} {}", path.display()),
        });
    }
    all
}

fn scan_of(top: &str) -> Option<Task> {
    Some(Task::Scan { top: top.into(), is_root: false, recursive: true })
}

fn found(number: Number, directory: &str, name: &str, is_dir: bool) -> Found {
    Found { number, name: name.into(), path: Path::new(directory).join(name), is_dir }
}

/// A directory that is new, and was scanned.
fn with_directory(tree: &mut Tree, name: &str, number: Number, inside: &[&str]) {
    take(tree, 1, libc::IN_CREATE | DIR, name);
    let path = format!("/r/{name}");
    assert_eq!(tree.next_task(), scan_of(&path));
    let found = inside.iter().map(|name| found(number, &path, name, false)).collect();
    tree.learn(Scanned { watched: vec![(number, path.into())], found, ..Scanned::default() });
}

#[test]
fn both_halves_are_one_move_in_the_place_of_the_first() {
    let mut tree = tree();
    tree.take(record(1, libc::IN_MOVED_FROM, 7, "a"));
    take(&mut tree, 1, libc::IN_CREATE, "c");
    assert_eq!(told(&mut tree), [""; 0], "nothing overtakes half a move");
    tree.take(record(1, libc::IN_MOVED_TO, 8, "d"));
    tree.take(record(1, libc::IN_MOVED_TO, 7, "b"));
    assert!(!tree.has_halves());
    assert_eq!(told(&mut tree), ["/r/a to /r/b", "Created /r/c", "Created /r/d"]);
}

#[test]
fn half_a_move_is_a_removal_or_a_creation() {
    let mut tree = tree();
    with_directory(&mut tree, "a", 2, &[]);
    told(&mut tree);
    tree.take(record(1, libc::IN_MOVED_FROM | DIR, 7, "a"));
    assert!(tree.has_halves() && tree.next().is_none());
    tree.part_halves();
    assert_eq!(told(&mut tree), ["Removed /r/a"]);
    assert_eq!(tree.next_task(), Some(Task::Unwatch(2)));
    take(&mut tree, 2, libc::IN_CREATE, "late");
    tree.take(record(1, libc::IN_MOVED_TO | DIR, 7, "b"));
    assert_eq!(told(&mut tree), ["Created /r/b"]);
    assert_eq!(tree.next_task(), scan_of("/r/b"));
}

#[test]
fn a_half_is_not_waited_for_behind_many() {
    let mut tree = tree();
    tree.take(record(1, libc::IN_MOVED_FROM, 7, "a"));
    for n in 0..BEHIND_MOST {
        take(&mut tree, 1, libc::IN_CREATE, &n.to_string());
    }
    assert_eq!(told(&mut tree).len(), BEHIND_MOST + 1);
}

#[test]
fn what_a_scan_and_a_record_tell_is_told_once() {
    let mut tree = tree();
    with_directory(&mut tree, "d", 2, &["a", "b", "c"]);
    let scanned = ["Created /r/d", "Created /r/d/a", "Created /r/d/b", "Created /r/d/c"];
    assert_eq!(told(&mut tree), scanned);
    take(&mut tree, 2, libc::IN_CREATE, "a");
    assert_eq!(told(&mut tree), [""; 0]);
    take(&mut tree, 2, libc::IN_DELETE, "b");
    take(&mut tree, 2, libc::IN_CREATE, "b");
    take(&mut tree, 2, libc::IN_CREATE, "d");
    assert_eq!(told(&mut tree), ["Removed /r/d/b", "Created /r/d/b", "Created /r/d/d"]);
    tree.has_heard_all();
    take(&mut tree, 2, libc::IN_CREATE, "c");
    assert_eq!(told(&mut tree), ["Created /r/d/c"], "it must have been removed before");
}

#[test]
fn what_was_moved_before_a_scan_found_it_only_leaves_its_old_place() {
    let mut tree = tree();
    take(&mut tree, 1, libc::IN_CREATE | DIR, "d");
    tree.next_task();
    let (watched, found) = (vec![(2, "/r/d".into())], vec![found(2, "/r/d", "a", false)]);
    tree.learn(Scanned { watched, found, ..Scanned::default() });
    tree.take(record(1, libc::IN_MOVED_FROM, 3, "a"));
    tree.take(record(2, libc::IN_MOVED_TO, 3, "a"));
    assert_eq!(told(&mut tree), ["Created /r/d", "Created /r/d/a", "Removed /r/a"]);
}

#[test]
fn a_directory_takes_along_what_is_below_it() {
    let mut tree = tree();
    with_directory(&mut tree, "a", 2, &[]);
    tree.know(vec![(3, "/r/a/sub".into()), (4, "/r/ab".into())]);
    tree.take(record(1, libc::IN_MOVED_FROM | DIR, 5, "a"));
    // Another of its name is made before the second half is read.
    tree.know(vec![(9, "/r/a".into())]);
    tree.take(record(1, libc::IN_MOVED_TO | DIR, 5, "b"));
    assert_eq!(tree.next_task(), None, "it is watched already");
    told(&mut tree);
    for number in [2, 3, 4, 9] {
        take(&mut tree, number, libc::IN_CREATE, "x");
    }
    let expected = ["/r/b/x", "/r/b/sub/x", "/r/ab/x", "/r/a/x"];
    assert_eq!(told(&mut tree), expected.map(|path| format!("Created {path}")));
}

/// What begins when all is in doubt, once no record is left.
fn begins_anew(tree: &mut Tree) -> bool {
    tree.has_heard_all();
    tree.next_task() == Some(Task::Scan { top: "/r".into(), is_root: true, recursive: true })
}

#[test]
fn what_a_scan_missed_and_was_moved_has_all_scanned_anew() {
    let mut tree = tree();
    with_directory(&mut tree, "a", 2, &[]);
    take(&mut tree, 2, libc::IN_CREATE | DIR, "sub");
    assert_eq!(tree.next_task(), scan_of("/r/a/sub"));
    tree.learn(Scanned { missed: vec!["/r/a/sub".into()], ..Scanned::default() });
    tree.take(record(1, libc::IN_MOVED_FROM | DIR, 5, "a"));
    tree.take(record(1, libc::IN_MOVED_TO | DIR, 5, "b"));
    assert!(begins_anew(&mut tree));
    tree.learn(Scanned { watched: vec![(1, "/r".into())], ..Scanned::default() });
    tree.has_heard_all();
    let expected = ["Created /r/a", "Created /r/a/sub", "/r/a to /r/b", "Overflow /r"];
    assert_eq!(told(&mut tree), expected);
}

#[test]
fn what_a_scan_missed_and_was_removed_is_no_matter() {
    let mut tree = tree();
    take(&mut tree, 1, libc::IN_CREATE | DIR, "a");
    tree.next_task();
    tree.learn(Scanned { missed: vec!["/r/a".into()], ..Scanned::default() });
    take(&mut tree, 1, libc::IN_DELETE | DIR, "a");
    assert!(!begins_anew(&mut tree));
    assert_eq!(told(&mut tree), ["Created /r/a", "Removed /r/a"]);
}

#[test]
fn a_directory_that_a_scan_meets_somewhere_else_has_all_scanned_anew() {
    let mut tree = tree();
    with_directory(&mut tree, "a", 2, &["x"]);
    take(&mut tree, 1, libc::IN_CREATE | DIR, "n");
    tree.next_task();
    let watched = vec![(3, "/r/n".into()), (2, "/r/n/b".into())];
    tree.learn(Scanned { watched, ..Scanned::default() });
    tree.take(record(1, libc::IN_MOVED_FROM | DIR, 5, "a"));
    assert!(!begins_anew(&mut tree), "half a move is waited for");
    tree.part_halves();
    assert!(begins_anew(&mut tree));
}

#[test]
fn a_doubt_does_not_wait_for_ever() {
    let mut tree = tree();
    tree.take(record(1, libc::IN_MOVED_FROM | DIR, 5, "unknown"));
    tree.take(record(1, libc::IN_MOVED_TO | DIR, 5, "b"));
    told(&mut tree);
    for _ in 0..=DOUBTFUL_MOST {
        assert_eq!(tree.next_task(), None);
        take(&mut tree, 1, libc::IN_CREATE, "x");
        assert!(tree.changes.len() <= BEHIND_MOST + 1, "what is not told takes no memory");
    }
    assert!(tree.next_task().is_some());
    tree.learn(Scanned { watched: vec![(1, "/r".into())], ..Scanned::default() });
    assert_eq!(told(&mut tree), [""; 0]);
    for _ in 0..DOUBTFUL_MOST {
        take(&mut tree, 1, libc::IN_CREATE, "x");
    }
    assert_eq!(told(&mut tree)[..1], ["Overflow /r"]);
}

#[test]
fn after_an_overflow_all_is_known_anew() {
    let mut tree = tree();
    with_directory(&mut tree, "a", 2, &[]);
    tree.take(record(1, libc::IN_MOVED_FROM, 7, "x"));
    tree.take(record(-1, libc::IN_Q_OVERFLOW, 0, ""));
    let task = Some(Task::Scan { top: "/r".into(), is_root: true, recursive: true });
    assert_eq!(tree.next_task(), task);
    assert_eq!(told(&mut tree), ["Created /r/a", "Removed /r/x"]);
    let watched = vec![(1, "/r".into()), (3, "/r/b".into())];
    let found = vec![found(1, "/r", "b", true)];
    tree.learn(Scanned { watched, found, ..Scanned::default() });
    take(&mut tree, 3, libc::IN_CREATE, "seen by who looks");
    assert_eq!(told(&mut tree), [""; 0]);
    tree.has_heard_all();
    take(&mut tree, 2, libc::IN_CREATE, "x");
    take(&mut tree, 3, libc::IN_CREATE, "x");
    assert_eq!(told(&mut tree), ["Overflow /r", "Created /r/b/x"]);
    tree.take(record(-1, libc::IN_Q_OVERFLOW, 0, ""));
    tree.next_task();
    tree.learn(Scanned { missed: vec!["/r".into()], ..Scanned::default() });
    assert_eq!(told(&mut tree), ["Gone /r"]);
    assert!(tree.is_over());
}

#[test]
fn the_end_of_the_root_is_the_last_change() {
    for mask in [libc::IN_DELETE_SELF, libc::IN_MOVE_SELF, libc::IN_UNMOUNT, libc::IN_IGNORED] {
        let mut tree = tree();
        with_directory(&mut tree, "a", 2, &[]);
        take(&mut tree, 2, libc::IN_DELETE_SELF | DIR, "");
        take(&mut tree, 2, libc::IN_IGNORED, "");
        take(&mut tree, 2, libc::IN_CREATE, "never");
        assert!(!tree.is_over());
        take(&mut tree, 1, mask, "");
        take(&mut tree, 1, libc::IN_CREATE, "never");
        assert_eq!(told(&mut tree), ["Created /r/a", "Gone /r"]);
        assert!(tree.is_over());
    }
}

#[test]
fn a_directory_tells_of_itself_by_the_one_above_it() {
    let mut tree = tree();
    with_directory(&mut tree, "a", 2, &[]);
    take(&mut tree, 1, libc::IN_ATTRIB | DIR, "a");
    take(&mut tree, 2, libc::IN_ATTRIB | DIR, "");
    take(&mut tree, 1, libc::IN_ATTRIB | DIR, "");
    take(&mut tree, 2, libc::IN_MODIFY, "x");
    take(&mut tree, 2, libc::IN_CLOSE_WRITE, "x");
    let expected = ["Created /r/a", "Attributes /r/a", "Attributes /r", "Modified /r/a/x"];
    let all = told(&mut tree);
    assert_eq!(all[..4], expected);
    assert_eq!(all[4], "Closed /r/a/x");
}
