//! Out of descriptors is a state: a server with 64 of them and 200 clients neither fails nor spins, says so
//! once an episode, and serves again as soon as there are descriptors.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use aem_tests::child::Program;
use aem_tests::proc::doings;
use aem_tests::scale::scaled;

const LIMIT: Duration = Duration::from_secs(30);
const CLIENTS: usize = 200;

/// So long without a shortage, and the next one is a new episode; the listener's own number, and a bit.
const EPISODE_GAP: Duration = Duration::from_millis(10_600);

/// Of a processor, while there are no descriptors.
const MOST_CPU: f64 = 0.02;

fn connect(address: &str) -> TcpStream {
    let mut client = TcpStream::connect(address).expect("the backlog has room");
    client.set_read_timeout(Some(Duration::from_millis(1))).expect("a time limit");
    client.write_all(b"?").expect("sent");
    client
}

/// Whether the server has answered.
fn is_served(client: &mut TcpStream) -> bool {
    match client.read(&mut [0]) {
        Ok(1) => true,
        Ok(_) => panic!("the server closed a connection"),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => false,
        Err(error) => panic!("a connection was lost: {error}"),
    }
}

/// Sorts out those that are served, until as many are.
fn await_service(clients: &mut Vec<TcpStream>, wanted: usize, limit: Duration) -> Vec<TcpStream> {
    let deadline = Instant::now() + limit;
    let mut served = Vec::new();
    loop {
        let mut waiting = Vec::new();
        for mut client in clients.drain(..) {
            if is_served(&mut client) { served.push(client) } else { waiting.push(client) }
        }
        *clients = waiting;
        if served.len() >= wanted {
            return served;
        }
        assert!(Instant::now() < deadline, "{} of {wanted} served in time", served.len());
    }
}

/// Goes, and waits until the server has closed its end as well: its descriptor is free by then.
fn leave(mut client: TcpStream) {
    client.shutdown(Shutdown::Write).expect("a connection");
    client.set_read_timeout(Some(LIMIT)).expect("a time limit");
    assert_eq!(client.read(&mut [0; 64]).expect("the end"), 0);
}

/// Nanoseconds on a processor.
fn cpu(child: &Program) -> u64 {
    let scheduled = doings(child.pid()).expect("the child lives").scheduled;
    scheduled.split(' ').next().and_then(|first| first.parse().ok()).expect("schedstat")
}

/// Measures the share of a processor that the server takes while nobody can be accepted.
fn assert_calm(child: &Program, whole: Duration) {
    let (before, start) = (cpu(child), Instant::now());
    std::thread::sleep(whole);
    let spent = Duration::from_nanos(cpu(child) - before);
    let share = spent.as_secs_f64() / start.elapsed().as_secs_f64();
    println!("{:.3} % of a core while out of descriptors", share * 100.0);
    assert!(share <= MOST_CPU, "{:.2} % of a core", share * 100.0);
}

fn lines_about_it(errors: &str) -> usize {
    errors.lines().filter(|line| line.contains("accepting on") && line.contains("pauses")).count()
}

/// An episode: 200 clients come, some are served, the rest wait; then descriptors are free again.
fn episode(child: &Program, address: &str, calm: Duration) {
    let mut waiting: Vec<TcpStream> = (0..CLIENTS).map(|_| connect(address)).collect();
    let served = await_service(&mut waiting, 40, LIMIT);
    std::thread::sleep(Duration::from_millis(100));
    assert!(waiting.len() > CLIENTS - 64, "more were served than there are descriptors");
    assert_calm(child, calm);
    // Clients go, and the server closes: a descriptor of ours tells the listener at once.
    let goers = served.len();
    drop(served);
    let served = await_service(&mut waiting, goers, Duration::from_secs(1));
    drop((served, waiting));
    let mut last = vec![connect(address)];
    await_service(&mut last, 1, Duration::from_secs(2));
}

fn serve_through_two_episodes(kind: &str) {
    let mut child = Program::start(env!("CARGO_BIN_EXE_crammed"), &["64", kind]);
    let address = child.line(LIMIT);
    episode(&child, &address, scaled(Duration::from_secs(5), Duration::from_secs(1)));
    std::thread::sleep(EPISODE_GAP);
    episode(&child, &address, Duration::from_millis(300));
    let errors = child.kill();
    assert_eq!(lines_about_it(&errors), 2, "a line an episode: {errors}");
    assert_eq!(errors.lines().count(), 2, "and nothing else: {errors}");
}

#[test]
fn handlers_serve_through_a_shortage() {
    serve_through_two_episodes("handlers");
}

#[test]
fn tasks_serve_through_a_shortage() {
    serve_through_two_episodes("tasks");
}

#[test]
fn descriptors_that_others_free_are_found_within_a_second() {
    let mut child = Program::start(env!("CARGO_BIN_EXE_crammed"), &["64", "handlers"]);
    let address = child.line(LIMIT);
    for _ in 0..3 {
        child.tell("hoard");
        assert!(child.line(LIMIT).ends_with("hoarded"));
        let mut clients: Vec<TcpStream> = (0..8).map(|_| connect(&address)).collect();
        // Long enough for the pauses to have grown to their longest.
        assert_calm(&child, Duration::from_millis(1_200));
        assert!(!clients.iter_mut().any(is_served), "served without a descriptor");
        child.tell("release");
        assert_eq!(child.line(LIMIT), "released");
        // Nobody tells the listener of these, so this is its own next try.
        for client in await_service(&mut clients, 8, Duration::from_secs(1)) {
            leave(client);
        }
    }
    let errors = child.kill();
    assert_eq!(lines_about_it(&errors), 1, "one episode: {errors}");
    assert_eq!(errors.lines().count(), 1, "and nothing else: {errors}");
}
