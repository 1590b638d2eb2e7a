//! Echo servers over TCP: aem on both interfaces of the kernel, loops written by hand, and peers.
//!
//! ```text
//! cargo run --release --bin echo [-- --quick] [--rounds N] [--seconds S]
//!     [--sizes BYTES,..] [--connections N,..] [--check] [CONTENDER ..]
//! cargo run --release --bin echo -- --count instructions|syscalls [--requests N] [..]
//! cargo run --release --bin echo -- --idle N [--rounds N] [CONTENDER ..]
//! cargo run --release --bin echo -- --server CONTENDER [--once]
//! ```
//!
//! Each server is a process held to one core, who asks is held to another. Before a contender is
//! measured it must echo and end; with `--check` that is all. Ends with 1 if something was wrong,
//! which a contender that cannot be had here is not: it is skipped aloud.

use std::env;
use std::io;
use std::process::{Command, ExitCode};
use std::time::Duration;

use aem_benches::counting::Counted;
use aem_benches::echo::count::{self, Load};
use aem_benches::echo::generator::{Generator, Limit};
use aem_benches::echo::idle::{self, Weight};
use aem_benches::echo::{CONTENDERS, Contender, MOST_CONNECTIONS, named};
use aem_benches::kernel;
use aem_benches::rounds::{self, Arguments, Series, interleave, numbers, quartiles, tell};
use aem_benches::server::{CLIENT_CORE, SERVER_CORE, Server, hold_to_core, on_server_core};
use aem_benches::spread::Spread;

/// This program's own first word, with which it is a server, and the one with which it then ends
/// when its last visitor has gone.
const SERVER: &str = "--server";
const ONCE: &str = "--once";

const SIZES: &[usize] = &[64, 16 << 10];
const CONNECTIONS: &[usize] = &[1, 50, 500];

/// Of a round, and of one with `--quick`.
const SECONDS: f64 = 2.0;
const SECONDS_QUICKLY: f64 = 0.3;

/// A round is preceded by a part of itself that is not measured.
const WARM_UP: f64 = 0.2;

/// Messages on each connection when it is seen whether a server echoes.
const CHECKED: u64 = 8;

/// In the shorter of the two runs that are counted.
const REQUESTS: u64 = 5_000;

/// What is counted less often than this, for a request, is not named.
const SELDOM: f64 = 0.001;

/// One round of one server.
#[derive(Clone, Copy, Debug)]
struct Figures {
    requests_per_second: f64,
    cpu_micros: f64,
    median_micros: f64,
    most_micros: f64,
    resident: f64,
    anonymous: f64,
}

