//! A guard against getting slower that no other program on the machine disturbs: instructions of user mode an
//! operation, counted by valgrind's callgrind and held against `tests/instructions.txt`.
//!
//! ```text
//! cargo run --release -p aem-tests --bin instructions             # fails if any is over 5 % above
//! cargo run --release -p aem-tests --bin instructions -- --write  # writes what was counted
//! ```
//!
//! Each operation is done so many times by this program under callgrind, and three times as many; the
//! difference is free of start and end. With other versions of the compiler the numbers differ a
//! little: renew them with the toolchain.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use std::{fmt::Write as _, fs};

use aem::{Backend, Runtime};

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.txt");

/// What may be added to the baseline.
const TOLERANCE: f64 = 0.05;

/// How often an operation is done in the shorter of the two runs.
const TIMES: u64 = 10_000;

/// Does something so many times, on this backend.
type Operation = fn(Backend, u64);

/// Their names, in the order of the baseline.
const OPERATIONS: &[(&str, Backend, Operation)] = &[
    ("spawn", Backend::Epoll, spawn),
    ("yield", Backend::Epoll, yield_now),
    ("wake", Backend::Epoll, wake),
    ("timer", Backend::Epoll, timer),
    ("handler_event_epoll", Backend::Epoll, handler_event),
    ("handler_event_io_uring", Backend::IoUring, handler_event),
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => guard(false),
        ["--write"] => guard(true),
        ["do", name, times] => {
            let (_, backend, operation) =
                OPERATIONS.iter().find(|(known, ..)| *known == name).expect("a name that is known");
            operation(*backend, times.parse().expect("a number"));
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("instructions: there is nothing to be said but --write");
            ExitCode::from(2)
        }
    }
}

/// Counts all, and compares them or writes them down.
fn guard(is_to_write: bool) -> ExitCode {
    let baseline = fs::read_to_string(BASELINE).unwrap_or_default();
    let (mut counted, mut is_good) = (String::new(), true);
    println!("| instructions | now | baseline | |\n|-|-:|-:|-|");
    for (name, backend, _) in OPERATIONS {
        if let Err(refusal) = Runtime::builder().backend(*backend).build() {
            aem_tests::requirement::skip("io_uring", &refusal.to_string());
            continue;
        }
        let now = match (total(name, TIMES), total(name, 3 * TIMES)) {
            (Ok(few), Ok(many)) => (many as f64 - few as f64) / (2 * TIMES) as f64,
            (Err(error), _) | (_, Err(error)) => {
                eprintln!("instructions: {name}: {error}");
                return ExitCode::FAILURE;
            }
        };
        let of_line = |line: &str| line.strip_prefix(name)?.trim().parse::<f64>().ok();
        let before = baseline.lines().find_map(of_line);
        let word = match before {
            _ if is_to_write => "",
            None => "not in the baseline",
            Some(before) if now > before * (1.0 + TOLERANCE) => "TOO MANY",
            Some(before) if now < before * (1.0 - TOLERANCE) => "fewer: renew the baseline",
            Some(_) => "",
        };
        is_good &= !matches!(word, "TOO MANY" | "not in the baseline");
        println!("| {name} | {now:.0} | {:.0} | {word} |", before.unwrap_or(f64::NAN));
        writeln!(counted, "{name} {now:.0}").expect("a String takes all that is written");
    }
    if is_to_write {
        fs::write(BASELINE, counted).expect("the baseline can be written");
    }
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// All instructions of a run of this program that does something so many times.
fn total(name: &str, times: u64) -> Result<u64, String> {
    let out = std::env::temp_dir().join(format!("aem-instructions-{}", std::process::id()));
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "-q"]);
    command.arg(format!("--callgrind-out-file={}", out.display()));
    command.arg(std::env::current_exe().map_err(|error| error.to_string())?);
    command.args(["do", name, &times.to_string()]);
    let run = command.output().map_err(|error| format!("valgrind: {error}"))?;
    let text = fs::read_to_string(&out).unwrap_or_default();
    let _ = fs::remove_file(&out);
    if !run.status.success() {
        return Err(format!("{}: {}", run.status, String::from_utf8_lossy(&run.stderr)));
    }
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    total.and_then(|total| total.trim().parse().ok()).ok_or_else(|| "no total".to_owned())
}

fn run(backend: Backend, work: impl Future<Output = ()>) {
    Runtime::builder().backend(backend).build().expect("a runtime").block_on(work);
}

/// A task is spawned, and awaited.
fn spawn(backend: Backend, times: u64) {
    run(backend, async {
        for number in 0..times {
            assert_eq!(aem::spawn(async move { number }).await.expect("no panic"), number);
        }
    });
}

/// One task of ten lets the others run.
fn yield_now(backend: Backend, times: u64) {
    run(backend, async {
        let yields = || async move {
            for _ in 0..times / 10 {
                aem::yield_now().await;
            }
        };
        let tasks: Vec<_> = (0..10).map(|_| aem::spawn(yields())).collect();
        for task in tasks {
            task.await.expect("no panic");
        }
    });
}

/// One task wakes another and waits for it to do the same.
fn wake(backend: Backend, times: u64) {
    /// Whose turn it is, and who waits for his.
    #[derive(Default)]
    struct Turns {
        next: u64,
        waiting: Option<Waker>,
    }
    run(backend, async move {
        let turns = std::rc::Rc::new(std::cell::RefCell::new(Turns::default()));
        let player = |own: u64| {
            let turns = turns.clone();
            std::future::poll_fn(move |cx| {
                let turns = &mut *turns.borrow_mut();
                if turns.next % 2 == own {
                    turns.next += 1;
                    turns.waiting.take().into_iter().for_each(Waker::wake);
                }
                turns.waiting = Some(cx.waker().clone());
                if turns.next >= times { Poll::Ready(()) } else { Poll::Pending }
            })
        };
        let (first, second) = (aem::spawn(player(0)), aem::spawn(player(1)));
        first.await.expect("no panic");
        drop(second);
    });
}

/// A timer is begun among a thousand others, and given up.
fn timer(backend: Backend, times: u64) {
    run(backend, async move {
        let begun = |number: u64| {
            let mut sleep = Box::pin(aem::time::sleep(Duration::from_millis(60_000 + number * 7)));
            assert!(sleep.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            sleep
        };
        let others: Vec<_> = (0..1000).map(begun).collect();
        (0..times).for_each(|number| drop(begun(number)));
        drop(others);
    });
}

/// A byte comes for a handler, which wakes who sent it.
fn handler_event(backend: Backend, times: u64) {
    /// How many have come, and who waits for one more.
    #[derive(Default)]
    struct Arrived {
        count: u64,
        waiting: Option<Waker>,
    }
    run(backend, async move {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let ours = aem::net::UnixStream::from_std(ours).expect("a stream");
        let arrived = aem::State::new(Arrived::default());
        let events = ours.chunks();
        let registration = arrived.on(events, |arrived: &mut Arrived, _chunk| {
            arrived.count += 1;
            arrived.waiting.take().into_iter().for_each(Waker::wake);
        });
        for number in 1..=times {
            theirs.write_all(&[1]).expect("there is room");
            let one_more = std::future::poll_fn(|cx| {
                arrived.with(|arrived| {
                    arrived.waiting = Some(cx.waker().clone());
                    if arrived.count >= number { Poll::Ready(()) } else { Poll::Pending }
                })
            });
            one_more.await;
        }
        drop(registration);
    });
}
