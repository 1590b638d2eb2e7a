//! What models and tests are built of: a worker on the thread at hand, and values that notice a race.
#![allow(unsafe_code)]

use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize as Counter, Ordering::Relaxed};
use std::sync::{Arc as StdArc, Mutex as StdMutex};
use std::task::{Context, Poll, Wake, Waker};

use crate::error::JoinError;
use crate::job::Payload;
use crate::job::cell::{Birth, Work};
use crate::job::id::JobId;
use crate::job::join::JoinHandle;
use crate::job::owner::{Block, Entered, Home};
use crate::job::registry::{Facts, Kind};
use crate::job::task::{Posted, Task};
use crate::job::waker::JobRef;
use crate::queue::{Priority, Unpark};
use crate::sync::testing::{Condvar, Mutex};
use crate::sync::{AtomicUsize, UnsafeCell, current, set_current};

/// More mail than any model sends in a turn.
const MAIL: usize = 64;

/// A plain variable that threads hand to each other by whatever the model is about. loom fails the model
/// if two of them get at it unordered.
#[derive(Debug)]
pub(super) struct Plain(UnsafeCell<usize>);

// SAFETY: that accesses are ordered is what the models check.
unsafe impl Send for Plain {}
// SAFETY: as above.
unsafe impl Sync for Plain {}

impl Plain {
    pub(super) fn new(value: usize) -> Self {
        Plain(UnsafeCell::new(value))
    }

    pub(super) fn shared(value: usize) -> StdArc<Self> {
        StdArc::new(Self::new(value))
    }

    pub(super) fn read(&self) -> usize {
        // SAFETY: as above.
        self.0.with(|value| unsafe { *value })
    }

    pub(super) fn write(&self, new: usize) {
        // SAFETY: as above.
        self.0.with_mut(|value| unsafe { *value = new });
    }
}

/// A flag without any ordering: who must see it learns of it in another way.
#[derive(Debug, Default)]
pub(super) struct Flag(AtomicUsize);

impl Flag {
    pub(super) fn shared() -> StdArc<Self> {
        StdArc::new(Flag(AtomicUsize::new(0)))
    }

    pub(super) fn raise(&self) {
        self.0.store(1, Relaxed);
    }

    pub(super) fn is_up(&self) -> bool {
        self.0.load(Relaxed) != 0
    }
}

/// Counts on one thread, or after others were joined.
#[derive(Clone, Debug, Default)]
pub(super) struct Count(StdArc<Counter>);

impl Count {
    pub(super) fn up(&self) -> usize {
        self.0.fetch_add(1, Relaxed) + 1
    }

    pub(super) fn get(&self) -> usize {
        self.0.load(Relaxed)
    }
}

/// Every value and every cell of a model has a share of this; at its end all must be gone.
#[derive(Clone, Debug)]
#[must_use]
pub(super) struct Memory(StdArc<()>);

impl Memory {
    /// Asserts that nothing is left.
    pub(super) fn assert_free(self) {
        assert_eq!(StdArc::strong_count(&self.0), 1, "something was not dropped");
    }
}

/// The output of a job: made where the job runs, dropped once, wherever.
#[derive(Debug)]
pub(super) struct Output {
    value: Plain,
    _memory: Memory,
}

impl Output {
    pub(super) fn read(&self) -> usize {
        self.value.read()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        assert_ne!(self.value.read(), usize::MAX, "dropped twice");
        self.value.write(usize::MAX);
    }
}

/// A value inside a future: used and dropped at home (HOME).
#[derive(Debug)]
pub(super) struct Local {
    home: usize,
    value: Plain,
    _memory: Memory,
}

impl Local {
    pub(super) fn use_it(&self) {
        assert_eq!(current(), self.home, "a future was polled away from home");
        self.value.write(1);
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        assert_eq!(current(), self.home, "a future was dropped away from home");
        assert_ne!(self.value.read(), usize::MAX, "dropped twice");
        self.value.write(usize::MAX);
    }
}

/// A job's work with something beside it that lives until the cell is freed. Freeing writes the probe, so
/// whoever reads it while holding a reference must have done so before.
struct Watched<W> {
    work: W,
    probe: StdArc<Plain>,
    _memory: Memory,
}

impl<W> Watched<W> {
    fn work(self: Pin<&Self>) -> Pin<&W> {
        // SAFETY: the field is pinned as the whole is: it is never moved out.
        unsafe { self.map_unchecked(|watched| &watched.work) }
    }
}

impl<W> Drop for Watched<W> {
    fn drop(&mut self) {
        assert_eq!(self.probe.read(), 0, "freed twice");
        self.probe.write(1);
    }
}

impl<W: Work> Work for Watched<W> {
    fn run(self: Pin<&Self>, context: &mut Context<'_>) -> Poll<()> {
        self.work().run(context)
    }

    fn cancel(self: Pin<&Self>) {
        self.work().cancel();
    }

    unsafe fn discard(&self) -> Option<Payload> {
        // SAFETY: passed on.
        unsafe { self.work.discard() }
    }