/// What is to be done.
struct Wish {
    arguments: Arguments,
    seconds: f64,
    sizes: Vec<usize>,
    connections: Vec<usize>,
    requests: u64,
    is_check: bool,
    counted: Option<Counted>,
    idle: Option<usize>,
}

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    if let [word, name, rest @ ..] = words.as_slice()
        && word == SERVER
    {
        return serve(name, rest.iter().any(|word| word == ONCE));
    }
    let wish = Wish::read();
    if let Err(error) = hold_to_core(SERVER_CORE).and_then(|()| hold_to_core(CLIENT_CORE)) {
        println!("Not held to two cores, so that servers and who asks share theirs: {error}");
    }
    let field = wish.field();
    let mut is_good = !field.is_empty();
    if let Some(number) = wish.idle {
        weigh_all(&field, number, wish.arguments.rounds);
        return ExitCode::SUCCESS;
    }
    for size in &wish.sizes {
        for connections in &wish.connections {
            let load = Load { connections: *connections, size: *size, requests: wish.requests };
            is_good &= match wish.counted {
                Some(counted) => count_all(&field, counted, load),
                None if wish.is_check => check_all(&field, load).len() == field.len(),
                None => wish.measure(&field, load),
            };
        }
    }
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// This process as a server. An error is its first line.
fn serve(name: &str, once: bool) -> ExitCode {
    kernel::end_with_parent();
    let served = match named(name) {
        Some(contender) => contender.serve(once),
        None => Err(io::Error::other("there is no such contender")),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve_command(contender: Contender, once: bool) -> io::Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.args([SERVER, contender.name]).args(once.then_some(ONCE));
    Ok(command)
}

fn start(contender: Contender, once: bool) -> io::Result<Server> {
    on_server_core(|| Server::start(&mut serve_command(contender, once)?))
}

impl Wish {
    fn read() -> Wish {
        let (mut seconds, mut requests) = (None, REQUESTS);
        let (mut sizes, mut connections) = (SIZES.to_vec(), CONNECTIONS.to_vec());
        let (mut is_check, mut counted, mut idle) = (false, None, None);
        let arguments = Arguments::read_beside(5, |word, words| {
            match word {
                "--seconds" => {
                    let number = words.next().and_then(|number| number.parse().ok());
                    seconds = Some(number.expect("--seconds S"));
                }
                "--sizes" => sizes = numbers(words.next(), 1 << 20).expect("--sizes BYTES,.."),
                "--connections" => {
                    let list = numbers(words.next(), MOST_CONNECTIONS);
                    connections = list.expect("--connections N,.. of at most 1000 each");
                }
                "--requests" => {
                    let number = words.next().and_then(|number| number.parse().ok());
                    requests = number.expect("--requests N");
                }
                "--count" => {
                    let what = words.next().and_then(|word| Counted::named(&word));
                    counted = Some(what.expect("--count instructions|syscalls"));
                }
                "--idle" => {
                    let number = numbers(words.next(), idle::MOST);
                    let one = number.filter(|list| list.len() == 1).map(|list| list[0]);
                    idle = Some(one.expect("--idle N, at most 992"));
                }
                "--check" => is_check = true,
                _ => return false,
            }
            true
        });
        let usual = if arguments.quick { SECONDS_QUICKLY } else { SECONDS };
        let seconds = seconds.unwrap_or(usual);
        Wish { arguments, seconds, sizes, connections, requests, is_check, counted, idle }
    }

    /// The contenders that are wanted and can be had.
    fn field(&self) -> Vec<Contender> {
        if let Some(counted) = self.counted
            && !counted.is_there()
        {
            println!("SKIPPED all: {} is not installed", counted.program());
            return Vec::new();
        }
        let wanted = CONTENDERS.iter().filter(|contender| self.arguments.wants(contender.name));
        let can_be_had = |contender: &&Contender| match start(**contender, false) {
            Ok(_) => true,
            Err(error) => {
                println!("SKIPPED {}: {error}", contender.name);
                false
            }
        };
        wanted.filter(can_be_had).copied().collect()
    }

    /// One load, all contenders in turn. Whether nothing was wrong.
    fn measure(&self, field: &[Contender], load: Load) -> bool {
        let good = check_all(field, load);
        let mut servers = Vec::new();
        for contender in &good {
            match start(*contender, false) {
                Ok(server) => servers.push((contender, server)),
                Err(error) => println!("SKIPPED {}: {error}", contender.name),
            }
        }
        let round = |server| move || self.round(server, load);
        let contenders = servers.iter().map(|(contender, server)| rounds::Contender {
            name: contender.name,
            round: Box::new(round(server)),
        });
        let all = interleave(self.arguments.rounds, contenders.collect());
        print(load, &all);
        all.len() == field.len()
    }

    fn round(&self, server: &Server, load: Load) -> io::Result<Figures> {
        let mut generator = Generator::connect(server.address(), load.connections, load.size)?;
        generator.run(Limit::Time(Duration::from_secs_f64(self.seconds * WARM_UP)))?;
        let before = server.settled_cpu_nanos()?;
        let report = generator.run(Limit::Time(Duration::from_secs_f64(self.seconds)))?;
        let nanos = server.settled_cpu_nanos()? - before;
        let memory = server.memory()?;
        generator.finish()?;
        Ok(Figures {
            requests_per_second: report.requests as f64 / report.elapsed.as_secs_f64(),
            cpu_micros: nanos as f64 / 1_000.0 / report.requests as f64,
            median_micros: report.latencies.micros_at(0.5),
            most_micros: report.latencies.micros_at(0.99),
            resident: memory.resident as f64,
            anonymous: memory.anonymous as f64,
        })
    }
}

/// Those of the field that echo such a load and then end.
fn check_all(field: &[Contender], load: Load) -> Vec<Contender> {
    let Load { connections, size, .. } = load;
    let check = |contender: Contender| -> io::Result<()> {
        let server = start(contender, true)?;
        let mut generator = Generator::connect(server.address(), connections, size)?;
        generator.run(Limit::Requests(CHECKED * connections as u64))?;
        generator.finish()?;
        server.finish()
    };
    let mut good = Vec::new();
    for contender in field {
        match check(*contender) {
            Ok(()) => good.push(*contender),
            Err(error) => {
                println!("SKIPPED {}, {}: {error}", contender.name, title(load));
            }
        }
    }
    if good.len() == field.len() {
        println!("{} echo and end, {}", good.len(), title(load));
    }
    good
}

fn title(load: Load) -> String {
    format!("{} bytes, connections: {}", load.size, load.connections)
}

fn print(load: Load, all: &[Series<Figures>]) {
    println!("\n### {}\n", title(load));
    println!(
        "| | requests a second | × hand | server µs a request | × hand | p50 µs | p99 µs \
         | resident kB | of these its own |\n|-|-:|-|-:|-|-:|-:|-:|-:|"
    );
    for own in all.iter().filter(|own| !own.figures.is_empty()) {
        let yardstick = named(&own.name).map(|contender| contender.interface.yardstick());
        let hand = all.iter().find(|series| Some(series.name.as_str()) == yardstick);
        let median = |one: fn(&Figures) -> f64| tell(quartiles(&own.of(one).figures)[1]);
        let ratio = |one: fn(&Figures) -> f64| {
            let hand = hand.filter(|hand| hand.name != own.name)?;
            Some(Spread::of_ratios(&own.of(one), &hand.of(one))?.to_string())
        };
        let ratio = |one| ratio(one).unwrap_or_default();
        println!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            own.name,
            median(|figures| figures.requests_per_second),
            ratio(|figures| figures.requests_per_second),
            median(|figures| figures.cpu_micros),
            ratio(|figures| figures.cpu_micros),
            median(|figures| figures.median_micros),
            median(|figures| figures.most_micros),
            median(|figures| figures.resident),
            median(|figures| figures.anonymous),
        );
    }
    println!();
}

