//! Both faces, one queue: what a handler, an async handler and a task see of the same traffic is what its
//! generator sent, event by event.
//!
//! One seeded script of traffic runs against each face ([`Face`]): numbers from another thread, an
//! iterator, ticks of a timer, bytes of a connection, and local sources that are fed in random order, whose
//! events must come in that very order across sources (AEM's features 15, 20 and 22). Then sources change
//! hands under load: from handler to handler by `replace`, and from handler to await and back by
//! `reclaim`; nothing is lost, nothing is seen twice.

use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use aem::net::TcpListener;
use aem::time::{Missed, every};
use aem::{End, Next, Registration, on, on_async, on_each, spawn, yield_now};
use aem_tests::random::Random;
use aem_tests::scale::scaled_count;
use aem_tests::watch::{Watch, watched};
use futures::channel::mpsc;
use futures::{SinkExt, Stream, StreamExt, stream};

/// Each script is played with each of these.
const SEEDS: std::ops::Range<u64> = 0..8;

/// A way to take events from a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Face {
    Handler,
    Async,
    /// One task at a time, so that there is an order to compare.
    Each,
    Task,
}

const FACES: [Face; 4] = [Face::Handler, Face::Async, Face::Each, Face::Task];

/// Has a face take all of a source; resolves when the source has ended. Async faces yield now and then.
async fn take_all<S>(face: Face, source: S, see: impl Fn(S::Item) + Clone + 'static, seed: u64)
where
    S: Stream + Unpin + 'static,
{
    let random = Rc::new(RefCell::new(Random::new(seed)));
    let pause = async move || {
        while random.borrow_mut().one_in(4) {
            yield_now().await;
        }
    };
    let registration = match face {
        Face::Handler => on(source, see),
        Face::Async => on_async(source, async move |event| {
            see(event);
            pause().await;
        }),
        Face::Each => on_each(source, 1, async move |event| {
            see(event);
            pause().await;
        }),
        Face::Task => {
            let task = spawn(async move {
                let mut source = source;
                while let Some(event) = source.next().await {
                    see(event);
                    pause().await;
                }
            });
            return task.await.unwrap();
        }
    };
    assert_eq!(registration.await.unwrap(), End::Exhausted);
}

/// A list that a face writes to.
type Trace<T> = Rc<RefCell<Vec<T>>>;

fn writer<T: 'static>(trace: &Trace<T>) -> impl Fn(T) + Clone + 'static {
    let trace = trace.clone();
    move |event| trace.borrow_mut().push(event)
}

/// Plays a script with each face and each seed.
fn each_face(test: impl AsyncFn(Face, u64, Watch)) {
    for face in FACES {
        for seed in SEEDS {
            watched(async |watch| test(face, seed, watch).await);
        }
    }
}

#[test]
fn messages_of_another_thread() {
    each_face(async |face, seed, _| {
        let (mut sender, receiver) = mpsc::channel(16);
        let generator = thread::spawn(move || {
            let mut random = Random::new(seed);
            let log: Vec<u64> = (0..random.below(3_000)).map(|_| random.next_u64()).collect();
            for &number in &log {
                aem_tests::elsewhere::wait_for(sender.send(number)).unwrap();
                if random.one_in(500) {
                    thread::sleep(Duration::from_micros(50));
                }
            }
            log
        });
        let trace = Trace::default();
        take_all(face, receiver, writer(&trace), seed).await;
        assert_eq!(*trace.borrow(), generator.join().unwrap(), "{face:?}, seed {seed}");
    });
}

#[test]
fn an_iterator() {
    each_face(async |face, seed, _| {
        let mut random = Random::new(seed);
        let log: Vec<u64> = (0..random.below(3_000)).map(|_| random.next_u64()).collect();
        let trace = Trace::default();
        take_all(face, stream::iter(log.clone()), writer(&trace), seed).await;
        assert_eq!(*trace.borrow(), log, "{face:?}, seed {seed}");
    });
}

#[test]
fn ticks_of_a_timer() {
    each_face(async |face, seed, _| {
        let period = Duration::from_micros(20 + seed * 10);
        let count = 50;
        let trace = Trace::default();
        let ticks = every(period).missed(Missed::Burst).take(count);
        take_all(face, ticks, writer(&trace), seed).await;
        let trace = trace.borrow();
        let first = trace[0].scheduled;
        let scheduled: Vec<_> = trace.iter().map(|tick| tick.scheduled).collect();
        let log: Vec<_> = (0..count as u32).map(|n| first + period * n).collect();
        assert_eq!(scheduled, log, "{face:?}, seed {seed}");
    });
}

#[test]
fn bytes_of_a_connection() {
    each_face(async |face, seed, _| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let generator = thread::spawn(move || {
            let mut random = Random::new(seed);
            let mut connection = std::net::TcpStream::connect(address).unwrap();
            let mut log = Vec::new();
            for _ in 0..50 {
                let piece: Vec<u8> =
                    (0..random.below(5_000)).map(|_| random.next_u64() as u8).collect();
                connection.write_all(&piece).unwrap();
                log.extend(piece);
            }
            log
        });
        let (stream, _) = listener.accept().await.unwrap();
        let trace: Trace<aem::Chunk> = Trace::default();
        let chunks = stream.chunks().map(|chunk| chunk.unwrap());
        take_all(face, chunks, writer(&trace), seed).await;
        assert!(trace.borrow().iter().all(|chunk| !chunk.is_empty()));
        let seen: Vec<u8> = trace.borrow().iter().flat_map(|chunk| chunk.to_vec()).collect();
        assert!(seen == generator.join().unwrap(), "{face:?}, seed {seed}: {} bytes", seen.len());
    });
}

