//! A program to which io_uring is denied: `denied HOW BACKEND`.
//!
//! HOW is `setup=ERROR`, `register=ERROR`, `enter=ERROR` or `all=ERROR`, for a filter that has these calls of
//! io_uring's fail with that number; `memlock=BYTES` for a user who may lock no more memory; or `nothing`.
//! It prints the kind of its backend and why it is that one, exchanges a few bytes with itself, and prints
//! `echoed`. Where no runtime can be made it prints `error` and what the builder said.

use std::io;

use aem::net::{TcpListener, TcpStream};
use aem::{Backend, Runtime};
use libc::{c_long, sock_filter, sock_fprog};

/// Where the number of the call is in what a filter sees.
const NUMBER: u32 = 0;

/// Nobody's user and group, on every Linux system.
const NOBODY: u32 = 65534;

/// So much is sent each way.
const BYTES: usize = 100_000;

/// The calls that a filter is to deny.
fn calls(name: &str) -> &'static [c_long] {
    match name {
        "setup" => &[libc::SYS_io_uring_setup],
        "register" => &[libc::SYS_io_uring_register],
        "enter" => &[libc::SYS_io_uring_enter],
        "all" => &[libc::SYS_io_uring_setup, libc::SYS_io_uring_register, libc::SYS_io_uring_enter],
        other => panic!("not a call: {other}"),
    }
}

/// Has calls fail with an error number from now on, for this process and its children.
fn deny(calls: &[c_long], error: u16) -> io::Result<()> {
    let step = |code: u32, jump: usize, value: u32| sock_filter {
        code: code as u16,
        jt: jump as u8,
        jf: 0,
        k: value,
    };
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let compare = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let answer = libc::BPF_RET | libc::BPF_K;
    let mut program = vec![step(load, 0, NUMBER)];
    for (index, call) in calls.iter().enumerate() {
        // To the last step, over the other comparisons and the step that allows.
        program.push(step(compare, calls.len() - index, *call as u32));
    }
    program.push(step(answer, 0, libc::SECCOMP_RET_ALLOW));
    program.push(step(answer, 0, libc::SECCOMP_RET_ERRNO | u32::from(error)));
    let filter = sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: takes integers only.
    let failed = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    if failed != 0 {
        return Err(io::Error::last_os_error());
    }
    let mode = libc::SECCOMP_MODE_FILTER;
    // SAFETY: the program that it names lives, and is copied by the kernel.
    let failed = unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const filter) };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Becomes a user without rights, if this is root, who may lock no more memory than this.
fn lock_at_most(bytes: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: it reads what it is given, which lives.
    if unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it only tells.
    if unsafe { libc::geteuid() } != 0 {
        return Ok(());
    }
    // SAFETY: a list of no groups.
    let mut failed = unsafe { libc::setgroups(0, std::ptr::null()) };
    // SAFETY: takes an integer.
    failed |= unsafe { libc::setgid(NOBODY) };
    // SAFETY: takes an integer. The capabilities go with the user.
    failed |= unsafe { libc::setuid(NOBODY) };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn obey(how: &str) -> io::Result<()> {
    match how.split_once('=') {
        None if how == "nothing" => Ok(()),
        None => panic!("no such way to deny: {how}"),
        Some(("memlock", bytes)) => lock_at_most(bytes.parse().map_err(io::Error::other)?),
        Some((name, error)) => deny(calls(name), error.parse().map_err(io::Error::other)?),
    }
}

/// Sends bytes to an echo handler, and takes them back.
async fn exchange() -> aem::Result {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    aem::on_ok(listener.incoming(), |(stream, _peer)| {
        let reply = stream.clone();
        aem::on_ok(stream.chunks(), move |chunk| drop(reply.send(chunk))).detach();
    })
    .detach();
    let stream = TcpStream::connect(address).await?;
    let bytes: Vec<u8> = (0..BYTES).map(|index| (index / 7) as u8).collect();
    stream.send(bytes.clone());
    let mut echo = Vec::new();
    while echo.len() < bytes.len() {
        aem::time::sleep(std::time::Duration::from_micros(10)).await;
        echo.extend_from_slice(&stream.recv().await?);
    }
    assert!(echo == bytes, "other bytes came back");
    Ok(())
}

fn main() -> aem::Result {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, how, backend] = &arguments[..] else { panic!("denied HOW BACKEND") };
    obey(how)?;
    let backend = match backend.as_str() {
        "auto" => Backend::Auto,
        "io_uring" => Backend::IoUring,
        other => panic!("not a backend: {other}"),
    };
    let runtime = match Runtime::builder().backend(backend).build() {
        Ok(runtime) => runtime,
        Err(error) => {
            println!("error {error}");
            return Ok(());
        }
    };
    let report = runtime.handle().backend();
    println!("{} {}", report.kind, report.reason);
    runtime.block_on(exchange())?;
    // What is refused for good is known to the next one without asking. Memory is another matter: the kernel
    // takes its time to count it as free.
    drop(runtime);
    let again = Runtime::builder().backend(Backend::Auto).build()?;
    if !how.starts_with("memlock") {
        assert_eq!(again.handle().backend().kind, report.kind, "the second runtime");
    }
    again.block_on(exchange())?;
    println!("echoed");
    Ok(())
}
