//! An echo server made of handlers: the runtime calls you, with the data in hand.
//!
//! ```text
//! cargo run --release --example echo_handlers      then: nc 127.0.0.1 7000
//! ```
//!
//! It runs until ctrl-c. `echo_futures` is the same server, written the other way.

#[aem::main]
async fn main() -> aem::Result {
    let listener = aem::net::TcpListener::bind("127.0.0.1:7000")?;
    aem::on_ok(listener.incoming(), |(stream, _peer)| {
        let reply = stream.clone();
        aem::on_ok(stream.chunks(), move |chunk| {
            reply.send(chunk);
        })
        .detach();
    })
    .await?;
    Ok(())
}
