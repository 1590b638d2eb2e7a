//! AEMhttpd: a web server for static files, on handlers, in one thread.
//!
//! ```text
//! cargo run --release --example aemhttpd -- --root some/directory --listen 127.0.0.1:8080
//! ```
//!
//! There is no task and no thread in here. A handler is registered on the listener's connections,
//! one on each connection's bytes, one on the end of each long write; between events nothing
//! runs. Read on in this order:
//!
//! ```text
//! main         flags, the listener, the end
//! server       all connections: how they come and go
//! connection   one connection: the handlers of its events
//! dialogue     what is said on it: requests in, answers out
//! router       request -> whom it is for
//! files        path -> file            shelf    small files in memory
//! page         file -> answer          response answer -> bytes
//! answers      what goes out          limits   every number
//! log          an answer -> a line
//! ```
//!
//! How requests are read is in `examples/src/http.rs`: that knows nothing of sockets and handlers.
//!
//! SIGTERM or ctrl-c ends it: nothing more is accepted, answers in progress are finished, and the
//! program exits with 0.

mod answers;
mod connection;
mod dialogue;
mod files;
mod limits;
mod log;
mod page;
mod response;
mod router;
mod server;
mod shelf;

use aem::net::TcpListener;
use clap::{Parser, ValueEnum};
use connection::Patience;
use dialogue::Service;
use files::Site;
use futures::future::{Either, select};
use rustix::process::{Resource, getrlimit, setrlimit};
use server::{Limits, Server};
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// The site that is shipped, found from anywhere on the machine where this was built.
const SITE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/aemhttpd/site");

/// AEMhttpd: serves static files, on handlers, in one thread.
#[derive(Debug, Parser)]
#[command(name = "aemhttpd")]
struct Flags {
    /// Where to listen; with port 0 the system chooses, and the first line printed says what.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The directory to serve; nothing outside of it is.
    #[arg(long, value_name = "DIR", default_value = SITE)]
    root: PathBuf,
    /// How the kernel is asked.
    #[arg(long, value_enum, default_value_t = Backend::Auto)]
    backend: Backend,
    /// Seconds after which a connection without a request is closed; 0 for never.
    #[arg(long, value_name = "SECONDS", default_value_t = limits::IDLE.as_secs())]
    idle: u64,
    /// Seconds in which a request has to be complete, and a piece of an answer taken; 0 for any.
    #[arg(long, value_name = "SECONDS", default_value_t = limits::BUSY.as_secs())]
    busy: u64,
    /// Seconds for answers in progress after the signal to end.
    #[arg(long, value_name = "SECONDS", default_value_t = limits::DRAIN.as_secs())]
    drain: u64,
    /// Connections in all, beyond which nobody is accepted; 0 for as many as there are descriptors.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    max_connections: usize,
    /// Connections of one address, beyond which the answer is 503; 0 for any.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    max_per_address: usize,
    /// Requests on one connection, which is closed after the last; 0 for any.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    max_requests: usize,
    /// What is told of each answer on standard output, behind the first line.
    #[arg(long, value_enum, default_value_t = log::Format::None)]
    log: log::Format,
}

impl Flags {
    fn limits(&self) -> Limits {
        let patience = Patience { idle: seconds(self.idle), busy: seconds(self.busy) };
        let (connections, of_address) = (any(self.max_connections), any(self.max_per_address));
        Limits { patience, connections, of_address }
    }
}

/// Zero stands for no limit.
fn any(limit: usize) -> usize {
    if limit == 0 { usize::MAX } else { limit }
}

fn seconds(limit: u64) -> Duration {
    Duration::from_secs(if limit == 0 { u64::MAX } else { limit })
}

/// The values of `--backend`.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Backend {
    Auto,
    Epoll,
    #[value(name = "io_uring")]
    IoUring,
}

fn main() -> ExitCode {
    match run(&Flags::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("aemhttpd: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> aem::Result {
    raise_descriptors();
    let site = Site::open(&flags.root)
        .map_err(|error| format!("cannot serve {}: {error}", flags.root.display()))?;
    let backend = match flags.backend {
        Backend::Auto => aem::Backend::Auto,
        Backend::Epoll => aem::Backend::Epoll,
        Backend::IoUring => aem::Backend::IoUring,
    };
    let runtime = aem::Runtime::builder().backend(backend).build()?;
    runtime.block_on(serve(flags, site))
}

/// Takes as many descriptors as may be had: the limit that a shell sets is for programs that use `select`.
fn raise_descriptors() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // With those that there were it goes on as well.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Serves until it is asked to end.
async fn serve(flags: &Flags, site: Site) -> aem::Result {
    let listener = listener(flags)?;
    // From here on a signal ends us in order, also one that comes while we begin.
    let asked = aem::signal::shutdown_requested();
    announce(listener.local_addr()?);

    let (limits, requests) =
        (flags.limits(), u32::try_from(any(flags.max_requests)).unwrap_or(u32::MAX));
    let service = Service { site, log: log::Log::new(flags.log), requests };
    let server = Server::start(service, limits);
    let shorter = limits.patience.idle.min(limits.patience.busy);
    let _looking = Server::look_after(&server, aem::time::every(shorter / limits::LOOKS_PER_IDLE));
    let mut accepting = aem::on_ok(listener.incoming(), {
        let server = server.clone();
        move |(stream, peer)| Server::admit(&server, stream, peer)
    });
    server.with(|server| server.attach(accepting.control()));

    if let Either::Left((ended, _)) = select(&mut accepting, asked).await {
        ended?;
    }
    drop((accepting, listener));
    server.with(Server::wind_down);
    let emptied = server.with(Server::emptied);
    if aem::time::timeout(Duration::from_secs(flags.drain), emptied).await.is_err() {
        let left = server.with(|server| server.len());
        eprintln!("aemhttpd: ended with answers unfinished: {left}");
    }
    server.with(|server| server.log().flush());
    Ok(())
}

/// The listener that a supervisor has opened for us (`LISTEN_FDS`), or one of our own.
fn listener(flags: &Flags) -> aem::Result<TcpListener> {
    if let Some(socket) = aem::net::inherited()?.pop() {
        return Ok(socket.into_tcp_listener()?);
    }
    let bound = TcpListener::bind(flags.listen);
    Ok(bound.map_err(|error| format!("cannot listen on {}: {error}", flags.listen))?)
}

/// The first line on standard output, by which scripts find the server.
fn announce(address: SocketAddr) {
    let backend = aem::Handle::current().backend().kind;
    // Whoever closed our output does not want to know.
    let mut out = std::io::stdout();
    let _ = writeln!(out, "http://{address}/ backend={backend}").and_then(|()| out.flush());
}
