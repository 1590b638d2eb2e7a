//! Each promise of `aem::signal::watch`, on both keepers. Signals are the whole process's, so that each test
//! has one of its own; none is sent before somebody listens.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::process::Command;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use aem::signal::{SignalInfo, SignalKind, Signals, watch};
use aem::{End, Next, on};
use aem_tests::keepers;
use aem_tests::scale::scaled_count;
use aem_tests::watch::{alone, watched_on};
use futures::stream::FusedStream;
use futures::{FutureExt, StreamExt};

/// Nothing here takes longer, unless it hangs.
const LONG: Duration = Duration::from_secs(20);

/// Runs a test on both keepers. The bell of the process, which stays, is made before it is counted.
fn on_both(test: impl AsyncFn()) {
    let guard = alone();
    aem::block_on(async { drop(aem::signal::ctrl_c()) });
    drop(guard);
    for keeper in keepers::both() {
        watched_on(keepers::builder(keeper), async |_| test().await);
    }
}

fn own() -> i32 {
    std::process::id() as i32
}

/// Sends a signal to this process.
fn send(kind: SignalKind) {
    // SAFETY: sends a signal that is listened for.
    assert_eq!(unsafe { libc::kill(own(), kind.as_raw()) }, 0);
}

/// Sends one to this thread, which has handled it when this returns.
fn raise(kind: SignalKind) {
    // SAFETY: as in `send`.
    assert_eq!(unsafe { libc::raise(kind.as_raw()) }, 0);
}

