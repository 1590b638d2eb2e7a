//! Signal handlers that count, and ring a bell.
//!
//! A handler may do next to nothing: other code of the process stands still in the middle of whatever it
//! was doing. Ours adds to the signal's [`Records`] and writes to one eventfd of the process, which is made
//! once, never closed and never read: so its number cannot be anybody else's by the time a late handler
//! writes to it, and every reactor that watches it edge-triggered hears every ring.
//!
//! The previous disposition comes back when the last listener goes, unless somebody has put in another one
//! since: that one is meant.
//!
//! A forked child inherits the handlers, the counts and the bell. A ring there wakes the parent, who looks
//! at counts of its own and finds nothing new; the first listener of the child makes the bell the child's.

mod records;

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};
use std::sync::{Mutex, MutexGuard};

use super::check;
use super::eventfd::{EventFd, ring_raw};
pub(crate) use records::{Found, Record, Records};

/// Signals have numbers from 1 to 64.
const SIGNALS: usize = 65;

/// So many signals of a kind are kept for a listener who is slow.
const RECORDS_KEPT: usize = 64;

/// What came with each signal. Null until somebody listens for the first time; never freed, as a handler may
/// be at work in there.
static RECORDS: [AtomicPtr<Records>; SIGNALS] =
    [const { AtomicPtr::new(std::ptr::null_mut()) }; SIGNALS];

/// The number of the bell, once there is one.
static BELL: AtomicI32 = AtomicI32::new(-1);

static LISTENERS: Mutex<Listeners> =
    Mutex::new(Listeners { bell: None, signals: [const { (0, None) }; SIGNALS] });

struct Listeners {
    bell: Option<EventFd>,
    /// How many listen, and what was in force before.
    signals: [(usize, Option<libc::sigaction>); SIGNALS],
}

fn listeners() -> MutexGuard<'static, Listeners> {
    // Nothing foreign runs under the lock, so a poisoned one is whole.
    LISTENERS.lock().unwrap_or_else(|poison| poison.into_inner())
}

/// Runs in whatever thread the kernel picks.
extern "C" fn on_signal(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    _context: *mut libc::c_void,
) {
    // SAFETY: gives a pointer to this thread's own errno.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: valid for this thread. The interrupted code may be about to read it.
    let before = unsafe { *errno };
    if let Some(records) = records(signal) {
        // SAFETY: the kernel gives a handler with SA_SIGINFO what came with its signal.
        records.add(record(unsafe { &*info }));
    }
    // A full counter has rung; there is nothing else that could be done here about any failure.
    let _ = ring_raw(BELL.load(Ordering::Relaxed));
    // SAFETY: as above.
    unsafe { *errno = before };
}

/// The records of a signal, if anybody ever listened for it.
fn records(signal: libc::c_int) -> Option<&'static Records> {
    // Acquire: pairs with the Release in `listen`.
    let records = RECORDS.get(signal as usize)?.load(Ordering::Acquire);
    // SAFETY: null, or a box that was leaked.
    unsafe { records.as_ref() }
}

/// What is kept of what the kernel says. Which of it means anything is known by the code.
fn record(info: &libc::siginfo_t) -> Record {
    // SAFETY: all members of the union are plain numbers, within the structure.
    let pid = unsafe { info.si_pid() };
    // SAFETY: as above.
    let uid = unsafe { info.si_uid() };
    // SAFETY: as above.
    let value = unsafe { info.si_value() };
    Record { code: info.si_code, pid, uid, value: value.sival_ptr as usize }
}

/// Somebody wants to hear of a signal, until this is dropped.
#[derive(Debug)]
pub(crate) struct Listening {
    signal: libc::c_int,
}

/// Counts a signal from now on, in the place of what was in force for it.
///
/// # Errors
/// If the process is out of descriptors, or the kernel does not let the signal be handled.
pub(crate) fn listen(signal: libc::c_int) -> io::Result<Listening> {
    let mut listeners = listeners();
    if let Some(bell) = &mut listeners.bell {
        // In a forked child it is the parent's as well: each of them would hear the other's signals.
        bell.make_own()?;
    } else {
        let bell = EventFd::new()?;
        BELL.store(bell.as_fd().as_raw_fd(), Ordering::Relaxed);
        listeners.bell = Some(bell);
    }
    let Some((count, before)) = listeners.signals.get_mut(signal as usize) else {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    };
    if records(signal).is_none() {
        let records = Box::leak(Box::new(Records::new(RECORDS_KEPT)));
        // Release: pairs with the Acquire in `records`.
        RECORDS[signal as usize].store(records, Ordering::Release);
    }
    if *count == 0 {
        *before = Some(install(signal)?);
    }
    *count += 1;
    Ok(Listening { signal })
}

/// Puts our handler in and gives back what was there.
fn install(signal: libc::c_int) -> io::Result<libc::sigaction> {
    // SAFETY: all zeros is a valid value of this plain C structure.
    let mut ours: libc::sigaction = unsafe { std::mem::zeroed() };
    ours.sa_sigaction = on_signal as *const () as usize;
    // Calls that can go on after a signal do so: other threads of the process know nothing of it. One that
    // has a stack for handlers has it used.
    ours.sa_flags = libc::SA_RESTART | libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: the handler calls only what a handler may, and has the parameters that SA_SIGINFO means.
    unsafe { exchange(signal, &raw const ours) }
}

/// Puts a disposition in, unless it is null, and gives back what was in force.
///
/// # Safety
///
/// `new` is null or points to a disposition whose handler, if it has one, is fit to be one.
unsafe fn exchange(
    signal: libc::c_int,
    new: *const libc::sigaction,
) -> io::Result<libc::sigaction> {
    // SAFETY: all zeros is a valid value of this plain C structure.
    let mut before: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: `before` is a live local, and the caller answers for `new`.
    check(unsafe { libc::sigaction(signal, new, &raw mut before) })?;
    Ok(before)
}

/// Whether our handler is in force for a signal.
fn is_ours(signal: libc::c_int) -> bool {
    // SAFETY: null changes nothing.
    let now = unsafe { exchange(signal, std::ptr::null()) };
    now.is_ok_and(|now| now.sa_sigaction == on_signal as *const () as usize)
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut listeners = listeners();
        let (count, before) = &mut listeners.signals[self.signal as usize];
        *count -= 1;
        if *count == 0
            && let Some(before) = before.take()
            && is_ours(self.signal)
        {
            // It was accepted once, so it is now.
            // SAFETY: the structure is what the kernel gave us as the one in force.
            let _ = unsafe { exchange(self.signal, &raw const before) };
        }
    }
}

/// How often a signal has come since the process began to listen.
pub(crate) fn count(signal: libc::c_int) -> u64 {
    records(signal).map_or(0, Records::count)
}

impl Listening {
    /// What came with the signals of this kind.
    pub(crate) fn records(&self) -> &'static Records {
        records(self.signal).expect("made before the listening began")
    }
}

/// A descriptor of one's own for the bell, to watch edge-triggered.
///
/// # Errors
/// If the process is out of descriptors.
pub(crate) fn bell() -> io::Result<OwnedFd> {
    match &listeners().bell {
        Some(bell) => bell.as_fd().try_clone_to_owned(),
        None => Err(io::Error::other("nobody listens to a signal")),
    }
}

/// Sends a signal to the calling thread.
#[cfg(test)]
pub(crate) fn raise(signal: libc::c_int) -> io::Result<()> {
    // SAFETY: sends a signal to this thread; the tests have a handler for it.
    check(unsafe { libc::raise(signal) }).map(drop)
}

#[cfg(test)]
mod tests;
