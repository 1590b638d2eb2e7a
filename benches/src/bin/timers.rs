//! Timers inserted and cancelled: aem beside its peers.
//!
//! `cargo run --release --bin timers [-- --quick] [--rounds N] [PART ..]`

use aem_benches::contenders::{Aem, Compio, Monoio, Smol, Timers, TokioCurrent};
use aem_benches::rounds::{Arguments, Best, Contender, Series, interleave, print};
use aem_benches::timers::{FirstAndLater, insert_all_cancel_all, insert_cancel_each};

/// Timers at one time, and in a round.
const TIMERS: usize = 1_000_000;

/// With `--quick`.
const TIMERS_QUICKLY: usize = 100_000;

const MANY: &str = "many at a time";
const ONE: &str = "one at a time, inserted and cancelled";

macro_rules! field {
    ($run:ident, $count:expr) => {
        vec![
            contender::<Aem, _>($run::<Aem>, $count),
            contender::<TokioCurrent, _>($run::<TokioCurrent>, $count),
            contender::<Smol, _>($run::<Smol>, $count),
            contender::<Monoio, _>($run::<Monoio>, $count),
            contender::<Compio, _>($run::<Compio>, $count),
        ]
    };
}

fn contender<R: Timers, F: 'static>(
    run: fn(usize) -> std::io::Result<F>,
    count: usize,
) -> Contender<'static, F> {
    Contender { name: R::NAME, round: Box::new(move || run(count)) }
}

fn table(title: &str, series: &[Series]) {
    print(title, "ns", Best::Least, series, &["aem", "tokio current_thread"]);
}

fn main() {
    let arguments = Arguments::read(5);
    let count = if arguments.quick { TIMERS_QUICKLY } else { TIMERS };
    if arguments.wants(MANY) {
        let all = interleave(arguments.rounds, field!(insert_all_cancel_all, count));
        let part = |title: &str, one: fn(&FirstAndLater) -> f64| {
            let series: Vec<_> = all.iter().map(|series| series.of(one)).collect();
            table(&format!("{count} {MANY}, {title}"), &series);
        };
        part("insert", |cost| cost.later.insert);
        part("cancel", |cost| cost.later.cancel);
        part("insert, the first ones of a runtime", |cost| cost.first.insert);
        part("cancel, the first ones of a runtime", |cost| cost.first.cancel);
    }
    if arguments.wants(ONE) {
        table(ONE, &interleave(arguments.rounds, field!(insert_cancel_each, count)));
    }
}
