//! Which process this is: whether something was made before the last `fork`.
//!
//! A forked child has a copy of all our memory and shares every descriptor with its parent, an epoll
//! instance and the bells among them: what it does with these happens to the parent. So what belongs to
//! one process takes a [`Process`] when it is made, and looks at it before it asks the kernel for something.
//!
//! One page of each process holds its number. The kernel gives a forked child a page of zeros in its place
//! (`MADV_WIPEONFORK`), so that nothing has to run in the child and a look is a load and a compare. The child
//! that first makes something takes a number of its own, which none of its forebears had: the last one given
//! is in ordinary memory and is copied with the rest.
//!
//! A child that shares its parent's memory (`vfork`, `posix_spawn`) is taken for the parent: all it may do
//! is `exec`.

use std::io;
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use super::memory::Pages;

/// The page, once there is one.
static PAGE: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::null_mut());

/// The last number that was given, here or in a process that this one descends from.
static LAST: AtomicU64 = AtomicU64::new(0);

/// A process, as seen from what was made in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    page: &'static AtomicU64,
    number: u64,
}

impl Process {
    /// The one that runs now.
    ///
    /// # Errors
    ///
    /// When the process is out of memory; never after the first time.
    pub(crate) fn current() -> io::Result<Process> {
        let page = page()?;
        // Relaxed, here and below: a number stands for nothing but itself.
        let mut number = page.load(Ordering::Relaxed);
        if number == 0 {
            let next = LAST.fetch_add(1, Ordering::Relaxed) + 1;
            let result = page.compare_exchange(0, next, Ordering::Relaxed, Ordering::Relaxed);
            // Another thread may have been quicker.
            number = result.err().unwrap_or(next);
        }
        Ok(Process { page, number })
    }

    /// Whether it runs now; else this is a forked child of it.
    #[inline]
    pub(crate) fn is_current(&self) -> bool {
        self.page.load(Ordering::Relaxed) == self.number
    }
}

fn page() -> io::Result<&'static AtomicU64> {
    // Acquire: pairs with the Release in `map_page`, so that the page is as it should be.
    let page = PAGE.load(Ordering::Acquire);
    if page.is_null() {
        return map_page();
    }
    // SAFETY: `map_page` put it there, and never unmaps it; sys/fork/tests.rs.
    Ok(unsafe { &*page })
}

#[cold]
fn map_page() -> io::Result<&'static AtomicU64> {
    let pages = Pages::map(size_of::<AtomicU64>())?;
    if pages.wipe_on_fork().is_err() {
        // A kernel before 4.14, or a sandbox that plays one.
        wipe_by_hand()?;
    }
    let own = pages.start().as_ptr().cast::<AtomicU64>();
    // Release: pairs with the Acquire in `page`. Acquire: as there, if another thread was quicker.
    let result = PAGE.compare_exchange(ptr::null_mut(), own, Ordering::Release, Ordering::Acquire);
    let page = match result {
        Ok(_) => {
            // It stays for as long as the process.
            mem::forget(pages);
            own
        }
        Err(page) => page,
    };
    // SAFETY: mapped, zeroed and aligned to a page, never unmapped, and written by atomics only; a page of
    // zeros is a valid one, so the kernel may wipe it; sys/fork/tests.rs.
    Ok(unsafe { &*page })
}

/// Has the C library wipe the page in each child of its `fork`.
fn wipe_by_hand() -> io::Result<()> {
    // SAFETY: `wipe` does what may be done in a forked child of many threads: it stores one word.
    match unsafe { libc::pthread_atfork(None, None, Some(wipe)) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

extern "C" fn wipe() {
    let page = PAGE.load(Ordering::Relaxed);
    if !page.is_null() {
        // SAFETY: as in `page`; there is one thread yet.
        unsafe { &*page }.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
