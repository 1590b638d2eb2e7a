//! What a piece of work costs: processor time of this thread, and allocations on it.
//!
//! Processor time and not the wall clock, as the machine may be shared: what somebody else does on
//! this core is not counted. Time in the kernel is. [`Counting`] is an allocator for the program
//! that counts allocations; where it is not installed these stay at zero.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// What one operation cost, on average.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// Processor time of the thread.
    pub nanos: f64,
    /// Calls of the allocator that gave memory.
    pub allocations: f64,
    /// The bytes of these.
    pub bytes: f64,
}

/// A running measurement of this thread.
#[derive(Debug)]
pub struct Meter {
    nanos: u64,
    allocations: u64,
    bytes: u64,
}

impl Meter {
    /// Starts it.
    pub fn start() -> Meter {
        let (allocations, bytes) = (ALLOCATIONS.get(), BYTES.get());
        Meter { allocations, bytes, nanos: thread_nanos() }
    }

    /// What each of `operations` since then cost.
    pub fn stop(self, operations: usize) -> Cost {
        let nanos = thread_nanos() - self.nanos;
        let each = |sum: u64| sum as f64 / operations as f64;
        Cost {
            nanos: each(nanos),
            allocations: each(ALLOCATIONS.get() - self.allocations),
            bytes: each(BYTES.get() - self.bytes),
        }
    }
}

/// The processor time this thread has had.
pub fn thread_nanos() -> u64 {
    nanos_of(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// The processor time that all threads of this process have had, those of the kernel's that work
/// for its rings among them.
pub fn process_nanos() -> u64 {
    nanos_of(libc::CLOCK_PROCESS_CPUTIME_ID)
}

fn nanos_of(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec, which is there.
    let result = unsafe { libc::clock_gettime(clock, &mut time) };
    assert_eq!(result, 0, "Linux has these clocks since 2.6.12");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

thread_local! {
    // Const and without destructors, so that the allocator may touch them at any time.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting by thread.
#[derive(Debug)]
pub struct Counting;

fn count(bytes: usize) {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
    BYTES.set(BYTES.get() + bytes as u64);
}

// SAFETY: every call is handed to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's word, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's word, passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: the caller's word, passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's word, passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}
