//! What is watched, as far as the records have told: from records to changes.
//!
//! It asks the kernel for nothing: what is to be asked is a [`Task`], and the next record is given to it when
//! that is done.
//!
//! A scan sees the files as they are, and so is ahead of the records that are still to come. Where both
//! tell of a file, it is told once. Where directories were moved while they were new, the two may not fit:
//! that is noticed, and when all records are in, all is scanned anew and told to be so
//! ([`Overflow`](ChangeKind::Overflow)), as after the kernel has lost records.
//!
//! A move is two records, whose order is certain and whose distance is not. The first one keeps its place
//! among the changes until the second one comes, or until that has been waited for long enough; what comes
//! behind it waits too.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::change::{Change, ChangeKind};
use super::record::Record;
use super::scan::{Found, Scanned};
use crate::sys::inotify::Number;

/// So much is told behind half a move, at most, before that is told without the other half.
const BEHIND_MOST: usize = 4096;

/// So many records are waited for, at most, before all is scanned anew, and as many before that is told:
/// twice what the kernel keeps of them.
const DOUBTFUL_MOST: usize = 32 * 1024;

/// What is to be asked of the kernel.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// To look at a directory.
    Scan { top: PathBuf, is_root: bool, recursive: bool },
    /// To end a watch.
    Unwatch(Number),
}

/// A place among the changes.
#[derive(Debug)]
enum Told {
    Change(Change),
    Failed(io::Error),
    /// Something was moved away, perhaps to where we watch.
    Half(Half),
}

#[derive(Debug)]
struct Half {
    cookie: u32,
    from: PathBuf,
    is_dir: bool,
    /// The watches of what was moved, and of all below it.
    numbers: Vec<Number>,
}

#[derive(Debug)]
struct Quiet {
    /// So many changes were there before, and are told.
    kept: usize,
    /// So many records have come since.
    records: usize,
}

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
    is_dir: bool,
    /// The root's own watch.
    number: Number,
    recursive: bool,
    paths: HashMap<Number, PathBuf>,
    changes: VecDeque<Told>,
    halves: usize,
    tasks: VecDeque<Task>,
    /// What a scan has told, by the watch of its directory. Its record may come or not.
    told: HashSet<(Number, OsString)>,
    /// Directories that a scan was to look at and did not find, so they were removed or moved.
    missed: Vec<PathBuf>,
    /// What is known of directories may not be so; and how many records have come since.
    doubt: Option<usize>,
    /// Changes are not told, as all will have to be looked at anew.
    quiet: Option<Quiet>,
    /// Changes were lost, and the scan that looks for what is there now has not come back.
    anew: bool,
    gone: bool,
}

