//! An allocator that catches whoever touches what is not lent, the kernel too.
//!
//! Each piece ends at a page that nobody may touch, as it does in Electric Fence (Perens, 1987); what is left
//! of its own pages is filled with canaries, which are looked at when it is given back. From then on its
//! pages are closed as well: a program that touches them dies of `SIGSEGV`, a kernel that does answers
//! `EFAULT`. A place is used again when all others have been, some ten thousand pieces later.
//!
//! A program makes it its own with `#[global_allocator] static GUARDED: Guarded = Guarded;`.
//! Small pieces, very large ones, and those for which there is no place come from the system's allocator;
//! [`count`] says how many were watched.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};

/// Smaller pieces than this are not watched: no address, message or payload is.
const SMALLEST: usize = 24;

const PAGE: usize = 4096;

/// What a canary looks like.
const CANARY: u8 = 0xc5;

static PIECES: AtomicU64 = AtomicU64::new(0);
static MISSED: AtomicU64 = AtomicU64::new(0);
static LIVE: AtomicI64 = AtomicI64::new(0);

/// Places of one size, in one mapping.
struct Places {
    /// Pages of a place, without the one that is always closed.
    pages: usize,
    /// How many places.
    count: usize,
    locked: AtomicBool,
    state: UnsafeCell<State>,
}

/// The free places, the one that was freed first at `head`.
struct State {
    start: usize,
    free: *mut u32,
    head: usize,
    left: usize,
}

// SAFETY: the state is touched by the holder of the lock only.
unsafe impl Sync for Places {}

/// Two sizes: 12 KiB, and 64 KiB. Their number times two stays below what a process may have of mappings.
static PLACES: [Places; 2] = [Places::new(3, 1 << 14), Places::new(16, 1 << 12)];

impl Places {
    const fn new(pages: usize, count: usize) -> Places {
        let state = State { start: 0, free: ptr::null_mut(), head: 0, left: 0 };
        Places { pages, count, locked: AtomicBool::new(false), state: UnsafeCell::new(state) }
    }

    fn size(&self) -> usize {
        (self.pages + 1) * PAGE
    }

    fn with<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        while self.locked.swap(true, Acquire) {
            std::thread::yield_now();
        }
        // SAFETY: the lock is ours, and `act` allocates nothing.
        let result = act(unsafe { &mut *self.state.get() });
        self.locked.store(false, Release);
        result
    }

    /// The start of the place that was free for longest.
    fn take(&self) -> Option<usize> {
        self.with(|state| {
            if state.free.is_null() {
                state.start = map(self.size() * self.count, libc::PROT_NONE)?;
                let readable = libc::PROT_READ | libc::PROT_WRITE;
                state.free = map(size_of::<u32>() * self.count, readable)? as *mut u32;
                for index in 0..self.count {
                    // SAFETY: inside the mapping that was just made.
                    let place = unsafe { state.free.add(index) };
                    // SAFETY: as above, and nobody else has it.
                    unsafe { place.write(index as u32) };
                }
                state.left = self.count;
            }
            state.left = state.left.checked_sub(1)?;
            // SAFETY: `head` is below `count`.
            let place = unsafe { state.free.add(state.head) };
            // SAFETY: it was written when the mapping was made.
            let index = unsafe { place.read() };
            state.head = (state.head + 1) % self.count;
            Some(state.start + index as usize * self.size())
        })
    }

    fn give_back(&self, address: usize) {
        self.with(|state| {
            let index = (address - state.start) / self.size();
            let tail = (state.head + state.left) % self.count;
            // SAFETY: `tail` is below `count`.
            let place = unsafe { state.free.add(tail) };
            // SAFETY: as above, and the lock is ours.
            unsafe { place.write(index as u32) };
            state.left += 1;
        });
    }

    /// The start of the place that an address lies in.
    fn find(&self, address: usize) -> Option<usize> {
        // Whoever asks has a piece of memory: if it is one of these, the mapping was made before.
        let start = self.with(|state| state.start);
        let is_inside = start != 0 && (start..start + self.size() * self.count).contains(&address);
        is_inside.then(|| address - (address - start) % self.size())
    }
}

