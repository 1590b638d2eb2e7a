//! Time as a source: ticks for a handler, sleeps and deadlines for a task.
//!
//! ```text
//! cargo run --release --example timers
//! ```
//!
//! It ends by itself after about a second.

use aem::Next;
use aem::time::{after, every, now, sleep, timeout};
use std::time::Duration;

#[aem::main]
async fn main() -> aem::Result {
    let start = now();
    let since = move || format!("{:4} ms", start.elapsed().as_millis());

    // A periodic handler. It never drifts: ticks are counted from the first one.
    let mut beats = 0;
    let heart = aem::on(every(Duration::from_millis(100)), move |tick| {
        beats += 1;
        println!("{}  beat {beats}, late by {:?}", since(), tick.late);
        if beats == 5 { Next::Stop } else { Next::Keep }
    });

    // A handler that runs once, beside it.
    let once = aem::on(after(Duration::from_millis(250)), move |_tick| {
        println!("{}  once", since());
    });

    // A task that sleeps. All of these are jobs in the same queue.
    let sleeper = aem::spawn(async move {
        for n in 1..=3 {
            sleep(Duration::from_millis(150)).await;
            println!("{}  slept {n} times", since());
        }
    });

    heart.await?;
    once.await?;
    sleeper.await?;

    // A deadline for anything that can be awaited.
    match timeout(Duration::from_millis(200), futures::future::pending::<()>()).await {
        Ok(()) => unreachable!("nobody ends it"),
        Err(elapsed) => println!("{}  gave up: {elapsed}", since()),
    }
    Ok(())
}