/// Sources that become ready one after the other: their events come in that order, whoever takes them.
#[test]
fn across_sources_the_order_of_readiness_holds() {
    const SOURCES: usize = 12;
    for seed in SEEDS {
        watched(async |_| {
            let mut random = Random::new(seed);
            let trace = Trace::default();
            let mut senders = Vec::new();
            let mut takers = Vec::new();
            for source in 0..SOURCES {
                let (sender, receiver) = mpsc::unbounded::<u64>();
                senders.push(sender);
                let write = writer(&trace);
                let face = FACES[source % FACES.len()];
                // A cloner's events run in jobs of their own, one place further back in the queue.
                let face = if face == Face::Each { Face::Handler } else { face };
                let see = move |event| write((source, event));
                let taker = match face {
                    Face::Handler => spawn(async { drop(on(receiver, see).await) }),
                    Face::Async => {
                        spawn(async { drop(on_async(receiver, async move |e| see(e)).await) })
                    }
                    _ => spawn(receiver.for_each(move |event| {
                        see(event);
                        std::future::ready(())
                    })),
                };
                takers.push(taker);
            }
            for _ in 0..8 {
                yield_now().await;
            }
            let mut log = Vec::new();
            for _ in 0..300 {
                // A batch: a few sources become ready, in random order, with some events each.
                let mut ready: Vec<usize> = (0..SOURCES).filter(|_| random.one_in(3)).collect();
                for place in (1..ready.len()).rev() {
                    ready.swap(place, random.below(place + 1));
                }
                for source in ready {
                    for _ in 0..=random.below(3) {
                        let event = random.next_u64();
                        senders[source].unbounded_send(event).unwrap();
                        log.push((source, event));
                    }
                }
                yield_now().await;
            }
            drop(senders);
            for taker in takers {
                taker.await.unwrap();
            }
            assert_eq!(*trace.borrow(), log, "seed {seed}");
        });
    }
}

/// Which numbers were seen, and whether in order.
#[derive(Default)]
struct Book {
    seen: Vec<u8>,
    last: Option<u32>,
    out_of_order: usize,
}

impl Book {
    fn see(&mut self, number: u32) {
        let index = number as usize;
        if self.seen.len() <= index {
            self.seen.resize(index + 1, 0);
        }
        self.seen[index] += 1;
        if self.last.is_some_and(|last| last + 1 != number) {
            self.out_of_order += 1;
        }
        self.last = Some(number);
    }

    #[track_caller]
    fn must_be_whole(&self, count: usize) {
        let lost = self.seen.iter().filter(|&&times| times == 0).count();
        let doubled = self.seen.iter().filter(|&&times| times > 1).count();
        assert_eq!((self.seen.len(), lost, doubled), (count, 0, 0), "seen, lost, doubled");
    }
}

type Shared = Rc<RefCell<Book>>;
type Numbers = mpsc::Receiver<u32>;

/// Numbers from another thread, with the pauses of a busy one.
fn numbers(count: usize, seed: u64) -> (Numbers, thread::JoinHandle<()>) {
    let (mut sender, receiver) = mpsc::channel(1_000);
    let generator = thread::spawn(move || {
        let mut random = Random::new(seed);
        for number in 0..count as u32 {
            if sender.try_send(number).is_err() {
                aem_tests::elsewhere::wait_for(sender.send(number)).unwrap();
            }
            if random.one_in(20_000) {
                thread::sleep(Duration::from_micros(100));
            }
        }
    });
    (receiver, generator)
}

fn register(face: Face, source: Numbers, book: &Shared) -> Registration<Numbers> {
    let book = book.clone();
    match face {
        Face::Async => on_async(source, async move |number| {
            book.borrow_mut().see(number);
            if number.is_multiple_of(7) {
                yield_now().await;
            }
        }),
        Face::Each => on_each(source, 3, async move |number| book.borrow_mut().see(number)),
        _ => on(source, move |number| book.borrow_mut().see(number)),
    }
}

