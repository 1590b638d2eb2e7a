//! What a listener leaves behind: nothing. Each test has signals of its own, as they are the process's.

use std::thread;
use std::time::Duration;

use super::*;
use crate::sys::child::{forked, in_child};
use crate::sys::epoll::{Epoll, Events, flags};

/// Whether the process has a handler for a signal, as the kernel tells it.
fn is_caught(signal: libc::c_int) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    let caught = u64::from_str_radix(line.trim(), 16).unwrap();
    caught & 1 << (signal - 1) != 0
}

#[test]
fn the_previous_disposition_comes_back_with_the_last_listener() {
    let signal = libc::SIGUSR1;
    for _ in 0..3 {
        assert!(!is_caught(signal));
        let first = listen(signal).unwrap();
        let second = listen(signal).unwrap();
        drop(first);
        assert!(is_caught(signal));
        let before = count(signal);
        raise(signal).unwrap();
        assert_eq!(count(signal), before + 1);
        drop(second);
        assert!(!is_caught(signal));
    }
}

extern "C" fn of_somebody_else(_: libc::c_int) {}

#[test]
fn a_handler_that_somebody_put_in_since_stays() {
    let signal = libc::SIGUSR2;
    let listening = listen(signal).unwrap();
    // SAFETY: all zeros is a valid value of this plain C structure.
    let mut theirs: libc::sigaction = unsafe { std::mem::zeroed() };
    theirs.sa_sigaction = of_somebody_else as *const () as usize;
    // SAFETY: a handler that does nothing may run at any time.
    unsafe { exchange(signal, &raw const theirs) }.unwrap();
    drop(listening);
    // SAFETY: null changes nothing.
    let now = unsafe { exchange(signal, std::ptr::null()) }.unwrap();
    assert_eq!(now.sa_sigaction, theirs.sa_sigaction);
}

#[test]
fn listeners_come_and_go_on_many_threads() {
    let signal = libc::SIGWINCH;
    let threads: Vec<_> = (0..4)
        .map(|_| {
            thread::spawn(move || {
                for _ in 0..200 {
                    let listening = listen(signal).unwrap();
                    let before = count(signal);
                    raise(signal).unwrap();
                    assert!(count(signal) > before, "a handler is in while anybody listens");
                    drop(listening);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(!is_caught(signal));
}

#[test]
fn what_is_no_signal_or_cannot_be_handled_is_an_error() {
    for signal in [libc::SIGKILL, 0, 65, -1] {
        assert_eq!(listen(signal).unwrap_err().raw_os_error(), Some(libc::EINVAL), "{signal}");
        assert_eq!(count(signal), 0);
    }
}

/// An epoll instance that watches the bell.
fn watch_bell() -> (Epoll, OwnedFd) {
    let (epoll, bell) = (Epoll::new().unwrap(), bell().unwrap());
    epoll.add(bell.as_raw_fd(), flags::IN | flags::EDGE, 1).unwrap();
    (epoll, bell)
}

fn has_rung(epoll: &Epoll) -> bool {
    let mut events = Events::new(1);
    epoll.wait(&mut events, Some(Duration::ZERO)).unwrap();
    events.len() > 0
}

#[test]
fn a_forked_child_that_listens_has_a_bell_of_its_own() {
    if !in_child("sys::signal::tests::a_forked_child_that_listens_has_a_bell_of_its_own") {
        return;
    }
    let signal = libc::SIGUSR1;
    let _listening = listen(signal).unwrap();
    let (parents, _bell) = watch_bell();
    let number = BELL.load(Ordering::Relaxed);
    forked(|| {
        let _listening = listen(signal).unwrap();
        assert_eq!(BELL.load(Ordering::Relaxed), number, "a late handler finds it by its number");
        let (own, _bell) = watch_bell();
        for _ in 0..2 {
            raise(signal).unwrap();
            assert!(has_rung(&own));
            let _another = listen(signal).unwrap();
        }
    });
    assert!(!has_rung(&parents));
    raise(signal).unwrap();
    assert!(has_rung(&parents));
}
