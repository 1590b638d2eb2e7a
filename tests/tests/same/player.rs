//! Who does the steps of a script on the runtime that is current, and notes what came of each.
//!
//! Noted is only what TCP decides: how many bytes came before the end and how it came, never in how many
//! chunks or at which poll. That the bytes are the right ones is checked as they come.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use aem::net::{TcpListener, TcpStream};
use aem::time::{sleep, timeout};
use aem::{Chunk, JoinError, JoinHandle, Registration};
use aem_tests::random::Random;
use aem_tests::traffic::{begin, reset_when_closed};
use futures::future::{join, join_all};

use super::script::{End, Reader, Sending, Step, Until, script};

/// No step takes longer, unless it hangs.
const LIMIT: Duration = Duration::from_secs(20);

/// Of those who look whether a job of theirs has come so far.
const PAUSE: Duration = Duration::from_micros(100);

/// Nobody listens there.
const NOBODY: &str = "127.0.0.1:1";

/// What was received at one end.
#[derive(Debug)]
struct Received {
    end: End,
    bytes: Cell<usize>,
    /// How it ended.
    told: RefCell<Option<String>>,
    /// What went wrong in the handler that read.
    wrong: RefCell<Option<String>>,
}

fn byte_at(end: End, place: usize) -> u8 {
    let salt = 2 * end.connection + usize::from(end.is_server);
    (place ^ (place >> 8) ^ (salt << 4)) as u8
}

impl Received {
    fn new(end: End) -> Rc<Received> {
        let (told, wrong) = Default::default();
        Rc::new(Received { end, bytes: Cell::new(0), told, wrong })
    }

    /// Notes what a receive gave; true if there is no more.
    fn note(&self, received: io::Result<Chunk>) -> bool {
        let told = match received {
            Ok(chunk) if chunk.is_empty() => "end of file".to_owned(),
            Ok(chunk) => {
                assert!(!self.has_ended(), "{:?}: bytes after the end", self.end);
                for byte in &*chunk {
                    let place = self.bytes.replace(self.bytes.get() + 1);
                    let right = byte_at(self.end.other(), place);
                    assert_eq!(*byte, right, "{:?}: the byte at {place}", self.end);
                }
                return false;
            }
            Err(error) => kind(&error),
        };
        let mut first = self.told.borrow_mut();
        let first = first.get_or_insert_with(|| told.clone());
        // A close of ours may come between two who read.
        let is_late = told == "NotConnected";
        assert!(*first == told || is_late, "{:?}: {first}, and then {told}", self.end);
        true
    }

    fn has_ended(&self) -> bool {
        self.told.borrow().is_some()
    }

    fn has_come(&self, sent: usize, until: Until) -> bool {
        match until {
            Until::Bytes => self.has_ended() || self.bytes.get() >= sent,
            Until::End | Until::Lost => self.has_ended(),
        }
    }
}

fn kind(error: &io::Error) -> String {
    format!("{:?}", error.kind())
}

fn outcome<T>(result: io::Result<T>) -> String {
    result.map_or_else(|error| kind(&error), |_| "ok".to_owned())
}

/// A job that reads an end.
#[derive(Debug)]
enum Job {
    Task(JoinHandle<()>),
    Handler(Registration),
}

/// An end that is there.
#[derive(Debug)]
struct Live {
    stream: TcpStream,
    received: Rc<Received>,
    job: Option<Job>,
    sent: usize,
    /// Its own direction.
    is_ended: bool,
}

impl Live {
    fn new(stream: TcpStream, end: End) -> Live {
        Live { stream, received: Received::new(end), job: None, sent: 0, is_ended: false }
    }

    /// The next bytes to send; after the end of its direction they are refused.
    fn next(&mut self, length: usize) -> Vec<u8> {
        let from = self.sent;
        self.sent += if self.is_ended { 0 } else { length };
        (from..from + length).map(|place| byte_at(self.received.end, place)).collect()
    }

    /// Reads, or has its job read.
    async fn read(&self, sent: usize, until: Until) -> String {
        let received = &*self.received;
        while !received.has_come(sent, until) {
            if self.job.is_some() {
                sleep(PAUSE).await;
            } else {
                received.note(self.stream.recv().await);
            }
        }
        match until {
            Until::Lost => "an end".to_owned(),
            _ => format!("{} bytes, {:?}", received.bytes.get(), received.told.borrow()),
        }
    }

