//! All connections: how they come, are looked after, and go.
//!
//! The server is one state, and every handler of every connection is given it: a connection is a place on
//! its list, and a handler knows that by its key. So a connection costs its place, its socket and the
//! handler of its received bytes, and no more. It is crossed off the list by whichever of its events is
//! the last, and that ends its other handlers.

use crate::answers::Answers;
use crate::connection::{Connection, Patience, Stamp, Visit};
use crate::dialogue::{Dialogue, Service};
use crate::log::Log;
use crate::response::{self, Persistence};
use aem::net::TcpStream;
use aem::time::{Tick, Ticks};
use aem::{Chunk, Control, Next, Registration, State, WeakState};
use aem_examples::http::status::Status;
use futures::channel::oneshot;
use futures::stream::{self, StreamExt};
use slab::Slab;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

/// The server's side of all connections.
#[derive(Debug)]
pub(crate) struct Server {
    /// Itself, for the handlers that its connections register.
    own: Option<WeakState<Server>>,
    service: Service,
    limits: Limits,
    connections: Slab<Connection>,
    /// How many connections each address has, where that is limited.
    addresses: HashMap<IpAddr, usize>,
    /// Of one event, and empty between two.
    answers: Answers,
    start: Instant,
    /// Stops the timer while nobody is connected.
    looking: Option<Control>,
    /// Stops accepting while there are as many connections as may be.
    accepting: Option<Control>,
    /// Who waits for the last connection to go.
    emptied: Option<oneshot::Sender<()>>,
}

/// What clients may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) patience: Patience,
    /// Connections in all, and of one address.
    pub(crate) connections: usize,
    pub(crate) of_address: usize,
}

impl Server {
    pub(crate) fn start(service: Service, limits: Limits) -> State<Server> {
        let start = aem::time::now();
        let server = State::new(Server {
            own: None,
            service,
            limits,
            connections: Slab::new(),
            addresses: HashMap::new(),
            answers: Answers::at(start),
            start,
            looking: None,
            accepting: None,
            emptied: None,
        });
        let own = server.downgrade();
        server.with(|server| server.own = Some(own));
        server
    }

    /// Hands over the control of what calls [`Server::admit`].
    pub(crate) fn attach(&mut self, accepting: Control) {
        self.accepting = Some(accepting);
    }

    /// Looks after the connections of `server` at every tick of `ticks`, while there are any.
    pub(crate) fn look_after(server: &State<Server>, ticks: Ticks) -> Registration<Ticks> {
        let looking = server.on(ticks, Server::look).paused();
        server.with(|server| server.looking = Some(looking.control()));
        looking
    }

    /// Takes a new connection in: from now on its bytes have a handler.
    pub(crate) fn admit(server: &State<Server>, stream: TcpStream, peer: SocketAddr) {
        // Answers are gathered before they are sent; waiting for more would only delay them.
        // A socket that refuses is broken, and its handler is about to hear of it.
        let _ = stream.set_nodelay(true);
        let peer = peer.ip().to_canonical();
        let Some(key) = server.with(|server| server.make_room(peer)) else {
            let mut out = Answers::at(aem::time::now());
            let status = Status::SERVICE_UNAVAILABLE;
            response::plain(&mut out, status, Persistence::Close, true, None);
            out.send(&stream);
            return;
        };
        // The end is an event, too: an empty chunk.
        let mut chunks = stream.chunks();
        let bytes = stream::poll_fn(move |context| {
            let next = chunks.poll_next_unpin(context);
            next.map(|chunk| Some(chunk.unwrap_or_else(|| Ok(Chunk::default()))))
        });
        let reading = server.on(bytes, move |server, chunk| {
            server.visit(key, |connection, visit| connection.received(visit, chunk))
        });
        let control = reading.control();
        reading.detach();
        server.with(|server| server.insert(stream, control, peer));
    }

    /// Calls one of a connection's handlers, and crosses the connection off the list if that was its last.
    pub(crate) fn visit(
        &mut self,
        key: usize,
        handler: impl FnOnce(&mut Connection, Visit<'_>) -> Next,
    ) -> Next {
        self.answers.begin(aem::time::now());
        let next = self.call(key, handler);
        if let Next::Stop = next {
            self.remove(key);
        }
        next
    }

    fn call(
        &mut self,
        key: usize,
        handler: impl FnOnce(&mut Connection, Visit<'_>) -> Next,
    ) -> Next {
        let Server { own, service, connections, answers, start, .. } = self;
        let server = own.as_ref().expect("it was told by `start`");
        handler(&mut connections[key], Visit { server, key, service, answers, start: *start })
    }

    /// Asks every connection to come to its end.
    pub(crate) fn wind_down(&mut self) {
        self.visit_all(|connection, visit| connection.wind_down(&visit));
    }

    /// Ends when the last connection has gone.
    pub(crate) fn emptied(&mut self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        if !self.connections.is_empty() {
            self.emptied = Some(sender);
        }
        receiver
    }

    pub(crate) fn log(&self) -> &Log {
        &self.service.log
    }

    /// How many clients are connected.
    pub(crate) fn len(&self) -> usize {
        self.connections.len()
    }

    /// Event: it is time to look for connections that make no progress.
    fn look(&mut self, tick: Tick) {
        self.log().flush();
        self.answers.begin(tick.scheduled);
        let patience = self.limits.patience;
        self.visit_all(|connection, visit| connection.look(visit, patience));
    }

    fn visit_all(&mut self, mut handler: impl FnMut(&mut Connection, Visit<'_>) -> Next) {
        let keys = self.connections.iter().map(|(key, _)| key).collect::<Vec<_>>();
        for key in keys {
            if let Next::Stop = self.call(key, &mut handler) {
                self.remove(key);
            }
        }
    }

    /// Counts one more connection of this address, if it may have one, and says which key it will have.
    fn make_room(&mut self, peer: IpAddr) -> Option<usize> {
        if self.limits.of_address < usize::MAX {
            let count = self.addresses.entry(peer).or_insert(0);
            if *count >= self.limits.of_address {
                return None;
            }
            *count += 1;
        }
        Some(self.connections.vacant_key())
    }

    fn insert(&mut self, stream: TcpStream, reading: Control, peer: IpAddr) {
        let is_asked_for = self.log().is_kept() || self.limits.of_address < usize::MAX;
        let dialogue = Dialogue::new(&self.service, Some(peer).filter(|_| is_asked_for));
        let now = Stamp::of(aem::time::now(), self.start);
        if let Some(looking) = &self.looking
            && self.connections.is_empty()
        {
            looking.resume();
        }
        if let Some(accepting) = &self.accepting
            && self.connections.len() + 1 >= self.limits.connections
        {
            accepting.pause();
        }
        self.connections.insert(Connection::new(stream, reading, dialogue, now));
    }

    fn remove(&mut self, key: usize) {
        let connection = self.connections.remove(key);
        if let Some(peer) = connection.peer()
            && let Some(count) = self.addresses.get_mut(&peer)
        {
            *count -= 1;
            if *count == 0 {
                self.addresses.remove(&peer);
            }
        }
        if let Some(accepting) = &self.accepting {
            accepting.resume();
        }
        if self.connections.is_empty() {
            if let Some(looking) = &self.looking {
                looking.pause();
            }
            self.emptied = None;
        }
    }
}
