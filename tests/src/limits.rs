//! The limit of descriptors, set for this process.

use std::io;

/// Raises the soft limit of descriptors to the hard one, and gives it.
///
/// # Errors
/// What the system says.
pub fn raise_descriptors() -> io::Result<u64> {
    let mut limit = get()?;
    limit.rlim_cur = limit.rlim_max;
    set(&limit)?;
    Ok(limit.rlim_cur)
}

/// Sets the soft limit of descriptors.
///
/// # Errors
/// What the system says.
pub fn limit_descriptors(number: u64) -> io::Result<()> {
    let mut limit = get()?;
    limit.rlim_cur = number;
    set(&limit)
}

fn get() -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: it writes to what it is given, which lives.
    let failed = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    if failed == 0 { Ok(limit) } else { Err(io::Error::last_os_error()) }
}

fn set(limit: &libc::rlimit) -> io::Result<()> {
    // SAFETY: it reads what it is given, which lives.
    let failed = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, limit) };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
