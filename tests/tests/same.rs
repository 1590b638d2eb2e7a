//! The same steps on both keepers come to the same (BLIND), but for what is free.
//!
//! A seed gives a script: connects, accepts, sends, receives, cancels at random points, half-closes, closes,
//! resets, timers. Several scripts play at once on one runtime, on each keeper; their traces are compared.
//! `AEM_TEST_SEED=n cargo test -p aem-tests --test same` repeats the group of one seed.

#[path = "same/player.rs"]
mod player;
#[path = "same/script.rs"]
mod script;

use std::ops::Range;

use aem::Backend;
use aem_tests::keepers;
use aem_tests::scale::scaled_count;
use aem_tests::watch::watched_on;
use futures::future::join_all;

/// Scripts that play at once.
const GROUP: u64 = 20;

/// How often the group of one seed is repeated.
const REPEATS: usize = 50;

fn traces(keeper: Backend, seeds: Range<u64>) -> Vec<Vec<String>> {
    watched_on(keepers::builder(keeper), async |_| {
        let tasks = join_all(seeds.clone().map(|seed| aem::spawn(player::play(seed)))).await;
        let traces = seeds.zip(tasks);
        traces.map(|(seed, t)| t.unwrap_or_else(|error| panic!("seed {seed}: {error}"))).collect()
    })
}

/// What differs, and where.
fn compare(seeds: Range<u64>) -> Result<usize, String> {
    let [epoll, uring] =
        [Backend::Epoll, Backend::IoUring].map(|keeper| traces(keeper, seeds.clone()));
    let mut steps = 0;
    for (seed, (epoll, uring)) in seeds.zip(epoll.iter().zip(&uring)) {
        let differs = epoll.iter().zip(uring).position(|(one, other)| one != other);
        let hangs =
            [epoll, uring].into_iter().any(|t| t.last().is_some_and(|s| s.ends_with("hangs")));
        if differs.is_some() || hangs {
            let at = differs.unwrap_or(epoll.len().min(uring.len()) - 1);
            return Err(format!(
                "seed {seed} (AEM_TEST_SEED={seed} repeats it), at step {at}\n  epoll:    {}\n  \
                 io_uring: {}\nafter\n  {}",
                epoll[at],
                uring[at],
                epoll[..at].join("\n  "),
            ));
        }
        steps += epoll.len();
    }
    Ok(steps)
}

/// The groups of seeds that are played.
fn groups() -> Vec<Range<u64>> {
    let group = |number: u64| number * GROUP..(number + 1) * GROUP;
    if let Ok(seed) = std::env::var("AEM_TEST_SEED") {
        let seed: u64 = seed.parse().expect("AEM_TEST_SEED is a number");
        return vec![group(seed / GROUP); REPEATS];
    }
    (0..scaled_count(100_000, 2_000) as u64 / GROUP).map(group).collect()
}

#[test]
fn both_keepers_come_to_the_same() {
    if !keepers::both().contains(&Backend::IoUring) {
        return;
    }
    let (groups, mut steps, mut wrong) = (groups(), 0, Vec::new());
    for seeds in &groups {
        match compare(seeds.clone()) {
            Ok(done) => steps += done,
            Err(what) => wrong.push(what),
        }
        if wrong.len() > 3 {
            break;
        }
    }
    println!("{} groups of {GROUP} scripts, {steps} steps each", groups.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
