//! The contract of the public sources, one suite for all of them on both keepers: a handler hears every
//! event, an await too, a cancelled await loses none, a source changes hands, an end is an end, an error an
//! error.
//!
//! A [`Rig`] is a source and somebody who has its events happen; the tests know nothing else. What is
//! special about a source has its own tests: `net_tcp.rs`, `races.rs`, and those beside its code.

#[path = "sources/descriptors.rs"]
mod descriptors;
#[path = "sources/files.rs"]
mod files;
#[path = "sources/foreign.rs"]
mod foreign;
#[path = "sources/messages.rs"]
mod messages;
#[path = "sources/network.rs"]
mod network;
#[path = "sources/processes.rs"]
mod processes;
#[path = "sources/signals.rs"]
mod signals;
#[path = "sources/timers.rs"]
mod timers;

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::sync::Once;
use std::time::Duration;

use aem::time::{sleep, timeout};
use aem::{End, Registration};
use aem_tests::keepers;
use aem_tests::random::Random;
use aem_tests::traffic::begin;
use aem_tests::watch::watched_on;
use futures::{Stream, StreamExt};

/// No test takes longer, unless it hangs.
const LIMIT: Duration = Duration::from_secs(20);

/// Of those who look whether a handler has come so far.
const PAUSE: Duration = Duration::from_micros(100);

/// A source, and what has its events happen.
trait Rig: Sized + 'static {
    /// What is tested.
    type Source: Stream + Unpin + 'static;

    /// How many events happen in a test.
    const EVENTS: usize = 20;
    /// Whether the source ends when it is closed.
    const ENDS: bool;
    /// Whether it does so by itself after the last event.
    const ENDS_BY_ITSELF: bool = false;
    /// What it fails with, if it can.
    const ERROR: Option<io::ErrorKind> = None;
    /// Whether two events at once are one.
    const MERGES: bool = false;

    async fn new() -> (Rc<Self>, Self::Source);

    /// Has the event of this number happen.
    fn cause(&self, number: usize);

    /// The numbers of those that an event of the source tells of.
    fn numbers(&self, event: <Self::Source as Stream>::Item) -> io::Result<Vec<usize>>;

    /// No more events come.
    fn close(&self) {}

    /// The source fails.
    fn fail(&self) {}

    /// Looks whether all is as if there had been no source.
    async fn has_gone(&self) {}
}

/// What was heard, by whomever.
type Heard = Rc<RefCell<Vec<usize>>>;

fn note<R: Rig>(rig: &R, heard: &Heard, event: <R::Source as Stream>::Item) -> io::Result<()> {
    let numbers = rig.numbers(event)?;
    for number in numbers {
        assert_eq!(number, heard.borrow().len(), "after {:?}", heard.borrow());
        heard.borrow_mut().push(number);
    }
    Ok(())
}

/// A handler of all events, which fails with the first error.
fn handle<R: Rig>(rig: &Rc<R>, source: R::Source, heard: &Heard) -> Registration<R::Source> {
    let (rig, heard) = (Rc::clone(rig), Rc::clone(heard));
    aem::on(source, move |event| note(&*rig, &heard, event))
}

async fn has_heard(heard: &Heard, count: usize) {
    while heard.borrow().len() < count {
        sleep(PAUSE).await;
    }
}

/// Events happen one after the other, at times several at once.
async fn happen<R: Rig>(rig: &R, numbers: std::ops::Range<usize>, heard: &Heard) {
    let mut random = Random::new(numbers.start as u64 + 1);
    for number in numbers {
        rig.cause(number);
        if R::MERGES || random.one_in(2) {
            has_heard(heard, number + 1).await;
        }
    }
}

async fn a_handler_hears_every_event<R: Rig>() {
    let (rig, source) = R::new().await;
    let heard = Heard::default();
    let registration = handle(&rig, source, &heard);
    happen(&*rig, 0..R::EVENTS, &heard).await;
    has_heard(&heard, R::EVENTS).await;
    registration.stop();
    let end = if R::ENDS_BY_ITSELF { End::Exhausted } else { End::Stopped };
    assert_eq!(registration.await.expect("no error"), end);
}

async fn an_await_hears_every_event<R: Rig>() {
    let (rig, mut source) = R::new().await;
    let heard = Heard::default();
    for number in 0..R::EVENTS {
        rig.cause(number);
        if !R::MERGES && number % 2 == 0 && number + 1 < R::EVENTS {
            // Two at once, by and by.
            continue;
        }
        while heard.borrow().len() <= number {
            note(&*rig, &heard, source.next().await.expect("an event")).expect("no error");
        }
    }
}

async fn a_cancelled_await_loses_no_event<R: Rig>() {
    let (rig, mut source) = R::new().await;
    let (heard, mut random, mut caused) = (Heard::default(), Random::new(7), 0);
    while heard.borrow().len() < R::EVENTS {
        let may_cause = !R::MERGES || caused == heard.borrow().len();
        if caused < R::EVENTS && may_cause && random.one_in(3) {
            rig.cause(caused);
            caused += 1;
        }
        if let Ok(event) = begin(source.next(), &mut random).await {
            note(&*rig, &heard, event.expect("an event")).expect("no error");
        }
    }
}

async fn from_a_handler_to_an_await_and_back_no_event_is_lost<R: Rig>() {
    let (rig, mut source) = R::new().await;
    let (heard, mut caused) = (Heard::default(), 0);
    while caused < R::EVENTS {
        let registration = handle(&rig, source, &heard);
        let next = R::EVENTS.min(caused + 3);
        if R::ENDS_BY_ITSELF {
            // Before that it must be taken away from the handler, which has waited for a moment.
            aem::yield_now().await;
        } else {
            happen(&*rig, caused..next, &heard).await;
        }
        // What has not come yet comes to the one who has the source then.
        source = registration.reclaim().expect("it has not ended");
        caused = next;
        while heard.borrow().len() < caused {
            note(&*rig, &heard, source.next().await.expect("an event")).expect("no error");
        }
    }
}