    unsafe fn take_output(&self, into: *mut ()) -> bool {
        // SAFETY: passed on.
        unsafe { self.work.take_output(into) };
        false
    }

    fn birth(&self) -> Option<Birth> {
        self.work.birth()
    }
}

/// A job as its maker sees it.
pub(super) struct Job<T> {
    pub(super) handle: JoinHandle<T>,
    pub(super) waker: Waker,
    /// Read it where a reference is held.
    pub(super) probe: StdArc<Plain>,
}

/// What a sleeping worker waits for.
#[derive(Debug)]
pub(super) struct Bell {
    rung: Mutex<bool>,
    ring: Condvar,
    times: Counter,
}

impl Bell {
    fn shared() -> StdArc<Self> {
        let (rung, ring) = (Mutex::new(false), Condvar::new());
        StdArc::new(Bell { rung, ring, times: Counter::new(0) })
    }

    fn wait(&self) {
        let mut rung = self.rung.lock().unwrap();
        while !*rung {
            rung = self.ring.wait(rung).unwrap();
        }
        *rung = false;
    }

    fn ring(&self) {
        self.times.fetch_add(1, Relaxed);
        *self.rung.lock().unwrap() = true;
        self.ring.notify_one();
    }
}

impl Wake for Bell {
    fn wake(self: StdArc<Self>) {
        self.ring();
    }
}

struct Rope {
    bell: StdArc<Bell>,
    /// Written as the block goes.
    gone: StdArc<Plain>,
    _memory: Memory,
}

impl Unpark for Rope {
    fn unpark(&self) {
        assert_eq!(self.gone.read(), 0, "a block that has gone is used");
        self.bell.ring();
    }
}

impl Drop for Rope {
    fn drop(&mut self) {
        self.gone.write(1);
    }
}

/// A worker on this thread.
pub(super) struct Rig {
    pub(super) home: Home,
    entered: Entered,
    bell: StdArc<Bell>,
    sleeps: Count,
    memory: Memory,
}

impl Rig {
    /// A worker that is the current one until its end.
    pub(super) fn new() -> Rig {
        let memory = Memory(StdArc::new(()));
        let bell = Bell::shared();
        let gone = Plain::shared(0);
        let rope = Rope { bell: StdArc::clone(&bell), gone, _memory: memory.clone() };
        let home = Home::new(Box::new(rope));
        let entered = home.enter();
        Rig { home, entered, bell, sleeps: Count::default(), memory }
    }

    fn facts() -> Facts {
        Facts { kind: Kind::Task, location: Location::caller() }
    }

    /// Makes a job.
    pub(super) fn job<F: Future + 'static>(&self, future: F) -> Job<F::Output> {
        let probe = Plain::shared(0);
        let work = Task::new(future);
        let work = Watched { work, probe: StdArc::clone(&probe), _memory: self.memory.clone() };
        let (reference, id) = self.home.here().spawn(work, Priority::Normal, Self::facts());
        let waker = reference.waker();
        // SAFETY: the job was made here, of this future.
        let handle = unsafe { JoinHandle::from_raw(reference.into_raw(), id) };
        Job { handle, waker, probe }
    }

    /// Makes a job of which only the handle is wanted.
    pub(super) fn spawn<F: Future + 'static>(&self, future: F) -> JoinHandle<F::Output> {
        self.job(future).handle
    }

    /// Makes a job that is not ready.
    pub(super) fn make<F: Future + 'static>(&self, future: F) -> JobRef {
        let probe = Plain::shared(0);
        let work = Watched { work: Task::new(future), probe, _memory: self.memory.clone() };
        self.home.here().make(work, Priority::Normal, Self::facts()).0
    }

    /// What another thread needs to make a job here.
    pub(super) fn sender(&self) -> Sender {
        Sender { block: self.home.block(), memory: self.memory.clone() }
    }

    /// An output of a job of this model.
    pub(super) fn output(&self) -> impl Fn(usize) -> Output + Send + use<> {
        let memory = self.memory.clone();
        move |value| Output { value: Plain::new(value), _memory: memory.clone() }
    }

    /// A local value for a future.
    pub(super) fn local(&self) -> Local {
        Local { home: current(), value: Plain::new(0), _memory: self.memory.clone() }
    }

    /// A share for a value of the test's own.
    pub(super) fn share(&self) -> Memory {
        self.memory.clone()
    }

    /// Reads the mail and runs what is ready; how many runs that were.
    pub(super) fn turn(&self) -> usize {
        let _ = self.home.drain(MAIL);
        let mut runs = 0;
        while let Some(job) = self.home.pop() {
            self.home.run(job);
            runs += 1;
        }
        runs
    }

    /// Runs what is ready, without the mail.
    pub(super) fn run_ready(&self) {
        while let Some(job) = self.home.pop() {
            self.home.run(job);
        }
    }

    /// Works until that holds, and sleeps in between.
    pub(super) fn work_until(&self, mut holds: impl FnMut() -> bool) {
        loop {
            self.turn();
            if holds() {
                return;
            }
            if self.home.sleep() {
                self.sleeps.up();
                self.bell.wait();
                self.home.awake();
            }
        }
    }

    /// Works until the job has ended.
    pub(super) fn work_until_done<T>(&self, handle: &JoinHandle<T>) {
        self.work_until(|| handle.is_finished());
    }

    /// How often somebody woke the worker, and how often it slept.
    pub(super) fn rings_and_sleeps(&self) -> (usize, usize) {
        (self.bell.times.load(Relaxed), self.sleeps.get())
    }

    /// How many panics nobody read; they are dropped.
    pub(super) fn lost(&self) -> usize {
        self.home.take_lost().len()
    }

    /// As [`away`]; the worker is not the current one meanwhile.
    pub(super) fn away<R>(&self, act: impl FnOnce() -> R) -> R {
        away(act)
    }

    /// Ends the worker; nothing may have panicked. What is left of the memory is with other threads.
    pub(super) fn end(self) -> Memory {
        assert_eq!(self.home.finish(), 0);
        assert_eq!(self.lost(), 0, "a panic was swallowed");
        let Rig { home, entered, memory, .. } = self;
        drop(entered);
        drop(home);
        memory
    }
}

