//! Where io_uring is refused: epoll serves, and says in a line why; who insists on io_uring gets an error.
//!
//! A filter of system calls does it, as containers have them, in a child process; and a user who may lock no
//! memory tries how far he comes. Never is one keeper taken silently for the other.

use std::time::Duration;

use aem_tests::child::Program;
use aem_tests::requirement;

/// No child takes longer.
const LIMIT: Duration = Duration::from_secs(20);

/// What a child did.
#[derive(Debug)]
struct Said {
    /// `epoll`, `io_uring` or `error`.
    kind: String,
    /// The line that says why.
    reason: String,
    /// Whether bytes went to and fro.
    echoed: bool,
}

/// Runs a program to which io_uring is denied.
#[track_caller]
fn denied(how: &str, backend: &str) -> Said {
    let mut child = Program::start(env!("CARGO_BIN_EXE_denied"), &[how, backend]);
    let line = child.line(LIMIT);
    let (kind, reason) = line.split_once(' ').expect("a kind and a reason");
    let echoed = kind != "error" && child.line(LIMIT) == "echoed";
    let said = Said { kind: kind.to_owned(), reason: reason.to_owned(), echoed };
    let (status, errors) = child.end(LIMIT);
    assert!(status.success() && errors.is_empty(), "{how} {backend}: {said:?}, {status}: {errors}");
    println!("{how} {backend}: {said:?}");
    said
}

/// epoll serves, an insisting user gets an error, and both lines name the cause.
#[track_caller]
fn assert_refused(how: &str, cause: &str) {
    let said = denied(how, "auto");
    assert_eq!((said.kind.as_str(), said.echoed), ("epoll", true), "{how}: {said:?}");
    assert!(said.reason.starts_with("epoll: ") && said.reason.contains(cause), "{how}: {said:?}");
    let said = denied(how, "io_uring");
    assert_eq!(said.kind, "error", "{how}: {said:?}");
    assert!(said.reason.contains("io_uring") && said.reason.contains(cause), "{how}: {said:?}");
}

/// Whether there is any io_uring to be refused.
fn is_there() -> bool {
    let said = denied("nothing", "io_uring");
    if said.kind == "error" {
        requirement::skip("io_uring", &said.reason);
        return false;
    }
    assert!(said.echoed && said.kind == "io_uring", "{said:?}");
    let said = denied("nothing", "auto");
    assert!(said.echoed && said.kind == "io_uring", "a kernel that grants it: {said:?}");
    true
}

#[test]
fn a_filter_that_forbids_it_has_epoll_serve() {
    assert_refused(&format!("all={}", libc::EPERM), "EPERM");
}

#[test]
fn a_filter_that_hides_it_has_epoll_serve() {
    assert_refused(&format!("all={}", libc::ENOSYS), "ENOSYS");
}

/// What kernels that account rings to locked memory say when there is none left.
#[test]
fn a_kernel_that_locks_no_memory_for_it_has_epoll_serve() {
    assert_refused(&format!("setup={}", libc::ENOMEM), "ENOMEM");
}

#[test]
fn a_filter_that_forbids_a_part_of_it_has_epoll_serve() {
    if is_there() {
        for (name, error) in [("EPERM", libc::EPERM), ("ENOSYS", libc::ENOSYS)] {
            assert_refused(&format!("register={error}"), name);
            assert_refused(&format!("enter={error}"), name);
        }
    }
}

/// Some kernels account the rings to the user's locked memory (before 5.12, and again of late), others to the
/// memory of his group. What is granted must run, and what is refused must be said.
#[test]
fn a_user_who_may_lock_little_or_no_memory_is_served() {
    if !is_there() {
        return;
    }
    for bytes in [0, 16 << 10, 64 << 10, 256 << 10] {
        let how = format!("memlock={bytes}");
        let (auto, forced) = (denied(&how, "auto"), denied(&how, "io_uring"));
        for (said, instead) in [(auto, "epoll"), (forced, "error")] {
            let is_granted = said.kind == "io_uring" && said.echoed;
            let is_refused = said.kind == instead && said.reason.contains("lock");
            // Each for itself: the kernel takes its time to count the memory of an ended process as free.
            assert!(is_granted || is_refused, "{how}: {said:?}");
            assert!(said.echoed || instead == "error", "{how}: {said:?}");
        }
    }
}
