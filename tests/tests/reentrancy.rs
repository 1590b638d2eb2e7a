//! Anything may be done to anybody from anywhere: a generated matrix of all pairs (AEM's feature 18).
//!
//! {register, pause, resume, stop, replace, drop, reclaim, spawn, abort, `Scope::stop`,
//! `State::try_with`} × {itself, a sibling in the same batch, the parent, a task} × {a handler, an
//! async handler, a task, an `on_end`, a `Drop`, the source's own `poll_next`, with an event and
//! without}. Each cell plays one script on the runtime ([`world`]) and in a small model that knows
//! only the words of the contract ([`model`]), and the two logs must be equal: each event, each drop
//! and each end, in order. Cells that make no sense are counted by their reason
//! ([`script::why_not`]).
//!
//! Promises: OUTSIDE, AGAIN, HOME.

#[path = "reentrancy/model.rs"]
mod model;
#[path = "reentrancy/script.rs"]
mod script;
#[path = "reentrancy/world.rs"]
mod world;

use std::collections::BTreeMap;

use aem_tests::watch::watched;
use script::{ACTIONS, Cell, PLACES, Sibling, TARGETS, Target};

/// 11 × 4 × 7, less those of [`SENSELESS`], and again those with a sibling that is amid an event: `poll_next`
/// counts twice, as it may have an event or none.
const CELLS: usize = 308 - 60 + 70;

/// Cells that make no sense, by reason.
const SENSELESS: [(&str, usize); 2] =
    [("a JoinHandle has no such verb", 40), ("a Registration has no abort: stop is its verb", 20)];

#[test]
fn anything_may_be_done_from_anywhere() {
    let mut played = 0;
    let mut senseless: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (action, target, place) in all() {
        if let Some(reason) = script::why_not(action, target, place) {
            *senseless.entry(reason).or_default() += 1;
            continue;
        }
        let siblings: &[Sibling] = match target {
            Target::Sibling => &[Sibling::Between, Sibling::Amid],
            _ => &[Sibling::Between],
        };
        for &sibling in siblings {
            let cell = Cell { action, target, place, sibling };
            let seen = watched(async |watch| world::play(cell, watch).await);
            let wanted = model::predict(cell);
            played += 1;
            if seen != wanted {
                wrong.push(difference(cell, &seen, &wanted));
            }
        }
    }
    assert!(wrong.is_empty(), "{} cells of {played}:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(senseless.into_iter().collect::<Vec<_>>(), SENSELESS);
    assert_eq!(played, CELLS);
}

fn all() -> impl Iterator<Item = (script::Action, Target, script::Place)> {
    ACTIONS.into_iter().flat_map(|action| {
        TARGETS.into_iter().flat_map(move |target| PLACES.map(move |place| (action, target, place)))
    })
}

fn difference(cell: Cell, seen: &[script::Entry], wanted: &[script::Entry]) -> String {
    let same = seen.iter().zip(wanted).take_while(|(seen, wanted)| seen == wanted).count();
    format!(
        "{cell:?}\n  both:   {:?}\n  seen:   {:?}\n  wanted: {:?}",
        &seen[..same],
        &seen[same..],
        &wanted[same..]
    )
}

/// The model itself is worth something only if it can be wrong: it says different things of different cells.
#[test]
fn the_model_tells_cells_apart() {
    let mut logs: Vec<String> = Vec::new();
    for (action, target, place) in all() {
        if script::why_not(action, target, place).is_none() {
            let cell = Cell { action, target, place, sibling: Sibling::Between };
            logs.push(format!("{:?}", model::predict(cell)));
        }
    }
    let all = logs.len();
    logs.sort();
    logs.dedup();
    // Stopping a sibling outright or by its scope looks the same, and so do a few more pairs.
    assert!(logs.len() > all / 2, "{} different logs of {all}", logs.len());
}
