//! What an event costs on its way to who handles it: libevent's own benchmark, with aem, loops written by
//! hand, other runtimes and the C libraries.
//!
//! `cargo run --release --bin dispatch [-- --quick] [--rounds N] [--pairs N,..] [--active N,..]
//!     [--writes N] [CONTENDER ..]`
//!
//! Ends with 1 if something was wrong. A library of C that is not installed is not: it is skipped aloud.

use std::io;
use std::process::ExitCode;

use aem_benches::dispatch::{CONTENDERS, Figures, Load};
use aem_benches::interface::Interface;
use aem_benches::kernel;
use aem_benches::rounds::{Arguments, Best, Contender, Series, interleave, numbers, print};
use aem_benches::server::{SERVER_CORE, hold_to_core};

const PAIRS: &[usize] = &[100, 1_000, 10_000];
const ACTIVE: &[usize] = &[1, 100, 1_000];

/// At most so many of each, whatever is asked for.
const MOST: usize = 1_000_000;

/// Of a round, and of one with `--quick`.
const WRITES: usize = 100_000;
const WRITES_QUICKLY: usize = 10_000;

/// Descriptors beside those of the pairs.
const SPARE: u64 = 200;

/// After so many seconds a round has lost a byte for which it waits, and the program is ended.
const PATIENCE: libc::c_uint = 60;

fn main() -> ExitCode {
    let (mut pairs, mut active, mut writes) = (PAIRS.to_vec(), ACTIVE.to_vec(), None);
    let arguments = Arguments::read_beside(9, |word, words| {
        match word {
            "--pairs" => pairs = numbers(words.next(), MOST).expect("--pairs N,.."),
            "--active" => active = numbers(words.next(), MOST).expect("--active N,.."),
            "--writes" => {
                let number = words.next().and_then(|number| number.parse().ok());
                writes = Some(number.expect("--writes N"));
            }
            _ => return false,
        }
        true
    });
    if let Err(error) = hold_to_core(SERVER_CORE) {
        println!("Not held to one core: {error}");
    }
    let usual = if arguments.quick { WRITES_QUICKLY } else { WRITES };
    let writes = writes.unwrap_or(usual);
    let mut is_good = true;
    for pairs in pairs {
        for active in active.iter().copied().filter(|active| is_load(pairs, *active)) {
            match fitting(pairs, active) {
                Ok(pairs) => is_good &= measure(&arguments, Load { pairs, active, writes }),
                Err(error) => {
                    println!("SKIPPED {pairs} pairs: {error}");
                    is_good = false;
                }
            }
        }
    }
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether it is one of the loads: all of many pairs at once are another matter, the memory's.
fn is_load(pairs: usize, active: usize) -> bool {
    active <= pairs && (active <= 100 || pairs <= 1_000)
}

/// So many pairs, or as many as this process may have descriptors for, aloud.
fn fitting(pairs: usize, active: usize) -> io::Result<usize> {
    let limit = kernel::raise_descriptors(2 * pairs as u64 + SPARE)?;
    let most = limit.saturating_sub(SPARE) as usize / 2;
    let fitting = pairs.min(most) / active * active;
    if fitting == 0 {
        return Err(io::Error::other(format!("{limit} descriptors are too few")));
    }
    if fitting < pairs {
        println!("\n{pairs} pairs are not possible with {limit} descriptors: there are {fitting}");
    }
    Ok(fitting)
}

/// One load, all contenders in turn. Whether nothing was wrong.
fn measure(arguments: &Arguments, load: Load) -> bool {
    let mut field = Vec::new();
    for contender in CONTENDERS.iter().filter(|contender| arguments.wants(contender.name)) {
        if let Some(package) = contender.missing() {
            println!("SKIPPED {}: its headers are not here (Debian: {package})", contender.name);
            continue;
        }
        let round = move || {
            // SAFETY: a plain call. The signal ends the process, which is what is wanted.
            unsafe { libc::alarm(PATIENCE) };
            let figures = contender.round(load);
            // SAFETY: as above; zero takes it back.
            unsafe { libc::alarm(0) };
            figures
        };
        field.push(Contender { name: contender.name, round: Box::new(round) });
    }
    let wanted = field.len();
    let all = interleave(arguments.rounds, field);
    let of =
        |one: fn(&Figures) -> f64| -> Vec<Series> { all.iter().map(|own| own.of(one)).collect() };
    let title = format!("{} pairs, {} active", load.pairs, load.active);
    let bases = [Interface::Epoll.yardstick(), Interface::Uring.yardstick()];
    print(&title, "CPU ns an event", Best::Least, &of(|figures| figures.cpu), &bases);
    let wall = of(|figures| figures.wall);
    print(&format!("{title}, by the clock"), "ns an event", Best::Least, &wall, &bases);
    // Who could not go on has left.
    all.len() == wanted && wanted > 0
}
