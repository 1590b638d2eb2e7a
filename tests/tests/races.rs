//! What is cancelled and what happens, at the same moment: nothing is lost and nothing is left.
//!
//! The other end is a thread with sockets of the standard library, so that it acts while the runtime is
//! anywhere in its turn. Every test runs on both keepers.

#[path = "races/accept.rs"]
mod accept;
#[path = "races/drop.rs"]
mod drop;
#[path = "races/receive.rs"]
mod receive;

use std::future::Future;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use aem::Backend;
use aem::net::{TcpListener, TcpStream};
use aem::time::timeout;
use aem_tests::keepers;
use aem_tests::watch::watched_on;

/// Nothing here takes longer, unless it hangs.
const LIMIT: Duration = Duration::from_secs(120);

/// The longest time until something is cancelled, or the other end acts.
const MOST_US: usize = 200;

/// Runs a test on each keeper, under guard.
fn on_both<F: Future>(test: impl Fn(Backend) -> F) {
    for keeper in keepers::both() {
        println!("{}:", keepers::name(keeper));
        watched_on(keepers::builder(keeper), async |_| {
            timeout(LIMIT, test(keeper)).await.expect("the test hangs")
        });
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    (listener, address)
}

/// A stream of ours, and its other end for a thread.
async fn pair(listener: &TcpListener) -> (TcpStream, std::net::TcpStream) {
    let address = listener.local_addr().expect("its address");
    let theirs = std::net::TcpStream::connect(address).expect("a connection");
    theirs.set_nodelay(true).expect("a connection");
    (listener.accept().await.expect("its other end").0, theirs)
}

/// Keeps the processor for so long: shorter than a thread can sleep.
fn spin(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}
