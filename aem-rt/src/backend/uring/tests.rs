//! The keeper's own mechanism: forms that are refused, buffers that run dry, rings that are too small.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use super::*;
use crate::chunk::Chunk;

/// Nothing here takes longer, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a ring's restrictions are told to leave out.
#[derive(Clone, Copy, Debug, Default)]
struct Denied {
    entries: &'static [u8],
    buffer_ring: bool,
}

/// A keeper on a ring that refuses what is `denied`, as an older kernel would; none where there is no
/// io_uring at all, which is said.
fn restricted(config: &Config, denied: Denied) -> Option<UringKeeper> {
    let shape = Shape { completions: config.completions, ..UringKeeper::shape(config) };
    let entries = OPCODES.iter().map(|(code, _)| *code);
    let entries: Vec<u8> = entries.filter(|code| !denied.entries.contains(code)).collect();
    match Ring::restricted(&shape, &entries, !denied.buffer_ring) {
        Ok(ring) => Some(UringKeeper::with_ring(config, ring).unwrap()),
        Err(error) => {
            let required = std::env::var("AEM_REQUIRE").unwrap_or_default();
            assert!(!required.contains("io_uring"), "io_uring is required: {error}");
            println!("skipped: io_uring is refused here: {error}");
            None
        }
    }
}

fn keeper(config: &Config) -> Option<UringKeeper> {
    restricted(config, Denied::default())
}

impl UringKeeper {
    fn turn(&mut self, wait: Duration) -> Vec<Completion> {
        let mut done = Vec::new();
        self.start();
        done.extend(std::iter::from_fn(|| self.next()));
        let wait = if done.is_empty() { wait } else { Duration::ZERO };
        self.wait(Some(wait)).unwrap();
        done.extend(std::iter::from_fn(|| self.next()));
        done
    }

    /// Turns until `enough` of the completions have come.
    fn collect(&mut self, enough: impl Fn(&[Completion]) -> bool) -> Vec<Completion> {
        let start = Instant::now();
        let mut all = Vec::new();
        while !enough(&all) {
            assert!(start.elapsed() < PATIENCE, "still waiting after {all:?}");
            all.extend(self.turn(Duration::from_millis(100)));
        }
        all
    }

    /// Cancels an op and turns until it is over.
    fn end(&mut self, token: Token) -> Vec<Completion> {
        self.cancel(token);
        self.collect(|all| all.iter().any(|it| it.token == token && !it.more))
    }

    fn pair(&mut self) -> (Rc<Descriptor>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (ours, _) = listener.accept().unwrap();
        ours.set_nonblocking(true).unwrap();
        (self.adopt(ours.into(), Attach::OnFirstUse).unwrap(), theirs)
    }
}

fn received(all: &[Completion]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for completion in all {
        if let Answer::Received(chunk) = &completion.answer {
            bytes.extend_from_slice(chunk);
        }
    }
    bytes
}

/// Accepts, receives and sends with whatever forms are left, and says what they are.
fn exchange(keeper: &mut UringKeeper) -> Forms {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let listener = keeper.adopt(listener.into(), Attach::OnFirstUse).unwrap();
    let accept = keeper.submit(Op::Accept { listener });
    let mut clients: Vec<TcpStream> =
        (0..40).map(|_| TcpStream::connect(address).unwrap()).collect();
    let accepted = keeper.collect(|all| all.len() == 40);
    for (answer, client) in accepted.into_iter().zip(&mut clients) {
        assert!(answer.more && answer.token == accept, "{answer:?}");
        let Answer::Accepted(fd, peer) = answer.answer else { panic!("{:?}", answer.answer) };
        assert_eq!(peer, Some(client.local_addr().unwrap()));
        let socket = keeper.adopt(fd, Attach::OnFirstUse).unwrap();
        let receive = keeper.submit(Op::Receive { socket: socket.clone() });
        client.write_all(b"ping").unwrap();
        let all = keeper.collect(|all| received(all).len() == 4);
        assert!(all.iter().all(|it| it.token == receive && it.more), "{all:?}");
        client.write_all(b"pong").unwrap();
        assert_eq!(received(&keeper.collect(|all| received(all).len() == 4)), b"pong");
        let mut queue = SendQueue::default();
        queue.push(vec![1; 10]);
        queue.push(vec![2; 10]);
        let send = keeper.submit(Op::Send { socket, queue: Box::new(queue) });
        let all = keeper.collect(|all| all.iter().any(|it| it.token == send));
        assert!(matches!(
            &all[..],
            [Completion { answer: Answer::Sent { result: Ok(20), .. }, .. }]
        ));
        let mut answer = [0; 20];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(keeper.end(receive).len(), 1);
    }
    keeper.end(accept);
    assert_eq!(keeper.pending(), 0);
    keeper.forms
}

