//! The `exchange` benchmark's parts: two processes, and one message that goes to and fro between them.
//!
//! It is the measurement of the paper that AEM comes from. Both processes are the same contender: one
//! serves, the other returns, and each sleeps until the message is there. So a trip costs two sends, two
//! receives and two sleeps whoever makes them, and what is compared is the way from the kernel to the
//! handler and back.
//!
//! The two ends are those of a pair of Unix sockets. Each process gets its own as standard input, says on
//! standard output what its share has cost, and ends.

pub mod aem;
pub mod hand;
pub mod libuv;
pub mod runtimes;

use std::env;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Instant;

use crate::interface::Interface;
use crate::kernel;
use crate::meter::process_nanos;
use crate::server::hold_to_core;

/// Bytes of the message.
pub const MESSAGE: usize = 64;

/// Room to receive it: a byte more, so that a receive which is not filled has taken all there is.
pub const ROOM: usize = MESSAGE + 1;

/// Trips that are not measured, in which everything is met for the first time.
const FIRST: u64 = 1_000;

/// After so many seconds a message is lost, and the process is ended.
const PATIENCE: libc::c_uint = 60;

/// The word before a side's arguments.
const SIDE: &str = "--side";

/// Nanoseconds a trip to and fro.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Processor time of both processes.
    pub cpu: f64,
    /// By the clock on the wall.
    pub wall: f64,
}

/// One of the two processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// Who sends first.
    Serves,
    Returns,
}

/// What a side does with what it receives, the same for all contenders.
#[derive(Debug)]
pub struct Exchange {
    side: Side,
    /// Trips that are over, and those that there are to be.
    over: u64,
    trips: u64,
    message: [u8; MESSAGE],
    began: Option<(Instant, u64)>,
    ended: Option<(Instant, u64)>,
}

impl Exchange {
    fn new(side: Side, trips: u64) -> Exchange {
        let (message, began, ended) = ([0; MESSAGE], None, None);
        Exchange { side, over: 0, trips: FIRST + trips, message, began, ended }
    }

    /// What is to be sent before anything is received, by one of the two.
    pub fn opening(&self) -> Option<[u8; MESSAGE]> {
        (self.side == Side::Serves).then_some(self.message)
    }

    /// Takes a message in and says what is to be sent for it. None when that was the last.
    ///
    /// # Errors
    ///
    /// It is not the message that was due.
    pub fn received(&mut self, bytes: &[u8]) -> io::Result<Option<[u8; MESSAGE]>> {
        if bytes != self.message {
            return Err(io::Error::other(format!("{bytes:?} came in trip {}", self.over)));
        }
        self.over += 1;
        self.message = [self.over as u8; MESSAGE];
        if self.over == FIRST {
            self.began = Some((Instant::now(), process_nanos()));
        }
        if self.over == self.trips {
            self.ended = Some((Instant::now(), process_nanos()));
        }
        Ok(match self.side {
            Side::Serves if self.is_over() => None,
            Side::Serves => Some(self.message),
            Side::Returns => Some([(self.over - 1) as u8; MESSAGE]),
        })
    }

    /// Whether nothing more is to come.
    pub fn is_over(&self) -> bool {
        self.over == self.trips
    }

    fn figures(&self) -> io::Result<Figures> {
        let (Some((began, cpu)), Some((ended, all))) = (self.began, self.ended) else {
            return Err(io::Error::other(format!("it ended after {} trips", self.over)));
        };
        let each = |nanos: f64| nanos / (self.trips - FIRST) as f64;
        let wall = (ended - began).as_nanos();
        Ok(Figures { cpu: each((all - cpu) as f64), wall: each(wall as f64) })
    }
}

/// One side, until the exchange is over.
type Run = fn(UnixStream, Exchange) -> io::Result<Exchange>;

/// Somebody who can be measured.
#[derive(Clone, Copy, Debug)]
pub struct Contender {
    /// As it stands in the tables.
    pub name: &'static str,
    /// What it is compared with. None for one that is nobody's equal.
    pub interface: Option<Interface>,
    /// Or the package of Debian's that it could not be built without.
    run: Result<Run, &'static str>,
}

