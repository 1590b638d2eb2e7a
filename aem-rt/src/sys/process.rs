//! Child processes by pidfd: a descriptor that stands for one process, whatever becomes of its number.
//!
//! It is readable from the end of the process on, so that an end is an event like any other, and a signal
//! sent through it can reach nobody else. Linux has all of it since 5.4.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{check, retry};

/// A child of ours, by what is known of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which<'a> {
    Descriptor(BorrowedFd<'a>),
    /// Nobody else's as long as the child has not been reaped.
    Number(u32),
}

/// Opens a descriptor of a child that has not been reaped. It is close-on-exec.
///
/// # Errors
///
/// See pidfd_open(2): out of descriptors, or `ESRCH` if there is no such process.
pub(crate) fn open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: takes two integers and touches no memory of ours.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) };
    let fd = check(fd as libc::c_int)?;
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Takes the exit status of a child that has ended, after which the kernel forgets it; none if it runs.
///
/// # Errors
///
/// `ECHILD` if somebody else has taken it, as the kernel itself does where SIGCHLD is ignored, and if it is
/// no child of ours.
pub(crate) fn reap(child: Which<'_>) -> io::Result<Option<ExitStatus>> {
    let (kind, id) = match child {
        Which::Descriptor(pidfd) => (libc::P_PIDFD, pidfd.as_raw_fd() as libc::id_t),
        Which::Number(pid) => (libc::P_PID, pid),
    };
    // SAFETY: all zeros is a valid value of this plain C structure.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOHANG;
    // SAFETY: `info` is a live local; tests/tests/process/children.rs.
    retry(|| check(unsafe { libc::waitid(kind, id, &raw mut info, flags) }))?;
    // SAFETY: zero unless the kernel has written the facts of an end, which name a process.
    if unsafe { info.si_pid() } == 0 {
        return Ok(None);
    }
    // SAFETY: the facts of an end, as above.
    let status = unsafe { info.si_status() };
    // As wait(2) packs it.
    Ok(Some(ExitStatus::from_raw(match info.si_code {
        libc::CLD_EXITED => (status & 0xff) << 8,
        libc::CLD_DUMPED => status | 0x80,
        _ => status,
    })))
}

/// Sends a signal to the process that the descriptor stands for.
///
/// # Errors
///
/// `ESRCH` if it has ended and been reaped, `EINVAL` for what is no signal, `EPERM` if it has other rights.
pub(crate) fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let (call, fd) = (libc::SYS_pidfd_send_signal, pidfd.as_raw_fd());
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: takes integers, and null for the facts that the kernel then makes itself.
    check(unsafe { libc::syscall(call, fd, signal, no_info, 0) } as libc::c_int).map(drop)
}

/// Waits for the end of a process, at most so long; whether it has come.
///
/// # Errors
///
/// If a signal came first, or the kernel is out of memory.
pub(crate) fn ends_within(pidfd: BorrowedFd<'_>, limit: Duration) -> io::Result<bool> {
    let mut entry = libc::pollfd { fd: pidfd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let limit = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: `entry` is one live `pollfd` for the length of the call, and the count says one.
    Ok(check(unsafe { libc::poll(&raw mut entry, 1, limit) })? > 0)
}

/// Whether signals are blocked on this thread.
pub(crate) fn blocks_signals() -> bool {
    let null = std::ptr::null();
    // SAFETY: all zeros is a valid value of this plain C structure.
    let mut blocked: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: null changes nothing, and `blocked` is a live local.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, null, &raw mut blocked) };
    // SAFETY: `blocked` lives, and holds what is asked for.
    (1..=libc::SIGRTMAX())
        .any(|signal| unsafe { libc::sigismember(&raw const blocked, signal) } == 1)
}

/// Has the children of a command begin with no signal blocked.
pub(crate) fn unblock_signals(command: &mut Command) {
    let unblock = || {
        // SAFETY: all zeros is a valid value of this plain C structure, and the set of no signals.
        let none: libc::sigset_t = unsafe { std::mem::zeroed() };
        let null = std::ptr::null_mut();
        // SAFETY: `none` is a live local, and nothing is written to null.
        check(unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const none, null) }).map(drop)
    };
    // SAFETY: it runs in the forked child, where only what may be done in a signal handler may be done: a
    // system call; tests/tests/process/hygiene.rs.
    unsafe { command.pre_exec(unblock) };
}

/// As whom a program runs.
#[derive(Debug, Default)]
pub(crate) struct Identity {
    pub(crate) user: Option<u32>,
    pub(crate) group: Option<u32>,
    pub(crate) groups: Option<Vec<u32>>,
}

impl Identity {
    /// Takes it on, in this order: with the user its rights go to change the rest.
    fn take_on(&self) -> io::Result<()> {
        // A process that gives up being root keeps no group of root's.
        let gives_up = self.user.is_some_and(|user| user != 0) && is_root();
        let groups = match &self.groups {
            Some(groups) => Some(groups.as_slice()),
            None if gives_up => Some(&[][..]),
            None => None,
        };
        if let Some(groups) = groups {
            // SAFETY: the kernel reads `len` numbers, which live; tests/tests/process/hygiene.rs.
            check(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) })?;
        }
        if let Some(group) = self.group {
            // SAFETY: takes an integer.
            check(unsafe { libc::setgid(group) })?;
        }
        if let Some(user) = self.user {
            // SAFETY: takes an integer.
            check(unsafe { libc::setuid(user) })?;
        }
        Ok(())
    }
}

fn is_root() -> bool {
    // SAFETY: takes nothing.
    unsafe { libc::geteuid() == 0 }
}

/// Has the children of a command take on an identity, as it stands when they are started.
pub(crate) fn run_as(command: &mut Command, identity: Arc<Mutex<Identity>>) {
    let take_on = move || identity.lock().unwrap_or_else(PoisonError::into_inner).take_on();
    // SAFETY: it runs in the forked child, where only what may be done in a signal handler may be done: three
    // system calls and a lock that nobody holds, as the one who starts a command has it alone. Nothing is
    // allocated; an error is made of its number.
    unsafe { command.pre_exec(take_on) };
}
