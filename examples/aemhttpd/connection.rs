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
    /// The handler `sent`, while it is awaited.
    sending: Option<Registration>,
    /// Our side is closed, and we wait for the client's.
    lingering: Option<Lingering>,
    /// When a request was begun or answered, or enough of an answer taken.
    progress: Instant,
    /// How much was still to be taken then.
    queued: usize,
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

/// What comes now is thrown away, for so many bytes and so much time.
#[derive(Debug)]
struct Lingering {
    left: usize,
    _timer: Registration,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, peer: IpAddr, service: Rc<Service>) -> Connection {
        Connection {
            stream,
            service,
            dialogue: Dialogue::new(peer),
            own: None,
            sending: None,
            lingering: None,
            progress: aem::time::now(),
            queued: 0,
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
        if let Some(lingering) = &mut self.lingering {
            lingering.left = lingering.left.saturating_sub(chunk.len());
            return Ok(if lingering.left == 0 { Next::Stop } else { Next::Keep });
        }
        self.advance(&chunk);
        Ok(if self.sending.is_some() { Next::Pause } else { Next::Keep })
    }

    /// Event: the kernel took what was sent, or the connection broke.
    fn sent(&mut self, result: io::Result<()>) {
        self.sending = None;
        if result.is_ok() && self.dialogue.is_over() {
            return self.linger();
        }
        if result.is_err() {
            return self.end();
        }
        self.advance(&[]);
        if self.sending.is_none() {
            self.own().reading.resume();
        }
    }

    /// Event: the server looks after its connections.
    pub(crate) fn look(&mut self, now: Instant, patience: Patience) {
        let queued = self.stream.queued();
        if self.queued.saturating_sub(queued) >= TAKEN_LEAST {
            (self.progress, self.queued) = (now, queued);
        }
        let is_busy = self.sending.is_some() || self.dialogue.has_begun();
        let patience = if is_busy { patience.busy } else { patience.idle };
        let is_late = now.saturating_duration_since(self.progress) >= patience;
        if !is_late || self.lingering.is_some() {
            return;
        }
        let mut out = Answers::default();
        if self.sending.is_none() && self.dialogue.time_out(&self.service, &mut out) {
            self.own().reading.pause();
            self.send(out);
        } else {
            self.end();
        }
    }

    /// Event: the server ends. What is being answered is finished, and nothing else begun.
    pub(crate) fn wind_down(&mut self) {
        if self.sending.is_some() {
            self.dialogue.end();
        } else if self.lingering.is_none() && self.stream.queued() > 0 {
            self.linger();
        } else if self.lingering.is_none() {
            self.end();
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
        (self.progress, self.queued) = (aem::time::now(), self.stream.queued());
        if is_awaited {
            let event = stream::once(sending);
            self.sending = Some(self.own().state.on(event, Connection::sent).erase());
        }
    }

    /// Closes our side behind the last answer and waits for the client to close its own.
    fn linger(&mut self) {
        // An error means that the client is gone already, which `received` is about to hear.
        let _ = self.stream.shutdown(Shutdown::Write);
        let end = |connection: &mut Connection, _tick| connection.end();
        let timer = self.own().state.on(aem::time::after(LINGER), end).erase();
        self.lingering = Some(Lingering { left: LINGER_BYTES, _timer: timer });
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
