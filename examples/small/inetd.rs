//! An inetd: each connection is served by a program of its own, which knows nothing of networks.
//!
//! ```text
//! cargo run --release --example inetd [ADDRESS PROGRAM [ARGUMENTS]]
//! ```
//!
//! Without arguments `cat` serves 127.0.0.1:7000, which makes an echo server of it. Ctrl-c ends it, and with
//! it, as they are in the same terminal, the programs that still serve.

use aem::net::TcpListener;
use aem::process::{Command, on_process, stdio};

/// So many are served at once; others wait in the listener's backlog.
const AT_ONCE: usize = 100;

#[aem::main]
async fn main() -> aem::Result {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:7000".to_owned());
    let program = arguments.next().unwrap_or_else(|| "cat".to_owned());
    let arguments: Vec<String> = arguments.collect();

    let listener = TcpListener::bind(address)?;
    println!("{} is served by {program}", listener.local_addr()?);
    let serving = on_process(listener.incoming(), AT_ONCE, move |connection| {
        let (stream, _peer) = connection?;
        let mut command = Command::new(&program);
        command.args(&arguments).stdin(stdio(&stream)?).stdout(stdio(&stream)?);
        Ok(command)
    });
    aem::signal::shutdown_requested().await;
    serving.stop();
    Ok(())
}