fn replace(face: Face, registration: &Registration<Numbers>, book: &Shared) -> bool {
    let book = book.clone();
    match face {
        Face::Async => registration.replace_async(async move |number| {
            book.borrow_mut().see(number);
            if number.is_multiple_of(7) {
                yield_now().await;
            }
        }),
        Face::Each => registration.replace_each(3, async move |number| {
            book.borrow_mut().see(number);
        }),
        _ => registration.replace(move |number| book.borrow_mut().see(number)),
    }
}

const HANDLERS: [Face; 3] = [Face::Handler, Face::Async, Face::Each];

#[test]
fn replaced_under_load_nothing_is_lost_or_doubled() {
    let count = scaled_count(1_000_000, 10_000);
    watched(async |_| {
        let mut random = Random::new(11);
        let book = Shared::default();
        let (source, generator) = numbers(count, 12);
        let mut registration = register(Face::Handler, source, &book);
        let mut replaced = 0_usize;
        while !registration.is_ended() {
            for _ in 0..random.below(4) {
                yield_now().await;
            }
            if random.one_in(200) {
                // Room for events, and for a sleep of the worker in the middle.
                aem::time::sleep(Duration::from_micros(random.below(200) as u64)).await;
            }
            replaced += usize::from(replace(HANDLERS[random.below(3)], &registration, &book));
        }
        assert_eq!((&mut registration).await.unwrap(), End::Exhausted);
        generator.join().unwrap();
        for _ in 0..8 {
            yield_now().await;
        }
        book.borrow().must_be_whole(count);
        assert!(replaced > 20, "{replaced} replacements");
    });
}

#[test]
fn faces_that_keep_order_keep_it_through_replacement() {
    let count = scaled_count(1_000_000, 10_000);
    watched(async |_| {
        let book = Shared::default();
        let (source, generator) = numbers(count, 13);
        // It replaces itself from inside, every so often, by the other form.
        type Slot = Rc<RefCell<Option<Registration<Numbers>>>>;
        fn next_handler(slot: &Slot, book: &Shared, number: u32) {
            if !number.is_multiple_of(97) {
                return;
            }
            let (again, shared) = (slot.clone(), book.clone());
            let slot = slot.borrow();
            let registration = slot.as_ref().expect("held by the test");
            let replaced = if number.is_multiple_of(2) {
                registration.replace(move |number| {
                    shared.borrow_mut().see(number);
                    next_handler(&again, &shared, number);
                })
            } else {
                registration.replace_async(async move |number| {
                    next_handler(&again, &shared, number);
                    yield_now().await;
                    // The event belongs to the old one, and comes before the new one's first.
                    shared.borrow_mut().see(number);
                })
            };
            assert!(replaced);
        }
        let slot = Slot::default();
        let (again, shared) = (slot.clone(), book.clone());
        *slot.borrow_mut() = Some(on(source, move |number| {
            shared.borrow_mut().see(number);
            next_handler(&again, &shared, number);
        }));
        while !slot.borrow().as_ref().unwrap().is_ended() {
            aem::time::sleep(Duration::from_micros(200)).await;
        }
        drop(slot.borrow_mut().take());
        generator.join().unwrap();
        book.borrow().must_be_whole(count);
        assert_eq!(book.borrow().out_of_order, 0);
    });
}

#[test]
fn from_handler_to_await_and_back_nothing_is_lost_or_doubled() {
    let count = scaled_count(1_000_000, 10_000);
    watched(async |_| {
        let mut random = Random::new(17);
        let book = Shared::default();
        let (mut source, generator) = numbers(count, 18);
        let mut rounds = 0_usize;
        'all: loop {
            rounds += 1;
            // For a while a handler has it.
            let face = HANDLERS[random.below(3)];
            let registration = register(face, source, &book);
            for _ in 0..random.below(30) {
                yield_now().await;
            }
            if random.one_in(50) {
                aem::time::sleep(Duration::from_micros(100)).await;
            }
            if face == Face::Each {
                // Events that wait in its tasks would be dropped with them: they run on beside this.
                assert!(replace(Face::Handler, &registration, &book) || registration.is_ended());
            }
            match registration.reclaim() {
                Some(reclaimed) => source = reclaimed,
                None => break,
            }
            // For a while this task takes from it.
            for _ in 0..random.below(500) {
                match source.next().await {
                    Some(number) => book.borrow_mut().see(number),
                    None => break 'all,
                }
            }
        }
        generator.join().unwrap();
        for _ in 0..8 {
            yield_now().await;
        }
        book.borrow().must_be_whole(count);
        assert!(rounds > 20, "{rounds} rounds");
    });
}

