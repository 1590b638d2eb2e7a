//! `AsyncFd` on whatever has a descriptor, on both keepers: each kind with what is its own.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::process::Command;
use std::time::Duration;

use aem::fd::{AsyncFd, Interest};
use aem::{Next, on_ok, spawn, yield_now};
use aem_tests::keepers;
use aem_tests::watch::watched_on;
use futures::{AsyncReadExt, AsyncWriteExt, FutureExt, StreamExt};

/// Nothing here takes longer, unless it hangs.
const LONG: Duration = Duration::from_secs(20);

fn on_both(test: impl AsyncFn()) {
    for keeper in keepers::both() {
        watched_on(keepers::builder(keeper), async |_| test().await);
    }
}

/// A descriptor that a system call has just made.
fn owned(number: i32) -> OwnedFd {
    assert!(number >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: new, and nobody else's.
    unsafe { OwnedFd::from_raw_fd(number) }
}

fn set_nonblocking(fd: impl AsFd) {
    socket2::SockRef::from(&fd).set_nonblocking(true).unwrap();
}

fn read_once(fd: &OwnedFd) -> std::io::Result<Vec<u8>> {
    let mut file = File::from(fd.try_clone()?);
    let mut buffer = vec![0; 4096];
    let n = file.read(&mut buffer)?;
    buffer.truncate(n);
    Ok(buffer)
}

async fn in_time<F: Future>(future: F) -> F::Output {
    aem::time::timeout(LONG, future).await.expect("in time")
}

#[test]
fn a_pipe_is_read_and_written_by_the_traits_too() {
    on_both(async || {
        let (reader, writer) = std::io::pipe().unwrap();
        set_nonblocking(&reader);
        set_nonblocking(&writer);
        let (reader, writer) = (AsyncFd::new(reader).unwrap(), AsyncFd::new(writer).unwrap());
        let bytes: Vec<u8> = (0..300_000_u32).map(|place| (place % 251) as u8).collect();
        let sent = bytes.clone();
        let sending = spawn(async move {
            let mut writer = writer;
            writer.write_all(&sent).await?;
            writer.flush().await?;
            writer.close().await
        });
        let mut received = Vec::new();
        in_time((&reader).read_to_end(&mut received)).await.unwrap();
        sending.await.unwrap().unwrap();
        assert!(received == bytes);
        let ready = reader.ready(Interest::READABLE | Interest::WRITABLE).await.unwrap();
        assert!(ready.is_readable(), "its end");
        let inner = reader.into_inner().expect("the only one");
        assert!(AsyncFd::new(inner).is_ok(), "it can be registered again");
    });
}

#[test]
fn a_terminal() {
    on_both(async || {
        let (mut ours, mut theirs) = (0, 0);
        let null = std::ptr::null_mut();
        // SAFETY: writes two numbers into live locals; null stands for defaults.
        let opened = unsafe {
            libc::openpty(&raw mut ours, &raw mut theirs, null, null.cast(), null.cast())
        };
        assert_eq!(opened, 0);
        let (ours, theirs) = (owned(ours), owned(theirs));
        set_nonblocking(&theirs);
        let terminal = AsyncFd::new(theirs).unwrap();
        assert!(terminal.readable().now_or_never().is_none());
        let mut keyboard = File::from(ours);
        keyboard.write_all(b"half a line").unwrap();
        yield_now().await;
        assert!(terminal.readable().now_or_never().is_none(), "a terminal gives lines");
        keyboard.write_all(b" and the rest\n").unwrap();
        let line = in_time(terminal.io(Interest::READABLE, read_once)).await.unwrap();
        assert_eq!(line, b"half a line and the rest\n");
    });
}

#[test]
fn a_socket_of_another_family() {
    on_both(async || {
        let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: takes integers.
        let socket = owned(unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) });
        let netlink = AsyncFd::new(socket).unwrap();
        in_time(netlink.writable()).await.unwrap();
        assert!(netlink.readable().now_or_never().is_none());
        // RTM_GETLINK, with NLM_F_REQUEST and NLM_F_DUMP, and an empty ifinfomsg behind the head.
        let mut request = Vec::new();
        request.extend(32_u32.to_ne_bytes());
        request.extend(18_u16.to_ne_bytes());
        request.extend(0x301_u16.to_ne_bytes());
        request.resize(32, 0);
        File::from(netlink.get_ref().try_clone().unwrap()).write_all(&request).unwrap();
        let answer = in_time(netlink.io(Interest::READABLE, read_once)).await.unwrap();
        assert!(answer.len() > 16, "the kernel has told of an interface");
    });
}

