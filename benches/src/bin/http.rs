//! AEMhttpd on both interfaces of the kernel, loops written by hand, and peers, asked by `wrk`.
//!
//! ```text
//! cargo run --release --bin http [-- --quick] [--rounds N] [--seconds N]
//!     [--aemhttpd PATH] [--pages PAGE,..] [--pipeline N] [CONTENDER ..]
//! cargo run --release --bin http -- --count [CONTENDER ..]
//! cargo run --release --bin http -- --server CONTENDER ADDRESS:PORT/PAGE
//! ```
//!
//! AEMhttpd is built before, in the main workspace: `cargo build --release --example aemhttpd`.
//! Every server gives AEMhttpd's answer, and each is asked for it and compared before anything is
//! measured. Where index.html is asked for, it is once more, with so many requests at once as
//! `--pipeline` says, 16 unless told; 1 leaves that out. Ends with 1 if there was an error.

use std::io;
use std::process::ExitCode;

use aem_benches::counting::Counted;
use aem_benches::http::count::{self, Load};
use aem_benches::http::{self, AEMHTTPD, CONTENDERS, Contender, Model};
use aem_benches::rounds::{self, Arguments, Series, interleave, quartiles, tell};
use aem_benches::server::{CLIENT_CORE, SERVER_CORE, Server, hold_to_core};
use aem_benches::spread::Spread;
use aem_benches::wrk;

/// One of a few kilobytes, where the requests count, and one of a megabyte, where the bytes do.
const PAGES: &[&str] = &["index.html", "primes.html"];

/// The one that is asked for several times at once.
const SMALL: &str = PAGES[0];

/// Seconds of a round.
const SECONDS: u64 = 2;

/// Requests at once.
const PIPELINE: usize = 16;

/// Connections while instructions are counted, and requests in the shorter run: the first ones find nothing
/// prepared.
const COUNTED: usize = 50;
const COUNTED_REQUESTS: usize = 4_000;

/// Those that are for another benchmark: with so few connections they are not what they are known for.
const NOT_HERE: &[&str] = &["select", "poll"];

/// One round of one server.
#[derive(Clone, Copy, Debug)]
struct Figures {
    requests_per_second: f64,
    cpu_micros: f64,
    errors: u64,
}

/// What is to be done.
struct Wish {
    arguments: Arguments,
    seconds: u64,
    aemhttpd: String,
    pages: Vec<String>,
    pipeline: usize,
    /// Instructions, in place of time.
    counts: bool,
}