#[test]
fn reclaimed_from_inside_and_handed_on_nothing_is_lost_or_doubled() {
    let count = scaled_count(1_000_000, 10_000);
    watched(async |_| {
        type Slot = Rc<RefCell<Option<Registration<Numbers>>>>;
        /// Each handler takes a few hundred events and hands the source on to the next one, of the other
        /// form, from inside its last event.
        fn hand_on(slot: &Slot, source: Numbers, book: &Shared, generation: u32) {
            let (mut left, again, shared) = (300 + generation % 7, slot.clone(), book.clone());
            let step = move |number: u32| {
                shared.borrow_mut().see(number);
                left -= 1;
                if left > 0 {
                    return;
                }
                let own = again.borrow_mut().take().expect("held by the test");
                let source = own.reclaim().expect("asked for from inside");
                hand_on(&again, source, &shared, generation + 1);
            };
            *slot.borrow_mut() = Some(if generation.is_multiple_of(2) {
                on(source, step)
            } else {
                let mut step = step;
                on_async(source, async move |number| {
                    step(number);
                    if number.is_multiple_of(5) {
                        yield_now().await;
                    }
                })
            });
        }
        let (book, slot) = (Shared::default(), Slot::default());
        let (source, generator) = numbers(count, 19);
        hand_on(&slot, source, &book, 0);
        while !slot.borrow().as_ref().unwrap().is_ended() {
            aem::time::sleep(Duration::from_micros(200)).await;
        }
        drop(slot.borrow_mut().take());
        generator.join().unwrap();
        book.borrow().must_be_whole(count);
        assert_eq!(book.borrow().out_of_order, 0);
    });
}

#[test]
fn bytes_keep_their_order_from_hand_to_hand() {
    let count = scaled_count(64 << 20, 1 << 20);
    watched(async |_| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let generator = thread::spawn(move || {
            let mut connection = std::net::TcpStream::connect(address).unwrap();
            let mut random = Random::new(23);
            let mut sent = 0;
            while sent < count {
                let piece: Vec<u8> =
                    (0..random.below(100_000)).map(|n| pattern(sent + n)).collect();
                let piece = &piece[..piece.len().min(count - sent)];
                connection.write_all(piece).unwrap();
                sent += piece.len();
            }
        });
        let (stream, _) = listener.accept().await.unwrap();
        let mut random = Random::new(29);
        let seen = Rc::new(RefCell::new(0_usize));
        let see = {
            let seen = seen.clone();
            move |chunk: std::io::Result<aem::Chunk>| {
                let chunk = chunk.unwrap();
                let mut seen = seen.borrow_mut();
                assert!(chunk.iter().enumerate().all(|(n, byte)| *byte == pattern(*seen + n)));
                *seen += chunk.len();
            }
        };
        let mut chunks = stream.chunks();
        loop {
            let see_in = see.clone();
            let registration = if random.one_in(2) {
                on(chunks, see_in)
            } else {
                on_async(chunks, async move |chunk| {
                    see_in(chunk);
                    yield_now().await;
                })
            };
            aem::time::sleep(Duration::from_micros(random.below(300) as u64)).await;
            let Some(reclaimed) = registration.reclaim() else { break };
            chunks = reclaimed;
            for _ in 0..random.below(10) {
                if random.one_in(2) {
                    // The stream's own await takes from the same bytes.
                    let chunk = stream.recv().await.unwrap();
                    see(Ok(chunk));
                } else if let Some(chunk) = chunks.next().await {
                    see(chunk);
                }
            }
        }
        assert_eq!(*seen.borrow(), count);
        generator.join().unwrap();
    });
}

/// The byte at that place.
fn pattern(place: usize) -> u8 {
    (place ^ (place >> 8) ^ (place >> 16)) as u8
}

/// One handler that pauses itself after each event and one task, on the same program: what a user mixes.
#[test]
fn a_paused_handler_and_a_task_take_turns() {
    watched(async |_| {
        let trace = Trace::default();
        let (sender, receiver) = mpsc::unbounded::<u32>();
        let write = writer(&trace);
        let registration = on(receiver, move |number| {
            write(number);
            Next::Pause
        });
        for number in 0..100 {
            sender.unbounded_send(number).unwrap();
        }
        for number in 1..=100 {
            yield_now().await;
            yield_now().await;
            assert_eq!(trace.borrow().len(), number);
            registration.resume();
        }
        drop(sender);
        assert_eq!(registration.await.unwrap(), End::Exhausted);
        assert_eq!(*trace.borrow(), (0..100).collect::<Vec<_>>());
    });
}