#[test]
fn each_form_that_is_refused_is_done_without() {
    const ACCEPT: &[u8] = &[opcode::AcceptMulti::CODE];
    const RECEIVE: &[u8] = &[opcode::RecvMulti::CODE];
    const BOTH: &[u8] = &[opcode::AcceptMulti::CODE, opcode::RecvMulti::CODE];
    let none = Denied::default();
    for (denied, accepts, receives) in [
        (none, true, true),
        (Denied { entries: ACCEPT, ..none }, false, true),
        (Denied { entries: RECEIVE, ..none }, true, false),
        (Denied { buffer_ring: true, ..none }, true, false),
        (Denied { entries: BOTH, buffer_ring: true }, false, false),
    ] {
        let Some(mut keeper) = restricted(&Config::default(), denied) else { return };
        let without = Config::default().without;
        let forms = exchange(&mut keeper);
        assert_eq!(
            forms.multishot_accept,
            accepts && !without.contains(Without::MULTISHOT_ACCEPT),
            "{denied:?}"
        );
        let buffers = !without.contains(Without::BUFFER_RING);
        let multishot = buffers && !without.contains(Without::MULTISHOT_RECEIVE);
        assert_eq!(forms.multishot_receive, receives && multishot, "{denied:?}");
    }
}

#[test]
fn each_part_that_is_not_wanted_is_done_without() {
    for name in Without::names().split(", ") {
        let config = Config { without: Without::parse(name).unwrap(), ..Config::default() };
        let Some(mut keeper) = keeper(&config) else { return };
        exchange(&mut keeper);
    }
}

#[test]
fn a_pool_of_four_small_buffers_brings_all_bytes_in_order() {
    let config = Config { pool_bytes: 4 * 128, buffer_size: 128, ..Config::default() };
    let Some(mut keeper) = keeper(&config) else { return };
    let (socket, mut theirs) = keeper.pair();
    let receive = keeper.submit(Op::Receive { socket });
    let sent: Vec<u8> = (0..4096 * 32_u32).map(|n| (n ^ n >> 8) as u8).collect();
    let pieces = sent.clone();
    let writer = std::thread::spawn(move || {
        pieces.chunks(32).for_each(|piece| theirs.write_all(piece).unwrap());
        theirs
    });
    let (start, mut turns, mut all, mut kept) = (Instant::now(), 0, Vec::new(), Vec::new());
    while all.len() < sent.len() {
        assert!(start.elapsed() < PATIENCE, "{} bytes", all.len());
        turns += 1;
        for completion in keeper.turn(Duration::from_millis(100)) {
            let Answer::Received(chunk) = completion.answer else {
                panic!("{:?}", completion.answer)
            };
            all.extend_from_slice(&chunk);
            // Some are held back, so that the pool is dry most of the time.
            kept.push(chunk);
            if kept.len() > 7 {
                kept.clear();
            }
        }
    }
    assert_eq!(all, sent);
    assert!(turns <= 2 * 4096, "{turns} turns for 4,096 sends");
    drop(writer.join().unwrap());
    keeper.end(receive);
}

#[test]
fn a_pool_of_none_brings_all_bytes() {
    let Some(mut keeper) = keeper(&Config { pool_bytes: 0, ..Config::default() }) else { return };
    exchange(&mut keeper);
}

#[test]
fn a_burst_beyond_the_ring_of_completions_is_kept() {
    burst_of_data(512);
    burst_of_data(16);
}

