//! The memory of a pool: buffers that are lent as chunks and come back from any thread.
//!
//! One mapping holds all buffers, an allocation their headers. The worker's side, [`Arena`], takes
//! buffers from lists of its own; a chunk's drop pushes its header on a stack (one
//! compare-and-swap), and the worker takes that stack whole when it needs more. Nothing is ever
//! popped from the stack singly, so it has no ABA problem.
//!
//! The memory lives until the arena *and* every chunk of it are gone, without a count per chunk:
//! when the arena is dropped it closes the stack, and only from then on those who bring a buffer
//! back count down to the last one, who frees it all.

use std::fmt;
use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicPtr, AtomicUsize};

use super::{Chunk, Count};
use crate::sys::memory::Pages;

/// What several chunks of one piece of memory share.
pub(super) struct Header {
    count: Count,
    /// The next buffer in whatever list of free buffers this one is in.
    next: AtomicPtr<Header>,
    memory: NonNull<u8>,
    capacity: usize,
    /// The pool that the buffer goes back to; null for a vector, whose header is a box.
    home: *const Shared,
}

impl Header {
    /// The header of a vector that chunks are going to share.
    pub(super) fn of_vector(memory: NonNull<u8>, capacity: usize) -> Header {
        let next = AtomicPtr::new(ptr::null_mut());
        Header { count: Count::one(), next, memory, capacity, home: ptr::null() }
    }

    /// Adds a reference.
    pub(super) fn acquire(&self) {
        self.count.up();
    }

    /// Gives up a reference; with the last one the memory goes where it came from.
    ///
    /// # Safety
    ///
    /// `this` is a live header, and the caller owns one of its references, which ends here.
    pub(super) unsafe fn release(this: *mut Header) {
        // SAFETY: the caller's reference keeps it alive up to the end of `down`.
        let header = unsafe { &*this };
        let home = header.home;
        if !header.count.down() {
            return;
        }
        if home.is_null() {
            // SAFETY: a header without a home was boxed by `Chunk::share`, and this was the last
            // reference to it.
            let header = unsafe { Box::from_raw(this) };
            // SAFETY: it was made of the parts of a vector that nobody refers to any more.
            drop(unsafe { Vec::from_raw_parts(header.memory.as_ptr(), 0, header.capacity) });
        } else {
            // SAFETY: the home of a pool's header lives until all its buffers came back, and this
            // one had not. The buffer is nobody's any more (`chunks_go_home_from_other_threads`).
            unsafe { Shared::take_back(home, this) };
        }
    }
}

/// What the worker and the chunks share.
struct Shared {
    /// The stack of buffers that came back; `closed()` once the arena is gone.
    returned: AtomicPtr<Header>,
    /// How many must still report before all of this can be freed: each buffer once, and the
    /// arena. It is counted down only after the stack was closed.
    remaining: AtomicUsize,
    headers: Box<[Header]>,
    /// What the headers point into.
    _pages: Pages,
}

/// What `returned` is when nobody will fetch from it any more.
fn closed() -> *mut Header {
    ptr::without_provenance_mut(1)
}

