//! Spawning, yielding and waking: aem beside its peers and a floor without atomics.
//!
//! `cargo run --release --bin jobs [-- --quick] [--rounds N] [PART ..]`

use std::io;

use aem_benches::contenders::*;
use aem_benches::for_all_contenders;
use aem_benches::meter::Cost;
use aem_benches::rounds::{Arguments, Best, Contender, interleave, print};
use aem_benches::workloads::{self, TASKS};

/// Name, whether wakes come from another thread, how many operations a round.
struct Part {
    name: &'static str,
    is_remote: bool,
    count: usize,
}

const PARTS: &[Part] = &[
    Part { name: "spawn and await, one at a time", is_remote: false, count: 20_000 },
    Part { name: "the same from the main future", is_remote: false, count: 5_000 },
    Part { name: "spawn 1000, await 1000", is_remote: false, count: 20 * TASKS },
    Part { name: "yield among 1000 tasks, by yield_now", is_remote: false, count: 200 * TASKS },
    Part { name: "yield among 1000 tasks, waking itself", is_remote: false, count: 200 * TASKS },
    Part { name: "wake and switch, two tasks", is_remote: false, count: 100_000 },
    Part { name: "wake from afar, worker busy", is_remote: true, count: TASKS },
    Part { name: "wake from afar, one task again and again", is_remote: true, count: 20_000 },
    Part { name: "wake from afar, worker asleep", is_remote: true, count: 50 },
];

/// One round of the part at this place of [`PARTS`].
fn run<R: Runtime>(part: usize, count: usize) -> io::Result<Cost> {
    match part {
        0 => workloads::spawn_one::<R>(count),
        1 => workloads::spawn_one_from_main::<R>(count),
        2 => workloads::spawn_many::<R>(count),
        3 => workloads::yield_own::<R>(count),
        4 => workloads::yield_by_waking::<R>(count),
        5 => workloads::wake_and_switch::<R>(count),
        6 => workloads::wake_busy_worker::<R>(count),
        7 => workloads::wake_again::<R>(count),
        _ => workloads::wake_sleeping_worker::<R>(count),
    }
}

fn contender<R: Runtime>(place: usize, count: usize) -> Option<Contender<'static>> {
    if PARTS[place].is_remote && !R::WAKES_FROM_AFAR {
        println!("SKIPPED {}: its wakers stay on their thread", R::NAME);
        return None;
    }
    let round = move || run::<R>(place, count).map(|cost| cost.nanos);
    Some(Contender { name: R::NAME, round: Box::new(round) })
}

fn main() {
    let arguments = Arguments::read(25);
    for (place, part) in PARTS.iter().enumerate() {
        if !arguments.wants(part.name) {
            continue;
        }
        let count = if arguments.quick { part.count / 10 } else { part.count };
        macro_rules! field {
            ($($name:ident),*) => { [$(contender::<$name>(place, count)),*] };
        }
        let field = for_all_contenders!(field).into_iter().flatten().collect();
        let series = interleave(arguments.rounds, field);
        print(part.name, "ns", Best::Least, &series, &["floor", "aem"]);
    }
}
