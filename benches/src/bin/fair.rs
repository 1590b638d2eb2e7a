//! How late an event is when a thousand tasks give way for ever: aem beside tokio.
//!
//! `cargo run --release --bin fair [-- --quick] [--rounds N] [PART ..]`
//!
//! Another thread writes the time into a socket each millisecond, and who reads it says how long that took;
//! a periodic timer of a millisecond says how late it is. A round's figures are those of all its events.

use std::cell::RefCell;
use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use aem_benches::rounds::{Arguments, Best, Contender, Series, interleave, print};

const TASKS: usize = 1_000;
const PERIOD: Duration = Duration::from_millis(1);
const SOCKET: &str = "a byte for a socket";
const TIMER: &str = "a timer";

/// Microseconds.
struct Lateness {
    median: f64,
    most: f64,
    worst: f64,
}

impl Lateness {
    fn of(mut late: Vec<Duration>) -> Lateness {
        late.sort_unstable();
        let at = |share: f64| {
            let index = (late.len() as f64 * share) as usize;
            late.get(index.min(late.len() - 1)).map_or(0.0, |late| late.as_secs_f64() * 1e6)
        };
        Lateness { median: at(0.5), most: at(0.99), worst: at(1.0) }
    }
}

/// A connection whose other end is written to each period, with the moment, so many times.
fn writer(start: Instant, events: usize) -> io::Result<(TcpStream, thread::JoinHandle<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut theirs = TcpStream::connect(listener.local_addr()?)?;
    theirs.set_nodelay(true)?;
    let (ours, _) = listener.accept()?;
    let writes = thread::spawn(move || {
        for _ in 0..events {
            thread::sleep(PERIOD);
            let now = start.elapsed().as_nanos() as u64;
            if theirs.write_all(&now.to_le_bytes()).is_err() {
                return;
            }
        }
    });
    Ok((ours, writes))
}

fn since(start: Instant, bytes: &[u8], late: &mut Vec<Duration>) {
    let now = start.elapsed();
    for sent in bytes.chunks_exact(8) {
        let sent = u64::from_le_bytes(sent.try_into().expect("eight bytes"));
        late.push(now.saturating_sub(Duration::from_nanos(sent)));
    }
}

fn aem_spins() {
    for _ in 0..TASKS {
        drop(aem::spawn(async {
            loop {
                aem::yield_now().await;
            }
        }));
    }
}

fn aem_socket(events: usize) -> io::Result<Lateness> {
    let start = Instant::now();
    let (ours, writes) = writer(start, events)?;
    let late = Rc::new(RefCell::new(Vec::new()));
    let seen = late.clone();
    aem::Runtime::new()?.block_on(async {
        aem_spins();
        let stream = aem::net::TcpStream::from_std(ours)?;
        let reading = aem::on_ok(stream.chunks(), move |chunk| {
            since(start, &chunk, &mut seen.borrow_mut());
        });
        reading.await.map_err(io::Error::other)
    })?;
    writes.join().expect("the writer does not panic");
    Ok(Lateness::of(late.take()))
}

fn aem_timer(events: usize) -> io::Result<Lateness> {
    let late = Rc::new(RefCell::new(Vec::new()));
    let seen = late.clone();
    aem::Runtime::new()?.block_on(async {
        aem_spins();
        let ticking = aem::on(aem::time::every(PERIOD), move |tick| {
            let mut seen = seen.borrow_mut();
            seen.push(tick.late);
            if seen.len() < events { aem::Next::Keep } else { aem::Next::Stop }
        });
        ticking.await.map_err(io::Error::other)
    })?;
    Ok(Lateness::of(late.take()))
}

fn tokio_local<T>(main: impl Future<Output = T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(tokio::task::LocalSet::new().block_on(&runtime, async {
        for _ in 0..TASKS {
            tokio::task::spawn_local(async {
                loop {
                    tokio::task::yield_now().await;
                }
            });
        }
        // A task like the others.
        main.await
    }))
}

fn tokio_socket(events: usize) -> io::Result<Lateness> {
    let start = Instant::now();
    let (ours, writes) = writer(start, events)?;
    let late = tokio_local(async move {
        let reading = tokio::task::spawn_local(async move {
            ours.set_nonblocking(true)?;
            let stream = tokio::net::TcpStream::from_std(ours)?;
            let mut late = Vec::new();
            let mut buffer = [0; 4096];
            loop {
                stream.readable().await?;
                match stream.try_read(&mut buffer) {
                    Ok(0) => return io::Result::Ok(late),
                    Ok(n) => since(start, &buffer[..n], &mut late),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
        });
        reading.await.map_err(io::Error::other)?
    })??;
    writes.join().expect("the writer does not panic");
    Ok(Lateness::of(late))
}

fn tokio_timer(events: usize) -> io::Result<Lateness> {
    let late = tokio_local(async move {
        let ticking = tokio::task::spawn_local(async move {
            let mut ticks = tokio::time::interval(PERIOD);
            let mut late = Vec::new();
            while late.len() < events {
                let due = ticks.tick().await;
                late.push(due.elapsed());
            }
            late
        });
        ticking.await.map_err(io::Error::other)
    })??;
    Ok(Lateness::of(late))
}

fn part(
    arguments: &Arguments,
    name: &str,
    events: usize,
    aem: fn(usize) -> io::Result<Lateness>,
    tokio: fn(usize) -> io::Result<Lateness>,
) {
    if !arguments.wants(name) {
        return;
    }
    let contenders = vec![
        Contender { name: "aem", round: Box::new(move || aem(events)) },
        Contender { name: "tokio LocalSet", round: Box::new(move || tokio(events)) },
    ];
    let all = interleave(arguments.rounds, contenders);
    let table = |title: &str, one: fn(&Lateness) -> f64| {
        let series: Vec<Series> = all.iter().map(|series| series.of(one)).collect();
        print(&format!("{name}, {title}"), "µs", Best::Least, &series, &["aem"]);
    };
    table("median", |late| late.median);
    table("99 of 100", |late| late.most);
    table("the worst", |late| late.worst);
}

fn main() {
    let arguments = Arguments::read(7);
    let events = if arguments.quick { 100 } else { 1_000 };
    part(&arguments, SOCKET, events, aem_socket, tokio_socket);
    part(&arguments, TIMER, events, aem_timer, tokio_timer);
}
