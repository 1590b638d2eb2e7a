//! Does one thing many times and counts allocations, or bytes: `frugal WHAT`.
//!
//! It prints a line, `WHAT: so many .. each`, and the exact sums behind it: `calls`, `bytes`, `rounds`.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use aem::time::{after, every, sleep, timeout};
use aem_tests::counting::{Count, Counting, count};
use aem_tests::proc::resident;
use futures::channel::mpsc;
use futures::future::poll_fn;
use futures::{Stream, StreamExt};

#[global_allocator]
static COUNTING: Counting = Counting;

const ROUNDS: usize = 2_000;
const HOUR: Duration = Duration::from_secs(3600);

/// Prints what lies between two counts, and makes no allocation until both are known.
fn tell(what: &str, before: Count, rounds: usize) {
    let after = count();
    let (calls, bytes) = (after.calls - before.calls, after.live - before.live);
    let (each, weight) = (calls as f64 / rounds as f64, bytes as f64 / rounds as f64);
    println!("{what}: {each:.3} allocations, {weight:.1} bytes each");
    println!("{calls} {bytes} {rounds}");
}

/// A task that does nothing but be woken, and its waker.
async fn sleeper() -> Waker {
    let slot: Rc<RefCell<Option<Waker>>> = Rc::default();
    let given = slot.clone();
    aem::spawn(poll_fn(move |cx| {
        given.borrow_mut().get_or_insert_with(|| cx.waker().clone());
        Poll::<()>::Pending
    }));
    aem::yield_now().await;
    let waker = slot.borrow().clone();
    waker.expect("it has run")
}

async fn wakes() {
    let waker = sleeper().await;
    let mut before = count();
    for round in 0..2 * ROUNDS {
        if round == ROUNDS {
            before = count();
        }
        waker.wake_by_ref();
        drop(waker.clone());
        aem::yield_now().await;
    }
    tell("a wake", before, ROUNDS);
}

async fn wakes_from_afar() {
    let waker = sleeper().await;
    // A barrier allocates nothing itself.
    let barrier = Arc::new(Barrier::new(2));
    let theirs = barrier.clone();
    let other = std::thread::spawn(move || {
        for _ in 0..2 * ROUNDS {
            theirs.wait();
            for _ in 0..10 {
                waker.wake_by_ref();
                drop(waker.clone());
            }
            theirs.wait();
        }
    });
    let mut before = count();
    for round in 0..2 * ROUNDS {
        if round == ROUNDS {
            before = count();
        }
        barrier.wait();
        barrier.wait();
        aem::yield_now().await;
    }
    tell("a wake from another thread", before, 10 * ROUNDS);
    other.join().expect("a thread");
}

async fn yields() {
    let mut before = count();
    for round in 0..2 * ROUNDS {
        if round == ROUNDS {
            before = count();
        }
        aem::yield_now().await;
    }
    tell("a yield", before, ROUNDS);
}

/// A source that has an event whenever it is told so, at no cost of its own.
#[derive(Clone, Default)]
struct Bell(Rc<(Cell<usize>, RefCell<Option<Waker>>)>);

impl Bell {
    fn ring(&self) {
        self.0.0.set(self.0.0.get() + 1);
        if let Some(waker) = &*self.0.1.borrow() {
            waker.wake_by_ref();
        }
    }
}

impl Stream for Bell {
    type Item = usize;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        let (rung, waker) = &*self.0;
        if rung.get() > 0 {
            rung.set(rung.get() - 1);
            return Poll::Ready(Some(1));
        }
        waker.borrow_mut().get_or_insert_with(|| cx.waker().clone());
        Poll::Pending
    }
}

/// Events of a source that costs nothing, for a face of handlers.
async fn events(what: &str, register: impl FnOnce(Bell, Rc<Cell<usize>>) -> aem::Registration) {
    let (bell, seen) = (Bell::default(), Rc::new(Cell::new(0)));
    let held = register(bell.clone(), seen.clone());
    let mut before = count();
    for round in 0..2 * ROUNDS {
        if round == ROUNDS {
            before = count();
        }
        bell.ring();
        while seen.get() <= round {
            aem::yield_now().await;
        }
    }
    tell(what, before, ROUNDS);
    drop(held);
}

fn add(seen: &Cell<usize>, events: usize) {
    seen.set(seen.get() + events);
}

