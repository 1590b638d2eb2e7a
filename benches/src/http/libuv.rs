//! The page on libuv: its loop and its streams are used in C, in `src/c/libuv_http.c`; requests are read
//! as the loops written by hand read them.

use std::io;
use std::net::TcpListener;

use super::page::Page;

/// Serves until the process ends.
///
/// # Errors
///
/// libuv is not there, or its loop ends.
pub fn serve(listener: TcpListener, page: Page) -> io::Result<()> {
    #[cfg(has_libuv)]
    return built::serve(listener, page);
    #[cfg(not(has_libuv))]
    {
        drop((listener, page));
        Err(io::Error::other("its headers are not here (Debian: libuv1-dev)"))
    }
}

#[cfg(has_libuv)]
mod built {
    use std::ffi::{c_char, c_int, c_long, c_void};
    use std::io;
    use std::net::TcpListener;
    use std::os::fd::IntoRawFd;

    use crate::http::connection::Connection;
    use crate::http::page::Page;
    use crate::server;

    /// `struct page` of `src/c/libuv_http.c`.
    #[repr(C)]
    struct Given {
        page: *mut c_void,
        open: extern "C" fn(*mut c_void) -> *mut c_void,
        close: extern "C" fn(*mut c_void),
        hear: extern "C" fn(*mut c_void, *mut c_void, *const c_char, usize) -> c_long,
        answer: *const u8,
        length: usize,
    }

    // # Safety
    // The descriptor is given away, and what is given lives until the process ends.
    unsafe extern "C" {
        fn libuv_http(fd: c_int, given: *const Given) -> c_int;
    }

    extern "C" fn open(_page: *mut c_void) -> *mut c_void {
        Box::into_raw(Box::<Connection>::default()).cast()
    }

    extern "C" fn close(own: *mut c_void) {
        // SAFETY: what `open` has given, and this is its end.
        drop(unsafe { Box::from_raw(own.cast::<Connection>()) });
    }

    extern "C" fn hear(
        page: *mut c_void,
        own: *mut c_void,
        bytes: *const c_char,
        length: usize,
    ) -> c_long {
        // SAFETY: what was given, which only the thread of the loop has.
        let page = unsafe { &mut *page.cast::<Page>() };
        // SAFETY: what `open` has given, and the same.
        let connection = unsafe { &mut *own.cast::<Connection>() };
        // SAFETY: the library has read so many bytes.
        let bytes = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), length) };
        page.set_date();
        match connection.hear(page, bytes) {
            Ok(()) => (connection.take_owed() / page.answer().len()) as c_long,
            Err(_no_request) => -1,
        }
    }

    pub(super) fn serve(listener: TcpListener, page: Page) -> io::Result<()> {
        server::announce("http", &listener)?;
        let page = Box::leak(Box::new(page));
        let (answer, length) = (page.answer().as_ptr(), page.answer().len());
        let page = (&raw mut *page).cast();
        let given = Given { page, open, close, hear, answer, length };
        // SAFETY: the page is there for ever, and so are its bytes; the rest is copied.
        unsafe { libuv_http(listener.into_raw_fd(), &given) };
        Err(io::Error::other("the loop has ended"))
    }
}
