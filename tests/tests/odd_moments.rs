//! Registrations changed at odd moments: after their end, from inside their source, and under a policy that
//! ends everything at the first panic.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::thread::ThreadId;
use std::time::Duration;

use aem::{PanicPolicy, Registration, Restart, Runtime, on, supervise, yield_now};
use futures::{Stream, stream};

/// Tells whether it was dropped on the thread that made it.
struct Homely(ThreadId, mpsc::Sender<bool>);

impl Drop for Homely {
    fn drop(&mut self) {
        let _ = self.1.send(self.0 == std::thread::current().id());
    }
}

/// Ends at once, and leaves its waker to another thread.
struct Leaks(mpsc::Sender<Waker>);
impl Stream for Leaks {
    type Item = u32;
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<u32>> {
        self.0.send(cx.waker().clone()).unwrap();
        Poll::Ready(None)
    }
}

fn after_the_end(change: impl Fn(Registration<Leaks>, Homely) -> Registration<Leaks>) {
    let (to_thread, wakers) = mpsc::channel::<Waker>();
    let (go, wait) = mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        let waker = wakers.recv().unwrap();
        wait.recv().unwrap();
        drop(waker);
    });
    let (tell, told) = mpsc::channel();
    aem::block_on(async move {
        let mut registration = on(Leaks(to_thread), |_| ());
        (&mut registration).await.unwrap();
        let homely = Homely(std::thread::current().id(), tell);
        let registration = change(registration, homely);
        drop(registration);
        yield_now().await;
        go.send(()).unwrap();
    });
    thread.join().unwrap();
    assert_eq!(told.recv(), Ok(true), "a value that is not Send was dropped on another thread");
}

#[test]
fn merge_after_the_end_stays_at_home() {
    after_the_end(|registration, homely| {
        registration.merge(move |_, _| {
            let _ = &homely;
        })
    });
}

#[test]
fn restart_after_the_end_stays_at_home() {
    after_the_end(|registration, homely| {
        registration.restart(Restart::new(), move || {
            let _ = &homely;
            |_| ()
        })
    });
}

/// Its third poll says keep_all, and that there is nothing now.
type Place = Rc<RefCell<Option<Registration<Fickle>>>>;
struct Fickle(Place, Rc<Cell<u32>>);
impl Stream for Fickle {
    type Item = u32;
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<u32>> {
        let at = self.1.get();
        self.1.set(at + 1);
        match at {
            0 => Poll::Ready(Some(1)),
            1 => {
                let registration = self.0.borrow_mut().take().unwrap().keep_all();
                *self.0.borrow_mut() = Some(registration);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            2 => Poll::Ready(Some(2)),
            _ => Poll::Ready(None),
        }
    }
}

#[test]
fn keep_all_from_the_source_loses_nothing() {
    aem::block_on(async {
        let place = Place::default();
        let seen = Rc::new(RefCell::new(Vec::new()));
        let writer = seen.clone();
        let source = Fickle(place.clone(), Rc::default());
        *place.borrow_mut() = Some(on(source, move |n| writer.borrow_mut().push(n)).keep_latest());
        for _ in 0..20 {
            yield_now().await;
        }
        place.borrow_mut().take();
        assert_eq!(*seen.borrow(), [1, 2]);
    });
}

fn at_once() -> Restart {
    Restart::new().times(5).back_off(Duration::ZERO, Duration::ZERO)
}

#[test]
fn a_supervised_handler_goes_on_under_shutdown() {
    let runtime = Runtime::builder().on_panic(PanicPolicy::Shutdown).build().unwrap();
    let seen = Rc::new(Cell::new(0));
    let counter = seen.clone();
    runtime.block_on(async move {
        let make = move || {
            let counter = counter.clone();
            move |number: u32| {
                assert!(number != 2, "two");
                counter.set(counter.get() + number);
            }
        };
        println!("{:?}", on(stream::iter(1..=4), make()).restart(at_once(), make).await);
    });
    assert_eq!(seen.get(), 8);
}

#[test]
fn a_supervised_job_goes_on_under_shutdown() {
    let runtime = Runtime::builder().on_panic(PanicPolicy::Shutdown).build().unwrap();
    let lives = Rc::new(Cell::new(0));
    let counter = lives.clone();
    let end = runtime.block_on(async move {
        supervise(at_once(), move || {
            counter.set(counter.get() + 1);
            let life = counter.get();
            async move {
                assert!(life != 1, "the first");
                Ok::<_, std::io::Error>(life)
            }
        })
        .await
    });
    assert_eq!(end.unwrap().unwrap(), 2);
}
