//! Who is at the other end of a Unix socket.

use std::io;
use std::os::fd::AsFd;

use crate::sys::socket;

/// A process and its user, as they were when they connected, listened, or made the pair.
///
/// The kernel vouches for them. By the time they are read the process may have ended, and its number may be
/// another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Credentials {
    /// The process. None if it is not visible from here, as from another container.
    pub pid: Option<i32>,
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
}

impl Credentials {
    pub(super) fn of_peer(socket: impl AsFd) -> io::Result<Credentials> {
        let libc::ucred { pid, uid, gid } = socket::peer_credentials(socket.as_fd())?;
        Ok(Credentials { pid: Some(pid).filter(|pid| *pid > 0), uid, gid })
    }
}
