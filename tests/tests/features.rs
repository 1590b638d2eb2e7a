//! The features of AEM, each in a test that carries its number. `docs/AEM.md` says what each of them is, and
//! lists what else proves it.
//!
//! Each test runs on both keepers, under guard of jobs, descriptors and values.

#[path = "features/execution.rs"]
mod execution;
#[path = "features/modules.rs"]
mod modules;
#[path = "features/registration.rs"]
mod registration;
#[path = "features/services.rs"]
mod services;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::rc::Rc;

use aem::yield_now;
use aem_tests::keepers;
use aem_tests::watch::{Watch, watched_on};
use futures::channel::mpsc;

/// Runs a test on epoll, and on io_uring where the kernel has it.
fn on_both(test: impl AsyncFn(Watch)) {
    for keeper in keepers::both() {
        watched_on(keepers::builder(keeper).on_error(|_, _| {}), async |watch| test(watch).await);
    }
}

/// Lets all that is ready run, a few times over.
async fn settle() {
    for _ in 0..8 {
        yield_now().await;
    }
}

/// A list to write to from several places.
type Log<T> = Rc<RefCell<Vec<T>>>;

/// A source with these events in it already, and the way to send more.
fn full_of<T>(
    events: impl IntoIterator<Item = T>,
) -> (mpsc::UnboundedSender<T>, mpsc::UnboundedReceiver<T>) {
    let (sender, receiver) = mpsc::unbounded();
    for event in events {
        sender.unbounded_send(event).expect("the receiver is here");
    }
    (sender, receiver)
}

/// The features that are built, by number.
const BUILT: &[std::ops::RangeInclusive<u32>] = &[1..=22, 28..=30, 37..=53];

/// The tests under a folder that have a feature's number, by that.
fn numbered_tests(folder: &Path, tests: &mut BTreeMap<u32, Vec<String>>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("its entry").path();
        if path.is_dir() {
            numbered_tests(&path, tests);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source");
            for after in text.split("fn feature_").skip(1) {
                let Some((name, _)) = after.split_once('(') else { continue };
                let Some((number, _)) = name.split_once('_') else { continue };
                if let Ok(number) = number.parse() {
                    tests.entry(number).or_default().push(format!("feature_{name}"));
                }
            }
        }
    }
}

#[test]
fn the_page_of_features_names_a_test_for_each_and_they_exist() {
    // It opens files, which the guards of the others would count.
    let _alone = aem_tests::watch::alone();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = BTreeMap::new();
    numbered_tests(&root.join("tests"), &mut tests);
    let page = fs::read_to_string(root.join("../docs/AEM.md")).expect("docs/AEM.md");
    let rows: BTreeMap<u32, &str> = page
        .lines()
        .filter_map(|line| {
            let (number, row) = line.strip_prefix("| ")?.split_once(" | ")?;
            Some((number.parse().ok()?, row))
        })
        .collect();
    for number in BUILT.iter().cloned().flatten() {
        let row = rows.get(&number).unwrap_or_else(|| panic!("docs/AEM.md has no row {number}"));
        let tests = tests.get(&number).unwrap_or_else(|| panic!("no test of feature {number}"));
        for test in tests {
            assert!(row.contains(&format!("`{test}`")), "row {number} does not name {test}");
        }
    }
    for (number, row) in rows {
        let named = row.split('`').filter(|word| word.starts_with("feature_"));
        for name in named {
            let exists = tests.get(&number).is_some_and(|tests| tests.iter().any(|t| t == name));
            assert!(exists, "row {number} names {name}, which does not exist");
        }
    }
}
