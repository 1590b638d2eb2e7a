//! libuv: its loop and its streams are used in C, in `src/c/libuv_exchange.c`; what a message leads to is
//! ours, the same as for all others.

use super::Run;

/// One side on the library, or that there is no libuv1-dev.
#[cfg(has_libuv)]
pub(super) const RUN: Result<Run, &str> = Ok(built::run);
/// That there is no libuv1-dev.
#[cfg(not(has_libuv))]
pub(super) const RUN: Result<Run, &str> = Err("libuv1-dev");

#[cfg(has_libuv)]
mod built {
    use std::ffi::{c_char, c_int, c_void};
    use std::io;
    use std::os::fd::IntoRawFd;
    use std::os::unix::net::UnixStream;

    use crate::exchange::{Exchange, MESSAGE};

    type Received = extern "C" fn(*mut c_void, *const c_char, usize, *mut c_char) -> c_int;

    // # Safety
    // The descriptor is given away; `exchange` is what `received` takes, and `opening` has `length` bytes.
    unsafe extern "C" {
        fn libuv_exchange(
            fd: c_int,
            exchange: *mut c_void,
            opening: *mut c_char,
            length: c_int,
            received: Received,
        ) -> c_int;
    }

    /// What `received` is given.
    struct Called {
        exchange: Exchange,
        result: io::Result<()>,
    }

    extern "C" fn received(
        called: *mut c_void,
        bytes: *const c_char,
        length: usize,
        out: *mut c_char,
    ) -> c_int {
        // SAFETY: what was given with this function, and nobody else has it meanwhile.
        let called = unsafe { &mut *called.cast::<Called>() };
        // SAFETY: the library has read so many bytes.
        let bytes = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), length) };
        let length = match called.exchange.received(bytes) {
            Ok(Some(message)) => {
                // SAFETY: there is room for a message.
                unsafe { out.cast::<[u8; MESSAGE]>().write(message) };
                MESSAGE as c_int
            }
            Ok(None) => 0,
            Err(error) => {
                called.result = Err(error);
                return -1;
            }
        };
        if called.exchange.is_over() { -length - 1 } else { length }
    }

    pub(super) fn run(socket: UnixStream, exchange: Exchange) -> io::Result<Exchange> {
        let mut opening = exchange.opening();
        let (start, length) = opening
            .as_mut()
            .map_or((std::ptr::null_mut(), 0), |opening| (opening.as_mut_ptr(), MESSAGE as c_int));
        let mut called = Called { exchange, result: Ok(()) };
        let (fd, given) = (socket.into_raw_fd(), (&raw mut called).cast());
        // SAFETY: the descriptor is the library's from here on, and the rest lives longer than the call.
        let failed = unsafe { libuv_exchange(fd, given, start.cast(), length, received) };
        called.result?;
        match failed {
            0 => Ok(called.exchange),
            _ => Err(io::Error::other("the loop has failed")),
        }
    }
}
