//! Memory straight from the kernel: pages that cost nothing until they are written to.
//!
//! An allocator may give out again what was used before; to have it zeroed it then writes to all of it,
//! which makes all of it resident and takes longer than everything else that a runtime's start does.

use std::io;
use std::ptr::{self, NonNull};

use super::check;

/// Zeroed pages, of this process alone.
#[derive(Debug)]
pub(crate) struct Pages {
    start: NonNull<u8>,
    size: usize,
}

impl Pages {
    /// Maps `size` bytes, rounded up to whole pages; at least one.
    pub(crate) fn map(size: usize) -> io::Result<Pages> {
        let size = size.max(1);
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping where the kernel likes; it touches no memory of ours.
        let start = unsafe { libc::mmap(ptr::null_mut(), size, access, kind, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).expect("the kernel maps nothing at zero unasked");
        Ok(Pages { start, size })
    }

    /// Has every forked child find them zeroed again (Linux 4.14).
    pub(super) fn wipe_on_fork(&self) -> io::Result<()> {
        let start = self.start.as_ptr().cast();
        // SAFETY: mapped in `map` with this size. It changes what a child sees, and nothing here.
        check(unsafe { libc::madvise(start, self.size, libc::MADV_WIPEONFORK) }).map(drop)
    }

    /// The first byte. What lies behind it may be read and written as long as this lives.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: mapped in `map` with this size, and the owner is through with it.
        let result = unsafe { libc::munmap(self.start.as_ptr().cast(), self.size) };
        debug_assert_eq!(result, 0, "{}", io::Error::last_os_error());
    }
}
