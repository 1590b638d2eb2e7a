//! The floor: the least a single-threaded executor can do, for the others to be measured against.
//!
//! A task is one allocation with a plain count, a plain state and an intrusive link; its waker
//! touches nothing else. There is no atomic, no catching of panics, no name, no statistics, no
//! other thread and no kernel. **This is unsound as an API**: a `Waker` is `Send`, and these must
//! not be sent. It is the honest lower bound of a benchmark, and nothing to use.

use std::cell::{Cell, UnsafeCell};
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::ptr::NonNull;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

const SCHEDULED: u8 = 1;
const DONE: u8 = 2;

/// First in, first out, linked through the tasks.
struct Queue {
    first: Cell<Option<NonNull<Header>>>,
    last: Cell<Option<NonNull<Header>>>,
}

#[repr(C)]
struct Header {
    next: Cell<Option<NonNull<Header>>>,
    table: &'static Table,
    references: Cell<u32>,
    state: Cell<u8>,
    joiner: Cell<Option<Waker>>,
    queue: NonNull<Queue>,
}

struct Table {
    run: unsafe fn(NonNull<Header>),
    take: unsafe fn(NonNull<Header>, NonNull<()>),
    free: unsafe fn(NonNull<Header>),
}

enum Stage<F: Future> {
    Pending(F),
    Output(F::Output),
    Taken,
}

#[repr(C)]
struct Task<F: Future> {
    header: Header,
    stage: UnsafeCell<Stage<F>>,
}

thread_local! {
    static CURRENT: Cell<Option<NonNull<Queue>>> = const { Cell::new(None) };
}

impl Queue {
    fn push(&self, task: NonNull<Header>) {
        match self.last.replace(Some(task)) {
            // SAFETY: what is queued holds a reference to itself.
            Some(last) => unsafe { last.as_ref() }.next.set(Some(task)),
            None => self.first.set(Some(task)),
        }
    }

    fn pop(&self) -> Option<NonNull<Header>> {
        let task = self.first.get()?;
        // SAFETY: what is queued holds a reference to itself.
        let next = unsafe { task.as_ref() }.next.take();
        self.first.set(next);
        if next.is_none() {
            self.last.set(None);
        }
        Some(task)
    }
}

impl<F: Future> Task<F> {
    const TABLE: Table = Table { run: Self::run, take: Self::take, free: Self::free };

    /// # Safety
    /// A live task of this type.
    unsafe fn run(header: NonNull<Header>) {
        // SAFETY: the caller's word; the header is its first field.
        let task = unsafe { header.cast::<Task<F>>().as_ref() };
        // SAFETY: the queue gives a task out once, and runs do not nest.
        let Stage::Pending(future) = (unsafe { &mut *task.stage.get() }) else { return };
        // SAFETY: the task stays where it was allocated, and its future is dropped there.
        let future = unsafe { Pin::new_unchecked(future) };
        // The reference that being queued holds is the waker's while it runs.
        let raw = RawWaker::new(header.as_ptr().cast_const().cast(), &WAKER);
        // SAFETY: the table keeps the contract of wakers, within this thread.
        let waker = std::mem::ManuallyDrop::new(unsafe { Waker::from_raw(raw) });
        if let Poll::Ready(output) = future.poll(&mut Context::from_waker(&waker)) {
            // SAFETY: as above; the assignment drops the future in its place.
            unsafe { *task.stage.get() = Stage::Output(output) };
            task.header.state.set(task.header.state.get() | DONE);
            if let Some(joiner) = task.header.joiner.take() {
                joiner.wake();
            }
        }
    }

    /// # Safety
    /// A done task of this type whose output was not taken, and room for an `Option` of it.
    unsafe fn take(header: NonNull<Header>, room: NonNull<()>) {
        // SAFETY: the caller's word.
        let task = unsafe { header.cast::<Task<F>>().as_ref() };
        // SAFETY: the task is done, so nobody runs it.
        let stage = unsafe { task.stage.get().replace(Stage::Taken) };
        let Stage::Output(output) = stage else { return };
        // SAFETY: the caller's word.
        unsafe { room.cast::<Option<F::Output>>().write(Some(output)) };
    }

    /// # Safety
    /// A task of this type without references.
    unsafe fn free(header: NonNull<Header>) {
        // SAFETY: made by `Box` in `spawn`, and nobody has it any more.
        drop(unsafe { Box::from_raw(header.cast::<Task<F>>().as_ptr()) });
    }
}

static WAKER: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, release);

/// # Safety
/// The data of a waker, whose reference keeps the task alive.
unsafe fn header<'a>(data: *const ()) -> &'a Header {
    // SAFETY: the caller's word.
    unsafe { &*data.cast::<Header>() }
}