    fn read_on_its_own(&mut self, reader: Reader) {
        let received = Rc::clone(&self.received);
        self.job = Some(match reader {
            Reader::Task => {
                let stream = self.stream.clone();
                Job::Task(aem::spawn(async move { while !received.note(stream.recv().await) {} }))
            }
            Reader::Handler => {
                let at_end = Rc::clone(&received);
                let handler = move |chunk: io::Result<Chunk>| {
                    received.note(chunk);
                };
                let registration = aem::on(self.stream.chunks(), handler).on_end(move |end| {
                    if let Err(error) = end {
                        *at_end.wrong.borrow_mut() = Some(error.to_string());
                    }
                    // A source of chunks says the end of the file by ending itself.
                    if !at_end.has_ended() {
                        at_end.note(Ok(Chunk::default()));
                    }
                });
                Job::Handler(registration.erase())
            }
        });
    }

    /// Ends with what reads it.
    async fn drop(self) {
        match self.job {
            Some(Job::Task(task)) => {
                task.abort();
                let end = task.await;
                assert!(end.as_ref().err().is_none_or(JoinError::is_cancelled), "{end:?}");
            }
            Some(Job::Handler(registration)) => drop(registration),
            None => {}
        }
        assert_eq!(self.received.wrong.take(), None, "{:?}", self.received.end);
    }
}

/// A script in progress.
#[derive(Debug)]
struct Player {
    random: Random,
    listener: Option<TcpListener>,
    address: SocketAddr,
    /// What the clients are bound to.
    clients: Vec<SocketAddr>,
    ends: Vec<[Option<Live>; 2]>,
    /// Bytes that were sent, also by those who are gone.
    sent: Vec<[usize; 2]>,
    accepted: Vec<bool>,
    /// Those whom an accept that was left has given after all.
    early: Vec<(TcpStream, SocketAddr)>,
}

/// Does the script of a seed, and tells what came of each step.
pub(super) async fn play(seed: u64) -> Vec<String> {
    // An address of its own has ports of its own, for those who wait a minute until they may be used again.
    let host = format!("127.0.{}.{}:0", seed / 200 % 200, 1 + seed % 200);
    let listener = TcpListener::bind(host).expect("a port");
    let mut player = Player {
        random: Random::new(!seed),
        address: listener.local_addr().expect("its address"),
        listener: Some(listener),
        clients: Vec::new(),
        ends: Vec::new(),
        sent: Vec::new(),
        accepted: Vec::new(),
        early: Vec::new(),
    };
    let mut trace = Vec::new();
    for step in script(seed) {
        // What chance does in a step is not to depend on what it did before.
        player.random = Random::new(seed ^ (trace.len() as u64) << 40);
        let came = timeout(LIMIT, player.step(step)).await;
        let hangs = came.is_err();
        trace.push(format!("{step:?}: {}", came.unwrap_or_else(|_| "it hangs".to_owned())));
        if hangs {
            break;
        }
    }
    trace
}

impl Player {
    fn live(&self, end: End) -> &Live {
        self.ends[end.connection][usize::from(end.is_server)].as_ref().expect("it is there")
    }

    fn live_mut(&mut self, end: End) -> &mut Live {
        self.ends[end.connection][usize::from(end.is_server)].as_mut().expect("it is there")
    }

    fn sent_to(&self, end: End) -> usize {
        self.sent[end.connection][usize::from(end.other().is_server)]
    }

    fn take(&mut self, end: End) -> Live {
        self.ends[end.connection][usize::from(end.is_server)].take().expect("it is there")
    }

    async fn step(&mut self, step: Step) -> String {
        match step {
            Step::Connect => self.connect().await,
            Step::LeaveConnect => {
                let _ = begin(TcpStream::connect(self.address), &mut self.random).await;
                String::new()
            }
            Step::ConnectToNobody => outcome(TcpStream::connect(NOBODY).await),
            Step::Accept => self.accept().await,
            Step::LeaveAccept => {
                let listener = self.listener.as_ref().expect("it is there");
                if let Ok(accepted) = begin(listener.accept(), &mut self.random).await {
                    self.early.push(accepted.expect("a connection"));
                }
                String::new()
            }
            Step::DropListener => self.drop_listener().await,
            Step::Send(end, length, how) => self.send(end, length, how).await,
            Step::LeaveReceive(end) => {
                let live = self.ends[end.connection][usize::from(end.is_server)].as_ref();
                let live = live.expect("it is there");
                if let Ok(received) = begin(live.stream.recv(), &mut self.random).await {
                    live.received.note(received);
                }
                String::new()
            }
            Step::Read(end, until) => self.live(end).read(self.sent_to(end), until).await,
            Step::ReadOnItsOwn(end, reader) => {
                self.live_mut(end).read_on_its_own(reader);
                // A handler that is dropped before it began is remarked on.
                aem::yield_now().await;
                String::new()
            }
            Step::HalfClose(end) => {
                let live = self.live_mut(end);
                live.is_ended = true;
                outcome(live.stream.shutdown(Shutdown::Write))
            }
            Step::Close(end, read) => self.close(end, read).await,
            Step::UseClosed(end) => self.use_closed(end).await,
            Step::SendToNobody(end) => loop {
                if let Err(error) = self.live(end).stream.send(vec![0; 10]).await {
                    break kind(&error);
                }
                sleep(PAUSE).await;
            },
            Step::Drop(end) => {
                self.take(end).drop().await;
                String::new()
            }
            Step::Reset(end) => {
                reset_when_closed(&self.live(end).stream);
                self.take(end).drop().await;
                String::new()
            }
            Step::Sleep(times) => sleep_through(times).await,
            Step::ReceiveInVain(end, time) => self.receive_in_vain(end, time).await,
        }
    }

