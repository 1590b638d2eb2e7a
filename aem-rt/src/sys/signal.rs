//! Signal handlers that count, and ring a bell.
//!
//! A handler may do next to nothing: other code of the process stands still in the middle of whatever it
//! was doing. Ours adds one to the signal's counter and writes to one eventfd of the process, which is made
//! once, never closed and never read: so its number cannot be anybody else's by the time a late handler
//! writes to it, and every reactor that watches it edge-triggered hears every ring.
//!
//! The previous disposition comes back when the last listener goes, unless somebody has put in another one
//! since: that one is meant.
//!
//! A forked child inherits the handlers, the counts and the bell. A ring there wakes the parent, who looks
//! at counts of its own and finds nothing new; the first listener of the child makes the bell the child's.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use super::check;
use super::eventfd::{EventFd, ring_raw};

/// Signals have numbers from 1 to 64.
const SIGNALS: usize = 65;

/// How often each signal has come.
static COUNTERS: [AtomicU64; SIGNALS] = [const { AtomicU64::new(0) }; SIGNALS];

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
extern "C" fn on_signal(signal: libc::c_int) {
    // SAFETY: gives a pointer to this thread's own errno.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: valid for this thread. The interrupted code may be about to read it.
    let before = unsafe { *errno };
    if let Some(counter) = COUNTERS.get(signal as usize) {
        // Release: pairs with the Acquire in `count`.
        counter.fetch_add(1, Ordering::Release);
    }
    // A full counter has rung; there is nothing else that could be done here about any failure.
    let _ = ring_raw(BELL.load(Ordering::Relaxed));
    // SAFETY: as above.
    unsafe { *errno = before };
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
    // Calls that can go on after a signal do so: other threads of the process know nothing of it.
    ours.sa_flags = libc::SA_RESTART;
    // SAFETY: the handler calls only what a handler may.
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
    // Acquire: what the sender did before is visible as far as the kernel carries it.
    COUNTERS.get(signal as usize).map_or(0, |counter| counter.load(Ordering::Acquire))
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
