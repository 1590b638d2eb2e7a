//! Which signal.

use std::fmt;
use std::io;

/// A signal, by its number.
///
/// ```
/// use aem::signal::SignalKind;
///
/// assert_eq!(SignalKind::TERM.to_string(), "SIGTERM");
/// assert_eq!(SignalKind::from_raw(15), SignalKind::TERM);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SignalKind(libc::c_int);

impl SignalKind {
    /// The terminal hung up; for daemons by custom: read the settings again.
    pub const HUP: SignalKind = SignalKind(libc::SIGHUP);
    /// The user asked for the end, by ctrl-c.
    pub const INT: SignalKind = SignalKind(libc::SIGINT);
    /// The user asked for the end and a core dump.
    pub const QUIT: SignalKind = SignalKind(libc::SIGQUIT);
    /// For the program's own use.
    pub const USR1: SignalKind = SignalKind(libc::SIGUSR1);
    /// For the program's own use.
    pub const USR2: SignalKind = SignalKind(libc::SIGUSR2);
    /// A write to what nobody reads. Rust programs ignore it from their start.
    pub const PIPE: SignalKind = SignalKind(libc::SIGPIPE);
    /// A timer of alarm(2) is over.
    pub const ALRM: SignalKind = SignalKind(libc::SIGALRM);
    /// Somebody asked for the end.
    pub const TERM: SignalKind = SignalKind(libc::SIGTERM);
    /// A child has ended, stopped or gone on. Listening reaps nobody.
    pub const CHLD: SignalKind = SignalKind(libc::SIGCHLD);
    /// The process goes on after a stop.
    pub const CONT: SignalKind = SignalKind(libc::SIGCONT);
    /// The user asked for a stop, by ctrl-z; a process that listens does not stop.
    pub const TSTP: SignalKind = SignalKind(libc::SIGTSTP);
    /// A read of the terminal from the background.
    pub const TTIN: SignalKind = SignalKind(libc::SIGTTIN);
    /// A write to the terminal from the background.
    pub const TTOU: SignalKind = SignalKind(libc::SIGTTOU);
    /// Urgent data on a socket.
    pub const URG: SignalKind = SignalKind(libc::SIGURG);
    /// The window of the terminal has another size.
    pub const WINCH: SignalKind = SignalKind(libc::SIGWINCH);
    /// A descriptor with `O_ASYNC` is ready.
    pub const IO: SignalKind = SignalKind(libc::SIGIO);
    /// The power fails.
    pub const PWR: SignalKind = SignalKind(libc::SIGPWR);
    /// A system call that a filter traps.
    pub const SYS: SignalKind = SignalKind(libc::SIGSYS);
    /// The processor time is used up.
    pub const XCPU: SignalKind = SignalKind(libc::SIGXCPU);
    /// A file would become too large.
    pub const XFSZ: SignalKind = SignalKind(libc::SIGXFSZ);
    /// A timer of the process's own time is over.
    pub const VTALRM: SignalKind = SignalKind(libc::SIGVTALRM);
    /// A timer of a profiler is over.
    pub const PROF: SignalKind = SignalKind(libc::SIGPROF);

    /// A real-time signal, counted from `SIGRTMIN`: there are thirty or so for the program's own use. Unlike
    /// the others they queue in the kernel, each with its value. It hands them out in order, but where
    /// several threads handle them at once they may overtake each other.
    pub fn real_time(number: u8) -> SignalKind {
        SignalKind(libc::SIGRTMIN() + libc::c_int::from(number))
    }

    /// The signal of this number. Whether there is one is found out by who listens for it.
    pub const fn from_raw(number: i32) -> SignalKind {
        SignalKind(number)
    }

    /// Its number.
    pub const fn as_raw(self) -> i32 {
        self.0
    }

    /// Whether a listener could hear of it at all.
    pub(super) fn check(self) -> io::Result<()> {
        let why = match self.0 {
            libc::SIGKILL | libc::SIGSTOP => "the kernel lets nobody handle it",
            libc::SIGSEGV | libc::SIGBUS | libc::SIGFPE | libc::SIGILL | libc::SIGTRAP => {
                "it is a fault of the thread it comes to, which would run into it again for ever"
            }
            1.. if self.0 <= libc::SIGRTMAX() => return Ok(()),
            _ => "there is no such signal",
        };
        Err(io::Error::new(io::ErrorKind::InvalidInput, format!("cannot listen to {self}: {why}")))
    }
}

const NAMES: &[(SignalKind, &str)] = &[
    (SignalKind::HUP, "SIGHUP"),
    (SignalKind::INT, "SIGINT"),
    (SignalKind::QUIT, "SIGQUIT"),
    (SignalKind::USR1, "SIGUSR1"),
    (SignalKind::USR2, "SIGUSR2"),
    (SignalKind::PIPE, "SIGPIPE"),
    (SignalKind::ALRM, "SIGALRM"),
    (SignalKind::TERM, "SIGTERM"),
    (SignalKind::CHLD, "SIGCHLD"),
    (SignalKind::CONT, "SIGCONT"),
    (SignalKind::TSTP, "SIGTSTP"),
    (SignalKind::TTIN, "SIGTTIN"),
    (SignalKind::TTOU, "SIGTTOU"),
    (SignalKind::URG, "SIGURG"),
    (SignalKind::WINCH, "SIGWINCH"),
    (SignalKind::IO, "SIGIO"),
    (SignalKind::PWR, "SIGPWR"),
    (SignalKind::SYS, "SIGSYS"),
    (SignalKind::XCPU, "SIGXCPU"),
    (SignalKind::XFSZ, "SIGXFSZ"),
    (SignalKind::VTALRM, "SIGVTALRM"),
    (SignalKind::PROF, "SIGPROF"),
    (SignalKind(libc::SIGKILL), "SIGKILL"),
    (SignalKind(libc::SIGSTOP), "SIGSTOP"),
    (SignalKind(libc::SIGSEGV), "SIGSEGV"),
    (SignalKind(libc::SIGBUS), "SIGBUS"),
    (SignalKind(libc::SIGFPE), "SIGFPE"),
    (SignalKind(libc::SIGILL), "SIGILL"),
    (SignalKind(libc::SIGTRAP), "SIGTRAP"),
    (SignalKind(libc::SIGABRT), "SIGABRT"),
];

impl fmt::Display for SignalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((_, name)) = NAMES.iter().find(|(kind, _)| kind == self) {
            return f.write_str(name);
        }
        match self.0 - libc::SIGRTMIN() {
            0 => f.write_str("SIGRTMIN"),
            above @ 1.. if self.0 <= libc::SIGRTMAX() => write!(f, "SIGRTMIN+{above}"),
            _ => write!(f, "signal {}", self.0),
        }
    }
}

impl fmt::Debug for SignalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignalKind({self})")
    }
}
