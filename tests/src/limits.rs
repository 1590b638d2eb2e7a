//! Limits of descriptors and memory, set for this process.

use std::io;

/// Raises the soft limit of descriptors to the hard one, and gives it.
///
/// # Errors
/// What the system says.
pub fn raise_descriptors() -> io::Result<u64> {
    let mut limit = get(libc::RLIMIT_NOFILE)?;
    limit.rlim_cur = limit.rlim_max;
    set(libc::RLIMIT_NOFILE, &limit)?;
    Ok(limit.rlim_cur)
}

/// Sets the soft limit of descriptors.
///
/// # Errors
/// What the system says.
pub fn limit_descriptors(number: u64) -> io::Result<()> {
    let mut limit = get(libc::RLIMIT_NOFILE)?;
    limit.rlim_cur = number;
    set(libc::RLIMIT_NOFILE, &limit)
}

/// The soft limit of virtual memory, in bytes.
///
/// # Errors
/// What the system says.
pub fn address_space() -> io::Result<u64> {
    Ok(get(libc::RLIMIT_AS)?.rlim_cur)
}

/// Sets it.
///
/// # Errors
/// What the system says.
pub fn limit_address_space(bytes: u64) -> io::Result<()> {
    let mut limit = get(libc::RLIMIT_AS)?;
    limit.rlim_cur = bytes;
    set(libc::RLIMIT_AS, &limit)
}

fn get(what: libc::__rlimit_resource_t) -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: it writes to what it is given, which lives.
    let failed = unsafe { libc::getrlimit(what, &raw mut limit) };
    if failed == 0 { Ok(limit) } else { Err(io::Error::last_os_error()) }
}

fn set(what: libc::__rlimit_resource_t, limit: &libc::rlimit) -> io::Result<()> {
    // SAFETY: it reads what it is given, which lives.
    let failed = unsafe { libc::setrlimit(what, limit) };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
