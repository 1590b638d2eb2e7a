//! Tests in processes of their own: a number of a descriptor that is closed is taken by the next test, and a
//! fork copies the threads of other tests in the middle of what they do.

use std::process::Command;

/// Runs the test of that path alone in a process of its own, and returns true in there.
pub(crate) fn in_child(test: &str) -> bool {
    const NAME: &str = "AEM_TEST_CHILD";
    if std::env::var(NAME).is_ok_and(|name| name == test) {
        return true;
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(NAME, test);
    let output = child.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{output:?}");
    false
}

/// Forks, has the child do something, and waits until it has. A child that takes more than ten seconds is
/// ended by the kernel.
///
/// For a test in a process of its own: of the other threads the child has nothing but what they held.
pub(crate) fn forked(act: impl FnOnce()) {
    // SAFETY: the child goes on with this thread alone, and takes no lock that another one may hold.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        // SAFETY: the default action of the signal ends this process; no memory is passed.
        unsafe { libc::alarm(10) };
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
        // SAFETY: it does not return, and no memory is passed.
        unsafe { libc::_exit(i32::from(result.is_err())) };
    }
    let mut status = 0;
    // SAFETY: it writes to the live local; the number is our child's.
    let ended = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!((ended, status), (pid, 0), "the child failed, or was ended");
}