impl Tree {
    pub(super) fn new(root: PathBuf, is_dir: bool, number: Number, recursive: bool) -> Tree {
        Tree {
            paths: HashMap::from([(number, root.clone())]),
            root,
            is_dir,
            number,
            recursive,
            changes: VecDeque::new(),
            halves: 0,
            tasks: VecDeque::new(),
            told: HashSet::new(),
            missed: Vec::new(),
            doubt: None,
            quiet: None,
            anew: false,
            gone: false,
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The next change, unless it waits.
    pub(super) fn next(&mut self) -> Option<io::Result<Change>> {
        if self.changes.len() > BEHIND_MOST && matches!(self.changes.front(), Some(Told::Half(_))) {
            self.part_halves();
        }
        if matches!(self.changes.front()?, Told::Half(_)) {
            return None;
        }
        if let Some(Quiet { kept, .. }) = &mut self.quiet {
            *kept = kept.checked_sub(1)?;
        }
        match self.changes.pop_front()? {
            Told::Change(change) => Some(Ok(change)),
            Told::Failed(error) => Some(Err(error)),
            Told::Half(_) => unreachable!("looked at before"),
        }
    }

    pub(super) fn next_task(&mut self) -> Option<Task> {
        self.tasks.pop_front()
    }

    /// Whether nothing follows.
    pub(super) fn is_over(&self) -> bool {
        self.gone && self.changes.is_empty()
    }

    pub(super) fn has_halves(&self) -> bool {
        self.halves > 0
    }

    /// Takes in watches.
    pub(super) fn know(&mut self, watched: Vec<(Number, PathBuf)>) {
        self.paths.extend(watched);
    }

    /// What a scan has found.
    pub(super) fn learn(&mut self, scanned: Scanned) {
        if std::mem::take(&mut self.anew) {
            return self.learn_anew(scanned);
        }
        let Scanned { watched, found, missed, refused } = scanned;
        let (mut known, mut is_doubtful) = (HashSet::new(), false);
        for (number, path) in &watched {
            match self.paths.get(number) {
                None => {}
                // Of all in it the records tell.
                Some(same) if same == path => drop(known.insert(*number)),
                Some(_moved) => is_doubtful = true,
            }
        }
        if is_doubtful {
            self.begin_doubt();
        }
        for Found { number, name, path, is_dir } in found {
            if !known.contains(&number) && self.told.insert((number, name)) {
                self.push(ChangeKind::Created, path, is_dir);
            }
        }
        self.missed.extend(missed);
        self.know(watched);
        self.changes.extend(refused.into_iter().map(Told::Failed));
    }

    /// What is there now is all that is known.
    fn learn_anew(&mut self, scanned: Scanned) {
        let Scanned { watched, refused, .. } = scanned;
        let is_there = watched.first().is_some_and(|(number, _)| *number == self.number);
        if !is_there && refused.is_empty() {
            return self.go();
        }
        self.paths = HashMap::from([(self.number, self.root.clone())]);
        self.know(watched);
        let refused = refused.into_iter().map(Told::Failed);
        if let Some(Quiet { kept, .. }) = &mut self.quiet {
            let before = self.changes.len();
            self.changes.extend(refused);
            *kept += self.changes.len() - before;
        }
    }

    /// Tells that all is to be looked at, now that whoever looks sees more than the records have told.
    fn end_quiet(&mut self) {
        self.part_halves();
        if let Some(Quiet { kept, .. }) = self.quiet.take() {
            self.changes.truncate(kept);
            self.push(ChangeKind::Overflow, self.root.clone(), self.is_dir);
        }
    }

    /// Every record is in that was written before the last scan ended. True if there is something to be done
    /// or told now.
    pub(super) fn has_heard_all(&mut self) -> bool {
        self.told.clear();
        if self.halves > 0 {
            return false;
        }
        self.missed.clear();
        if self.doubt.is_some() {
            self.begin_anew();
            return true;
        }
        let was_quiet = self.quiet.is_some();
        self.end_quiet();
        was_quiet
    }

    /// What is known may not be so. Nothing is told until it is again.
    fn begin_doubt(&mut self) {
        self.doubt.get_or_insert(0);
        self.be_quiet();
    }

    fn be_quiet(&mut self) {
        let kept = self.changes.len();
        self.quiet.get_or_insert(Quiet { kept, records: 0 });
    }

    fn begin_anew(&mut self) {
        self.part_halves();
        self.told.clear();
        self.missed.clear();
        self.doubt = None;
        self.anew = true;
        self.be_quiet();
        let (top, recursive) = (self.root.clone(), self.recursive);
        self.tasks.push_back(Task::Scan { top, is_root: true, recursive });
    }

    /// The other halves do not come.
    pub(super) fn part_halves(&mut self) {
        for told in &mut self.changes {
            let Told::Half(Half { from, is_dir, numbers, .. }) = told else { continue };
            for number in numbers.drain(..) {
                self.paths.remove(&number);
                self.tasks.push_front(Task::Unwatch(number));
            }
            let (path, is_dir) = (std::mem::take(from), *is_dir);
            *told = Told::Change(Change { kind: ChangeKind::Removed, path, is_dir });
        }
        self.halves = 0;
    }

    /// What a record says.
    pub(super) fn take(&mut self, record: Record) {
        if self.gone {
            return;
        }
        if record.says(libc::IN_Q_OVERFLOW) {
            return self.begin_anew();
        }
        if let Some(records) = &mut self.doubt {
            *records += 1;
            if *records > DOUBTFUL_MOST {
                self.begin_anew();
            }
        }
        self.count_quiet();
        let Some(path) = self.paths.get(&record.number) else {
            // Of a watch that has ended.
            return;
        };
        if record.name.is_empty() {
            let path = path.clone();
            self.take_own(&record, path);
        } else {
            let path = path.join(&record.name);
            self.take_entry(record, path);
        }
    }

    /// Nothing is quiet for ever, or takes memory for ever.
    fn count_quiet(&mut self) {
        let Some(Quiet { kept, records }) = &mut self.quiet else { return };
        *records += 1;
        let (kept, records) = (*kept, *records);
        if records > 2 * DOUBTFUL_MOST {
            self.end_quiet();
        } else if self.changes.len() > kept + BEHIND_MOST {
            self.part_halves();
            self.changes.truncate(kept);
        }
    }

    /// What has happened to that which has the watch.
    fn take_own(&mut self, record: &Record, path: PathBuf) {
        let is_root = record.number == self.number;
        let ends = libc::IN_DELETE_SELF | libc::IN_MOVE_SELF | libc::IN_UNMOUNT | libc::IN_IGNORED;
        if is_root && record.says(ends) {
            self.go();
        } else if record.says(libc::IN_IGNORED) {
            self.paths.remove(&record.number);
        } else if is_root && let Some(kind) = kind(record) {
            // Of any other the watch of the directory above has told.
            self.push(kind, path, self.is_dir);
        }
    }

    /// The root is gone, and with it all.
    fn go(&mut self) {
        self.part_halves();
        self.quiet = None;
        self.tasks.clear();
        self.push(ChangeKind::Gone, self.root.clone(), self.is_dir);
        self.gone = true;
    }

    /// What has happened to something in a directory that has the watch.
    fn take_entry(&mut self, record: Record, path: PathBuf) {
        let is_dir = record.says(libc::IN_ISDIR);
        if let Some(kind) = kind(&record) {
            return self.push(kind, path, is_dir);
        }
        let (mask, cookie) = (record.mask, record.cookie);
        let was_told = self.told.remove(&(record.number, record.name));
        if mask & libc::IN_DELETE != 0 {
            self.push(ChangeKind::Removed, path, is_dir);
        } else if mask & libc::IN_MOVED_FROM != 0 {
            let numbers = if is_dir { self.numbers_below(&path) } else { Vec::new() };
            self.halves += 1;
            self.changes.push_back(Told::Half(Half { cookie, from: path, is_dir, numbers }));
        } else if mask & libc::IN_MOVED_TO != 0 {
            self.take_arrival(cookie, path, is_dir, was_told);
        } else if mask & libc::IN_CREATE != 0 && !was_told {
            self.create(path, is_dir);
        }
    }

    /// Something was moved to where we watch.
    fn take_arrival(&mut self, cookie: u32, path: PathBuf, is_dir: bool, was_told: bool) {
        let is_other = |told: &&mut Told| matches!(told, Told::Half(half) if half.cookie == cookie);
        let Some(told) = self.changes.iter_mut().find(is_other) else {
            if !was_told {
                self.create(path, is_dir);
            }
            return;
        };
        let Told::Half(Half { from, numbers, .. }) = told else { unreachable!("just found") };
        let (from, numbers) = (std::mem::take(from), std::mem::take(numbers));
        self.halves -= 1;
        // If a scan has told of it at its new place, only the old one is news.
        *told = Told::Change(if was_told {
            Change { kind: ChangeKind::Removed, path: from.clone(), is_dir }
        } else {
            Change { kind: ChangeKind::Renamed { from: from.clone() }, path: path.clone(), is_dir }
        });
        if is_dir && self.recursive {
            self.move_below(&from, &path, numbers);
        }
    }

    /// A directory has another path, and so has all below it.
    fn move_below(&mut self, from: &Path, to: &Path, numbers: Vec<Number>) {
        for number in numbers {
            if let Some(path) = self.paths.get_mut(&number)
                && let Ok(rest) = path.strip_prefix(from)
            {
                *path = join(to, rest);
            }
        }
        let is_watched = self.paths.values().any(|path| path == to);
        // What a scan did not find may be there now.
        if !is_watched || self.missed.iter().any(|missed| missed.starts_with(from)) {
            self.begin_doubt();
        }
    }

    fn create(&mut self, path: PathBuf, is_dir: bool) {
        if is_dir && self.recursive {
            let top = path.clone();
            self.tasks.push_back(Task::Scan { top, is_root: false, recursive: true });
        }
        self.push(ChangeKind::Created, path, is_dir);
    }

    fn numbers_below(&self, path: &Path) -> Vec<Number> {
        let below = self.paths.iter().filter(|(_, known)| known.starts_with(path));
        below.map(|(number, _)| *number).collect()
    }

    fn push(&mut self, kind: ChangeKind, path: PathBuf, is_dir: bool) {
        self.changes.push_back(Told::Change(Change { kind, path, is_dir }));
    }
}

/// What a record says that changes no name.
fn kind(record: &Record) -> Option<ChangeKind> {
    match () {
        () if record.says(libc::IN_MODIFY) => Some(ChangeKind::Modified),
        () if record.says(libc::IN_CLOSE_WRITE) => Some(ChangeKind::Closed),
        () if record.says(libc::IN_ATTRIB) => Some(ChangeKind::Attributes),
        () => None,
    }
}

/// Both, without a slash behind the first if there is no second.
fn join(path: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() { path.to_owned() } else { path.join(rest) }
}

#[cfg(test)]
mod tests;