async fn messages() {
    let (sender, receiver) = mpsc::unbounded::<usize>();
    let seen = Rc::new(Cell::new(0));
    let counted = seen.clone();
    let held = aem::on(receiver, move |n| add(&counted, n));
    let mut before = count();
    for round in 0..2 * ROUNDS {
        if round == ROUNDS {
            before = count();
        }
        sender.unbounded_send(1).expect("a handler");
        while seen.get() <= round {
            aem::yield_now().await;
        }
    }
    tell("a message of futures' mpsc", before, ROUNDS);
    drop(held);
}

async fn ticks() {
    let seen = Rc::new(Cell::new(0));
    let counted = seen.clone();
    let held = aem::on(every(Duration::from_micros(50)), move |_| add(&counted, 1));
    while seen.get() < ROUNDS / 4 {
        sleep(Duration::from_millis(1)).await;
    }
    let (before, first) = (count(), seen.get());
    while seen.get() < ROUNDS / 2 {
        aem::yield_now().await;
    }
    tell("a tick", before, seen.get() - first);
    drop(held);
}

async fn sleeps() {
    let mut before = count();
    for round in 0..ROUNDS / 4 {
        if round == ROUNDS / 8 {
            before = count();
        }
        sleep(Duration::from_micros(20)).await;
        let _ = timeout(Duration::from_micros(20), std::future::pending::<()>()).await;
        drop(sleep(HOUR));
    }
    tell("a sleep and a timeout", before, ROUNDS / 8);
}

/// An echo by handlers, to a client on a thread whose buffers are its own.
async fn echoes() {
    let listener = aem::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("an address");
    let mut client = TcpStream::connect(address).expect("a connection");
    let (stream, _) = listener.accept().await.expect("a connection");
    let reply = stream.clone();
    let held = aem::on_ok(stream.chunks(), move |chunk| drop(reply.send(chunk)));
    let (warm, warmed) = futures::channel::oneshot::channel();
    let (done, end) = futures::channel::oneshot::channel();
    let other = std::thread::spawn(move || {
        let mut buffer = [7; 512];
        let mut exchange = |rounds| {
            for _ in 0..rounds {
                client.write_all(&buffer).expect("sent");
                client.read_exact(&mut buffer).expect("an echo");
            }
        };
        exchange(ROUNDS);
        warm.send(count()).expect("the test");
        exchange(ROUNDS);
        done.send(()).expect("the test");
        client
    });
    let before = warmed.await.expect("a thread");
    end.await.expect("a thread");
    tell("an echo over TCP", before, ROUNDS);
    drop((held, other.join().expect("a thread")));
}

async fn spawns() {
    let mut before = count();
    for round in 0..2 * ROUNDS {
        if round == ROUNDS {
            before = count();
        }
        aem::spawn(async {}).await.expect("it ran");
    }
    tell("a spawn and its join", before, ROUNDS);
}

/// A task of a kilobyte, whose memory is not kept for the next one.
async fn spawns_of_a_kilobyte() {
    let mut before = count();
    for round in 0..2 * ROUNDS {
        if round == ROUNDS {
            before = count();
        }
        let bytes = std::hint::black_box([1_u8; 1024]);
        let task = aem::spawn(async move {
            aem::yield_now().await;
            bytes[7]
        });
        task.await.expect("it ran");
    }
    tell("a spawn of a kilobyte and its join", before, ROUNDS);
}

async fn spawns_by_handle() {
    let handle = aem::Handle::current();
    let mut before = count();
    for round in 0..2 * ROUNDS {
        if round == ROUNDS {
            before = count();
        }
        handle.spawn(async {}).await.expect("it ran");
    }
    tell("a spawn by handle and its join", before, ROUNDS);
}

/// What each of many costs while it waits.
async fn weigh<T>(what: &str, number: usize, make: impl Fn() -> T) {
    let mut held = Vec::with_capacity(number);
    aem::yield_now().await;
    let before = count();
    held.extend((0..number).map(|_| make()));
    aem::yield_now().await;
    sleep(Duration::from_millis(1)).await;
    tell(what, before, number);
}

/// Connections with a handler each, which have said one thing and been answered.
///
/// All is weighed that they are the cause of, the tables of the worker among it: the first has made these,
/// and the last one fills them.
async fn weigh_connections() {
    const NUMBER: usize = 500;
    let listener = aem::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("an address");
    let mut clients: Vec<TcpStream> = Vec::with_capacity(NUMBER + 1);
    let mut held = Vec::with_capacity(NUMBER + 1);
    let mut before = count();
    for number in 0..=NUMBER {
        let mut client = TcpStream::connect(address).expect("a connection");
        let (stream, _) = listener.accept().await.expect("a connection");
        let reply = stream.clone();
        held.push(aem::on_ok(stream.chunks(), move |chunk| drop(reply.send(chunk))));
        client.write_all(b"hello").expect("sent");
        client.set_nonblocking(true).expect("a socket of ours");
        // A busy machine may take its time.
        while client.read(&mut [0; 5]).is_err() {
            sleep(Duration::from_micros(100)).await;
        }
        clients.push(client);
        if number == 0 {
            before = count();
        }
    }
    tell("an idle connection with a handler", before, NUMBER);
}