impl Shared {
    /// Puts a buffer on the stack, or counts it if the arena is gone.
    ///
    /// # Safety
    ///
    /// `this` is alive and `header` is one of its buffers that no chunk refers to.
    unsafe fn take_back(this: *const Shared, header: *mut Header) {
        // SAFETY: alive, says the caller, up to the report at the end.
        let returned = unsafe { &(*this).returned };
        // SAFETY: the headers live as long as `this`.
        let next = unsafe { &(*header).next };
        // Acquire, here and below: whoever sees `closed` goes on to report (see `Arena::drop`).
        let mut head = returned.load(Acquire);
        while head != closed() {
            next.store(head, Relaxed);
            // Release: pairs with the Acquire in `Arena::refill`, which then sees `next` and
            // whatever this thread did to the bytes.
            match returned.compare_exchange_weak(head, header, Release, Acquire) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
        // SAFETY: this buffer had not reported yet.
        unsafe { Shared::report(this, 1) };
    }

    /// Reports `n` of the parts as done, and frees everything with the last of them.
    ///
    /// # Safety
    ///
    /// `this` is alive and the caller owns `n` of the reports.
    unsafe fn report(this: *const Shared, n: usize) {
        // SAFETY: it lives until the last report is made, and ours is not.
        let remaining = unsafe { &(*this).remaining };
        // AcqRel: all that others did with their buffers happens before the memory is freed.
        if remaining.fetch_sub(n, AcqRel) != n {
            return;
        }
        // SAFETY: made by `Box::into_raw` in `Arena::new`; all parts have reported, so nobody
        // else will touch it (`a_chunk_outlives_its_pool`).
        drop(unsafe { Box::from_raw(this.cast_mut()) });
    }
}

/// Fewer free buffers than this are few.
const FEW: usize = 8;

/// The worker's side of a pool's memory.
pub(crate) struct Arena {
    shared: NonNull<Shared>,
    /// Buffers that were never lent are those from this index on.
    fresh: usize,
    /// Buffers that came back and were fetched from the stack.
    recent: *mut Header,
    /// Whether the last fetch brought fewer than `FEW`.
    few: bool,
}

impl Arena {
    /// Memory for `count` buffers of `buffer_size` bytes each, all zero at first.
    ///
    /// The kernel gives pages when they are first written to, so a pool costs what it was at its
    /// fullest. With a `count` of zero there is nothing to lend.
    ///
    /// # Errors
    ///
    /// `OutOfMemory`, if the system has not so much, or nobody has.
    pub(crate) fn new(count: usize, buffer_size: usize) -> io::Result<Arena> {
        let too_much = || {
            let text = format!("no memory for a pool of {count} buffers of {buffer_size} bytes");
            io::Error::new(io::ErrorKind::OutOfMemory, text)
        };
        let size = count.checked_mul(buffer_size).ok_or_else(too_much)?;
        let mut headers = Vec::new();
        headers.try_reserve_exact(count).map_err(|_| too_much())?;
        let pages = Pages::map(size).map_err(|_| too_much())?;
        let memory = pages.start();
        let shared = Box::into_raw(Box::new(Shared {
            returned: AtomicPtr::new(ptr::null_mut()),
            remaining: AtomicUsize::new(count + 1),
            headers: Box::default(),
            _pages: pages,
        }));
        let header = |index: usize| Header {
            count: Count::one(),
            next: AtomicPtr::new(ptr::null_mut()),
            // SAFETY: `index` is below `count`, so the sum is inside the allocation.
            memory: unsafe { memory.add(index * buffer_size) },
            capacity: buffer_size,
            home: shared,
        };
        headers.extend((0..count).map(header));
        // SAFETY: nobody else knows of `shared` yet.
        unsafe { (*shared).headers = headers.into_boxed_slice() };
        let shared = NonNull::new(shared).expect("a box is not null");
        Ok(Arena { shared, fresh: 0, recent: ptr::null_mut(), few: false })
    }

    /// How many buffers there are.
    pub(crate) fn count(&self) -> usize {
        self.shared().headers.len()
    }

    /// A buffer as a chunk of its whole size, with whatever bytes it last held; `None` if all are
    /// lent.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<Chunk> {
        let header = self.pop()?;
        // SAFETY: a header in one of our lists is alive and no chunk refers to it.
        let free = unsafe { &*header };
        free.count.reset();
        Some(Chunk { start: free.memory, len: free.capacity, owner: header })
    }

    /// Whether only few buffers were free when last looked at.
    #[inline]
    pub(crate) fn is_low(&self) -> bool {
        self.few && self.shared().headers.len() - self.fresh < FEW
    }

    /// Takes a free header: the most recently used one, whose memory is likely in the cache.
    #[inline]
    fn pop(&mut self) -> Option<*mut Header> {
        if self.recent.is_null() {
            self.refill();
        }
        let header = self.recent;
        if header.is_null() {
            let header = ptr::from_ref(self.shared().headers.get(self.fresh)?);
            self.fresh += 1;
            return Some(header.cast_mut());
        }
        // SAFETY: a header in our list is alive.
        let next = unsafe { &(*header).next };
        self.recent = next.load(Relaxed);
        Some(header)
    }

    /// Fetches what came back, and notices if that is little.
    fn refill(&mut self) {
        let shared = self.shared();
        if shared.returned.load(Relaxed).is_null() {
            self.few = true;
            return;
        }
        // Acquire: pairs with the Release in `take_back`.
        let list = shared.returned.swap(ptr::null_mut(), Acquire);
        self.few = List(list).take(FEW).count() < FEW;
        self.recent = list;
    }

    fn shared(&self) -> &Shared {
        // SAFETY: it lives until the arena has reported, which its drop does.
        unsafe { self.shared.as_ref() }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        let shared = self.shared();
        // Acquire: as in `refill`. Release: whoever sees `closed` reports after what we did.
        let returned = shared.returned.swap(closed(), AcqRel);
        let unused = shared.headers.len() - self.fresh;
        let free = unused + List(returned).count() + List(self.recent).count();
        // SAFETY: these buffers are lent to nobody, so their reports are ours; one more is the
        // arena's own.
        unsafe { Shared::report(self.shared.as_ptr(), free + 1) };
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena").field("count", &self.count()).finish_non_exhaustive()
    }
}

/// A list of free headers that the worker owns.
struct List(*mut Header);

impl Iterator for List {
    type Item = *mut Header;

    fn next(&mut self) -> Option<*mut Header> {
        let header = self.0;
        if header.is_null() {
            return None;
        }
        // SAFETY: lists are made of live headers that nobody else touches.
        let next = unsafe { &(*header).next };
        self.0 = next.load(Relaxed);
        Some(header)
    }
}