async fn the_end_is_heard_after_the_last_event<R: Rig>() {
    let (rig, source) = R::new().await;
    let heard = Heard::default();
    let registration = handle(&rig, source, &heard);
    happen(&*rig, 0..R::EVENTS, &heard).await;
    if R::ENDS {
        rig.close();
        assert_eq!(registration.await.expect("no error"), End::Exhausted);
        assert_eq!(heard.borrow().len(), R::EVENTS);
    } else {
        has_heard(&heard, R::EVENTS).await;
        drop(registration);
    }
    rig.has_gone().await;

    let (rig, mut source) = R::new().await;
    let heard = Heard::default();
    for number in 0..R::EVENTS {
        rig.cause(number);
        while R::MERGES && heard.borrow().len() <= number {
            note(&*rig, &heard, source.next().await.expect("an event")).expect("no error");
        }
    }
    if R::ENDS {
        rig.close();
        while let Some(event) = source.next().await {
            note(&*rig, &heard, event).expect("no error");
        }
        assert_eq!(heard.borrow().len(), R::EVENTS);
    }
    drop(source);
    rig.has_gone().await;
}

async fn an_error_is_heard_after_the_last_event<R: Rig>() {
    let (rig, source) = R::new().await;
    let heard = Heard::default();
    let registration = handle(&rig, source, &heard);
    happen(&*rig, 0..R::EVENTS, &heard).await;
    has_heard(&heard, R::EVENTS).await;
    let Some(kind) = R::ERROR else {
        drop(registration);
        return a_failed_handler_ends_its_source::<R>().await;
    };
    rig.fail();
    let error = registration.await.expect_err("an error");
    let failed = error.failed().and_then(|error| error.downcast_ref::<io::Error>());
    assert_eq!(failed.map(io::Error::kind), Some(kind), "{error}");

    let (rig, mut source) = R::new().await;
    let heard = Heard::default();
    rig.cause(0);
    while heard.borrow().is_empty() {
        note(&*rig, &heard, source.next().await.expect("an event")).expect("no error");
    }
    rig.fail();
    let event = source.next().await.expect("an event");
    let error = note(&*rig, &heard, event).expect_err("an error");
    assert_eq!(error.kind(), kind, "{error}");
    if R::ENDS {
        assert!(source.next().await.is_none(), "something comes after the error");
    }
}

/// Of a source that cannot fail: the error is that of the handler, and the source goes with it.
async fn a_failed_handler_ends_its_source<R: Rig>() {
    let (rig, source) = R::new().await;
    let registration = aem::on(source, |_| io::Result::<()>::Err(io::ErrorKind::Other.into()));
    rig.cause(0);
    registration.await.expect_err("an error");
    rig.has_gone().await;
}

/// Runs a test on each keeper, under guard.
fn on_both<F: Future<Output = ()>>(test: impl Fn() -> F) {
    // The process has one descriptor for signals, for ever: it is made now.
    static SIGNALS: Once = Once::new();
    SIGNALS.call_once(|| aem::block_on(async { drop(aem::signal::ctrl_c()) }));
    for keeper in keepers::both() {
        println!("{}:", keepers::name(keeper));
        watched_on(keepers::builder(keeper), async |_| {
            timeout(LIMIT, test()).await.expect("the test hangs");
        });
    }
}

/// The suite, for each rig in a module of its name.
macro_rules! suite {
    ($($module:ident: $rig:ty;)*) => {$(
        mod $module {
            #[test]
            fn a_handler_hears_every_event() {
                super::on_both(super::a_handler_hears_every_event::<$rig>);
            }

            #[test]
            fn an_await_hears_every_event() {
                super::on_both(super::an_await_hears_every_event::<$rig>);
            }

            #[test]
            fn a_cancelled_await_loses_no_event() {
                super::on_both(super::a_cancelled_await_loses_no_event::<$rig>);
            }

            #[test]
            fn from_a_handler_to_an_await_and_back_no_event_is_lost() {
                super::on_both(super::from_a_handler_to_an_await_and_back_no_event_is_lost::<$rig>);
            }

            #[test]
            fn the_end_is_heard_after_the_last_event() {
                super::on_both(super::the_end_is_heard_after_the_last_event::<$rig>);
            }

            #[test]
            fn an_error_is_heard_after_the_last_event() {
                super::on_both(super::an_error_is_heard_after_the_last_event::<$rig>);
            }
        }
    )*};
}

suite! {
    incoming: crate::network::Connections;
    accepts: crate::network::Accepts;
    chunks: crate::network::Bytes;
    receives: crate::network::Receives;
    udp_datagrams: crate::messages::UdpDatagrams;
    udp_messages: crate::messages::UdpMessages;
    unix_incoming: crate::messages::UnixConnections;
    unix_chunks: crate::messages::UnixBytes;
    unix_messages: crate::messages::UnixMessages;
    unix_datagrams: crate::messages::UnixLetters;
    readiness: crate::descriptors::Readable;
    attempts: crate::descriptors::Attempts;
    pipe_chunks: crate::processes::Bytes;
    pipe_receives: crate::processes::Receives;
    exited: crate::processes::Ends;
    ticks: crate::timers::Clock;
    one_tick: crate::timers::OneTick;
    sleeps: crate::timers::Sleeper;
    ctrl_c: crate::signals::Interrupts;
    shutdown_requested: crate::signals::Requests;
    watched_signals: crate::signals::Sent;
    file_changes: crate::files::Creations;
    channel: crate::foreign::Channel;
}