/// Whole runtimes, made, used and dropped: nothing may be left of them.
fn runtimes() {
    let use_one = || {
        aem::block_on(async {
            let listener = aem::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
            let address = listener.local_addr().expect("an address");
            let client = aem::net::TcpStream::connect(address);
            let (client, served) = futures::future::join(client, listener.accept()).await;
            let (client, (served, _)) = (client.expect("connected"), served.expect("accepted"));
            aem::on_ok(served.chunks(), |_| ()).detach();
            client.send("hello");
            aem::on(every(HOUR), |_| ()).detach();
            aem::spawn(sleep(HOUR));
            aem::spawn(std::future::pending::<()>());
            let handle = aem::Handle::current();
            let sent = std::thread::spawn(move || handle.spawn(async { 1 }));
            assert_eq!(sent.join().expect("a thread").await.expect("it ran"), 1);
            let (_sender, mut receiver) = mpsc::unbounded::<()>();
            let _ = timeout(Duration::from_micros(1), receiver.next()).await;
        });
    };
    (0..10).for_each(|_| use_one());
    let before = count();
    (0..100).for_each(|_| use_one());
    tell("a runtime that has ended", before, 100);
}

async fn measure(what: &str) {
    match what {
        "wakes" => wakes().await,
        "wakes_from_afar" => wakes_from_afar().await,
        "yields" => yields().await,
        "events" => {
            events("an event", |bell, seen| aem::on(bell, move |n| add(&seen, n)).erase()).await;
        }
        "events_async" => {
            let register = |bell, seen: Rc<Cell<usize>>| {
                aem::on_async(bell, async move |n| {
                    aem::yield_now().await;
                    add(&seen, n);
                })
                .erase()
            };
            events("an event of an async handler", register).await;
        }
        "events_state" => {
            let register = |bell, seen: Rc<Cell<usize>>| {
                aem::State::new(seen).on(bell, |seen, n| add(seen, n)).erase()
            };
            events("an event of a state's handler", register).await;
        }
        "events_each" => {
            let register = |bell, seen: Rc<Cell<usize>>| {
                let handler = async move |n| add(&seen, n);
                aem::on_each(bell, 4, handler).erase()
            };
            events("an event of a cloner", register).await;
        }
        "messages" => messages().await,
        "ticks" => ticks().await,
        "sleeps" => sleeps().await,
        "echoes" => echoes().await,
        "spawns" => spawns().await,
        "spawns_of_a_kilobyte" => spawns_of_a_kilobyte().await,
        "spawns_by_handle" => spawns_by_handle().await,
        "weigh_tasks" => {
            weigh("a task that waits", 16_000, || aem::spawn(std::future::pending::<()>())).await;
        }
        "weigh_timers" => {
            weigh("a registered timer", 16_000, || aem::on(after(HOUR), |_| ())).await;
        }
        "weigh_sleeps" => weigh("a task that sleeps", 16_000, || aem::spawn(sleep(HOUR))).await,
        "weigh_channels" => {
            let make = || {
                let (sender, receiver) = mpsc::unbounded::<()>();
                (sender, aem::on(receiver, |()| ()))
            };
            weigh("a registered channel", 16_000, make).await;
        }
        "weigh_connections" => weigh_connections().await,
        other => panic!("nothing is called {other}"),
    }
}

/// Runtimes one after the other, and a last one that lives, none of which receives anything.
fn pools() {
    let before = resident();
    (0..3).for_each(|_| drop(aem::Runtime::new()));
    let last = aem::Runtime::new().expect("a runtime");
    let grown = resident().saturating_sub(before);
    println!("a runtime whose pool was not used: {grown} bytes resident");
    println!("0 {grown} 1");
    drop(last);
}

fn main() {
    aem_tests::limits::raise_descriptors().expect("a limit");
    let what = std::env::args().nth(1).expect("frugal WHAT");
    match what.as_str() {
        "runtimes" => runtimes(),
        "pools" => pools(),
        what => aem::block_on(measure(what)),
    }
}