    async fn connect(&mut self) -> String {
        let stream = match TcpStream::connect(self.address).await {
            Ok(stream) => stream,
            Err(error) => return kind(&error),
        };
        self.clients.push(stream.local_addr().expect("its address"));
        let end = End { connection: self.ends.len(), is_server: false };
        self.ends.push([Some(Live::new(stream, end)), None]);
        self.sent.push([0, 0]);
        self.accepted.push(false);
        "ok".to_owned()
    }

    /// In any order, and among strangers: those who left their connect may have come that far.
    async fn accept(&mut self) -> String {
        let mut early = std::mem::take(&mut self.early).into_iter();
        let mut said = Vec::new();
        while self.accepted.contains(&false) {
            let (stream, peer) = match early.next() {
                Some(arrival) => arrival,
                None => match self.listener.as_ref().expect("it is there").accept().await {
                    Ok(arrival) => arrival,
                    Err(error) => return kind(&error),
                },
            };
            if let Some(connection) = self.clients.iter().position(|client| *client == peer) {
                let end = End { connection, is_server: true };
                self.ends[connection][1] = Some(Live::new(stream, end));
                self.accepted[connection] = true;
                said.push(connection);
            }
        }
        said.sort_unstable();
        format!("{said:?}")
    }

    /// A keeper may need a turn to let go of the socket.
    async fn drop_listener(&mut self) -> String {
        self.listener = None;
        self.early.clear();
        loop {
            match TcpStream::connect(self.address).await {
                Ok(_) => sleep(PAUSE).await,
                // A connect that is under way when the listener closes is reset.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
                Err(error) => break kind(&error),
            }
        }
    }

    async fn send(&mut self, end: End, length: usize, how: Sending) -> String {
        let side = usize::from(end.is_server);
        let payload = self.live_mut(end).next(length);
        let sent = self.live(end).stream.send(payload);
        let outcome = match how {
            Sending::Awaited => outcome(sent.await),
            Sending::AwaitedAndRead => {
                let other = self.live(end.other());
                let all = self.live(end).sent;
                let (sent, read) = join(sent, other.read(all, Until::Bytes)).await;
                format!("{}, {read}", outcome(sent))
            }
            Sending::Dropped => String::new(),
            Sending::Left => {
                // Of one that was refused nobody hears.
                let _ = begin(sent, &mut self.random).await;
                String::new()
            }
        };
        self.sent[end.connection][side] = self.live(end).sent;
        outcome
    }

    async fn close(&mut self, end: End, read: bool) -> String {
        let (live, other) = (self.live(end), end.other());
        let closed = if read {
            let all = self.sent_to(other);
            join(live.stream.close(), self.live(other).read(all, Until::Bytes)).await.0
        } else {
            live.stream.close().await
        };
        // A job that reads is told, unless there had been an end before.
        while live.job.is_some() && !live.received.has_ended() {
            sleep(PAUSE).await;
        }
        format!("{}, {:?}", outcome(closed), live.received.told.borrow())
    }

    async fn use_closed(&mut self, end: End) -> String {
        let stream = &self.live(end).stream;
        let all = [
            outcome(stream.recv().await),
            outcome(stream.send("late").await),
            outcome(stream.flush().await),
            outcome(stream.shutdown(Shutdown::Write)),
            outcome(stream.close().await),
        ];
        all.join(" ")
    }

    async fn receive_in_vain(&mut self, end: End, time: usize) -> String {
        let live = self.live(end);
        match timeout(Duration::from_micros(time as u64), live.stream.recv()).await {
            Err(_elapsed) => "nothing".to_owned(),
            Ok(received) => format!("{}, unexpected", outcome(received)),
        }
    }
}

async fn sleep_through(times: [usize; 3]) -> String {
    let start = Instant::now();
    join_all(times.map(async |us| {
        let time = Duration::from_micros(us as u64);
        sleep(time).await;
        assert!(start.elapsed() >= time, "{:?} are not {time:?}", start.elapsed());
    }))
    .await;
    "all".to_owned()
}