fn main() -> ExitCode {
    if let Some(ended) = http::serve_if_asked() {
        return ended;
    }
    let wish = Wish::read();
    if !wish.counts && !wrk::is_there() {
        println!("SKIPPED all: wrk is not installed (Debian: wrk)");
        return ExitCode::SUCCESS;
    }
    if let Err(error) = hold_to_core(SERVER_CORE).and_then(|()| hold_to_core(CLIENT_CORE)) {
        println!("Not held to two cores, so that servers and client share theirs: {error}");
    }
    if wish.counts {
        return wish.count_all();
    }
    let mut is_good = true;
    for page in &wish.pages {
        let pipelines = if page == SMALL { &[1, wish.pipeline][..] } else { &[1] };
        for pipeline in pipelines.iter().take(wish.pipeline.min(2)) {
            match wish.measure(page, *pipeline) {
                Ok(is_whole) => is_good &= is_whole,
                Err(error) => {
                    eprintln!("http: {error}");
                    return ExitCode::FAILURE;
                }
            }
        }
    }
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Wish {
    fn read() -> Wish {
        let (mut seconds, mut aemhttpd) = (None, AEMHTTPD.to_owned());
        let mut pages: Vec<String> = PAGES.iter().map(|page| page.to_string()).collect();
        let (mut pipeline, mut counts) = (PIPELINE, false);
        let arguments = Arguments::read_beside(9, |word, words| {
            match word {
                "--seconds" => {
                    let number = words.next().and_then(|number| number.parse().ok());
                    seconds = Some(number.expect("--seconds N"));
                }
                "--aemhttpd" => aemhttpd = words.next().expect("--aemhttpd PATH"),
                "--pages" => {
                    let list = words.next().expect("--pages PAGE,..");
                    pages = list.split(',').map(str::to_owned).collect();
                }
                "--pipeline" => {
                    let number = words.next().and_then(|number| number.parse().ok());
                    pipeline = number.filter(|number| *number > 0).expect("--pipeline N");
                }
                "--count" => counts = true,
                _ => return false,
            }
            true
        });
        let seconds = seconds.unwrap_or(if arguments.quick { 1 } else { SECONDS });
        Wish { arguments, seconds, aemhttpd, pages, pipeline, counts }
    }

    /// The instructions of all servers that can be counted, with the small page.
    fn count_all(&self) -> ExitCode {
        if !Counted::Instructions.is_there() {
            println!("SKIPPED all: valgrind is not installed");
            return ExitCode::SUCCESS;
        }
        let model = match Model::start(&self.aemhttpd, SMALL) {
            Ok(model) => model,
            Err(error) => {
                eprintln!("http: {error}");
                return ExitCode::FAILURE;
            }
        };
        let mut is_good = true;
        println!("\n| user instructions a request | 1 at once | {} at once |", self.pipeline);
        println!("|-|-:|-:|");
        for contender in CONTENDERS.iter().filter(|it| self.arguments.wants(it.name)) {
            let one = |pipeline| {
                let load = Load { connections: COUNTED, pipeline, requests: COUNTED_REQUESTS };
                count::instructions(contender, &model, load)
            };
            match (one(1), one(self.pipeline)) {
                (Ok(Some(one)), Ok(Some(several))) => {
                    println!("| {} | {one:.0} | {several:.0} |", contender.name);
                }
                (Err(error), _) | (_, Err(error)) => {
                    println!("| {} | cannot be counted: {error} | |", contender.name);
                    is_good = false;
                }
                _ => {}
            }
        }
        if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// One page, all servers in turn. Whether all were there and there was no error.
    fn measure(&self, page: &str, pipeline: usize) -> io::Result<bool> {
        let model = Model::start(&self.aemhttpd, page)?;
        let is_wanted =
            |it: &&Contender| self.arguments.wants(it.name) && !NOT_HERE.contains(&it.name);
        let wanted: Vec<&Contender> = CONTENDERS.iter().filter(is_wanted).collect();
        let mut servers = Vec::new();
        for contender in &wanted {
            match contender.start(&model) {
                Ok(server) => servers.push((contender.name, server)),
                Err(error) => println!("SKIPPED {}: {error}", contender.name),
            }
        }
        let url = |server: &Server| format!("http://{}/{page}", server.address());
        let field = servers.iter().map(|(name, server)| rounds::Contender {
            name,
            round: Box::new(move || ask(server, &url(server), self.seconds, pipeline)),
        });
        let all: Vec<Series<Figures>> = interleave(self.arguments.rounds, field.collect());
        let (bytes, connections) = (model.page().body().len(), wrk::CONNECTIONS);
        println!("\n### {page}, {bytes} bytes, {connections} connections, {pipeline} at once\n");
        print(&all);
        let errors: u64 = all.iter().flat_map(|it| &it.figures).map(|it| it.errors).sum();
        println!("\nErrors: {errors}");
        Ok(errors == 0 && !wanted.is_empty() && all.len() == wanted.len())
    }
}

fn ask(server: &Server, url: &str, seconds: u64, pipeline: usize) -> io::Result<Figures> {
    let before = server.settled_cpu_nanos()?;
    let report = wrk::run(url, seconds, pipeline)?;
    let nanos = server.settled_cpu_nanos()? - before;
    Ok(Figures {
        requests_per_second: report.requests_per_second,
        cpu_micros: nanos as f64 / 1000.0 / report.requests as f64,
        errors: report.errors,
    })
}

/// A line each, compared with the loop that is written by hand on the same interface.
fn print(all: &[Series<Figures>]) {
    println!("| | requests a second | × hand | server µs a request | × hand | 95 % |");
    println!("|-|-:|-|-:|-|-|");
    for own in all.iter().filter(|own| !own.figures.is_empty()) {
        let yardstick = http::named(&own.name).map(|contender| contender.interface.yardstick());
        let hand = all.iter().find(|series| Some(series.name.as_str()) == yardstick);
        let median = |one: fn(&Figures) -> f64| tell(quartiles(&own.of(one).figures)[1]);
        let ratio = |one: fn(&Figures) -> f64| {
            let hand = hand.filter(|hand| hand.name != own.name)?;
            Spread::of_ratios(&own.of(one), &hand.of(one))
        };
        let (rate, cost) =
            (ratio(|figures| figures.requests_per_second), ratio(|figures| figures.cpu_micros));
        println!(
            "| {} | {} | {} | {} | {} | {} |",
            own.name,
            median(|figures| figures.requests_per_second),
            rate.map(|rate| rate.to_string()).unwrap_or_default(),
            median(|figures| figures.cpu_micros),
            cost.map(|cost| cost.to_string()).unwrap_or_default(),
            cost.map(|cost| cost.tell_interval(3)).unwrap_or_default(),
        );
    }
}
