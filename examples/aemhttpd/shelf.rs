//! Small pages that are kept in memory, so that most requests for one make no call of the system.
//!
//! A page is believed to be as it is for [`FRESH`]; then its file's status is asked for, and when any of
//! it has changed, the page is read again. Status and content have to belong together: a file that was
//! changed a moment ago could change again without its clock's noticing, so that one is not kept.

use crate::files::Page;
use crate::limits::{FRESH, MAX_SHELF, SETTLED};
use rustix::fs::{AtFlags, Stat, statat};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The pages, by the targets they were asked for with.
#[derive(Debug, Default)]
pub(crate) struct Shelf(RefCell<Pages>);

#[derive(Debug, Default)]
struct Pages {
    // Ordered: a few comparisons take less time than a hash that nobody can aim at.
    by_target: BTreeMap<Box<[u8]>, Kept>,
    /// What they take up.
    bytes: u64,
}

#[derive(Debug)]
struct Kept {
    page: Rc<Page>,
    /// Where its file is, below the root.
    path: Vec<u8>,
    facts: Facts,
    /// Until when the facts, which were found to be these, are believed.
    good_until: Instant,
}

/// What a file is told apart by from any other, and from itself when it has changed: device and number,
/// and the time of its last change, of which nobody may say another.
#[derive(Debug, PartialEq)]
struct Facts(u64, u64, i64, u64);

impl Facts {
    fn of(status: &Stat) -> Facts {
        Facts(status.st_dev, status.st_ino, status.st_ctime, status.st_ctime_nsec)
    }
}

impl Shelf {
    /// The page, if it is kept and still what its target names.
    pub(crate) fn find(&self, root: &File, target: &[u8], now: Instant) -> Option<Rc<Page>> {
        let pages = &mut *self.0.borrow_mut();
        let kept = pages.by_target.get_mut(target)?;
        if now >= kept.good_until {
            // This may be led out of the root, but then to no file that is served: only to this one.
            let status = statat(root, &*kept.path, AtFlags::empty());
            if !status.is_ok_and(|status| Facts::of(&status) == kept.facts) {
                pages.bytes -= size(target, &kept.page);
                pages.by_target.remove(target);
                return None;
            }
            kept.good_until = now + FRESH;
        }
        Some(Rc::clone(&kept.page))
    }

    /// Keeps a page that was just read.
    pub(crate) fn keep(
        &self,
        target: &[u8],
        path: Vec<u8>,
        status: &Stat,
        page: &Rc<Page>,
        now: Instant,
    ) {
        let second = Duration::from_secs(u64::try_from(status.st_ctime).unwrap_or(0));
        let age = SystemTime::now().duration_since(UNIX_EPOCH + second).unwrap_or_default();
        if age < SETTLED {
            return;
        }
        let pages = &mut *self.0.borrow_mut();
        let size = size(target, page);
        if pages.bytes + size > MAX_SHELF {
            *pages = Pages::default();
        }
        let (page, facts) = (Rc::clone(page), Facts::of(status));
        let good_until = now + FRESH;
        pages.by_target.insert(Box::from(target), Kept { page, path, facts, good_until });
        pages.bytes += size;
    }
}

/// What a page takes up, with its target.
fn size(target: &[u8], page: &Page) -> u64 {
    let beside = 2 * (target.len() + page.fields.len()) + size_of::<Kept>() + size_of::<Page>();
    page.tag.length + beside as u64
}
