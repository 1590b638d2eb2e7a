//! One source, two faces: a handler and an await take turns at it, and no event is lost.
//!
//! ```text
//! cargo run --release --example both_faces
//! ```
//!
//! Another thread generates numbered events all the while. The routine below registers a handler
//! on them, takes the source back from it, awaits a few itself, and hands the source over again.
//! In the end every number has been seen once and in order. It ends by itself.

use aem::{Next, State};
use futures::StreamExt;
use futures::channel::mpsc;
use std::thread;
use std::time::Duration;

/// Numbers in all, and how many of them each face takes before the other's turn.
const EVENTS: usize = 100_000;
const TURN: usize = 7;

#[aem::main]
async fn main() -> aem::Result {
    let (sender, mut numbers) = mpsc::unbounded();
    let generator = thread::spawn(move || {
        for number in 0..EVENTS {
            // Fast, with pauses: the source is now full, now empty when it changes hands.
            if number % 10_000 == 0 {
                thread::sleep(Duration::from_millis(5));
            }
            if sender.unbounded_send(number).is_err() {
                return;
            }
        }
    });

    let log = State::new(Vec::new());
    let mut by_await = 0;
    loop {
        let mut taken = 0;
        let mut handler = log.on(numbers, move |log, number| {
            log.push(number);
            taken += 1;
            if taken == TURN { Next::Stop } else { Next::Keep }
        });
        // Awaiting a lent registration leaves it ours; it ends with the handler's `Next::Stop`.
        (&mut handler).await?;
        let Some(source) = handler.reclaim() else { break };
        numbers = source;

        for number in numbers.by_ref().take(TURN).collect::<Vec<_>>().await {
            log.with(|log| log.push(number));
            by_await += 1;
        }
    }

    generator.join().expect("the generator does not panic");
    log.with(|log| assert!(log.iter().copied().eq(0..EVENTS), "an event was lost or doubled"));
    let by_handler = EVENTS - by_await;
    println!(
        "{EVENTS} events, each once and in order: {by_handler} by handlers, {by_await} awaited"
    );
    Ok(())
}
