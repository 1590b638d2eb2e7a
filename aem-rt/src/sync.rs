//! The only door to `std`'s or loom's shared memory.
//!
//! Floor 1 is model-checked: built with `--cfg loom`, every atomic, cell and thread it touches comes
//! from loom, which runs a test once for each order in which threads may interleave. Nothing outside
//! this file knows about that: it imports from here and finds the same names either way.
//!
//! Two things have no twin in loom and so get a function of their own: [`peek`], a load that loom does
//! not let hide a race, and the address of the thread's current worker.
//!
//! For tests there is `model`: a piece of concurrent code that loom runs in every order, and that a
//! build without loom runs some hundred times with real threads.

#[cfg(not(loom))]
mod real {
    use std::cell::Cell as StdCell;

    pub(crate) use std::alloc::{alloc, dealloc};
    pub(crate) use std::cell::Cell;
    pub(crate) use std::sync::Arc;
    pub(crate) use std::sync::atomic::{
        AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };

    /// Whether loom checks this build.
    pub(crate) const MODELLED: bool = false;

    /// `std`'s cell with the interface of loom's, which wants to see where an access ends.
    #[derive(Debug)]
    #[repr(transparent)]
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        #[inline]
        pub(crate) fn new(value: T) -> Self {
            UnsafeCell(std::cell::UnsafeCell::new(value))
        }

        /// Hands out the pointer for reading.
        #[inline]
        pub(crate) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
            read(self.0.get())
        }

        /// Hands out the pointer for writing.
        #[inline]
        pub(crate) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
            write(self.0.get())
        }
    }

    /// Waits for a moment: there is something that only another thread can do.
    #[cold]
    pub(crate) fn let_others_run() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }

    /// A load before a compare-and-swap.
    #[inline]
    pub(crate) fn peek(word: &AtomicU64, ordering: Ordering) -> u64 {
        word.load(ordering)
    }

    /// [`peek`] for a word that holds a pointer.
    #[inline]
    pub(crate) fn peek_word(word: &AtomicUsize, ordering: Ordering) -> usize {
        word.load(ordering)
    }

    thread_local! {
        // Const and without a destructor, so that it can be read in the destructors of other
        // thread-locals, where wakers may still be dropped.
        static CURRENT: StdCell<usize> = const { StdCell::new(0) };
    }

    /// The address of the worker that runs on this thread now; 0 outside of one.
    #[inline]
    pub(crate) fn current() -> usize {
        CURRENT.get()
    }

    /// Sets [`current`] and gives back what it was.
    pub(crate) fn set_current(address: usize) -> usize {
        CURRENT.replace(address)
    }

    #[cfg(test)]
    pub(crate) mod testing {
        pub(crate) use std::sync::{Condvar, Mutex};
        pub(crate) use std::thread::spawn;

        /// How often a model runs with real threads. Races show up by luck here; this is for the code of
        /// the models, and for the tools that watch memory. Miri takes each thread's steps by hand.
        const ROUNDS: usize = if cfg!(miri) { 2 } else { 200 };

        pub(crate) fn explore(_name: &str, body: impl Fn() + Send + Sync + 'static) {
            for _ in 0..ROUNDS {
                body();
            }
        }
    }
}

#[cfg(loom)]
mod real {
    pub(crate) use loom::alloc::{alloc, dealloc};
    pub(crate) use loom::cell::{Cell, UnsafeCell};
    pub(crate) use loom::sync::Arc;
    pub(crate) use loom::sync::atomic::{
        AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
    pub(crate) use loom::thread::yield_now as let_others_run;

    pub(crate) const MODELLED: bool = true;

    /// loom remembers one access an object when it decides where to branch, and a load before a
    /// compare-and-swap can hide a race from it; an RMW that changes nothing does not.
    pub(crate) fn peek(word: &AtomicU64, ordering: Ordering) -> u64 {
        word.fetch_or(0, ordering)
    }

    pub(crate) fn peek_word(word: &AtomicUsize, ordering: Ordering) -> usize {
        word.fetch_or(0, ordering)
    }

    loom::thread_local! {
        static CURRENT: std::cell::Cell<usize> = std::cell::Cell::new(0);
    }

    pub(crate) fn current() -> usize {
        CURRENT.with(|current| current.get())
    }

    pub(crate) fn set_current(address: usize) -> usize {
        CURRENT.with(|current| current.replace(address))
    }

    #[cfg(test)]
    pub(crate) mod testing {
        pub(crate) use loom::sync::{Condvar, Mutex};
        pub(crate) use loom::thread::spawn;
        use std::io::Write;
        use std::sync::Arc;
        use std::sync::atomic::{AtomicUsize, Ordering};

        /// How many times a thread may be interrupted in one execution: nearly all bugs of such code need
        /// two at most (Musuvathi and Qadeer, 2007). LOOM_MAX_PREEMPTIONS sets another bound.
        const PREEMPTIONS: usize = 2;

        /// The longest execution: the models that end a worker are longer than loom's default allows.
        const BRANCHES: usize = 20_000;

        pub(crate) fn explore(name: &str, body: impl Fn() + Send + Sync + 'static) {
            let executions = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&executions);
            let mut builder = loom::model::Builder::new();
            builder.preemption_bound.get_or_insert(PREEMPTIONS);
            builder.max_branches = BRANCHES;
            builder.check(move || {
                counted.fetch_add(1, Ordering::Relaxed);
                body();
            });
            let executions = executions.load(Ordering::Relaxed);
            // Past the capture of the test runner: the numbers are to be read.
            let line = format!("loom {name}: {executions} executions\n");
            let _ = std::io::stderr().lock().write_all(line.as_bytes());
            assert!(executions > 1, "{name} has one execution only: nothing in it is concurrent");
        }
    }
}

pub(crate) use real::*;

/// A model: concurrent code that must do the same in every order.
///
/// With loom it runs once for each order in which its threads may interleave; else some hundred times. It
/// is named after the test that calls it. A panic fails it even where a job swallows it, as that may have
/// been loom's own: code that is to panic does it by `resume_unwind`, which is not counted.
#[cfg(test)]
pub(crate) fn model<F: Fn() + Send + Sync + 'static>(body: F) {
    use std::cell::Cell as StdCell;
    use std::panic::{set_hook, take_hook};
    use std::sync::Once;

    thread_local! {
        static PANICS: StdCell<usize> = const { StdCell::new(0) };
    }
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            PANICS.set(PANICS.get() + 1);
            before(panic);
        }));
    });
    PANICS.set(0);
    let name = std::any::type_name::<F>().trim_end_matches("::{{closure}}");
    let name = name.split_once("::").map_or(name, |(_, path)| path);
    testing::explore(name, move || {
        body();
        assert_eq!(PANICS.get(), 0, "a panic was swallowed");
    });
}
