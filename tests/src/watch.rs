//! A guard around a test: when it is over, nothing of it is left.
//!
//! [`watched`] runs a test on a runtime of its own and asserts three baselines afterwards: no job is
//! registered but the main future, no descriptor is open that was not before, and every [`Tracked`]
//! value has been dropped, once, on its own thread (HOME). Descriptors belong to the process, so that
//! watched tests of one program run one after the other.

use std::fmt;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use crate::proc::descriptors;

/// Watched tests change the number of descriptors, and so must not overlap.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// How long jobs may take to end after the test has: a blocking closure may still run.
const SETTLE: Duration = Duration::from_secs(10);

/// Counts the values of one test.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    live: AtomicIsize,
    made: AtomicUsize,
    abroad: AtomicUsize,
}

/// A value whose end is counted. Where it is dropped is counted too, but for [`Watch::traveller`].
pub struct Tracked {
    counts: Arc<Counts>,
    home: Option<ThreadId>,
}

impl Watch {
    /// A value that must be dropped on this thread.
    #[must_use]
    pub fn tracked(&self) -> Tracked {
        let mut value = self.traveller();
        value.home = Some(std::thread::current().id());
        value
    }

    /// A value that may be dropped on any thread.
    #[must_use]
    pub fn traveller(&self) -> Tracked {
        self.counts.live.fetch_add(1, Ordering::SeqCst);
        self.counts.made.fetch_add(1, Ordering::SeqCst);
        Tracked { counts: Arc::clone(&self.counts), home: None }
    }

    /// How many values live.
    #[must_use]
    pub fn live(&self) -> isize {
        self.counts.live.load(Ordering::SeqCst)
    }

    #[track_caller]
    fn must_be_clean(&self) {
        let made = self.counts.made.load(Ordering::SeqCst);
        assert_eq!(self.live(), 0, "tracked values left, of {made}");
        let abroad = self.counts.abroad.load(Ordering::SeqCst);
        assert_eq!(abroad, 0, "tracked values dropped on a thread that is not their own");
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.counts.live.fetch_sub(1, Ordering::SeqCst);
        if self.home.is_some_and(|home| home != std::thread::current().id()) {
            self.counts.abroad.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl fmt::Debug for Tracked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tracked")
    }
}

/// Runs a test on a fresh runtime, under guard.
///
/// # Panics
/// If the test does, or leaves something behind.
pub fn watched<T>(test: impl AsyncFnOnce(Watch) -> T) -> T {
    watched_on(aem::Runtime::builder(), test)
}

/// Runs a test on a runtime of the builder's, under guard.
///
/// # Panics
/// If the test does, or leaves something behind.
pub fn watched_on<T>(builder: aem::Builder, test: impl AsyncFnOnce(Watch) -> T) -> T {
    let _alone = alone();
    let watch = Watch::default();
    let before = steady_descriptors();
    let runtime = builder.build().expect("a runtime");
    let output = runtime.block_on(async {
        let before = held().await;
        let output = test(watch.clone()).await;
        settle(before).await;
        output
    });
    drop(runtime);
    watch.must_be_clean();
    assert_eq!(steady_descriptors(), before, "descriptors after the test, and before");
    output
}

/// For a test that makes its runtimes itself: runs it under guard of values and descriptors.
///
/// # Panics
/// If the test does, or leaves something behind.
pub fn watched_outside<T>(test: impl FnOnce(Watch) -> T) -> T {
    let _alone = alone();
    let watch = Watch::default();
    let before = steady_descriptors();
    let output = test(watch.clone());
    watch.must_be_clean();
    assert_eq!(steady_descriptors(), before, "descriptors after the test, and before");
    output
}

/// How many descriptors are open, and not only for a moment: libraries open files of `/proc` and `/sys` and
/// close them again (for the number of processors, say), and threads of other tests begin all the while.
fn steady_descriptors() -> usize {
    let mut seen = descriptors();
    let mut equal = 1;
    while equal < 5 {
        std::thread::sleep(Duration::from_micros(200));
        let now = descriptors();
        equal = if now == seen { equal + 1 } else { 1 };
        seen = now;
    }
    seen
}

/// Keeps watched tests out, for a test that opens descriptors unwatched.
pub fn alone() -> impl Drop {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Timers, operations and descriptors that the runtime has.
async fn held() -> [u64; 3] {
    // The numbers are those of the last turn, in which the timer of this has fired.
    aem::time::sleep(Duration::from_millis(1)).await;
    let metrics = aem::metrics();
    [metrics.timers, metrics.operations, metrics.descriptors]
}

/// Waits until no job is left but the main future, and no more in the reactor than there was.
async fn settle(before: [u64; 3]) {
    let deadline = Instant::now() + SETTLE;
    loop {
        // A job that was cancelled needs a turn to go.
        for _ in 0..4 {
            aem::yield_now().await;
        }
        let mut left = aem::jobs();
        left.retain(|job| job.kind != aem::JobKind::Main);
        let held = held().await;
        if left.is_empty() && held == before {
            return;
        }
        if Instant::now() >= deadline {
            panic!(
                "left after the test: jobs {left:#?}; timers, operations and descriptors {held:?}, \
                 where there were {before:?}"
            );
        }
    }
}

/// Does nothing with a value, so that the closure which says it captures the value.
pub fn keep<T>(_: &T) {}
