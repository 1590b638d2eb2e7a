//! A program that is asked to end: `stopper HOW`. It prints a line when a signal may come.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use aem::signal::{ctrl_c, shutdown_requested};
use aem::time::sleep;

/// Clients that must be in the middle of their request.
const CLIENTS: usize = 10;

/// Answers each request after a while, with more than it got.
async fn serve() -> aem::Result {
    let asked = shutdown_requested();
    let listener = aem::net::TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    let scope = aem::Scope::new();
    let (jobs, begun) = (scope.handle(), Rc::new(Cell::new(0)));
    scope.on(listener.incoming(), move |connection| -> aem::Result {
        let (stream, _peer) = connection?;
        let begun = begun.clone();
        let reply = stream.clone();
        jobs.add(aem::on_async(stream.chunks(), async move |chunk| -> aem::Result {
            begun.set(begun.get() + 1);
            if begun.get() == CLIENTS {
                println!("all are in progress");
            }
            sleep(Duration::from_millis(200)).await;
            reply.send(chunk?);
            reply.send(vec![b'.'; 400_000]);
            Ok(())
        }));
        Ok(())
    });
    drop(listener);
    asked.await;
    let report = scope.close(Duration::from_secs(10)).await;
    println!("{} ended, {} cancelled", report.ended, report.cancelled.len());
    Ok(())
}

#[aem::main]
async fn main() -> aem::Result {
    match std::env::args().nth(1).as_deref() {
        Some("serve") => serve().await?,
        Some("busy") => {
            let asked = shutdown_requested();
            println!("ready");
            // The signal comes while this thread is away from the runtime.
            std::thread::sleep(Duration::from_millis(300));
            asked.await;
        }
        Some("ctrl_c") => {
            let asked = ctrl_c();
            println!("ready");
            asked.await;
            println!("ctrl-c");
            sleep(Duration::from_secs(60)).await;
        }
        Some("nobody_asks") => {
            println!("ready");
            sleep(Duration::from_secs(60)).await;
        }
        Some("nobody_asks_any_more") => {
            drop((shutdown_requested(), ctrl_c()));
            println!("ready");
            sleep(Duration::from_secs(60)).await;
        }
        other => panic!("no such way to end: {other:?}"),
    }
    Ok(())
}