/// # Safety
/// See [`header`].
unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: the caller's word.
    let header = unsafe { header(data) };
    header.references.set(header.references.get() + 1);
    RawWaker::new(data, &WAKER)
}

/// # Safety
/// See [`header`].
unsafe fn wake(data: *const ()) {
    // SAFETY: the caller's word.
    unsafe { wake_by_ref(data) };
    // SAFETY: the caller's word; the waker is gone after this.
    unsafe { release(data) };
}

/// # Safety
/// See [`header`].
unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: the caller's word.
    let header = unsafe { header(data) };
    if header.state.get() == 0 {
        header.state.set(SCHEDULED);
        header.references.set(header.references.get() + 1);
        // SAFETY: the queue outlives its tasks' runs, and no waker is used after `block_on`.
        unsafe { header.queue.as_ref() }.push(NonNull::from(header));
    }
}

/// # Safety
/// See [`header`]; the reference is the caller's to give up.
unsafe fn release(data: *const ()) {
    // SAFETY: the caller's word.
    let header = unsafe { header(data) };
    let left = header.references.get() - 1;
    header.references.set(left);
    if left == 0 {
        // SAFETY: that was the last one.
        unsafe { (header.table.free)(NonNull::from(header)) };
    }
}

/// The output of a task, to be awaited. Dropping it detaches the task.
#[derive(Debug)]
pub struct JoinHandle<T> {
    task: NonNull<Header>,
    output: PhantomData<T>,
}

impl<T> Future for JoinHandle<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // SAFETY: the handle holds a reference.
        let header = unsafe { self.task.as_ref() };
        if header.state.get() & DONE == 0 {
            header.joiner.set(Some(context.waker().clone()));
            return Poll::Pending;
        }
        let mut output: Option<T> = None;
        // SAFETY: a done task with this output; the room is an Option of it.
        unsafe { (header.table.take)(self.task, NonNull::from(&mut output).cast()) };
        Poll::Ready(output.expect("a handle is polled until it is ready"))
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        // SAFETY: the handle's own reference.
        unsafe { release(self.task.as_ptr().cast_const().cast()) };
    }
}

/// Spawns a task on the loop that runs.
pub fn spawn<F: Future + 'static>(future: F) -> JoinHandle<F::Output> {
    let queue = CURRENT.get().expect("inside of block_on");
    let task = Box::new(Task {
        header: Header {
            next: Cell::new(None),
            table: const { &Task::<F>::TABLE },
            references: Cell::new(2),
            state: Cell::new(SCHEDULED),
            joiner: Cell::new(None),
            queue,
        },
        stage: UnsafeCell::new(Stage::Pending(future)),
    });
    let task = NonNull::from(Box::leak(task)).cast::<Header>();
    // SAFETY: the loop that runs is further down this stack.
    unsafe { queue.as_ref() }.push(task);
    JoinHandle { task, output: PhantomData }
}

/// Runs a future, and what it spawns, until the future is done.
///
/// # Panics
/// When nothing can run any more: there is no other thread or kernel to wait for.
///
/// # Safety
/// No waker leaves this thread or is used after this has returned, and every task is done by then.
pub unsafe fn block_on<F: Future>(future: F) -> F::Output {
    let queue = Queue { first: Cell::new(None), last: Cell::new(None) };
    let before = CURRENT.replace(Some(NonNull::from(&queue)));
    let mut future = pin!(future);
    let woken = Cell::new(true);
    let raw = RawWaker::new((&raw const woken).cast(), &MAIN);
    // SAFETY: the flag outlives the wakers, by the caller's word.
    let waker = unsafe { Waker::from_raw(raw) };
    let mut context = Context::from_waker(&waker);
    let output = loop {
        if woken.replace(false)
            && let Poll::Ready(output) = future.as_mut().poll(&mut context)
        {
            break output;
        }
        let Some(task) = queue.pop() else {
            assert!(woken.get(), "nothing can run any more");
            continue;
        };
        // SAFETY: queued, so alive.
        let header = unsafe { task.as_ref() };
        header.state.set(0);
        // SAFETY: a live task and the table of its type.
        unsafe { (header.table.run)(task) };
        // SAFETY: the reference it had in the queue.
        unsafe { release(task.as_ptr().cast_const().cast()) };
    };
    CURRENT.set(before);
    output
}

/// The waker of the main future: a flag on the stack.
static MAIN: RawWakerVTable =
    RawWakerVTable::new(|data| RawWaker::new(data, &MAIN), raise, raise, |_| {});

/// # Safety
/// The flag is alive.
unsafe fn raise(flag: *const ()) {
    // SAFETY: the caller's word.
    unsafe { &*flag.cast::<Cell<bool>>() }.set(true);
}
