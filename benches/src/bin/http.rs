//! AEMhttpd beside nginx with one worker and hyper on tokio's current thread, asked by `wrk`.
//!
//! ```text
//! cargo run --release --bin http [-- --quick] [--rounds N] [--seconds N]
//!     [--aemhttpd PATH] [PAGE ..]
//! ```
//!
//! AEMhttpd is built before, in the main workspace: `cargo build --release --example aemhttpd`.
//! Every server gives the same files, and each is asked for them and compared before anything is
//! measured. Ends with 1 if there was an error.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode};

use aem_benches::hyper_server::{self, From};
use aem_benches::rounds::{Arguments, Best, Contender, Series, interleave, print};
use aem_benches::server::{CLIENT_CORE, SERVER_CORE, Server, hold_to_core};
use aem_benches::wrk;

const SITE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/aemhttpd/site");
const AEMHTTPD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/release/examples/aemhttpd");

/// One of a few kilobytes, where the requests count, and one of a megabyte, where the bytes do.
const PAGES: &[&str] = &["index.html", "primes.html"];

/// Seconds of a round.
const SECONDS: u64 = 2;

/// This program's own first word, with which it is the server on hyper.
const SERVE: &str = "serve-on-hyper";

const BASES: &[&str] = &["AEMhttpd", "nginx"];

/// One round of one server.
#[derive(Clone, Copy, Debug)]
struct Figures {
    requests_per_second: f64,
    cpu_micros: f64,
    errors: u64,
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some(SERVE) {
        let from =
            if words.next().as_deref() == Some("memory") { From::Memory } else { From::Disk };
        let Err(error) = serve(from);
        eprintln!("hyper: {error}");
        return ExitCode::FAILURE;
    }
    let (mut seconds, mut aemhttpd) = (SECONDS, AEMHTTPD.to_owned());
    let arguments = Arguments::read_beside(5, |word, words| {
        match word {
            "--seconds" => {
                let number = words.next().and_then(|number| number.parse().ok());
                seconds = number.expect("--seconds N");
            }
            "--aemhttpd" => aemhttpd = words.next().expect("--aemhttpd PATH"),
            _ => return false,
        }
        true
    });
    if !wrk::is_there() {
        println!("SKIPPED all: wrk is not installed (Debian: wrk)");
        return ExitCode::SUCCESS;
    }
    let servers = match start_all(&aemhttpd) {
        Ok(servers) => servers,
        Err(error) => {
            eprintln!("http: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut is_good = true;
    for page in PAGES.iter().filter(|page| arguments.wants(page)) {
        let seconds = if arguments.quick { 1 } else { seconds };
        is_good &= measure(&servers, page, arguments.rounds, seconds);
    }
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn serve(from: From) -> io::Result<Infallible> {
    hyper_server::run(Path::new(SITE), from)
}

/// All that are there, on their core; this thread and its `wrk` are on another in the end.
fn start_all(aemhttpd: &str) -> io::Result<Vec<(&'static str, Server)>> {
    if let Err(error) = hold_to_core(CLIENT_CORE).and_then(|()| hold_to_core(SERVER_CORE)) {
        println!("Not held to two cores, so that servers and client share theirs: {error}");
    }
    let this = std::env::current_exe()?;
    let hyper = |from: &str| Server::start(Command::new(&this).arg(SERVE).arg(from));
    let aem =
        Server::start(Command::new(aemhttpd).args(["--listen", "127.0.0.1:0", "--root", SITE]));
    let field = [
        ("AEMhttpd", aem, aemhttpd),
        ("nginx", Server::start_nginx(Path::new(SITE)), "Debian: nginx-light"),
        ("hyper, from memory", hyper("memory"), ""),
        ("hyper, from disk", hyper("disk"), ""),
    ];
    let mut servers = Vec::new();
    for (name, server, hint) in field {
        match server {
            Ok(server) => servers.push((name, server)),
            Err(error) => println!("SKIPPED {name}: {error} ({hint})"),
        }
    }
    // Where it fails, it was said already.
    let _ = hold_to_core(CLIENT_CORE);
    Ok(servers)
}

/// One page, all servers in turn. Whether there was no error.
fn measure(servers: &[(&'static str, Server)], page: &str, rounds: usize, seconds: u64) -> bool {
    let file = fs::read(Path::new(SITE).join(page)).expect("the site has its pages");
    let mut field = Vec::new();
    for (name, server) in servers {
        match server.get(page) {
            Ok(body) if body == file => {
                let round = Box::new(move || ask(server, page, seconds));
                field.push(Contender { name, round });
            }
            Ok(body) => println!("SKIPPED {name}: {} bytes that are not the file's", body.len()),
            Err(error) => println!("SKIPPED {name}: {error}"),
        }
    }
    let entered = field.len();
    let all: Vec<Series<Figures>> = interleave(rounds, field);
    let title = format!("{page}, {} bytes, {} connections", file.len(), wrk::CONNECTIONS);
    let part = |one: fn(&Figures) -> f64| all.iter().map(|it| it.of(one)).collect::<Vec<_>>();
    let rates = part(|figures| figures.requests_per_second);
    print(&title, "requests a second", Best::Most, &rates, BASES);
    let costs = part(|figures| figures.cpu_micros);
    print(&title, "µs of the server's processor a request", Best::Least, &costs, BASES);
    let errors: u64 = all.iter().flat_map(|it| &it.figures).map(|figures| figures.errors).sum();
    println!("\nErrors: {errors}");
    errors == 0 && entered == servers.len() && all.len() == entered
}

fn ask(server: &Server, page: &str, seconds: u64) -> io::Result<Figures> {
    let before = server.cpu_nanos()?;
    let report = wrk::run(&format!("http://{}/{page}", server.address()), seconds)?;
    let nanos = server.cpu_nanos()? - before;
    Ok(Figures {
        requests_per_second: report.requests_per_second,
        cpu_micros: nanos as f64 / 1000.0 / report.requests as f64,
        errors: report.errors,
    })
}
