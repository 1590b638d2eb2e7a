//! One connection: what was received goes in, answers come out.
//!
//! Nothing of a connection runs but these handlers, each to its end, on the one thread there is:
//!
//! ```text
//! received    bytes came: answer all requests in them, with one write
//! sent        the kernel took what was to be sent first: go on with the requests
//! look        the server's timer: end what has made no progress
//! wind_down   the server ends: finish the answer in progress, then end
//! ```
//!
//! Each is called through the server, which lends it a [`Visit`] and takes the connection off its list
//! when it returns [`Next::Stop`].
//!
//! What is said is in [`Dialogue`]; this file decides when. While `sent` is awaited, `received` is
//! paused. So a client that does not read its answers is not read either, and what it costs is
//! bounded.
//!
//! A connection that we end is half closed first and listened to for a while, so that the client
//! gets to read its last answer.

use crate::answers::Answers;
use crate::dialogue::{Dialogue, Service};
use crate::limits::{LINGER, LINGER_BYTES, TAKEN_LEAST};
use crate::server::Server;
use aem::net::TcpStream;
use aem::{Chunk, Control, Next, Registration, State, WeakState};
use futures::stream;
use std::io;
use std::net::{IpAddr, Shutdown};
use std::time::{Duration, Instant};

/// One client's connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// Of what calls [`Connection::received`].
    reading: Control,
    dialogue: Dialogue,
    /// What few are at; the others are idle, and that should cost little.
    busy: Option<Box<Busy>>,
    /// When a request was begun or answered, or enough of an answer taken.
    progress: Stamp,
}

/// A moment in a quarter of the room: milliseconds since the server's start, which begin anew after 49 days.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp(u32);

impl Stamp {
    pub(crate) fn of(now: Instant, start: Instant) -> Stamp {
        Stamp(now.saturating_duration_since(start).as_millis() as u32)
    }

    /// The time from another one to this, if that is not too long.
    fn since(self, earlier: Stamp) -> Duration {
        Duration::from_millis(self.0.wrapping_sub(earlier.0).into())
    }
}

/// What a connection is lent for an event.
#[derive(Debug)]
pub(crate) struct Visit<'a> {
    pub(crate) server: &'a WeakState<Server>,
    /// Where it is on the server's list.
    pub(crate) key: usize,
    pub(crate) service: &'a Service,
    /// Empty, and made of the moment of the event.
    pub(crate) answers: &'a mut Answers,
    /// When the server was started.
    pub(crate) start: Instant,
}

impl Visit<'_> {
    fn now(&self) -> Stamp {
        Stamp::of(self.answers.now(), self.start)
    }

    fn server(&self) -> State<Server> {
        self.server.upgrade().expect("the handlers that visit keep it")
    }
}

/// What is to be waited for before the next request is answered.
#[derive(Debug)]
enum Busy {
    /// The handler `sent`, which is awaited, and how much was to be taken when there was progress last.
    Sending { queued: usize, _sent: Registration },
    /// Our side is closed, and what comes now is thrown away, for so many bytes and so much time.
    Lingering { left: usize, _timer: Registration },
}

/// How long clients are waited for: see `limits`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For their next request.
    pub(crate) idle: Duration,
    /// For the rest of a request that was begun, and for a piece of an answer to be taken.
    pub(crate) busy: Duration,
}

impl Connection {
    pub(crate) fn new(
        stream: TcpStream,
        reading: Control,
        dialogue: Dialogue,
        now: Stamp,
    ) -> Connection {
        Connection { stream, reading, dialogue, busy: None, progress: now }
    }

    /// Whose it is, if anybody has to know.
    pub(crate) fn peer(&self) -> Option<IpAddr> {
        self.dialogue.peer()
    }

