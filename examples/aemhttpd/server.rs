//! All connections: how they come, are looked after, and go.
//!
//! The server holds its connections weakly: each one lives in the handler of its received bytes,
//! and that handler in a scope. When the client goes, the handler's source ends, the connection
//! is dropped with it, and the last thing that happens is that it is crossed off the list.

use crate::connection::Connection;
use crate::files::Site;
use aem::net::TcpStream;
use aem::time::{Tick, Ticks};
use aem::{Control, Registration, ScopeHandle, State, WeakState};
use slab::Slab;
use std::rc::Rc;
use std::time::Duration;

/// The server's side of all connections.
#[derive(Debug)]
pub(crate) struct Server {
    site: Rc<Site>,
    idle: Duration,
    connections: Slab<WeakState<Connection>>,
    /// Stops the timer while nobody is connected.
    looking: Option<Control>,
}

impl Server {
    pub(crate) fn new(site: Site, idle: Duration) -> Server {
        Server { site: Rc::new(site), idle, connections: Slab::new(), looking: None }
    }

    /// Looks after the connections of `server` at every tick of `ticks`, while there are any.
    pub(crate) fn look_after(server: &State<Server>, ticks: Ticks) -> Registration<Ticks> {
        let looking = server.on(ticks, Server::look).paused();
        server.with(|server| server.looking = Some(looking.control()));
        looking
    }

    /// Takes a new connection in: from now on its bytes have a handler, owned by `scope`.
    pub(crate) fn admit(server: &State<Server>, scope: &ScopeHandle, stream: TcpStream) {
        // Answers are gathered before they are sent; waiting for more would only delay them.
        // A socket that refuses is broken, and its handler is about to hear of it.
        let _ = stream.set_nodelay(true);
        let chunks = stream.chunks();
        let site = server.with(|server| Rc::clone(&server.site));
        let connection = State::new(Connection::new(stream, site));
        let key = server.with(|server| server.insert(connection.downgrade()));
        let list = server.downgrade();
        let reading = connection.on(chunks, Connection::received).on_end(move |_result| {
            if let Some(server) = list.upgrade() {
                server.with(|server| server.remove(key));
            }
        });
        let control = scope.add(reading);
        let own = connection.downgrade();
        connection.with(|connection| connection.attach(own, control));
    }

    /// Asks every connection to come to its end.
    pub(crate) fn wind_down(&mut self) {
        self.for_each(Connection::wind_down);
    }

    /// How many clients are connected.
    pub(crate) fn len(&self) -> usize {
        self.connections.len()
    }

    /// Event: it is time to look for connections that make no progress.
    fn look(&mut self, tick: Tick) {
        let (now, idle) = (tick.scheduled, self.idle);
        self.for_each(|connection| connection.look(now, idle));
    }

    fn for_each(&mut self, mut visit: impl FnMut(&mut Connection)) {
        for (_key, connection) in &self.connections {
            if let Some(connection) = connection.upgrade() {
                connection.with(&mut visit);
            }
        }
    }

    fn insert(&mut self, connection: WeakState<Connection>) -> usize {
        if let Some(looking) = &self.looking
            && self.connections.is_empty()
        {
            looking.resume();
        }
        self.connections.insert(connection)
    }

    fn remove(&mut self, key: usize) {
        self.connections.remove(key);
        if let Some(looking) = &self.looking
            && self.connections.is_empty()
        {
            looking.pause();
        }
    }
}
