//! A message to and fro between two processes: aem, loops written by hand, other runtimes and libuv.
//!
//! `cargo run --release --bin exchange [-- --quick] [--rounds N] [--trips N] [CONTENDER ..]`
//!
//! Once with both processes on one core, where a trip is two switches and no core has to be woken, and
//! once with a core for each. Ends with 1 if something was wrong.

use std::process::ExitCode;

use aem_benches::exchange::{CONTENDERS, Figures, exchange_if_asked};
use aem_benches::interface::Interface;
use aem_benches::rounds::{Arguments, Contender, Series, interleave, quartiles, tell};
use aem_benches::server::{CLIENT_CORE, SERVER_CORE, hold_to_core};
use aem_benches::spread::Spread;

/// Of a round, and of one with `--quick`.
const TRIPS: u64 = 40_000;
const TRIPS_QUICKLY: u64 = 5_000;

fn main() -> ExitCode {
    if let Some(ended) = exchange_if_asked() {
        return ended;
    }
    let mut trips = None;
    let arguments = Arguments::read_beside(15, |word, words| {
        if word == "--trips" {
            let number = words.next().and_then(|number| number.parse().ok());
            trips = Some(number.filter(|number| *number > 0).expect("--trips N"));
        }
        word == "--trips"
    });
    let trips = trips.unwrap_or(if arguments.quick { TRIPS_QUICKLY } else { TRIPS });
    let mut is_good = measure(&arguments, "one core", [SERVER_CORE; 2], trips);
    match hold_to_core(CLIENT_CORE) {
        Ok(()) => is_good &= measure(&arguments, "two cores", [SERVER_CORE, CLIENT_CORE], trips),
        Err(error) => println!("SKIPPED two cores: {error}"),
    }
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One placement, all contenders in turn. Whether nothing was wrong.
fn measure(arguments: &Arguments, title: &str, cores: [usize; 2], trips: u64) -> bool {
    let mut field = Vec::new();
    for contender in CONTENDERS.iter().filter(|contender| arguments.wants(contender.name)) {
        if let Some(package) = contender.missing() {
            println!("SKIPPED {}: its headers are not here (Debian: {package})", contender.name);
            continue;
        }
        let round = Box::new(move || contender.round(cores, trips));
        field.push(Contender { name: contender.name, round });
    }
    let wanted = field.len();
    let all = interleave(arguments.rounds, field);
    print(title, &all);
    // Who could not go on has left.
    all.len() == wanted && wanted > 0
}

fn print(title: &str, all: &[Series<Figures>]) {
    println!("\n### {title}\n");
    println!("| | CPU ns a trip | × hand | 95 % | ns by the clock | × hand |\n|-|-:|-|-|-:|-|");
    for own in all.iter().filter(|own| !own.figures.is_empty()) {
        let (cpu, wall) = (own.of(|figures| figures.cpu), own.of(|figures| figures.wall));
        let base = base_of(&own.name, all);
        let ratio = |own: &Series, one: fn(&Figures) -> f64| {
            base.and_then(|base| Spread::of_ratios(own, &base.of(one)))
        };
        let told = |spread: Option<Spread>| spread.map_or(String::new(), |it| it.to_string());
        let of_cpu = ratio(&cpu, |figures| figures.cpu);
        println!(
            "| {} | {} | {} | {} | {} | {} |",
            own.name,
            tell(quartiles(&cpu.figures)[1]),
            told(of_cpu),
            of_cpu.map_or(String::new(), |spread| spread.tell_interval(3)),
            tell(quartiles(&wall.figures)[1]),
            told(ratio(&wall, |figures| figures.wall)),
        );
    }
}

/// The loop by hand that somebody is compared with, if it is another one and has taken part.
fn base_of<'a>(name: &str, all: &'a [Series<Figures>]) -> Option<&'a Series<Figures>> {
    let contender = CONTENDERS.iter().find(|contender| contender.name == name)?;
    let yardstick = contender.interface.map(Interface::yardstick)?;
    all.iter().find(|series| series.name == yardstick && yardstick != name)
}
