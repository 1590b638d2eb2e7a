//! Datagrams received: aem beside the kernel's interfaces and tokio.
//!
//! `cargo run --release --bin datagrams [-- --quick] [--rounds N] [PART ..]`

use std::io;

use aem_benches::datagrams::{self, Load, calls, ring};
use aem_benches::rounds::{Arguments, Best, Contender, interleave, print};

/// Bursts in a round, and with `--quick`.
const BURSTS: usize = 5_000;
const BURSTS_QUICKLY: usize = 200;

fn contender(
    name: &'static str,
    run: impl Fn(Load) -> io::Result<f64> + 'static,
    load: Load,
) -> Contender<'static> {
    Contender { name, round: Box::new(move || run(load)) }
}

fn main() {
    let arguments = Arguments::read(15);
    let bursts = if arguments.quick { BURSTS_QUICKLY } else { BURSTS };
    let loads =
        [(1, 64, false), (8, 64, false), (32, 64, false), (32, 1200, false), (32, 1200, true)];
    for (burst, bytes, train) in loads {
        let by = if train { ", sent as a train" } else { "" };
        let part = format!("{burst} at a time, {bytes} bytes{by}");
        if !arguments.wants(&part) {
            continue;
        }
        let load = Load { burst, bytes, bursts, train };
        let aem = |backend, gro| move |load| datagrams::aem(backend, gro, load);
        let series = interleave(
            arguments.rounds,
            vec![
                contender("epoll, recvfrom", calls::one_by_one, load),
                contender("epoll, recvmsg", calls::with_ancillary, load),
                contender("epoll, recvmmsg", calls::batches, load),
                contender("io_uring, multishot RECVMSG", ring::multishot, load),
                contender("aem on epoll", aem(aem::Backend::Epoll, true), load),
                contender("aem on io_uring", aem(aem::Backend::IoUring, true), load),
                contender("aem on epoll, no GRO", aem(aem::Backend::Epoll, false), load),
                contender("tokio", datagrams::tokio, load),
            ],
        );
        let bases = ["epoll, recvmmsg", "tokio"];
        print(&part, "ns a datagram", Best::Least, &series, &bases);
    }
}
