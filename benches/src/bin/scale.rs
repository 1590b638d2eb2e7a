//! Two million armed events: bytes an event, the time to arm all and to fire all, and none is lost.
//!
//! `cargo run --release --bin scale [-- --quick] [--rounds N] [CONTENDER ..]`
//!
//! Ends with 1 if an event was lost.

use std::process::ExitCode;

use aem_benches::rounds::{Arguments, Best, Contender, Series, interleave, print};
use aem_benches::scale::{ARM, CONTENDERS, Figures, arm, measure};

const EVENTS: usize = 2_000_000;

/// With `--quick`.
const EVENTS_QUICKLY: usize = 100_000;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [word, name, events] = &words[..]
        && word == ARM
    {
        return match arm(name, events) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{name}: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let arguments = Arguments::read(7);
    let events = if arguments.quick { EVENTS_QUICKLY } else { EVENTS };
    let wanted = CONTENDERS.iter().filter(|(name, _)| arguments.wants(name));
    let field: Vec<_> = wanted
        .map(|&(name, _)| Contender { name, round: Box::new(move || measure(name, events)) })
        .collect();
    let entered = field.len();
    let all: Vec<Series<Figures>> = interleave(arguments.rounds, field);
    let table = |unit: &str, one: fn(&Figures) -> f64| {
        let series: Vec<_> = all.iter().map(|series| series.of(one)).collect();
        print(&format!("{events} events"), unit, Best::Least, &series, &["aem, handlers"]);
    };
    table("bytes an event", |figures| figures.bytes);
    table("ns to arm one", |figures| figures.arm_nanos);
    table("ns to fire and end one", |figures| figures.fire_nanos);
    if all.len() == entered { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
