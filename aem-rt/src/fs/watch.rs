//! What happens to files, as a source: inotify.
//!
//! The kernel writes records of what happens to each file or directory that is watched. A
//! [`tree`](tree::Tree) makes [`Change`]s of them: it knows the path of each watch, and pairs the two halves
//! of a move. Where all that is below a directory is watched, one that is new is [scanned](mod@scan) by
//! a thread: it gets a watch, and what was made in it before that is found and told. No record is read
//! meanwhile, so that each meets a tree that knows its watch.

mod change;
mod record;
mod scan;
mod tree;

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use futures::stream::{FusedStream, Stream};

pub use change::{Change, ChangeKind};

use super::c_path;
use super::doing::on_a_thread;
use crate::fd::{AsyncFd, Interest};
use crate::reactor::{Reactor, home};
use crate::runtime::context;
use crate::sys::inotify;
use crate::time::{Sleep, sleep};
use record::Record;
use scan::{Scanned, scan};
use tree::{Task, Tree};

/// The records that are read at once: a few hundred.
const BUFFER: usize = 16 * 1024;

/// So many things are done in one poll before others get their turn (BOUND): a few buffers' worth.
const STEPS: usize = 1024;

/// How long one half of a move waits for the other. The kernel writes both within microseconds.
const PATIENCE: Duration = Duration::from_millis(10);

/// Watches a file, or a directory and what is directly in it.
///
/// All that happens from the moment of this call is told. Paths begin with the one that was given here. It is
/// looked at at once, by this thread; to watch all that is below a directory, see [`Watch`].
///
/// ```
/// # #[aem::main] async fn main() -> std::io::Result<()> {
/// use aem::fs::{self, ChangeKind};
/// use futures::TryStreamExt;
///
/// let place = std::env::temp_dir().join(format!("aem-watch-{}", std::process::id()));
/// fs::create_dir(&place).await?;
/// let mut changes = fs::watch(&place)?;
/// fs::write(place.join("new"), "text").await?;
/// let change = changes.try_next().await?.expect("it goes on");
/// assert_eq!((change.kind, change.path), (ChangeKind::Created, place.join("new")));
/// # fs::remove_dir_all(place).await }
/// ```
///
/// # Errors
///
/// Those of inotify_add_watch(2). Out of watches or instances the error names the limit of the system that
/// can be raised.
///
/// # Panics
///
/// Outside of a runtime.
#[track_caller]
pub fn watch(path: impl AsRef<Path>) -> io::Result<Changes> {
    let (reactor, inotify, root) = (context::reactor(), new()?, path.as_ref());
    let number = inotify::add(inotify.as_fd(), &c_path(root)?, scan::MASK);
    let number = number.map_err(|error| scan::explained(error, root))?;
    Changes::new(reactor, inotify, Tree::new(root.to_owned(), root.is_dir(), number, false))
}

fn new() -> io::Result<Arc<File>> {
    let inotify = inotify::new().map_err(|error| match error.raw_os_error() {
        Some(libc::EMFILE) => {
            let text = "no more watchers of files: fs.inotify.max_user_instances is the limit of \
                        the user, `ulimit -n` that of the process";
            io::Error::new(error.kind(), text)
        }
        _ => error,
    })?;
    Ok(Arc::new(inotify.into()))
}

/// How to watch: what [`watch`] does, and more.
///
/// ```
/// # #[aem::main] async fn main() -> std::io::Result<()> {
/// use aem::fs::{self, ChangeKind, Watch};
/// use futures::TryStreamExt;
///
/// let place = std::env::temp_dir().join(format!("aem-tree-{}", std::process::id()));
/// fs::create_dir(&place).await?;
/// let mut changes = Watch::new().recursive(true).start(&place).await?;
/// fs::create_dir_all(place.join("deep/er")).await?;
/// for path in [place.join("deep"), place.join("deep/er")] {
///     let change = changes.try_next().await?.expect("it goes on");
///     assert_eq!((change.kind, change.path), (ChangeKind::Created, path));
/// }
/// # fs::remove_dir_all(place).await }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "nothing is watched before it is started"]
pub struct Watch {
    recursive: bool,
}

impl Watch {
    /// Watches what [`watch`] does.
    pub fn new() -> Watch {
        Watch::default()
    }

    /// Watches all that is below a directory, also what is made or moved there later. Symbolic links are not
    /// followed.
    ///
    /// Each directory takes a watch, about 1 KiB of the kernel's memory and its path in ours. What is made in
    /// a new directory is told once, whether it was made before that had its watch or after; what is made and
    /// removed again before may not be told at all. Where directories are moved while they are new, all may
    /// have to be looked at anew ([`Overflow`](ChangeKind::Overflow)).
    pub fn recursive(self, yes: bool) -> Watch {
        Watch { recursive: yes }
    }

