//! A program that does nothing, with much to wait for: `idler TIMERS CONNECTIONS`.
//!
//! It prints where it listens, waits for so many connections, prints `idle`, and waits for SIGTERM.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use aem::time::{after, every, sleep, timeout};

const HOUR: Duration = Duration::from_secs(3600);

fn number(index: usize) -> usize {
    let argument = std::env::args().nth(index);
    argument.and_then(|n| n.parse().ok()).expect("idler TIMERS CONNECTIONS")
}

/// A timer of an hour, of one of the kinds that there are.
fn wait_an_hour(index: usize) {
    match index % 4 {
        0 => aem::on(after(HOUR), |_| ()).detach(),
        1 => aem::on(every(HOUR), |_| ()).detach(),
        2 => drop(aem::spawn(sleep(HOUR))),
        _ => drop(aem::spawn(timeout(HOUR, std::future::pending::<()>()))),
    }
}

#[aem::main]
async fn main() -> aem::Result {
    aem_tests::limits::raise_descriptors()?;
    (0..number(1)).for_each(wait_an_hour);
    let listener = aem::net::TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    let wanted = number(2);
    let count = Rc::new(Cell::new(0));
    let counter = count.clone();
    aem::on_ok(listener.incoming(), move |(stream, _peer)| {
        counter.set(counter.get() + 1);
        if usize::is_multiple_of(counter.get(), 2) {
            let reply = stream.clone();
            aem::on_ok(stream.chunks(), move |chunk| drop(reply.send(chunk))).detach();
        } else {
            aem::spawn(async move {
                while let Ok(chunk) = stream.recv().await {
                    if chunk.is_empty() || stream.send(chunk).await.is_err() {
                        break;
                    }
                }
            });
        }
    })
    .detach();
    while count.get() < wanted {
        sleep(Duration::from_millis(5)).await;
    }
    let asked = aem::signal::shutdown_requested();
    println!("idle");
    asked.await;
    Ok(())
}
