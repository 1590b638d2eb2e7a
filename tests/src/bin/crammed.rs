//! An echo server with few descriptors: `crammed LIMIT handlers|tasks`.
//!
//! It prints where it listens. The line `hoard` makes it open files until there are no descriptors left,
//! `release` has it close them; it answers each with a line.

use std::fs::File;
use std::io::BufRead;

use futures::StreamExt;
use futures::channel::mpsc;

fn serve_by_handlers(listener: &aem::net::TcpListener) {
    aem::on_ok(listener.incoming(), |(stream, _peer)| {
        let reply = stream.clone();
        aem::on_ok(stream.chunks(), move |chunk| drop(reply.send(chunk))).detach();
    })
    .detach();
}

fn serve_by_tasks(listener: aem::net::TcpListener) {
    aem::spawn(async move {
        loop {
            let (stream, _peer) = listener.accept().await.expect("a connection");
            aem::spawn(async move {
                while let Ok(chunk) = stream.recv().await {
                    if chunk.is_empty() || stream.send(chunk).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
}

#[aem::main]
async fn main() -> aem::Result {
    let mut arguments = std::env::args().skip(1);
    let limit = arguments.next().and_then(|n| n.parse().ok()).expect("crammed LIMIT KIND");
    aem_tests::limits::limit_descriptors(limit)?;
    let listener = aem::net::TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    match arguments.next().as_deref() {
        Some("handlers") => serve_by_handlers(&listener),
        Some("tasks") => serve_by_tasks(listener),
        other => panic!("not a kind of server: {other:?}"),
    }
    let (orders, mut inbox) = mpsc::unbounded();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let _ = orders.unbounded_send(line);
        }
    });
    let mut hoard = Vec::new();
    while let Some(order) = inbox.next().await {
        match order.as_str() {
            "hoard" => {
                while let Ok(file) = File::open("/dev/null") {
                    hoard.push(file);
                }
                println!("{} hoarded", hoard.len());
            }
            "release" => {
                hoard.clear();
                println!("released");
            }
            other => panic!("not an order: {other}"),
        }
    }
    Ok(())
}
