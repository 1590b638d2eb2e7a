//! Descriptors sent by a system call of the tests' own.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// Sends bytes with descriptors beside them (cmsg(3)).
///
/// # Panics
///
/// If the kernel refuses, or does not take all.
pub fn send(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) {
    let mut piece =
        libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let numbers: Vec<u8> = descriptors.iter().flat_map(|fd| fd.as_raw_fd().to_ne_bytes()).collect();
    let what = [libc::SOL_SOCKET, libc::SCM_RIGHTS].map(i32::to_ne_bytes).concat();
    let length = size_of::<libc::cmsghdr>() + numbers.len();
    let control = [length.to_ne_bytes().to_vec(), what, numbers].concat();
    // SAFETY: zero is a value that all fields may have.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&raw mut piece, 1);
    message.msg_control = control.as_ptr().cast_mut().cast();
    message.msg_controllen = control.len() as _;
    // SAFETY: all that the message names lives, and is only read.
    let sent = unsafe { libc::sendmsg(socket.as_fd().as_raw_fd(), &raw const message, 0) };
    assert_eq!(sent, bytes.len() as isize, "{}", std::io::Error::last_os_error());
}
