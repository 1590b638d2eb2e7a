//! Begins much, and leaves it at random points: `abandoned drop|forget COUNT SEED`.
//!
//! Receives, sends, accepts and connects are polled now and then, and dropped or forgotten, under an
//! allocator that closes what was given back ([`aem_tests::guarded`]). Every byte that arrives is checked,
//! every error is told, and at the end a line says what was done.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use aem::fs::File;
use aem::net::{TcpListener, TcpStream};
use aem::time::{sleep, timeout};
use aem_tests::guarded::{self, Guarded};
use aem_tests::limits::raise_descriptors;
use aem_tests::proc::descriptors;
use aem_tests::random::Random;
use aem_tests::traffic::begin;
use futures::future::join;

#[global_allocator]
static GUARDED: Guarded = Guarded;

/// Pairs of streams on which bytes go one way.
const PAIRS: usize = 4;

/// What may be under way on one of them before it is read to the end.
const MOST_UNREAD: usize = 4 << 20;

/// Forgotten connects keep their sockets, so there are not more.
const CONNECTS_FORGOTTEN: usize = 300;

/// Of memory, from the first quarter of the drops to the end.
const MOST_GROWTH: i64 = 32 << 10;

/// Of memory, from the end of the first runtime to that of the last: that of a few messages.
const MOST_LEFT: i64 = 1 << 10;

/// Runtimes, one after the other.
const ROUNDS: usize = 4;

/// In the file that is read.
const FILE_BYTES: usize = 64 << 10;

/// Nothing that has to happen takes longer.
const LIMIT: Duration = Duration::from_secs(30);

fn byte_at(place: usize) -> u8 {
    (place ^ (place >> 8)) as u8
}

/// Two ends; `sent` and `received` are places in the stream of bytes from one to the other.
struct Pair {
    from: TcpStream,
    to: TcpStream,
    sent: usize,
    received: usize,
}

impl Pair {
    async fn new(listener: &TcpListener, address: SocketAddr) -> io::Result<Pair> {
        let (from, to) = join(TcpStream::connect(address), listener.accept()).await;
        let (from, mut to) = (from?, to?);
        // Some who has left his connect may be before us.
        while to.1 != from.local_addr()? {
            to = listener.accept().await?;
        }
        Ok(Pair { from, to: to.0, sent: 0, received: 0 })
    }

    fn payload(&mut self, length: usize) -> Vec<u8> {
        self.sent += length;
        (self.sent - length..self.sent).map(byte_at).collect()
    }

    fn check(&mut self, bytes: &[u8]) {
        for byte in bytes {
            assert_eq!(*byte, byte_at(self.received), "at {}", self.received);
            self.received += 1;
        }
    }

    /// Reads all that was sent.
    async fn read_up(&mut self) -> io::Result<()> {
        while self.received < self.sent {
            let chunk = timeout(LIMIT, self.to.recv()).await??;
            assert!(!chunk.is_empty(), "an end after {} of {}", self.received, self.sent);
            self.check(&chunk);
        }
        Ok(())
    }
}

/// A listener that has no room for another connection: whoever connects waits.
struct Crowded {
    address: SocketAddr,
    _listener: std::net::TcpListener,
    _waiting: Vec<OwnedFd>,
}

impl Crowded {
    fn new() -> io::Result<Crowded> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        // SAFETY: takes integers; the descriptor is open.
        unsafe { libc::listen(listener.as_raw_fd(), 0) };
        let address = listener.local_addr()?;
        let mut waiting = Vec::new();
        for _ in 0..3 {
            let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
            // SAFETY: takes integers.
            let fd = unsafe { libc::socket(libc::AF_INET, kind, 0) };
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: new, and nobody else knows of it.
            let socket = unsafe { OwnedFd::from_raw_fd(fd) };
            let SocketAddr::V4(to) = address else { unreachable!("it was bound to one") };
            let name = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: to.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from(*to.ip()).to_be() },
                sin_zero: [0; 8],
            };
            let length = size_of_val(&name) as libc::socklen_t;
            // SAFETY: the address lives for the call. That it takes its time is what it is for.
            unsafe { libc::connect(socket.as_raw_fd(), (&raw const name).cast(), length) };
            waiting.push(socket);
        }
        Ok(Crowded { address, _listener: listener, _waiting: waiting })
    }
}

struct World {
    random: Random,
    forget: bool,
    listener: TcpListener,
    address: SocketAddr,
    crowded: Crowded,
    pairs: Vec<Pair>,
    /// Connections that nobody has accepted.
    clients: Vec<TcpStream>,
    connects_forgotten: usize,
    file: File,
}

/// Begins something, and leaves it unless it is done by then.
async fn leave<F: Future>(future: F, random: &mut Random, forget: bool) -> Option<F::Output> {
    let left = match begin(future, random).await {
        Ok(output) => return Some(output),
        Err(left) => left,
    };
    if forget {
        std::mem::forget(left);
    }
    None
}

