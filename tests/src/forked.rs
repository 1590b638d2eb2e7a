//! A forked child of this process: bounded in time, waited for, never left behind.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// No child takes longer: then the kernel ends it, whatever it does.
const LIMIT_SECONDS: u32 = 20;

/// What it ends with if it panics, as a program of its own would.
const PANICKED: i32 = 101;

/// A child that runs.
#[derive(Debug)]
#[must_use = "a child is waited for"]
pub struct Child {
    pid: libc::pid_t,
}

/// Forks. None in the child, which must end by [`leave`].
///
/// # Panics
/// If the system refuses.
pub fn fork() -> Option<Child> {
    // SAFETY: the child goes on with this thread alone. What it takes locks for is the allocator, which the
    // C library hands over unlocked, and what only this thread uses.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
    if pid > 0 {
        return Some(Child { pid });
    }
    // SAFETY: the default action of the signal ends this process; no memory is passed.
    unsafe { libc::alarm(LIMIT_SECONDS) };
    None
}

/// Runs what a child does, and ends it: without the rest of the test, without destructors.
pub fn leave(act: impl FnOnce()) -> ! {
    let status = match catch_unwind(AssertUnwindSafe(act)) {
        Ok(()) => 0,
        Err(panic) => {
            std::mem::forget(panic);
            PANICKED
        }
    };
    // SAFETY: it does not return, and no memory is passed.
    unsafe { libc::_exit(status) }
}

/// Forks, has the child do something with its copy of a value, waits for its end, and gives the value back.
///
/// # Panics
/// If the child did, or took too long.
#[track_caller]
pub fn forked<S>(state: S, child: impl FnOnce(S)) -> S {
    let Some(running) = fork() else { leave(|| child(state)) };
    running.end();
    state
}

impl Child {
    /// Waits for its end.
    ///
    /// # Panics
    /// If it panicked, or took too long.
    #[track_caller]
    pub fn end(self) {
        let deadline = Instant::now() + Duration::from_secs(u64::from(LIMIT_SECONDS) + 5);
        let mut status = 0;
        loop {
            // SAFETY: it writes to the live local; the number is our child's until it has been waited for.
            let ended = unsafe { libc::waitpid(self.pid, &raw mut status, libc::WNOHANG) };
            assert!(ended >= 0, "waitpid: {}", std::io::Error::last_os_error());
            if ended == self.pid {
                break;
            }
            if Instant::now() > deadline {
                // SAFETY: as above.
                unsafe { libc::kill(self.pid, libc::SIGKILL) };
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let signal = libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status));
        assert_ne!(signal, Some(libc::SIGALRM), "the child ran for {LIMIT_SECONDS} s");
        assert_eq!(status, 0, "the child failed");
    }
}