fn burst_of_data(completions: u32) {
    let Some(mut keeper) = keeper(&Config { completions, ..Config::default() }) else { return };
    let pairs: Vec<_> = (0..200).map(|_| keeper.pair()).collect();
    let mut tokens = Vec::new();
    for (socket, _) in &pairs {
        tokens.push(keeper.submit(Op::Receive { socket: socket.clone() }));
    }
    keeper.turn(Duration::ZERO);
    for round in 0..50_u8 {
        for (_, theirs) in &pairs {
            (&*theirs).write_all(&[round]).unwrap();
        }
    }
    let mut all: Vec<Vec<u8>> = vec![Vec::new(); 200];
    let start = Instant::now();
    while all.iter().any(|bytes| bytes.len() < 50) {
        assert!(start.elapsed() < PATIENCE);
        for completion in keeper.turn(Duration::from_millis(100)) {
            let index = tokens.iter().position(|token| *token == completion.token).unwrap();
            let Answer::Received(chunk) = completion.answer else { panic!() };
            all[index].extend_from_slice(&chunk);
        }
    }
    assert!(all.iter().all(|bytes| *bytes == (0..50).collect::<Vec<u8>>()));
}

/// A loop that is held in a handler: ten thousand answers come before anybody looks, and the ring has room
/// for sixteen.
#[test]
fn ten_thousand_completions_come_once_each_through_a_ring_of_sixteen() {
    const OPS: usize = 10_000;
    let Some(mut keeper) = keeper(&Config { completions: 16, ..Config::default() }) else { return };
    let ring = format!("{:?}", keeper.ring);
    assert!(ring.contains("completions: 16,"), "{ring}");
    let pairs: Vec<_> = (0..100).map(|_| keeper.pair()).collect();
    let poll = |socket: &Rc<Descriptor>| Op::Poll {
        descriptor: socket.clone(),
        interest: Interest::READABLE,
    };
    let tokens: Vec<Token> =
        (0..OPS).map(|number| keeper.submit(poll(&pairs[number % 100].0))).collect();
    while !keeper.due.is_empty() {
        assert!(keeper.turn(Duration::ZERO).is_empty(), "nothing is readable yet");
    }
    pairs.iter().for_each(|(_, theirs)| (&*theirs).write_all(b"x").unwrap());
    std::thread::sleep(Duration::from_millis(20));
    let all = keeper.collect(|all| all.len() >= OPS);
    assert!(keeper.turn(Duration::from_millis(10)).is_empty(), "one comes twice");
    assert!(all.iter().all(|it| !it.more && matches!(it.answer, Answer::Ready(_))));
    let mut answered: Vec<u64> = all.iter().map(|it| it.token.to_bits()).collect();
    let mut asked: Vec<u64> = tokens.iter().map(|token| token.to_bits()).collect();
    answered.sort_unstable();
    asked.sort_unstable();
    assert!(answered == asked, "{} answers to {OPS} ops", answered.len());
    assert_eq!(keeper.pending(), 0);
}

#[test]
fn what_a_chunk_holds_stays_as_it_is_while_its_pool_goes_on() {
    let config = Config { pool_bytes: 8 * 256, buffer_size: 256, ..Config::default() };
    let Some(mut keeper) = keeper(&config) else { return };
    let (socket, mut theirs) = keeper.pair();
    let receive = keeper.submit(Op::Receive { socket });
    let mut kept: Vec<(u8, Chunk)> = Vec::new();
    for round in 0..200_u8 {
        theirs.write_all(&[round; 100]).unwrap();
        let mut missing = 100;
        while missing > 0 {
            for completion in keeper.turn(Duration::from_millis(100)) {
                let Answer::Received(chunk) = completion.answer else { panic!() };
                missing -= chunk.len();
                kept.push((round, chunk));
            }
        }
        if round % 16 == 15 {
            kept.drain(..kept.len() / 2);
        }
        assert!(kept.iter().all(|(round, chunk)| chunk.iter().all(|byte| byte == round)));
    }
    keeper.end(receive);
}

/// More is asked than the ring of entries takes: there are more calls.
#[test]
fn more_ops_than_entries_are_all_asked() {
    let Some(mut keeper) = keeper(&Config::default()) else { return };
    let pairs: Vec<_> = (0..300).map(|_| keeper.pair()).collect();
    let mut open = Vec::new();
    for (socket, _) in &pairs {
        open.push(keeper.submit(Op::Receive { socket: socket.clone() }));
    }
    pairs.iter().for_each(|(_, theirs)| (&*theirs).write_all(b"x").unwrap());
    keeper.collect(|all| received(all).len() == 300);
    open.iter().for_each(|token| keeper.cancel(*token));
    let last = keeper.collect(|all| all.len() == 300);
    assert!(last.iter().all(|it| !it.more && matches!(it.answer, Answer::Cancelled(None))));
    assert_eq!(keeper.pending(), 0);
}
