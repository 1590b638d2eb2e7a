//! What a child begins with: what it was given, and nothing of our runtime's.

use std::io::ErrorKind;

use aem::fd::pipe;
use aem::net::{TcpListener, TcpStream};
use aem::process::Command;
use aem_tests::requirement;

use super::{on_both, shell, sleeper};

async fn said(command: &mut Command) -> String {
    let output = command.output().await.expect("started");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// The descriptors that `ls` lists, but for the folder that it has open meanwhile.
fn numbers(listed: &str) -> Vec<u32> {
    let links = listed.lines().filter_map(|line| line.rsplit_once(" -> "));
    let links = links.filter(|(_, target)| !target.starts_with("/proc/"));
    let numbers = links.filter_map(|(link, _)| link.rsplit(' ').next()?.parse().ok());
    let mut numbers: Vec<u32> = numbers.collect();
    numbers.sort();
    numbers
}

#[test]
fn a_child_has_the_descriptors_it_was_given_and_no_others() {
    on_both(async |_| {
        // What a program has of the runtime: sockets, pipes, a child's pidfd, the bell of signals.
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("its address");
        let client = TcpStream::connect(address).await.expect("a connection");
        let served = listener.accept().await.expect("a connection");
        let pipe = pipe().expect("a pipe");
        let mut other = sleeper().spawn().expect("started");
        let listening = aem::signal::ctrl_c();
        // Somebody may have left us descriptors for all who come after him.
        let plain = std::process::Command::new("ls").args(["-l", "/proc/self/fd"]).output();
        let inherited = String::from_utf8(plain.expect("started").stdout).expect("text");
        let seen = said(Command::new("ls").args(["-l", "/proc/self/fd"])).await;
        assert_eq!(numbers(&seen), numbers(&inherited), "{seen}");
        assert!(numbers(&seen).starts_with(&[0, 1, 2]), "{seen}");
        other.kill().await.expect("killed");
        drop((client, served, pipe, listening));
    });
}

#[test]
fn a_child_begins_with_no_signal_blocked_or_handled() {
    on_both(async |_| {
        let _listening = aem::signal::ctrl_c();
        // SAFETY: all zeros is a valid value of this plain C structure.
        let mut blocked: libc::sigset_t = unsafe { std::mem::zeroed() };
        // SAFETY: `blocked` lives.
        unsafe { libc::sigaddset(&raw mut blocked, libc::SIGUSR1) };
        let mask = |how| {
            // SAFETY: `blocked` lives, and nothing is written to null.
            unsafe { libc::pthread_sigmask(how, &raw const blocked, std::ptr::null_mut()) };
        };
        mask(libc::SIG_BLOCK);
        // Once by the short way of starting a program, once by the long one.
        let short = said(Command::new("cat").arg("/proc/self/status")).await;
        let long = said(Command::new("cat").arg("/proc/self/status").gid(own_group())).await;
        mask(libc::SIG_UNBLOCK);
        for status in [short, long] {
            assert_eq!(mask_of(&status, "SigBlk:"), 0, "{status}");
            assert_eq!(mask_of(&status, "SigCgt:"), 0, "{status}");
            // Those of the C library may be what somebody before us has ignored.
            let named = (1 << 31) - 1;
            assert_eq!(mask_of(&status, "SigIgn:") & named, 0, "{status}");
        }
    });
}

fn mask_of(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a mask");
    u64::from_str_radix(line.trim(), 16).expect("a number")
}

fn own_group() -> u32 {
    // SAFETY: takes nothing.
    unsafe { libc::getegid() }
}

#[test]
fn a_child_is_what_was_said() {
    on_both(async |_| {
        let mut command = shell("echo $0 $A $B $C; pwd");
        command.arg("zero").env("A", "a").envs([("B", "b"), ("C", "c")]).env_remove("C");
        command.current_dir("/usr");
        assert_eq!(said(&mut command).await, "zero a b\n/usr\n");
        let mut bare = Command::new("/usr/bin/env");
        assert_eq!(said(bare.env_clear().env("ONLY", "this")).await, "ONLY=this\n");
        let mut named = Command::new("/bin/sh");
        assert_eq!(said(named.arg0("nobody").args(["-c", "echo $0"])).await, "nobody\n");
        let mut grouped = shell("cut -d' ' -f5 /proc/self/stat; echo $$");
        let numbers = said(grouped.process_group(0)).await;
        let numbers: Vec<&str> = numbers.lines().collect();
        assert_eq!(numbers[0], numbers[1], "it leads a group of its own");
        assert_eq!(format!("{:?}", Command::new("ls").arg("-l")), r#""ls" "-l""#);
        let std = std::process::Command::new("echo");
        let mut ours = Command::from(std);
        ours.as_std_mut().arg("through std");
        assert_eq!(ours.as_std().get_program(), "echo");
        assert_eq!(said(&mut ours).await, "through std\n");
    });
}

#[test]
fn a_child_runs_as_whom_was_said() {
    // SAFETY: takes nothing.
    if unsafe { libc::geteuid() } != 0 {
        return requirement::skip("root", "others may not change who they are");
    }
    on_both(async |_| {
        let who = "id -u; id -g; id -G";
        let mut command = shell(who);
        command.uid(1234).gid(2345);
        for _ in 0..2 {
            assert_eq!(said(&mut command).await, "1234\n2345\n2345\n", "no group of root's");
        }
        command.groups(&[7, 9]);
        assert_eq!(said(&mut command).await, "1234\n2345\n2345 7 9\n");
        let ordinary = shell(who).uid(1234).output().await.expect("started");
        assert!(ordinary.stdout.starts_with(b"1234\n0\n0\n"));
        let refused = shell("exit 0").uid(u32::MAX).status().await.expect_err("no such user");
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    });
}