/// What makes jobs for a worker from another thread.
#[derive(Clone)]
pub(super) struct Sender {
    pub(super) block: Block,
    memory: Memory,
}

impl Sender {
    /// Sends a job.
    pub(super) fn spawn<F>(&self, future: F) -> (JoinHandle<F::Output>, StdArc<Plain>)
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let (id, probe) = (JobId::next(), Plain::shared(0));
        let birth = Birth { id, kind: Kind::Task, location: Location::caller() };
        let work = Posted::new(future, birth);
        let memory = self.memory.clone();
        let work = Watched { work, probe: StdArc::clone(&probe), _memory: memory };
        // SAFETY: the future and its output are Send.
        let job = unsafe { self.block.post(work) };
        // SAFETY: the job was made here, of this future.
        (unsafe { JoinHandle::from_raw(job, id) }, probe)
    }
}

/// Does something as another thread would, on this one.
pub(super) fn away<R>(act: impl FnOnce() -> R) -> R {
    let inside = set_current(0);
    let result = act();
    set_current(inside);
    result
}

/// Waits for a future on a thread that is no worker.
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let bell = Bell::shared();
    let waker = Waker::from(StdArc::clone(&bell));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => bell.wait(),
        }
    }
}

/// Polls once with that waker.
pub(super) fn poll_with<T: 'static>(
    handle: &mut JoinHandle<T>,
    waker: &Waker,
) -> Poll<Result<T, JoinError>> {
    Pin::new(handle).poll(&mut Context::from_waker(waker))
}

/// A waker that counts, and holds a share of the memory.
pub(super) fn counting_waker(rig: &Rig, count: &Count) -> Waker {
    struct Counting(Count, #[expect(dead_code, reason = "a share")] Memory);
    impl Wake for Counting {
        fn wake(self: StdArc<Self>) {
            self.0.up();
        }
    }
    Waker::from(StdArc::new(Counting(count.clone(), rig.memory.clone())))
}

/// A waker, and who can tell whether anybody still has it.
pub(super) fn watched_waker() -> (Waker, Watch) {
    struct Silent(#[expect(dead_code, reason = "a share")] StdArc<()>);
    impl Wake for Silent {
        fn wake(self: StdArc<Self>) {}
    }
    let watch = StdArc::new(());
    (Waker::from(StdArc::new(Silent(StdArc::clone(&watch)))), Watch(watch))
}

/// Sees something go.
#[derive(Debug)]
pub(super) struct Watch(StdArc<()>);

impl Watch {
    /// Something to be watched, and this.
    pub(super) fn new() -> (StdArc<()>, Watch) {
        let watched = StdArc::new(());
        (StdArc::clone(&watched), Watch(watched))
    }

    pub(super) fn is_gone(&self) -> bool {
        StdArc::strong_count(&self.0) == 1
    }
}

/// A future that is done when all flags are up. It never wakes itself.
pub(super) fn all_up<const N: usize>(
    flags: [&StdArc<Flag>; N],
) -> impl Future<Output = ()> + use<N> {
    let flags = flags.map(StdArc::clone);
    poll_fn(move |_| match flags.iter().all(|flag| flag.is_up()) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
}

/// A place for something that two jobs hand to each other.
#[derive(Debug)]
pub(super) struct Slot<T>(StdArc<StdMutex<Option<T>>>);

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Slot(StdArc::new(StdMutex::new(None)))
    }
}

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        Slot(StdArc::clone(&self.0))
    }
}

impl<T> Slot<T> {
    pub(super) fn put(&self, value: T) {
        *self.0.lock().unwrap() = Some(value);
    }

    pub(super) fn take(&self) -> Option<T> {
        self.0.lock().unwrap().take()
    }
}