/// Sends one with a value.
fn queue(kind: SignalKind, value: usize) -> io::Result<()> {
    let value = libc::sigval { sival_ptr: value as *mut libc::c_void };
    // SAFETY: as in `send`.
    match unsafe { libc::sigqueue(own(), kind.as_raw(), value) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether the process has a handler for a signal, or ignores it, as the kernel tells it.
fn disposition(field: &str, kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    let bits = u64::from_str_radix(line.trim_start_matches(':').trim(), 16).unwrap();
    bits & 1 << (kind.as_raw() - 1) != 0
}

async fn next(signals: &mut Signals) -> SignalInfo {
    aem::time::timeout(LONG, signals.next()).await.expect("in time").expect("it has not ended")
}

#[test]
fn an_awaited_signal_brings_its_sender() {
    on_both(async || {
        let mut signals = watch(SignalKind::USR1).unwrap();
        send(SignalKind::USR1);
        let signal = next(&mut signals).await;
        assert_eq!((signal.kind, signal.pid), (SignalKind::USR1, Some(own())));
        // SAFETY: asks for a number.
        assert_eq!(signal.uid, Some(unsafe { libc::getuid() }));
        assert_eq!((signal.code, signal.value, signal.merged), (Some(libc::SI_USER), None, 0));
        let mut child = Command::new("sh");
        let mut child = child.args(["-c", &format!("kill -USR1 {}", own())]).spawn().unwrap();
        assert_eq!(next(&mut signals).await.pid, Some(child.id() as i32));
        child.wait().unwrap();
    });
}

#[test]
fn a_handler_gets_each_signal() {
    on_both(async || {
        let count = Rc::new(Cell::new(0));
        let counter = count.clone();
        let handling = on(watch(SignalKind::USR2).unwrap(), move |signal: SignalInfo| {
            assert_eq!(signal.pid, Some(own()));
            counter.set(counter.get() + 1 + signal.merged);
            if counter.get() == 3 { Next::Stop } else { Next::Keep }
        });
        for expected in 1..=3 {
            send(SignalKind::USR2);
            while count.get() < expected {
                aem::time::sleep(Duration::from_micros(100)).await;
            }
        }
        assert_eq!(handling.await.unwrap(), End::Stopped);
    });
}

#[test]
fn what_is_queued_comes_with_its_value_each_once() {
    on_both(async || {
        let kind = SignalKind::real_time(3);
        let mut signals = watch(kind).unwrap();
        for value in 0..50 {
            queue(kind, value * 7).unwrap();
        }
        let mut values = Vec::new();
        for _ in 0..50 {
            let signal = next(&mut signals).await;
            assert_eq!((signal.code, signal.merged), (Some(libc::SI_QUEUE), 0));
            assert_eq!(signal.pid, Some(own()));
            values.extend(signal.value);
        }
        // Several threads may have handled them at once.
        values.sort_unstable();
        assert_eq!(values, (0..50).map(|value| value * 7).collect::<Vec<_>>());
        assert_eq!(signals.next().now_or_never(), None);
    });
}

#[test]
fn a_cancelled_await_loses_no_signal() {
    on_both(async || {
        let kind = SignalKind::real_time(4);
        let mut signals = watch(kind).unwrap();
        for value in 0..200 {
            assert!(signals.next().now_or_never().is_none());
            let mut waiting = signals.next();
            assert!(poll_fn(|cx| Poll::Ready(waiting.poll_unpin(cx))).await.is_pending());
            if value % 2 == 0 {
                aem::yield_now().await;
            }
            queue(kind, value).unwrap();
            drop(waiting);
            assert_eq!(next(&mut signals).await.value, Some(value));
        }
    });
}

#[test]
fn listening_begins_with_the_call_and_ends_with_the_drop() {
    on_both(async || {
        let kind = SignalKind::WINCH;
        let mut first = watch(kind).unwrap();
        raise(kind);
        let mut second = watch(kind).unwrap();
        assert_eq!(next(&mut first).await.merged, 0);
        assert_eq!(second.next().now_or_never(), None, "it came before");
        assert!(disposition("SigCgt", kind));
        drop(first);
        send(kind);
        next(&mut second).await;
        drop(second);
        assert!(!disposition("SigCgt", kind), "what was in force is so again");
    });
}

#[test]
fn a_signal_that_was_ignored_is_ignored_again() {
    // Rust's own runtime ignores SIGPIPE.
    assert!(disposition("SigIgn", SignalKind::PIPE));
    on_both(async || {
        let mut signals = watch(SignalKind::PIPE).unwrap();
        send(SignalKind::PIPE);
        next(&mut signals).await;
        drop(signals);
        assert!(disposition("SigIgn", SignalKind::PIPE));
    });
}

#[test]
fn a_slow_listener_is_told_how_many_there_were() {
    const SENT: usize = 500;
    on_both(async || {
        let kind = SignalKind::real_time(5);
        let mut signals = watch(kind).unwrap();
        for value in 0..SENT {
            queue(kind, value).unwrap();
        }
        let mut told = 0;
        while told < SENT as u64 {
            told += 1 + next(&mut signals).await.merged;
        }
        assert_eq!(told, SENT as u64);
        assert_eq!(signals.next().now_or_never(), None);
    });
}

#[test]
fn several_runtimes_hear_each_signal() {
    let _alone = alone();
    let kind = SignalKind::real_time(6);
    let (ready, listening) = std::sync::mpsc::channel();
    let threads: Vec<_> = keepers::both()
        .into_iter()
        .chain(keepers::both())
        .map(|keeper| {
            let ready = ready.clone();
            std::thread::spawn(move || {
                let runtime = keepers::builder(keeper).build().unwrap();
                runtime.block_on(async {
                    let signals = watch(kind).unwrap();
                    ready.send(()).unwrap();
                    let values = signals.take(20).map(|signal| signal.value.unwrap());
                    let mut values: Vec<_> = values.collect().await;
                    values.sort_unstable();
                    values
                })
            })
        })
        .collect();
    threads.iter().for_each(|_| listening.recv().unwrap());
    for value in 0..20 {
        queue(kind, value).unwrap();
    }
    for thread in threads {
        assert_eq!(thread.join().unwrap(), (0..20).collect::<Vec<_>>());
    }
}

#[test]
fn a_storm_of_signals_ends_with_an_event_after_the_last_and_costs_no_child() {
    const THREADS: usize = 4;
    let each = scaled_count(100_000, 4_000) / THREADS;
    on_both(async || {
        let kind = SignalKind::HUP;
        let mut signals = watch(kind).unwrap();
        let sent = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let done = sent.clone();
        let storm = std::thread::spawn(move || {
            let threads: Vec<_> = (0..THREADS)
                .map(|_| std::thread::spawn(move || (0..each).for_each(|_| send(kind))))
                .collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            done.store(true, std::sync::atomic::Ordering::SeqCst);
            send(kind);
        });
        let over = sent.clone();
        let children = aem::spawn(async move {
            let mut reaped = 0;
            while !over.load(std::sync::atomic::Ordering::SeqCst) || reaped < 10 {
                let status =
                    aem::process::Command::new("true").status().await.expect("a child in a storm");
                assert!(status.success(), "child {reaped}: {status}");
                reaped += 1;
            }
        });
        // The one that comes after the flag was set is an event that is seen with the flag set.
        loop {
            let signal = next(&mut signals).await;
            assert_eq!(signal.kind, kind);
            if sent.load(std::sync::atomic::Ordering::SeqCst) {
                break;
            }
        }
        storm.join().unwrap();
        aem::time::timeout(LONG, children).await.expect("every child is heard of").unwrap();
        assert_eq!(aem_tests::proc::children(), [], "each was reaped");
        // One that no thread has taken yet would meet the disposition that comes back, and end us.
        while is_pending(kind) {
            aem::time::sleep(Duration::from_millis(1)).await;
        }
    });
}

/// Whether a signal that was sent to the process waits for a thread of it.
fn is_pending(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let set = status.lines().find_map(|line| line.strip_prefix("ShdPnd:")).unwrap();
    u64::from_str_radix(set.trim(), 16).unwrap() & 1 << (kind.as_raw() - 1) != 0
}

#[test]
fn what_nobody_can_listen_to_is_an_error_that_says_why() {
    on_both(async || {
        let refused = [
            (SignalKind::from_raw(libc::SIGKILL), "SIGKILL: the kernel lets nobody handle it"),
            (SignalKind::from_raw(libc::SIGSEGV), "it is a fault"),
            (SignalKind::from_raw(0), "signal 0: there is no such signal"),
            (SignalKind::from_raw(-1), "there is no such signal"),
            (SignalKind::real_time(200), "there is no such signal"),
        ];
        for (kind, why) in refused {
            let error = watch(kind).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(error.to_string().contains(why), "{error}");
        }
        // Two that glibc keeps for itself.
        assert!(watch(SignalKind::from_raw(32)).is_err());
    });
}

#[test]
fn a_source_ends_with_its_runtime() {
    let _alone = alone();
    for keeper in keepers::both() {
        let runtime = keepers::builder(keeper).build().unwrap();
        let mut signals = runtime.block_on(async { watch(SignalKind::CONT).unwrap() });
        drop(runtime);
        assert!(!signals.is_terminated());
        assert_eq!(aem::block_on(signals.next()), None);
        assert!(signals.is_terminated());
    }
}

#[test]
fn the_end_of_a_child_is_a_signal_with_its_number() {
    on_both(async || {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let writer = seen.clone();
        let _watching = on(watch(SignalKind::CHLD).unwrap(), move |signal: SignalInfo| {
            writer.borrow_mut().push((signal.pid, signal.code));
        });
        let child = Command::new("true").spawn().unwrap();
        let ended = (Some(child.id() as i32), Some(libc::CLD_EXITED));
        let mut child = child;
        while !seen.borrow().contains(&ended) {
            aem::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(child.wait().unwrap().success(), "it is there to be reaped");
    });
}