#[test]
fn a_timer_and_a_counter_of_the_kernel_s() {
    on_both(async || {
        let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
        // SAFETY: takes integers.
        let timer = owned(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) });
        let time = |ms: i64| libc::timespec { tv_sec: 0, tv_nsec: ms * 1_000_000 };
        let setting = libc::itimerspec { it_interval: time(2), it_value: time(2) };
        let (number, old) = (timer.as_raw_fd(), std::ptr::null_mut());
        // SAFETY: `setting` is a live local.
        assert_eq!(unsafe { libc::timerfd_settime(number, 0, &raw const setting, old) }, 0);
        let timer = AsyncFd::new(timer).unwrap();
        for _ in 0..3 {
            let ticks = in_time(timer.io(Interest::READABLE, read_once)).await.unwrap();
            assert!(u64::from_ne_bytes(ticks.try_into().unwrap()) >= 1);
        }
        // SAFETY: takes integers.
        let counter = owned(unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) });
        let counter = AsyncFd::new(counter).unwrap();
        let adding = counter.clone();
        let added = spawn(async move {
            yield_now().await;
            File::from(adding.get_ref().try_clone()?).write_all(&7_u64.to_ne_bytes())
        });
        let sum = in_time(counter.io(Interest::READABLE, read_once)).await.unwrap();
        assert_eq!(sum, 7_u64.to_ne_bytes());
        added.await.unwrap().unwrap();
    });
}

#[test]
fn another_loop_s_epoll_and_an_inotify() {
    on_both(async || {
        // SAFETY: takes an integer.
        let epoll = owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) });
        let (reader, mut writer) = std::io::pipe().unwrap();
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 5 };
        let (number, inner) = (epoll.as_raw_fd(), reader.as_raw_fd());
        // SAFETY: `event` is a live local.
        let added = unsafe { libc::epoll_ctl(number, libc::EPOLL_CTL_ADD, inner, &raw mut event) };
        assert_eq!(added, 0);
        let foreign = AsyncFd::new(epoll).unwrap();
        assert!(foreign.readable().now_or_never().is_none());
        writer.write_all(b"x").unwrap();
        in_time(foreign.readable()).await.unwrap();

        // SAFETY: takes an integer.
        let inotify = owned(unsafe { libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC) });
        let folder = std::env::temp_dir().join(format!("aem-fd-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = std::ffi::CString::new(folder.to_str().unwrap()).unwrap();
        let (number, mask) = (inotify.as_raw_fd(), libc::IN_CREATE);
        // SAFETY: the path is a live C string.
        assert!(unsafe { libc::inotify_add_watch(number, path.as_ptr(), mask) } > 0);
        let inotify = AsyncFd::new(inotify).unwrap();
        assert!(inotify.readable().now_or_never().is_none());
        std::fs::write(folder.join("new"), "").unwrap();
        let record = in_time(inotify.io(Interest::READABLE, read_once)).await.unwrap();
        assert!(record.windows(3).any(|part| part == b"new"));
        std::fs::remove_dir_all(&folder).unwrap();
    });
}

#[test]
fn the_end_of_a_process() {
    on_both(async || {
        let mut command = Command::new("sh");
        command.args(["-c", "read line"]).stdin(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take();
        // SAFETY: takes integers.
        let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, child.id(), 0) };
        let pidfd = AsyncFd::new(owned(pidfd as i32)).unwrap();
        assert!(pidfd.readable().now_or_never().is_none(), "it waits for a line");
        drop(input);
        in_time(pidfd.readable()).await.unwrap();
        assert!(child.try_wait().unwrap().is_some());
    });
}

#[test]
fn many_wait_and_a_handler_hears_of_it_as_long_as_it_holds() {
    on_both(async || {
        let (reader, mut writer) = std::io::pipe().unwrap();
        set_nonblocking(&reader);
        let reader = AsyncFd::new(reader).unwrap();
        let waiting: Vec<_> = (0..20)
            .map(|_| {
                let reader = reader.clone();
                spawn(async move { reader.readable().await })
            })
            .collect();
        yield_now().await;
        // One who gives up takes nothing from the others.
        waiting[3].abort();
        assert!(reader.clone().into_inner().is_err(), "there are others");
        let pipe = reader.clone();
        let mut events = 0;
        let handler = on_ok(reader.readiness(Interest::READABLE), move |ready: Interest| {
            assert!(ready.is_readable());
            events += 1;
            if events < 3 {
                return Next::Keep;
            }
            let mut byte = [0; 8];
            assert_eq!(pipe.get_ref().read(&mut byte).unwrap(), 1);
            Next::Stop
        });
        writer.write_all(b"x").unwrap();
        for (number, waiter) in waiting.into_iter().enumerate() {
            let woken = in_time(waiter).await;
            assert_eq!(woken.is_ok(), number != 3);
        }
        in_time(handler).await.unwrap();
        drop(writer);
        let mut readiness = reader.readiness(Interest::READABLE);
        assert!(in_time(readiness.next()).await.unwrap().unwrap().is_readable(), "its end");
    });
}

#[test]
fn what_cannot_be_waited_for_comes_back_with_the_same_error_on_both() {
    on_both(async || {
        let file = File::open("/proc/self/exe").unwrap();
        let (error, file) = AsyncFd::try_new(file).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("always ready"), "{error}");
        assert!(file.metadata().is_ok(), "it is whole");
        let (reader, _writer) = std::io::pipe().unwrap();
        let first = AsyncFd::new(reader.as_fd()).unwrap();
        let (error, _) = AsyncFd::try_new(reader.as_fd()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        drop(first);
        yield_now().await;
        assert!(AsyncFd::new(reader.as_fd()).is_ok(), "the first is gone");
    });
}
