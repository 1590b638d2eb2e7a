//! A fixed exchange between a few clients and an echo server, with timers in between, on one loop.
//!
//! Whoever is woken checks what for: the bytes are his own and the next ones, a timer is not early. It
//! prints `ok`, or `error` and what failed first; only what must never be is another end: a panic, a wrong
//! byte (exit status 3), a hang (its own alarm ends it).

use std::cell::RefCell;
use std::io;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use aem::Runtime;
use aem::net::{TcpListener, TcpStream};
use aem::time::sleep_until;

/// Who looks on from outside begins to count here: a file that nobody has.
const MARK: &str = "/aem-tests-begin";

/// Nobody who does not hang takes so long, in seconds.
const ALARM_S: u32 = 10;

const CLIENTS: u8 = 4;
const ROUNDS: u8 = 5;

/// Ends the process: this must never be.
fn wrong(what: &str) -> ! {
    println!("wrong: {what}");
    std::process::exit(3)
}

fn message(client: u8, round: u8) -> Vec<u8> {
    // One of them is too long for one buffer.
    let length = if round == 3 { 40_000 } else { 50 };
    (0..length).map(|index| (index as u8) ^ (client << 4) ^ round).collect()
}

async fn nap(time: Duration) {
    let deadline = Instant::now() + time;
    sleep_until(deadline).await;
    if Instant::now() < deadline {
        wrong("a timer was early");
    }
}

async fn echo(stream: TcpStream) {
    while let Ok(chunk) = stream.recv().await {
        if chunk.is_empty() || stream.send(chunk).await.is_err() {
            return;
        }
    }
}

/// Every other connection is a handler's, the rest are tasks.
async fn serve(listener: TcpListener) -> io::Result<()> {
    let mut count = 0;
    loop {
        let (stream, _peer) = listener.accept().await?;
        count += 1;
        if count % 2 == 0 {
            let reply = stream.clone();
            aem::on_async(stream.chunks(), async move |chunk| reply.send(chunk?).await).detach();
        } else {
            aem::spawn(echo(stream));
        }
    }
}

async fn ask(client: u8, address: std::net::SocketAddr) -> io::Result<()> {
    let stream = TcpStream::connect(address).await?;
    for round in 0..ROUNDS {
        let message = message(client, round);
        stream.send(message.clone()).await?;
        let mut answer = Vec::new();
        while answer.len() < message.len() {
            let chunk = stream.recv().await?;
            if chunk.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            answer.extend_from_slice(&chunk);
        }
        if answer != message {
            wrong("another answer");
        }
        nap(Duration::from_micros(u64::from(client) * 150 + 50)).await;
    }
    Ok(())
}

async fn exchange() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let failed: Rc<RefCell<Option<io::Error>>> = Rc::default();
    let of_server = failed.clone();
    let server = aem::spawn(async move {
        // With the listener go the connections that nobody has accepted, so that their clients hear of it.
        *of_server.borrow_mut() = serve(listener).await.err();
    });
    let clients: Vec<_> = (0..CLIENTS).map(|client| aem::spawn(ask(client, address))).collect();
    let mut result = Ok(());
    for client in clients {
        result = result.and(client.await.unwrap_or_else(|error| Err(error.into())));
    }
    server.abort();
    let failed = failed.borrow_mut().take();
    failed.map_or(result, Err)
}

fn main() -> ExitCode {
    // SAFETY: takes an integer. The signal ends the process, as nobody catches it.
    unsafe { libc::alarm(ALARM_S) };
    let marked = std::fs::File::open(MARK);
    assert!(marked.is_err(), "somebody has made {MARK}");
    let result = Runtime::new().and_then(|runtime| runtime.block_on(exchange()));
    match result {
        Ok(()) => println!("ok"),
        Err(error) => println!("error: {error}"),
    }
    ExitCode::SUCCESS
}