/// What an idle connection costs each of them.
fn weigh_all(field: &[Contender], number: usize, rounds: usize) {
    let contenders = field.iter().map(|contender| rounds::Contender {
        name: contender.name,
        round: Box::new(move || idle::weigh(&start(*contender, false)?, number)),
    });
    let all = interleave(rounds, contenders.collect());
    println!("\n### {number} idle connections\n");
    println!("| bytes a connection | the server's | the kernel's, both ends |\n|-|-:|-:|");
    for own in all.iter().filter(|own| !own.figures.is_empty()) {
        let middle = |one: fn(&Weight) -> f64| tell(quartiles(&own.of(one).figures)[1]);
        let (user, kernel) = (middle(|weight| weight.user), middle(|weight| weight.kernel));
        println!("| {} | {user} | {kernel} |", own.name);
    }
    println!();
}

/// Counts one load for all contenders. Whether all could be counted.
fn count_all(field: &[Contender], counted: Counted, load: Load) -> bool {
    println!("\n### {}, {}\n", counted.program(), title(load));
    println!("| a request takes | in all | of which |\n|-|-:|-|");
    let mut is_good = true;
    for contender in field {
        let shares = serve_command(*contender, true)
            .and_then(|command| count::count(counted, &command, load));
        match shares {
            Ok(shares) => {
                let sum: f64 = shares.iter().map(|share| share.1).sum();
                let digits = if counted == Counted::Instructions { 0 } else { 3 };
                let named = shares.iter().filter(|share| share.1 >= SELDOM);
                let named: Vec<String> =
                    named.map(|(name, each)| format!("{name} {each:.digits$}")).collect();
                println!("| {} | {sum:.digits$} | {} |", contender.name, named.join(", "));
            }
            Err(error) => {
                println!("| {} | | cannot be counted: {error} |", contender.name);
                is_good = false;
            }
        }
    }
    println!();
    is_good
}
