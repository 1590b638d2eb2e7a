//! An echo server made of futures: you ask for what comes next.
//!
//! ```text
//! cargo run --release --example echo_futures       then: nc 127.0.0.1 7000
//! ```
//!
//! It runs until ctrl-c. `echo_handlers` is the same server, written the other way.

#[aem::main]
async fn main() -> aem::Result {
    let listener = aem::net::TcpListener::bind("127.0.0.1:7000")?;
    loop {
        let (stream, _peer) = listener.accept().await?;
        aem::spawn(async move {
            while let Ok(chunk) = stream.recv().await {
                if chunk.is_empty() || stream.send(chunk).await.is_err() {
                    break;
                }
            }
        });
    }
}