    /// Event: bytes came, or none, which is the end of them, or the connection broke.
    pub(crate) fn received(&mut self, visit: Visit<'_>, chunk: io::Result<Chunk>) -> Next {
        let Ok(chunk) = chunk else { return Next::Stop };
        if chunk.is_empty() {
            return Next::Stop;
        }
        if let Some(Busy::Lingering { left, .. }) = self.busy.as_deref_mut() {
            *left = left.saturating_sub(chunk.len());
            return if *left == 0 { Next::Stop } else { Next::Keep };
        }
        self.advance(visit, &chunk);
        if self.busy.is_some() { Next::Pause } else { Next::Keep }
    }

    /// Event: the kernel took what was sent, or the connection broke.
    pub(crate) fn sent(&mut self, visit: Visit<'_>, result: io::Result<()>) -> Next {
        self.busy = None;
        if result.is_err() {
            return Next::Stop;
        }
        if self.dialogue.is_over() {
            return self.linger(&visit);
        }
        self.advance(visit, &[]);
        if self.busy.is_none() {
            self.reading.resume();
        }
        Next::Keep
    }

    /// Event: the server looks after its connections.
    pub(crate) fn look(&mut self, visit: Visit<'_>, patience: Patience) -> Next {
        let now = visit.now();
        let patience = match self.busy.as_deref_mut() {
            Some(Busy::Lingering { .. }) => return Next::Keep,
            Some(Busy::Sending { queued, .. }) => {
                let left = self.stream.queued();
                if queued.saturating_sub(left) >= TAKEN_LEAST {
                    (self.progress, *queued) = (now, left);
                }
                patience.busy
            }
            None if self.dialogue.has_begun() => patience.busy,
            None => patience.idle,
        };
        // A handler that has panicked will not be called again.
        if self.reading.is_ended() {
            return Next::Stop;
        }
        if now.since(self.progress) < patience {
            return Next::Keep;
        }
        if self.busy.is_none() && self.dialogue.time_out(visit.service, visit.answers) {
            self.reading.pause();
            self.send(visit);
            return Next::Keep;
        }
        Next::Stop
    }

    /// Event: the server ends. What is being answered is finished, and nothing else begun.
    pub(crate) fn wind_down(&mut self, visit: &Visit<'_>) -> Next {
        match self.busy.as_deref() {
            Some(Busy::Sending { .. }) => self.dialogue.end(),
            Some(Busy::Lingering { .. }) => {}
            None if self.stream.queued() > 0 => return self.linger(visit),
            None => return Next::Stop,
        }
        Next::Keep
    }

    /// Says what can be said now, `fresh` being new bytes from the client.
    fn advance(&mut self, visit: Visit<'_>, fresh: &[u8]) {
        let had_begun = self.dialogue.has_begun();
        self.dialogue.advance(visit.service, fresh, visit.answers);
        if !visit.answers.is_empty() {
            self.send(visit);
        } else if !had_begun {
            self.progress = visit.now();
        }
    }

    /// Sends what was gathered, and awaits `sent` where something depends on it.
    fn send(&mut self, visit: Visit<'_>) {
        let is_awaited = self.dialogue.waits(visit.answers);
        self.progress = visit.now();
        if let Some(sending) = visit.answers.send(&self.stream).filter(|_| is_awaited) {
            let (event, key) = (stream::once(sending), visit.key);
            let sent = move |server: &mut Server, result| {
                server.visit(key, |connection, visit| connection.sent(visit, result));
            };
            let sent = visit.server().on(event, sent).erase();
            self.busy = Some(Box::new(Busy::Sending { queued: self.stream.queued(), _sent: sent }));
        }
    }

    /// Closes our side behind the last answer and waits for the client to close its own.
    fn linger(&mut self, visit: &Visit<'_>) -> Next {
        // An error means that the client is gone already, which `received` is about to hear.
        let _ = self.stream.shutdown(Shutdown::Write);
        let key = visit.key;
        let end = move |server: &mut Server, _tick| {
            server.visit(key, |_, _| Next::Stop);
        };
        let timer = visit.server().on(aem::time::after(LINGER), end).erase();
        self.busy = Some(Box::new(Busy::Lingering { left: LINGER_BYTES, _timer: timer }));
        self.reading.resume();
        Next::Keep
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.reading.stop();
    }
}
