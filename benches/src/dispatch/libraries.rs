//! Loops of C libraries. What they call for an event is ours, the same as for all others; that they are
//! given descriptors and run is written in C, in `src/c`.

use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;

use super::relay::{Readers, Relay};
use super::{Figures, Run, laps};

/// `struct dispatch` of `src/c/dispatch.h`.
#[repr(C)]
struct Given {
    relay: *const c_void,
    ready: extern "C" fn(*const c_void, usize) -> c_int,
    readers: *const RawFd,
    pairs: usize,
}

/// What `relay` points at.
struct Called {
    relay: Rc<Relay>,
    readers: Readers,
}

/// The three functions that the file of each library has.
#[derive(Clone, Copy)]
struct Library {
    /// # Safety
    /// What is given points at what lives until the loop is closed.
    open: unsafe extern "C" fn(*const Given) -> *mut c_void,
    /// # Safety
    /// The loop was opened, and is not closed.
    lap: unsafe extern "C" fn(*mut c_void) -> c_int,
    /// # Safety
    /// The loop was opened, and is not used after this.
    close: unsafe extern "C" fn(*mut c_void),
}

extern "C" fn ready(called: *const c_void, at: usize) -> c_int {
    // SAFETY: what was given with this function, which lives until the loop is closed.
    let called = unsafe { &*called.cast::<Called>() };
    called.relay.ready(at, &called.readers[at]);
    called.relay.is_over().into()
}

fn run(library: Library, readers: Readers, relay: Rc<Relay>) -> io::Result<Figures> {
    let fds: Vec<RawFd> = readers.iter().map(AsRawFd::as_raw_fd).collect();
    let called = Called { relay, readers };
    let (relay, pairs) = ((&raw const called).cast(), fds.len());
    let given = Given { relay, ready, readers: fds.as_ptr(), pairs };
    // SAFETY: it copies what it is given; what that points at lives until the loop is closed.
    let opened = unsafe { (library.open)(&given) };
    if opened.is_null() {
        return Err(io::Error::other("there is no loop to be had"));
    }
    let figures = laps(&called.relay, || {
        // SAFETY: it was opened and is not closed yet.
        match unsafe { (library.lap)(opened) } {
            0 => Ok(()),
            _ => Err(io::Error::other("the loop has ended")),
        }
    });
    // SAFETY: it was opened, and is not used any more.
    unsafe { (library.close)(opened) };
    figures
}

/// A library of `build.rs`: a round on it, or the package that has its headers.
macro_rules! library {
    ($constant:ident, $has:meta, $package:literal, $open:ident, $lap:ident, $close:ident) => {
        #[doc = concat!("A round on the library, or that there is no ", $package, ".")]
        #[cfg($has)]
        pub(super) const $constant: Result<Run, &str> = {
            // # Safety
            // As of the fields of `Library`; the files in `c` have them so.
            unsafe extern "C" {
                fn $open(given: *const Given) -> *mut c_void;
                fn $lap(opened: *mut c_void) -> c_int;
                fn $close(opened: *mut c_void);
            }
            Ok(|readers, relay| {
                run(Library { open: $open, lap: $lap, close: $close }, readers, relay)
            })
        };
        #[doc = concat!("That there is no ", $package, ".")]
        #[cfg(not($has))]
        pub(super) const $constant: Result<Run, &str> = Err($package);
    };
}

library!(LIBEVENT, has_libevent, "libevent-dev", libevent_open, libevent_lap, libevent_close);
library!(LIBEV, has_libev, "libev-dev", libev_open, libev_lap, libev_close);
library!(LIBUV, has_libuv, "libuv1-dev", libuv_open, libuv_lap, libuv_close);
