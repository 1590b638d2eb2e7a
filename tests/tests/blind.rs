//! BLIND: above `backend` nothing knows which keeper runs.

use std::fs;
use std::path::{Path, PathBuf};

/// Words that only floors 0 to 2 may say in code. The public names of the choice, `Backend::Epoll` and
/// the like, are the user's words, not a keeper's.
const OF_KEEPERS: &[&str] =
    &["EpollKeeper", "sys::epoll", "backend::epoll", "epoll_ctl", "epoll_wait"];

/// The floors above `backend`.
const ABOVE: &[&str] = &["reactor", "runtime", "metrics", "handler", "time", "fd", "net", "signal"];

fn rust_files(at: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(at).expect("the sources can be listed") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

#[test]
fn nothing_above_the_backend_names_a_keeper() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../aem-rt/src");
    let mut files = Vec::new();
    for module in ABOVE {
        files.push(sources.join(format!("{module}.rs")));
        let folder = sources.join(module);
        if folder.is_dir() {
            rust_files(&folder, &mut files);
        }
    }
    assert!(files.len() > ABOVE.len(), "the sources are not where they were: {files:?}");
    for file in files {
        let text = fs::read_to_string(&file).expect("a source can be read");
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for word in OF_KEEPERS {
                assert!(!code.contains(word), "{}:{}: {word}", file.display(), number + 1);
            }
        }
    }
}
