//! Sockets that a supervisor opened: a child that is started with some, and says what it found.

use std::io::Read;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use aem_tests::child::Program;
use aem_tests::keepers;

const LIMIT: Duration = Duration::from_secs(30);

/// Starts the heir with these descriptors from 3 on; `variables` are set by a shell that it then replaces, as
/// one of them is its own number.
fn start(keeper: aem::Backend, variables: &str, given: &[RawFd]) -> Program {
    let heir = env!("CARGO_BIN_EXE_heir");
    let script = format!("{variables} exec \"$0\"");
    let mut command = keepers::command(keeper, "/bin/sh", &["-c", &script, heir]);
    give(&mut command, given.to_vec());
    Program::run(command)
}

fn give(command: &mut Command, given: Vec<RawFd>) {
    let give = move || {
        // Out of the way first: one of them may have another's number.
        for number in &given {
            // SAFETY: takes integers.
            if unsafe { libc::fcntl(*number, libc::F_DUPFD, 100 + number) } < 0 {
                return Err(std::io::Error::last_os_error());
            }
        }
        for (place, number) in given.iter().enumerate() {
            // The duplicate has the first free number from there on, and here it is free.
            // SAFETY: takes integers.
            if unsafe { libc::dup2(100 + number, 3 + place as RawFd) } < 0 {
                return Err(std::io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: the closure makes system calls only, on numbers that it owns.
    unsafe { command.pre_exec(give) };
}

#[test]
fn a_child_finds_its_sockets_each_of_its_kind_and_serves() {
    for keeper in keepers::both() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (datagram, _other) = UnixDatagram::pair().unwrap();
        let connected = TcpStream::connect(tcp.local_addr().unwrap()).unwrap();
        let given = [tcp.as_raw_fd(), udp.as_raw_fd(), datagram.as_raw_fd(), connected.as_raw_fd()];
        let variables = "LISTEN_PID=$$ LISTEN_FDS=4 LISTEN_FDNAMES=web:names::stream";
        let mut heir = start(keeper, variables, &given);
        assert_eq!(heir.line(LIMIT), "4 sockets");
        assert_eq!(heir.line(LIMIT), "web: tcp listener");
        assert_eq!(heir.line(LIMIT), "names: udp socket");
        assert_eq!(heir.line(LIMIT), "-: unix datagram");
        let wrong = heir.line(LIMIT);
        assert!(
            wrong.starts_with("stream: ") && wrong.contains("is not a Unix datagram"),
            "{wrong}"
        );
        let mut visitor = connected;
        let mut said = String::new();
        visitor.read_to_string(&mut said).unwrap();
        assert_eq!(said, "inherited");
        let (status, errors) = heir.end(LIMIT);
        assert!(status.success(), "{errors}");
    }
}

#[test]
fn what_is_for_another_or_makes_no_sense_is_told() {
    let keeper = aem::Backend::Epoll;
    for (variables, said) in [
        ("LISTEN_PID=1 LISTEN_FDS=1", "0 sockets"),
        ("LISTEN_FDS=1", "0 sockets"),
        ("LISTEN_PID=$$ LISTEN_FDS=0", "0 sockets"),
        ("LISTEN_PID=$$ LISTEN_FDS=many", "error: LISTEN_FDS=many is no number"),
        ("LISTEN_PID=$$ LISTEN_FDS=99999999", "error: LISTEN_FDS=99999999 is more than"),
        ("LISTEN_PID=$$ LISTEN_FDS=60", "error: descriptor "),
    ] {
        let mut heir = start(keeper, variables, &[]);
        let line = heir.line(LIMIT);
        assert!(line.starts_with(said), "{variables}: {line}");
        let (status, errors) = heir.end(LIMIT);
        assert!(status.success(), "{errors}");
    }
}
