//! Descriptors that are closed, cannot be waited for, or are registered already.

use std::cell::RefCell;
use std::io::{Error, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use aem::fd::{AsyncFd, Interest};
use aem::time::timeout;
use futures::StreamExt;

use super::{panic_of, run};

const MOMENT: Duration = Duration::from_millis(20);

/// A number that may or may not be open.
#[derive(Debug)]
struct Number(RawFd);

impl AsFd for Number {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: these tests say when it is open; the runtime only asks the kernel about it.
        unsafe { BorrowedFd::borrow_raw(self.0) }
    }
}

/// A number that is closed now, and that nobody else in this process is going to be given.
fn closed_number() -> RawFd {
    let file = std::fs::File::open("/dev/null").expect("a file");
    // SAFETY: it makes a copy of an open descriptor.
    let high = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 900) };
    assert!(high >= 900, "{}", Error::last_os_error());
    // SAFETY: made just now, and nobody else's.
    unsafe { libc::close(high) };
    high
}

fn pair() -> (UnixStream, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    ours.set_nonblocking(true).expect("nonblocking");
    (ours, theirs)
}

#[test]
fn what_cannot_be_watched_is_an_error_at_registration() {
    run(async || {
        let error = AsyncFd::new(Number(closed_number())).expect_err("closed");
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
        for path in ["/proc/self/exe", "/"] {
            let file = std::fs::File::open(path).expect("a file");
            let error = AsyncFd::new(file).expect_err("always ready");
            assert!(error.to_string().contains("regular file"), "{path}: {error}");
        }
        let (ours, _theirs) = pair();
        let first = AsyncFd::new(&ours).expect("registered");
        let error = AsyncFd::new(&ours).expect_err("registered already");
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert!(error.to_string().contains("registered"), "{error}");
        drop(first);
        AsyncFd::new(&ours).expect("free again");
    });
}

/// Closes its descriptor before it is gone itself.
struct Closable(RefCell<Option<OwnedFd>>, RawFd);

impl AsFd for Closable {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: as for `Number`.
        unsafe { BorrowedFd::borrow_raw(self.1) }
    }
}

#[test]
fn what_was_closed_meanwhile_is_an_error_at_the_next_call() {
    run(async || {
        let (ours, _theirs) = pair();
        // A number that no other test's descriptor takes in between.
        // SAFETY: it makes a copy of an open descriptor.
        let high = unsafe { libc::fcntl(ours.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 800) };
        // SAFETY: made just now, and ours.
        let high = unsafe { <OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(high) };
        let number = high.as_raw_fd();
        let fd = AsyncFd::new(Closable(RefCell::new(Some(high)), number)).expect("registered");
        assert!(timeout(MOMENT, fd.readable()).await.is_err(), "nothing to read");
        drop(fd.get_ref().0.take());
        let soon = timeout(Duration::from_secs(5), fd.readable()).await.expect("it is told");
        assert_eq!(soon.expect_err("closed").raw_os_error(), Some(libc::EBADF));
        let soon = timeout(Duration::from_secs(5), fd.writable()).await.expect("it is told");
        assert_eq!(soon.expect_err("closed").raw_os_error(), Some(libc::EBADF));
        let blocks = |_: &Closable| Err::<(), _>(Error::from(ErrorKind::WouldBlock));
        let soon = timeout(Duration::from_secs(5), fd.io(Interest::READABLE, blocks)).await;
        assert_eq!(
            soon.expect("it is told").expect_err("closed").raw_os_error(),
            Some(libc::EBADF)
        );
        let event = timeout(Duration::from_secs(5), fd.readiness(Interest::READABLE).next()).await;
        let event = event.expect("it is told").expect("an item");
        assert_eq!(event.expect_err("closed").raw_os_error(), Some(libc::EBADF));
    });
}

#[test]
fn an_attempt_that_never_succeeds_starves_nobody() {
    run(async || {
        let (ours, mut theirs) = pair();
        theirs.write_all(b"there").expect("sent");
        let fd = AsyncFd::new(ours).expect("registered");
        for interest in [Interest::READABLE, Interest::WRITABLE] {
            let blocks = |_: &UnixStream| Err::<(), _>(Error::from(ErrorKind::WouldBlock));
            let attempt = timeout(MOMENT, fd.io(interest, blocks)).await;
            assert!(attempt.is_err(), "it goes on trying, and time goes on as well");
            let attempt = std::future::poll_fn(|cx| fd.poll_io(cx, interest, blocks));
            assert!(timeout(MOMENT, attempt).await.is_err());
        }
        // Readiness is told once a turn, so a handler that does not read starves nobody either.
        let ignored = aem::on(fd.readiness(Interest::READABLE), |_| ());
        aem::time::sleep(MOMENT).await;
        ignored.stop();
        let mut buffer = [0; 8];
        let read = fd.io(Interest::READABLE, |mut socket| socket.read(&mut buffer)).await;
        assert_eq!(&buffer[..read.expect("bytes")], b"there");
    });
}

#[test]
fn an_async_fd_of_another_runtime_is_refused() {
    aem_tests::bounded::within(super::LIMIT, || {
        let home = aem::Runtime::new().expect("a runtime");
        let (ours, mut theirs) = pair();
        let fd = home.block_on(async { AsyncFd::new(ours) }).expect("registered");
        let refused = async || {
            let error = fd.readable().await.expect_err("not here");
            assert!(error.to_string().contains("runtime"), "{error}");
            let event = fd.readiness(Interest::READABLE).next().await.expect("an item");
            assert!(event.expect_err("not here").to_string().contains("runtime"));
        };
        aem::block_on(refused());
        aem_tests::elsewhere::wait_for(refused());
        theirs.write_all(b"x").expect("sent");
        home.block_on(fd.readable()).expect("at home it works");
        drop(home);
        aem::block_on(refused());
        // The value is the user's own, and goes on.
        assert_eq!(fd.get_ref().read(&mut [0; 4]).expect("a byte"), 1);
        // Its number may be registered elsewhere now.
        aem::block_on(async { AsyncFd::new(fd.get_ref()).map(drop) }).expect("registered");
    });
}

#[test]
fn outside_of_a_runtime_descriptors_and_signals_say_how_to_enter_one() {
    let (ours, _theirs) = pair();
    for text in [
        panic_of(|| AsyncFd::new(&ours).map(drop)),
        panic_of(aem::signal::ctrl_c),
        panic_of(aem::signal::shutdown_requested),
    ] {
        assert!(text.contains("#[aem::main]") && text.contains("block_on"), "{text}");
    }
}
