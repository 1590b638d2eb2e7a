//! The tables that are made of the records.
//!
//! A slope is that of a line laid through the figures of one round by least squares, each divided by the
//! round's figure without idle connections. So every round gives one slope, whatever the machine's speed was
//! then, and how the slopes of the rounds lie says how sure their median is.

use super::records::{Record, Records};
use crate::rounds::{quartiles, tell};
use crate::spread::Spread;

/// The slopes are told for so many idle connections.
const FOR: f64 = 10_000.0;

/// Prints all tables.
pub fn print(records: &Records) {
    println!("\n{}", records.caption);
    print_over_idle(records, "p50 of the response time, µs", |record| record.median_micros);
    print_over_idle(records, "p99 of the response time, µs", |record| record.most_micros);
    print_over_idle(records, "server µs a request", |record| record.cpu_micros);
    let rate = |record: &Record| record.requests as f64 / record.seconds;
    print_over_idle(records, "requests a second", rate);
    print_weights(records);
}

/// The median and quartiles of one figure by server and number of idle connections, and how it grows.
fn print_over_idle(records: &Records, title: &str, one: fn(&Record) -> f64) {
    let steps = records.steps();
    let (Some(least), Some(most)) = (steps.first(), steps.last()) else { return };
    println!("\n### {title}\n");
    print!("| idle connections");
    steps.iter().for_each(|idle| print!(" | {idle}"));
    println!(" | {most} × {least} | 95 % | % for each {FOR} idle | 95 % |");
    println!("|-|{}-|-|-|-|", "-|".repeat(steps.len()));
    for server in records.servers() {
        print!("| {server}");
        for idle in &steps {
            let [low, middle, high] = quartiles(&records.figures(server, *idle, one)).map(tell);
            print!(" | {middle} ({low} to {high})");
        }
        let growth = Spread::of(&growths(records, server, one));
        let slope = Spread::of(&slopes(records, server, one));
        println!(
            " | {growth} | {} | {:.2} | {} |",
            growth.tell_interval(3),
            slope.median,
            slope.tell_interval(2),
        );
    }
}

/// What an idle connection takes, by the difference between most of them and none.
fn print_weights(records: &Records) {
    let steps = records.steps();
    let (Some(least), Some(most)) = (steps.first(), steps.last()) else { return };
    println!("\n### bytes of an idle connection, of {}\n", most - least);
    println!("| | the server's own | the kernel's slabs, both ends |\n|-|-:|-:|");
    for server in records.servers() {
        let each = |one: fn(&Record) -> f64| {
            let (few, many) =
                (records.figures(server, *least, one), records.figures(server, *most, one));
            let each = |(many, few)| (many - few) * 1024.0 / (most - least) as f64;
            Spread::of(&many.iter().zip(&few).map(each).collect::<Vec<_>>()).median
        };
        let (own, slab) =
            (each(|record| record.anonymous_kb as f64), each(|record| record.slab_kb as f64));
        println!("| {server} | {own:.0} | {slab:.0} |");
    }
}

/// With most idle connections by with fewest, round by round.
fn growths(records: &Records, server: &str, one: fn(&Record) -> f64) -> Vec<f64> {
    let by_round = by_round(records, server, one);
    by_round.iter().filter_map(|round| Some(round.last()?.1 / round.first()?.1)).collect()
}

/// In percent, round by round.
fn slopes(records: &Records, server: &str, one: fn(&Record) -> f64) -> Vec<f64> {
    let by_round = by_round(records, server, one);
    by_round.iter().map(|round| 100.0 * FOR * slope(round) / round[0].1).collect()
}

/// The numbers of idle connections of each round, with the figure.
fn by_round(records: &Records, server: &str, one: fn(&Record) -> f64) -> Vec<Vec<(f64, f64)>> {
    let mut rounds: Vec<Vec<(f64, f64)>> = Vec::new();
    for record in records.all.iter().filter(|record| record.server == server) {
        if rounds.len() <= record.round {
            rounds.resize_with(record.round + 1, Vec::new);
        }
        rounds[record.round].push((record.idle as f64, one(record)));
    }
    rounds.retain(|round| !round.is_empty());
    rounds
}

/// By least squares. 0 of a single point.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |one: fn(&(f64, f64)) -> f64| points.iter().map(one).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let both: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let square: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    if square > 0.0 { both / square } else { 0.0 }
}

#[cfg(test)]
mod tests;
