//! All connections: how they come, are looked after, and go.
//!
//! The server holds its connections weakly: each one lives in the handler of its received bytes,
//! and that handler in a scope. When the client goes, the handler's source ends, the connection
//! is dropped with it, and the last thing that happens is that it is crossed off the list.

use crate::connection::{Connection, Patience};
use crate::dialogue::Service;
use crate::log::Log;
use crate::response::{self, Persistence};
use aem::net::TcpStream;
use aem::time::{Tick, Ticks};
use aem::{Control, Registration, ScopeHandle, State, WeakState};
use aem_examples::http::status::Status;
use slab::Slab;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// The server's side of all connections.
#[derive(Debug)]
pub(crate) struct Server {
    service: Rc<Service>,
    limits: Limits,
    connections: Slab<WeakState<Connection>>,
    /// How many connections each address has, where that is limited.
    addresses: HashMap<IpAddr, usize>,
    /// Stops the timer while nobody is connected.
    looking: Option<Control>,
    /// Stops accepting while there are as many connections as may be.
    accepting: Option<Control>,
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
    pub(crate) fn new(service: Service, limits: Limits) -> Server {
        let (connections, addresses) = (Slab::new(), HashMap::new());
        let service = Rc::new(service);
        Server { service, limits, connections, addresses, looking: None, accepting: None }
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

    /// Takes a new connection in: from now on its bytes have a handler, owned by `scope`.
    pub(crate) fn admit(
        server: &State<Server>,
        scope: &ScopeHandle,
        stream: TcpStream,
        peer: SocketAddr,
    ) {
        // Answers are gathered before they are sent; waiting for more would only delay them.
        // A socket that refuses is broken, and its handler is about to hear of it.
        let _ = stream.set_nodelay(true);
        let peer = peer.ip().to_canonical();
        let Some(service) = server.with(|server| server.make_room(peer)) else {
            let mut out = Vec::new();
            response::plain(&mut out, Status::SERVICE_UNAVAILABLE, Persistence::Close, true, None);
            stream.send(out);
            return;
        };
        let chunks = stream.chunks();
        let connection = State::new(Connection::new(stream, peer, service));
        let key = server.with(|server| server.insert(connection.downgrade()));
        let list = server.downgrade();
        let reading = connection.on(chunks, Connection::received).on_end(move |_result| {
            if let Some(server) = list.upgrade() {
                server.with(|server| server.remove(key, peer));
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
        let (now, patience) = (tick.scheduled, self.limits.patience);
        self.for_each(|connection| connection.look(now, patience));
    }

    fn for_each(&mut self, mut visit: impl FnMut(&mut Connection)) {
        for (_key, connection) in &self.connections {
            if let Some(connection) = connection.upgrade() {
                connection.with(&mut visit);
            }
        }
    }

    /// Counts one more connection of this address, if it may have one.
    fn make_room(&mut self, peer: IpAddr) -> Option<Rc<Service>> {
        if self.limits.of_address < usize::MAX {
            let count = self.addresses.entry(peer).or_insert(0);
            if *count >= self.limits.of_address {
                return None;
            }
            *count += 1;
        }
        Some(Rc::clone(&self.service))
    }

    fn insert(&mut self, connection: WeakState<Connection>) -> usize {
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
        self.connections.insert(connection)
    }

    fn remove(&mut self, key: usize, peer: IpAddr) {
        self.connections.remove(key);
        if let Some(count) = self.addresses.get_mut(&peer) {
            *count -= 1;
            if *count == 0 {
                self.addresses.remove(&peer);
            }
        }
        if let Some(accepting) = &self.accepting {
            accepting.resume();
        }
        if let Some(looking) = &self.looking
            && self.connections.is_empty()
        {
            looking.pause();
        }
    }
}
