//! What happens in a directory.

use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aem::fs::{Change, ChangeKind, Changes, watch};

use super::Rig;

/// `fs::watch`: files that are made. It ends with the directory.
pub(super) struct Creations(PathBuf);

impl Rig for Creations {
    type Source = Changes;

    const ENDS: bool = true;

    async fn new() -> (Rc<Self>, Changes) {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("aem-sources-{}-{number}", std::process::id());
        let place = std::env::temp_dir().join(name);
        std::fs::create_dir(&place).expect("a directory");
        let changes = watch(&place).expect("a watch");
        (Rc::new(Creations(place)), changes)
    }

    fn cause(&self, number: usize) {
        // A name only, so that there is one event.
        std::os::unix::fs::symlink("nowhere", self.0.join(number.to_string())).expect("a link");
    }

    fn numbers(&self, event: io::Result<Change>) -> io::Result<Vec<usize>> {
        let change = event?;
        Ok(match change.kind {
            ChangeKind::Created => {
                let name = change.path.file_name().expect("a name").to_string_lossy();
                vec![name.parse().expect("a number")]
            }
            // What ending it leads to.
            ChangeKind::Removed | ChangeKind::Gone | ChangeKind::Attributes => Vec::new(),
            other => panic!("{other:?}"),
        })
    }

    fn close(&self) {
        std::fs::remove_dir_all(&self.0).expect("it was there");
    }
}

impl Drop for Creations {
    fn drop(&mut self) {
        // It may have been closed already.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