impl Contender {
    /// The package of Debian's that it could not be built without, if it is not there.
    pub fn missing(&self) -> Option<&'static str> {
        self.run.err()
    }

    /// One round: two processes, each on its core.
    ///
    /// # Errors
    ///
    /// A side could not be started, or went without its figures.
    pub fn round(&self, cores: [usize; 2], trips: u64) -> io::Result<Figures> {
        let (one, other) = UnixStream::pair()?;
        let returns = self.start("returns", other, cores[1], trips)?;
        let serves = self.start("serves", one, cores[0], trips)?;
        let (serves, returns) = (figures_of(serves), figures_of(returns));
        let (serves, returns) = (serves?, returns?);
        Ok(Figures { cpu: serves.cpu + returns.cpu, wall: serves.wall })
    }

    fn start(&self, side: &str, end: UnixStream, core: usize, trips: u64) -> io::Result<Child> {
        let mut command = Command::new(env::current_exe()?);
        command.args([SIDE, side, self.name, &core.to_string(), &trips.to_string()]);
        command.stdin(OwnedFd::from(end)).stdout(Stdio::piped()).spawn()
    }
}

/// What a side says when it is over.
fn figures_of(mut side: Child) -> io::Result<Figures> {
    let mut said = String::new();
    side.stdout.take().expect("it is piped").read_to_string(&mut said)?;
    let status = side.wait()?;
    let mut words = said.split_whitespace().map(str::parse);
    match (words.next(), words.next()) {
        (Some(Ok(cpu)), Some(Ok(wall))) if status.success() => Ok(Figures { cpu, wall }),
        _ => Err(io::Error::other(format!("{status}: {}", said.trim()))),
    }
}

/// Is one side, if this process was started to be that.
pub fn exchange_if_asked() -> Option<ExitCode> {
    let mut words = env::args().skip(1);
    words.next().filter(|word| word == SIDE)?;
    kernel::end_with_parent();
    match be_a_side(&words.collect::<Vec<_>>()) {
        Ok(figures) => {
            println!("{} {}", figures.cpu, figures.wall);
            Some(ExitCode::SUCCESS)
        }
        Err(error) => {
            println!("{error}");
            Some(ExitCode::FAILURE)
        }
    }
}

fn be_a_side(words: &[String]) -> io::Result<Figures> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidInput, "--side SIDE NAME CORE TRIPS");
    let [side, name, core, trips] = words else { return Err(wrong()) };
    let side = if side == "serves" { Side::Serves } else { Side::Returns };
    let contender = CONTENDERS.iter().find(|contender| contender.name == name).ok_or_else(wrong)?;
    let run = contender.run.map_err(|package| io::Error::other(format!("no {package}")))?;
    let number = |word: &String| word.parse().map_err(|_| wrong());
    let exchange = Exchange::new(side, number(trips)?);
    hold_to_core(number(core)? as usize)?;
    // SAFETY: a plain call. The signal ends the process, which is what is wanted.
    unsafe { libc::alarm(PATIENCE) };
    let end = io::stdin().as_fd().try_clone_to_owned()?;
    run(UnixStream::from(end), exchange)?.figures()
}

/// All of them, the yardsticks first.
pub const CONTENDERS: &[Contender] = {
    use Interface::{Epoll, Uring};
    const fn new(name: &'static str, interface: Interface, run: Run) -> Contender {
        Contender { name, interface: Some(interface), run: Ok(run) }
    }
    &[
        Contender { name: "blocking", interface: None, run: Ok(hand::blocking) },
        new("hand-epoll", Epoll, hand::epoll),
        new("hand-uring", Uring, hand::uring),
        new("hand-uring-direct", Uring, hand::uring_direct),
        new("aem-handlers-epoll", Epoll, aem::handlers_epoll),
        new("aem-futures-epoll", Epoll, aem::futures_epoll),
        new("aem-handlers-uring", Uring, aem::handlers_uring),
        new("aem-futures-uring", Uring, aem::futures_uring),
        new("tokio", Epoll, runtimes::tokio),
        new("monoio", Uring, runtimes::monoio),
        Contender { name: "libuv", interface: Some(Epoll), run: libuv::RUN },
    ]
};

#[cfg(test)]
mod tests;
