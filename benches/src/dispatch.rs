//! The `dispatch` benchmark's parts: what an event costs from the kernel to its handler.
//!
//! It is the benchmark that libevent came with. There are so many socket pairs, a few of them active at a
//! time: whoever is called for a pair reads its byte and writes one to the next pair. Reading and writing
//! are the same calls for all, made by the [`Relay`], except where a runtime brings the bytes itself; what
//! differs is how the handler comes to be called.

pub mod aem;
pub mod hand_epoll;
pub mod hand_uring;
pub mod libraries;
pub mod loops;
pub mod relay;
pub mod tasks;

use std::io;
use std::rc::Rc;
use std::time::Instant;

use crate::interface::Interface;
use crate::meter::process_nanos;
use relay::{Readers, Relay};

/// How many pairs there are, and what is done with them.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Socket pairs, a multiple of those that are active.
    pub pairs: usize,
    /// So many bytes are on their way.
    pub active: usize,
    /// So many writes are made in all, the first ones among them.
    pub writes: usize,
}

/// Nanoseconds an event.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Processor time of the process.
    pub cpu: f64,
    /// By the clock on the wall.
    pub wall: f64,
}

/// The lap that is measured, from the first write until all that was written is read.
struct Lap<'a> {
    relay: &'a Relay,
    began: Instant,
    cpu: u64,
}

impl Lap<'_> {
    fn begin(relay: &Relay) -> Lap<'_> {
        let lap = Lap { relay, began: Instant::now(), cpu: process_nanos() };
        relay.begin(relay.load().writes);
        lap
    }

    fn end(self) -> io::Result<Figures> {
        let (cpu, wall) = (process_nanos() - self.cpu, self.began.elapsed());
        self.relay.check()?;
        let each = |nanos: f64| nanos / self.relay.load().writes as f64;
        Ok(Figures { cpu: each(cpu as f64), wall: each(wall.as_nanos() as f64) })
    }
}

/// Has a loop run two laps. The first one, which finds nothing prepared, goes once through all pairs and is
/// not measured. `run` returns when a lap is over.
fn laps(relay: &Relay, mut run: impl FnMut() -> io::Result<()>) -> io::Result<Figures> {
    relay.begin(relay.load().pairs);
    run()?;
    relay.check()?;
    let lap = Lap::begin(relay);
    run()?;
    lap.end()
}

/// The same where tasks or handlers of a runtime do it, beside which this waits.
async fn laps_of_tasks(relay: &Relay) -> io::Result<Figures> {
    relay.begin(relay.load().pairs);
    relay.over().await;
    relay.check()?;
    let lap = Lap::begin(relay);
    relay.over().await;
    lap.end()
}

/// A round: readers to be told of, and what is to be called for them.
type Run = fn(Readers, Rc<Relay>) -> io::Result<Figures>;

/// Somebody who can be measured.
#[derive(Clone, Copy, Debug)]
pub struct Contender {
    /// As it stands in the tables.
    pub name: &'static str,
    /// What it waits by.
    pub interface: Interface,
    /// Or the package of Debian's that it could not be built without.
    run: Result<Run, &'static str>,
}

impl Contender {
    /// The package of Debian's that it could not be built without, if it is not there.
    pub fn missing(&self) -> Option<&'static str> {
        self.run.err()
    }

    /// One round, with pairs of its own.
    ///
    /// # Errors
    ///
    /// Of the kernel, and if not every byte that was written was read.
    pub fn round(&self, load: Load) -> io::Result<Figures> {
        let run = self.run.map_err(|package| io::Error::other(format!("there is no {package}")))?;
        let (readers, relay) = Relay::new(load)?;
        run(readers, Rc::new(relay))
    }
}

/// All of them, the yardsticks first.
pub const CONTENDERS: &[Contender] = {
    use Interface::{Epoll, Uring};
    const fn new(name: &'static str, interface: Interface, run: Run) -> Contender {
        Contender { name, interface, run: Ok(run) }
    }
    const fn library(name: &'static str, run: Result<Run, &'static str>) -> Contender {
        Contender { name, interface: Epoll, run }
    }
    &[
        new("hand-epoll", Epoll, hand_epoll::edges),
        new("hand-epoll-level", Epoll, hand_epoll::levels),
        new("hand-uring", Uring, hand_uring::receives),
        new("hand-uring-polls", Uring, hand_uring::polls),
        new("aem-handlers-epoll", Epoll, aem::handlers_epoll),
        new("aem-futures-epoll", Epoll, aem::futures_epoll),
        new("aem-handlers-uring", Uring, aem::handlers_uring),
        new("aem-futures-uring", Uring, aem::futures_uring),
        new("mio", Epoll, loops::mio),
        new("tokio", Epoll, tasks::tokio),
        new("smol", Epoll, tasks::smol),
        new("calloop", Epoll, loops::calloop),
        library("libevent", libraries::LIBEVENT),
        library("libev", libraries::LIBEV),
        library("libuv", libraries::LIBUV),
    ]
};