    /// Begins. A thread looks at the directories that are there.
    ///
    /// All that happens after this is ready is told; of what happens meanwhile, some.
    ///
    /// # Errors
    ///
    /// As for [`watch`], for the first directory that cannot be watched.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    ///
    /// # Cancel safety
    ///
    /// Nothing is watched any more.
    pub async fn start(self, path: impl AsRef<Path>) -> io::Result<Changes> {
        let (reactor, inotify, root) = (context::reactor(), new()?, path.as_ref().to_owned());
        c_path(&root)?;
        let Watch { recursive } = self;
        let (theirs, top) = (Arc::clone(&inotify), root.clone());
        let look = move || {
            let is_dir = top.is_dir();
            Ok((scan(theirs.as_fd(), top, true, recursive)?, is_dir))
        };
        let (scanned, is_dir) = on_a_thread(look).await?;
        if let Some(error) = scanned.refused.into_iter().next() {
            return Err(error);
        }
        let Some((number, _)) = scanned.watched.first() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let mut tree = Tree::new(root, is_dir, *number, recursive);
        tree.know(scanned.watched);
        Changes::new(reactor, inotify, tree)
    }
}

/// The source of changes, made by [`watch`] and [`Watch::start`].
///
/// - Changes come in the order in which they happened. Equal ones in a row may be one.
/// - A move is one change, [`Renamed`](ChangeKind::Renamed), if both names are in what is watched; if not,
///   something is [`Created`](ChangeKind::Created) or [`Removed`](ChangeKind::Removed). The latter, and what
///   follows it, is told 10 ms late, as the other half might come.
/// - Who does not listen for long loses changes, as the kernel keeps 16,384 of them
///   (`fs.inotify.max_queued_events`), and is told of it: [`Overflow`](ChangeKind::Overflow). Changes that
///   happened before that was told are not told any more.
/// - When that which is watched is removed, moved or unmounted, the last change is
///   [`Gone`](ChangeKind::Gone).
/// - An error of a single directory below the one that was named, which cannot be watched, is an item, and
///   others follow; after any other error the source has ended.
///
/// It is a source of the runtime where it was made. An await that is given up loses nothing (KEPT).
#[must_use = "changes come only while somebody takes them"]
pub struct Changes {
    reactor: Rc<Reactor>,
    fd: AsyncFd<Arc<File>>,
    buffer: Box<[u8]>,
    /// What was read and is not in the tree yet.
    records: VecDeque<Record>,
    tree: Tree,
    /// What a thread does for the tree. No record is looked at until it is done.
    scan: Option<LocalBoxFuture<'static, io::Result<Scanned>>>,
    /// Half a move waits for the other half.
    patience: Option<Sleep>,
    over: bool,
}

impl Changes {
    fn new(reactor: Rc<Reactor>, inotify: Arc<File>, tree: Tree) -> io::Result<Changes> {
        Ok(Changes {
            reactor,
            fd: AsyncFd::new(inotify)?,
            buffer: vec![0; BUFFER].into(),
            records: VecDeque::new(),
            tree,
            scan: None,
            patience: None,
            over: false,
        })
    }

    /// # Errors
    ///
    /// After which nothing follows.
    fn poll_change(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<io::Result<Change>>>> {
        home::check(&self.reactor)?;
        for _ in 0..STEPS {
            if let Some(change) = self.tree.next() {
                return Poll::Ready(Ok(Some(change)));
            }
            if self.tree.is_over() {
                return Poll::Ready(Ok(None));
            }
            if let Some(scan) = &mut self.scan {
                let scanned = ready!(scan.poll_unpin(cx));
                self.scan = None;
                self.tree.learn(scanned?);
            } else if let Some(task) = self.tree.next_task() {
                self.begin(task);
            } else if let Some(record) = self.records.pop_front() {
                self.tree.take(record);
            } else {
                ready!(self.poll_records(cx))?;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn begin(&mut self, task: Task) {
        let inotify = Arc::clone(self.fd.get_ref());
        match task {
            Task::Scan { top, is_root, recursive } => {
                let scan = move || scan(inotify.as_fd(), top, is_root, recursive);
                self.scan = Some(on_a_thread(scan).boxed_local());
            }
            Task::Unwatch(number) => {
                // It may have ended by itself.
                let _ = inotify::remove(inotify.as_fd(), number);
            }
        }
    }

    /// Reads what there is, or waits for it or for half a move to have waited long enough.
    fn poll_records(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let buffer = &mut self.buffer;
        let read = self.fd.poll_io(cx, Interest::READABLE, |inotify| (&**inotify).read(buffer));
        if let Poll::Ready(n) = read {
            let mut bytes = &self.buffer[..n?];
            self.patience = None;
            while let Some(record) = Record::take(&mut bytes) {
                self.records.push_back(record);
            }
            return Poll::Ready(Ok(()));
        }
        if self.tree.has_heard_all() {
            return Poll::Ready(Ok(()));
        }
        if !self.tree.has_halves() {
            self.patience = None;
            return Poll::Pending;
        }
        let patience = self.patience.get_or_insert_with(|| sleep(PATIENCE));
        ready!(patience.poll_unpin(cx));
        self.patience = None;
        self.tree.part_halves();
        Poll::Ready(Ok(()))
    }

    /// Where it began.
    pub fn path(&self) -> &Path {
        self.tree.root()
    }
}

impl Stream for Changes {
    type Item = io::Result<Change>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        let change = ready!(self.poll_change(cx));
        self.over = !matches!(change, Ok(Some(_)));
        Poll::Ready(change.unwrap_or_else(|error| Some(Err(error))))
    }
}

impl FusedStream for Changes {
    fn is_terminated(&self) -> bool {
        self.over
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Changes").field(&self.path()).finish()
    }
}
