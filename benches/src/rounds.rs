//! Rounds of contenders in turn, and the table that comes of them.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::noise::{self, Watch};
use crate::spread::Spread;

/// Somebody who can be measured: a name, and one round of work that answers with its cost, or with
/// several figures in a struct.
pub struct Contender<'a, F = f64> {
    /// As it stands in the table.
    pub name: &'a str,
    /// One round. An error takes the contender out of the run, aloud.
    pub round: Box<dyn FnMut() -> io::Result<F> + 'a>,
}

impl<F> std::fmt::Debug for Contender<'_, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Contender").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What the rounds of one contender gave.
#[derive(Clone, Debug)]
pub struct Series<F = f64> {
    /// The contender's.
    pub name: String,
    /// One figure a round.
    pub figures: Vec<F>,
}

/// Which end of a series is its best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Best {
    /// As of costs.
    Least,
    /// As of what gets done.
    Most,
}

impl<F> Series<F> {
    /// The series of one of the several figures.
    pub fn of(&self, one: impl Fn(&F) -> f64) -> Series {
        Series { name: self.name.clone(), figures: self.figures.iter().map(one).collect() }
    }
}

/// Lets each contender have its round, `rounds` times, beginning with another one each time. Says
/// so if the machine was not theirs alone.
pub fn interleave<F>(rounds: usize, contenders: Vec<Contender<'_, F>>) -> Vec<Series<F>> {
    let series = |name: &str| Series { name: name.to_owned(), figures: Vec::new() };
    let mut field: Vec<_> =
        contenders.into_iter().map(|contender| (series(contender.name), contender)).collect();
    let mut noises = Vec::new();
    for round in 0..rounds {
        let mut out = Vec::new();
        for place in 0..field.len() {
            let at = (round + place) % field.len();
            let (series, contender) = &mut field[at];
            let watch = Watch::start();
            let figure = catch_unwind(AssertUnwindSafe(|| (contender.round)()));
            // Where it cannot be known it is not said.
            noises.extend(watch.and_then(|watch| watch.stop()));
            match figure {
                Ok(Ok(figure)) => series.figures.push(figure),
                Ok(Err(error)) => {
                    println!("SKIPPED {}: {error}", contender.name);
                    out.push(at);
                }
                Err(_) => {
                    println!("SKIPPED {}: it panicked", contender.name);
                    out.push(at);
                }
            }
        }
        out.sort_unstable();
        out.iter().rev().for_each(|at| drop(field.remove(*at)));
    }
    noise::warn(&noises);
    field.into_iter().map(|(series, _)| series).collect()
}

/// The three quartiles.
pub fn quartiles(figures: &[f64]) -> [f64; 3] {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| {
        let place = (sorted.len() - 1) as f64 * f64::from(quarter) / 4.0;
        let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
        below + (above - below) * place.fract()
    })
}

/// Prints a Markdown table: median, quartiles and best of each series, and for each of `bases` the
/// median and quartiles of the ratio to it, round by round.
pub fn print(title: &str, unit: &str, best: Best, series: &[Series], bases: &[&str]) {
    println!("\n### {title}\n");
    print!("| {unit} | median | quartiles | best |");
    bases.iter().for_each(|base| print!(" × {base} |"));
    println!("\n|-|-:|-|-:|{}", "-|".repeat(bases.len()));
    for own in series.iter().filter(|own| !own.figures.is_empty()) {
        let [low, middle, high] = quartiles(&own.figures);
        let best = match best {
            Best::Least => own.figures.iter().copied().fold(f64::INFINITY, f64::min),
            Best::Most => own.figures.iter().copied().fold(0.0, f64::max),
        };
        print!(
            "| {} | {} | {} to {} | {} |",
            own.name,
            tell(middle),
            tell(low),
            tell(high),
            tell(best)
        );
        for base in bases {
            let base = series.iter().find(|series| series.name == *base);
            match base.and_then(|base| Spread::of_ratios(own, base)) {
                Some(spread) => print!(" {spread} |"),
                None => print!(" |"),
            }
        }
        println!();
    }
}

/// A figure as it stands in tables: three digits are all that is meant.
pub fn tell(figure: f64) -> String {
    match figure {
        _ if figure >= 100.0 => format!("{figure:.0}"),
        _ if figure >= 10.0 => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

/// A list of numbers of at least 1, with commas between them, as it stands in arguments.
pub fn numbers(list: Option<String>, most: usize) -> Option<Vec<usize>> {
    let one = |word: &str| word.parse().ok().filter(|number| (1..=most).contains(number));
    list?.split(',').map(one).collect()
}

/// The arguments that all benchmarks take.
#[derive(Clone, Debug)]
pub struct Arguments {
    /// A few short rounds: whether it runs, not what it costs.
    pub quick: bool,
    /// How many rounds.
    pub rounds: usize,
    /// Which parts to run; all when empty.
    only: Vec<String>,
}

impl Arguments {
    /// Reads `[--quick] [--rounds N] [PART ..]`, where a part is any piece of its name.
    pub fn read(rounds: usize) -> Arguments {
        Arguments::read_beside(rounds, |_, _| false)
    }

    /// The same for a program that has words of its own: `is_own` is shown each word first, with
    /// those that follow, of which it may take some.
    pub fn read_beside(
        rounds: usize,
        mut is_own: impl FnMut(&str, &mut dyn Iterator<Item = String>) -> bool,
    ) -> Arguments {
        let mut arguments = Arguments { quick: false, rounds, only: Vec::new() };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            if is_own(&word, &mut words) {
                continue;
            }
            match word.as_str() {
                "--quick" => {
                    arguments.quick = true;
                    arguments.rounds = 3;
                }
                "--rounds" => {
                    let number = words.next().and_then(|number| number.parse().ok());
                    arguments.rounds = number.expect("--rounds N");
                }
                part => arguments.only.push(part.to_owned()),
            }
        }
        arguments
    }

    /// Whether a part is to be run.
    pub fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| part.contains(only.as_str()))
    }
}
