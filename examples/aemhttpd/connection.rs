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
//! What is said is in [`Dialogue`]; this file decides when. While `sent` is awaited, `received` is
//! paused. So a client that does not read its answers is not read either, and what it costs is
//! bounded.
//!
//! A connection that we end is half closed first and listened to for a while, so that the client
//! gets to read its last answer.

use crate::dialogue::{Dialogue, Service};
use crate::limits::{LINGER, LINGER_BYTES, TAKEN_LEAST};
use crate::response::Answers;
use aem::net::TcpStream;
use aem::{Chunk, Control, Next, Registration, WeakState};
use futures::stream;
use std::io;
use std::net::{IpAddr, Shutdown};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// One client's connection. It lives in the handler of its received bytes and ends with it.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    service: Rc<Service>,
    dialogue: Dialogue,
    /// Handles to itself; there from before the first event on.
    own: Option<Own>,
    /// What few are at; the others are idle, and that should cost little.
    busy: Option<Box<Busy>>,
    /// When a request was begun or answered, or enough of an answer taken.
    progress: Instant,
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

/// What a connection needs to act on itself.
#[derive(Debug)]
struct Own {
    /// For the handlers it registers on its own events.
    state: WeakState<Connection>,
    /// Pauses, resumes and ends `received`.
    reading: Control,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, peer: IpAddr, service: Rc<Service>) -> Connection {
        Connection {
            stream,
            service,
            dialogue: Dialogue::new(peer),
            own: None,
            busy: None,
            progress: aem::time::now(),
        }
    }

    /// Hands over the connection's own state, and the control of what calls
    /// [`Connection::received`].
    pub(crate) fn attach(&mut self, state: WeakState<Connection>, reading: Control) {
        self.own = Some(Own { state, reading });
    }

    /// Event: bytes came, or the connection broke.
    pub(crate) fn received(&mut self, chunk: io::Result<Chunk>) -> io::Result<Next> {
        let chunk = chunk?;
        if let Some(Busy::Lingering { left, .. }) = self.busy.as_deref_mut() {
            *left = left.saturating_sub(chunk.len());
            return Ok(if *left == 0 { Next::Stop } else { Next::Keep });
        }
        self.advance(&chunk);
        Ok(if self.busy.is_some() { Next::Pause } else { Next::Keep })
    }

    /// Event: the kernel took what was sent, or the connection broke.
    fn sent(&mut self, result: io::Result<()>) {
        self.busy = None;
        if result.is_ok() && self.dialogue.is_over() {
            return self.linger();
        }
        if result.is_err() {
            return self.end();
        }
        self.advance(&[]);
        if self.busy.is_none() {
            self.own().reading.resume();
        }
    }

    /// Event: the server looks after its connections.
    pub(crate) fn look(&mut self, now: Instant, patience: Patience) {
        let patience = match self.busy.as_deref_mut() {
            Some(Busy::Lingering { .. }) => return,
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
        if now.saturating_duration_since(self.progress) < patience {
            return;
        }
        let mut out = Answers::default();
        if self.busy.is_none() && self.dialogue.time_out(&self.service, &mut out) {
            self.own().reading.pause();
            self.send(out);
        } else {
            self.end();
        }
    }

    /// Event: the server ends. What is being answered is finished, and nothing else begun.
    pub(crate) fn wind_down(&mut self) {
        match self.busy.as_deref() {
            Some(Busy::Sending { .. }) => self.dialogue.end(),
            Some(Busy::Lingering { .. }) => {}
            None if self.stream.queued() > 0 => self.linger(),
            None => self.end(),
        }
    }

    /// Says what can be said now, `fresh` being new bytes from the client.
    fn advance(&mut self, fresh: &[u8]) {
        let (mut out, had_begun) = (Answers::default(), self.dialogue.has_begun());
        self.dialogue.advance(&self.service, fresh, &mut out);
        if !out.bytes.is_empty() {
            self.send(out);
        } else if !had_begun {
            self.progress = aem::time::now();
        }
    }

    /// Sends what was gathered, and awaits `sent` where something depends on it.
    fn send(&mut self, out: Answers) {
        let is_awaited = self.dialogue.waits(&out);
        let (mut bytes, mut place) = (Chunk::from(out.bytes), 0);
        for part in out.files {
            self.stream.send(bytes.split_to(part.place - place));
            self.stream.send_file(part.file, part.bytes);
            place = part.place;
        }
        let sending = self.stream.send(bytes);
        self.progress = aem::time::now();
        if is_awaited {
            let event = stream::once(sending);
            let sent = self.own().state.on(event, Connection::sent).erase();
            self.busy = Some(Box::new(Busy::Sending { queued: self.stream.queued(), _sent: sent }));
        }
    }

    /// Closes our side behind the last answer and waits for the client to close its own.
    fn linger(&mut self) {
        // An error means that the client is gone already, which `received` is about to hear.
        let _ = self.stream.shutdown(Shutdown::Write);
        let end = |connection: &mut Connection, _tick| connection.end();
        let timer = self.own().state.on(aem::time::after(LINGER), end).erase();
        self.busy = Some(Box::new(Busy::Lingering { left: LINGER_BYTES, _timer: timer }));
        self.own().reading.resume();
    }

    /// Ends the registration that this connection lives in, and so the connection.
    fn end(&self) {
        self.own().reading.stop();
    }

    fn own(&self) -> &Own {
        self.own.as_ref().expect("a connection is attached before its first event")
    }
}
