//! Descriptors that whoever started this process has opened for it.
//!
//! The protocol is that of systemd's sd_listen_fds(3): `LISTEN_PID` names the process that they are for,
//! `LISTEN_FDS` says how many they are, from 3 on, and `LISTEN_FDNAMES` what they are called. The environment
//! stays as it is, since other threads may read it; that they were taken is remembered here.

use std::env;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use super::check;

/// The first of them: those before are the standard streams.
const FIRST: RawFd = 3;

/// A process has no more descriptors than this, whatever a variable says.
const MOST: usize = 1 << 20;

static TAKEN: AtomicBool = AtomicBool::new(false);

/// Takes them over, close-on-exec from now on, each with its name. There are none the second time, and if
/// they are for another process.
///
/// # Errors
///
/// `InvalidData` for variables that make no sense, and for a number that is not open; then none is taken.
pub(crate) fn take() -> io::Result<Vec<(OwnedFd, Option<String>)>> {
    let Some(count) = announced()? else { return Ok(Vec::new()) };
    if TAKEN.load(Ordering::Relaxed) {
        // The numbers may be others' by now.
        return Ok(Vec::new());
    }
    let numbers = FIRST..FIRST + count as RawFd;
    for number in numbers.clone() {
        // SAFETY: takes integers, and fails if it is no open descriptor.
        let marked = check(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) });
        if let Err(error) = marked {
            return Err(senseless(format!("descriptor {number} of {count} is not open: {error}")));
        }
    }
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(Vec::new());
    }
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':').map(str::to_owned);
    let take = |number| {
        // SAFETY: open, as was just seen; whoever started us has opened it for the one who asks here, which
        // is once; tests/tests/inherited.rs.
        (unsafe { OwnedFd::from_raw_fd(number) }, names.next().filter(|name| !name.is_empty()))
    };
    Ok(numbers.map(take).collect())
}

/// How many there are for this process.
fn announced() -> io::Result<Option<usize>> {
    let (Ok(pid), Ok(count)) = (env::var("LISTEN_PID"), env::var("LISTEN_FDS")) else {
        return Ok(None);
    };
    let pid: u32 = number("LISTEN_PID", &pid)?;
    let count: usize = number("LISTEN_FDS", &count)?;
    if count > MOST {
        return Err(senseless(format!("LISTEN_FDS={count} is more than a process can have")));
    }
    Ok((pid == std::process::id()).then_some(count))
}

fn number<T: std::str::FromStr>(name: &str, text: &str) -> io::Result<T> {
    text.parse().map_err(|_| senseless(format!("{name}={text} is no number")))
}

fn senseless(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