fn map(size: usize, access: libc::c_int) -> Option<usize> {
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping where the kernel likes; it touches no memory of ours.
    let start = unsafe { libc::mmap(ptr::null_mut(), size, access, kind, -1, 0) };
    (start != libc::MAP_FAILED).then(|| start.addr())
}

fn protect(start: usize, pages: usize, access: libc::c_int) -> bool {
    // SAFETY: pages of a place, which its holder opens or closes.
    unsafe { libc::mprotect(start as *mut libc::c_void, pages * PAGE, access) == 0 }
}

/// Says what is wrong and ends the process, without allocating.
fn fail(what: &str) -> ! {
    // SAFETY: the bytes live.
    unsafe { libc::write(2, what.as_ptr().cast(), what.len()) };
    std::process::abort()
}

/// The bytes of a place that do not belong to its piece.
fn canaries(start: usize, piece: usize, size: usize, pages: usize) -> [(usize, usize); 2] {
    // A piece ends at the closed page, or a few bytes before it for its alignment.
    let first = piece & !(PAGE - 1);
    let end = start + pages * PAGE;
    [(first, piece - first), (piece + size, end - piece - size)]
}

fn watch(layout: Layout) -> Option<*mut u8> {
    if layout.size() < SMALLEST || layout.align() > PAGE {
        return None;
    }
    let places = PLACES.iter().find(|places| layout.size() <= places.pages * PAGE)?;
    let Some(start) = places.take() else {
        MISSED.fetch_add(1, Relaxed);
        return None;
    };
    let piece = (start + places.pages * PAGE - layout.size()) & !(layout.align() - 1);
    let first = piece & !(PAGE - 1);
    let pages = (start + places.pages * PAGE - first) / PAGE;
    if !protect(first, pages, libc::PROT_READ | libc::PROT_WRITE) {
        places.give_back(start);
        MISSED.fetch_add(1, Relaxed);
        return None;
    }
    for (from, count) in canaries(start, piece, layout.size(), places.pages) {
        // SAFETY: inside the pages that were opened.
        unsafe { ptr::write_bytes(from as *mut u8, CANARY, count) };
    }
    PIECES.fetch_add(1, Relaxed);
    Some(piece as *mut u8)
}

/// Takes a piece back, if it is one of ours.
fn unwatch(pointer: *mut u8, layout: Layout) -> bool {
    let piece = pointer.addr();
    let found = PLACES.iter().find_map(|places| Some((places, places.find(piece)?)));
    let Some((places, start)) = found else { return false };
    for (from, count) in canaries(start, piece, layout.size(), places.pages) {
        // SAFETY: inside the pages that were opened for this piece.
        let bytes = unsafe { std::slice::from_raw_parts(from as *const u8, count) };
        if bytes.iter().any(|byte| *byte != CANARY) {
            fail("a canary was touched\n");
        }
    }
    let first = piece & !(PAGE - 1);
    let pages = (start + places.pages * PAGE - first) / PAGE;
    // SAFETY: pages of this place, whose contents nobody may read again.
    unsafe { libc::madvise(first as *mut libc::c_void, pages * PAGE, libc::MADV_DONTNEED) };
    if !protect(first, pages, libc::PROT_NONE) {
        fail("pages could not be closed\n");
    }
    places.give_back(start);
    true
}

/// The allocator.
#[derive(Debug)]
pub struct Guarded;

/// What was counted until now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Pieces that were watched.
    pub pieces: u64,
    /// Pieces for which there was no place.
    pub missed: u64,
    /// Bytes that are lent.
    pub live: i64,
}

/// What was counted until now.
#[must_use]
pub fn count() -> Count {
    let (pieces, missed) = (PIECES.load(Relaxed), MISSED.load(Relaxed));
    Count { pieces, missed, live: LIVE.load(Relaxed) }
}

// SAFETY: a watched piece has pages of its own, as many as it needs and aligned as asked, until it comes
// back; everything else is passed on to the system's allocator. To grow is to allocate and copy, by default.
unsafe impl GlobalAlloc for Guarded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as i64, Relaxed);
        // SAFETY: passed on.
        watch(layout).unwrap_or_else(|| unsafe { System.alloc(layout) })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as i64, Relaxed);
        if !unwatch(pointer, layout) {
            // SAFETY: passed on; it came from there, as it is none of ours.
            unsafe { System.dealloc(pointer, layout) }
        }
    }
}