/// A file without a name, with [`byte_at`] everywhere.
fn nameless_file() -> io::Result<File> {
    let name = format!("aem-abandoned-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, (0..FILE_BYTES).map(byte_at).collect::<Vec<u8>>())?;
    let file = std::fs::File::open(&path);
    std::fs::remove_file(path)?;
    Ok(file?.into())
}

/// What can be under way. Each says whether it was left before its end.
impl World {
    async fn new(forget: bool, seed: u64) -> io::Result<World> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let mut pairs = Vec::new();
        for _ in 0..PAIRS {
            pairs.push(Pair::new(&listener, address).await?);
        }
        let (random, crowded) = (Random::new(seed), Crowded::new()?);
        let (clients, connects_forgotten) = (Vec::new(), 0);
        let file = nameless_file()?;
        Ok(World {
            random,
            forget,
            listener,
            address,
            crowded,
            pairs,
            clients,
            connects_forgotten,
            file,
        })
    }

    async fn read_file(&mut self) -> io::Result<bool> {
        let (offset, length) = (self.random.below(FILE_BYTES), 1 + self.random.below(2_000));
        let read = self.file.read_at(length, offset as u64);
        let Some(bytes) = leave(read, &mut self.random, self.forget).await else {
            return Ok(true);
        };
        let bytes = bytes?;
        assert_eq!(bytes.len(), length.min(FILE_BYTES - offset));
        assert!(bytes.iter().zip(offset..).all(|(byte, place)| *byte == byte_at(place)));
        Ok(false)
    }

    async fn receive(&mut self) -> io::Result<bool> {
        let pair = &mut self.pairs[self.random.below(PAIRS)];
        if self.random.one_in(2) {
            let payload = pair.payload(1 + self.random.below(3_000));
            pair.from.send(payload);
        }
        let Some(chunk) = leave(pair.to.recv(), &mut self.random, self.forget).await else {
            return Ok(true);
        };
        pair.check(&chunk?);
        Ok(false)
    }

    async fn send(&mut self) -> io::Result<bool> {
        let which = self.random.below(PAIRS);
        let pair = &mut self.pairs[which];
        let most = if self.random.one_in(20) { 400_000 } else { 9_000 };
        let payload = pair.payload(1 + self.random.below(most));
        let sent = leave(pair.from.send(payload), &mut self.random, self.forget).await;
        let left = sent.transpose()?.is_none();
        if pair.sent - pair.received > MOST_UNREAD {
            pair.read_up().await?;
        } else if self.random.one_in(30) && !self.forget {
            // With all that is queued, and whatever is under way.
            self.pairs[which] = Pair::new(&self.listener, self.address).await?;
        }
        Ok(left)
    }

    async fn accept(&mut self) -> io::Result<bool> {
        if self.random.one_in(4) {
            self.clients.push(timeout(LIMIT, TcpStream::connect(self.address)).await??);
        }
        let accepted = leave(self.listener.accept(), &mut self.random, self.forget).await;
        Ok(accepted.transpose()?.is_none())
    }

    async fn connect(&mut self) -> io::Result<bool> {
        let address = if self.random.one_in(2) { self.crowded.address } else { self.address };
        let forget = self.forget && self.connects_forgotten < CONNECTS_FORGOTTEN;
        let connected = leave(TcpStream::connect(address), &mut self.random, forget).await;
        let left = connected.transpose()?.is_none();
        self.connects_forgotten += usize::from(forget && left);
        Ok(left && forget == self.forget)
    }

    /// Accepts all who wait, and reads all that is on its way: everything works on.
    async fn tidy_up(&mut self) -> io::Result<()> {
        for pair in &mut self.pairs {
            pair.read_up().await?;
        }
        let last = timeout(LIMIT, TcpStream::connect(self.address)).await??;
        while timeout(LIMIT, self.listener.accept()).await??.1 != last.local_addr()? {}
        self.clients.clear();
        Ok(())
    }

    /// Has something of each kind under way.
    async fn leave_in_full_flight(&mut self) -> io::Result<()> {
        for _ in 0..20 {
            self.receive().await?;
            self.send().await?;
            self.accept().await?;
            self.connect().await?;
            self.read_file().await?;
        }
        Ok(())
    }

    /// Leaves so many futures.
    async fn leave(&mut self, count: usize) -> io::Result<()> {
        let (mut left, mut steps) = (0, 0_usize);
        while left < count {
            let was_left = match self.random.below(5) {
                0 => self.receive().await?,
                1 => self.send().await?,
                2 => self.accept().await?,
                3 => self.read_file().await?,
                _ => self.connect().await?,
            };
            left += usize::from(was_left);
            steps += 1;
            if steps.is_multiple_of(100) {
                self.tidy_up().await?;
            }
        }
        self.tidy_up().await
    }
}

/// Bytes that are lent when nothing is under way.
async fn settled() -> i64 {
    sleep(Duration::from_millis(50)).await;
    guarded::count().live
}

/// Tells by how much memory has grown meanwhile. The runtime ends with whatever is under way then.
async fn run(forget: bool, count: usize, seed: u64) -> io::Result<i64> {
    let mut world = World::new(forget, seed).await?;
    world.leave(count / 4).await?;
    let before = settled().await;
    world.leave(count - count / 4).await?;
    let growth = settled().await - before;
    world.leave_in_full_flight().await?;
    Ok(growth)
}

fn main() -> aem::Result {
    raise_descriptors()?;
    let arguments: Vec<String> = std::env::args().collect();
    let number = |index: usize| arguments[index].parse::<u64>().expect("a number");
    let forget = match arguments[1].as_str() {
        "forget" => true,
        "drop" => false,
        other => panic!("no way to leave: {other}"),
    };
    let (number, seed) = (number(2) as usize, number(3));
    let before = descriptors();
    let (mut most, mut live) = (0, Vec::new());
    for round in 0..ROUNDS {
        most = aem::block_on(run(forget, number / ROUNDS, seed + round as u64))?.max(most);
        live.push(guarded::count().live);
    }
    let (after, count) = (descriptors(), guarded::count());
    let left = live[ROUNDS - 1] - live[0];
    println!("{number} left, {most} bytes more in a runtime, {left} after it, {count:?}");
    assert!(count.missed < count.pieces / 100, "most pieces are to be watched");
    if !forget {
        assert!(most <= MOST_GROWTH, "{most} bytes more in a runtime");
        assert!(left <= MOST_LEFT, "{left} bytes more from the first runtime's end to the last's");
        assert_eq!(after, before, "descriptors");
    }
    Ok(())
}
