//! Listeners and streams, with sockets of the standard library at the other end.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;

use aem::Chunk;
use aem::net::{Chunks, Incoming, TcpListener, TcpStream};
use aem::time::sleep;
use aem_tests::traffic::reset_when_closed;
use futures::StreamExt;
use futures::stream::{LocalBoxStream, unfold};

use super::{PAUSE, Rig};

type Arrival = io::Result<(TcpStream, SocketAddr)>;

/// Those who connect to a listener.
struct Clients {
    listener: RefCell<Option<TcpListener>>,
    address: SocketAddr,
    clients: RefCell<Vec<std::net::TcpStream>>,
}

impl Clients {
    fn new() -> (Clients, TcpListener) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let second = listener.try_clone().expect("a descriptor");
        let address = listener.local_addr().expect("its address");
        let own = TcpListener::from_std(second).expect("a listener");
        let tested = TcpListener::from_std(listener).expect("a listener");
        let listener = RefCell::new(Some(own));
        (Clients { listener, address, clients: RefCell::default() }, tested)
    }

    fn connect(&self) {
        let client = std::net::TcpStream::connect(self.address).expect("a connection");
        self.clients.borrow_mut().push(client);
    }

    fn number(&self, arrival: Arrival) -> io::Result<Vec<usize>> {
        let (_stream, peer) = arrival?;
        let clients = self.clients.borrow();
        let is_it = |client: &std::net::TcpStream| client.local_addr().is_ok_and(|own| own == peer);
        Ok(vec![clients.iter().position(is_it).expect("one of ours")])
    }

    fn fail(&self) {
        let listener = self.listener.borrow();
        let fd = listener.as_ref().expect("it listens").as_fd().as_raw_fd();
        // SAFETY: takes integers; the socket is open.
        assert_eq!(unsafe { libc::shutdown(fd, libc::SHUT_RD) }, 0);
    }

    /// Nobody listens any more, as soon as the keeper has let go.
    async fn has_gone(&self) {
        self.listener.take();
        while TcpStream::connect(self.address).await.is_ok() {
            sleep(PAUSE).await;
        }
    }
}

/// `TcpListener::incoming`.
pub(super) struct Connections(Clients);

impl Rig for Connections {
    type Source = Incoming;

    const ENDS: bool = false;
    const ERROR: Option<ErrorKind> = Some(ErrorKind::InvalidInput);

    async fn new() -> (Rc<Self>, Incoming) {
        let (clients, listener) = Clients::new();
        (Rc::new(Connections(clients)), listener.incoming())
    }

    fn cause(&self, _: usize) {
        self.0.connect();
    }

    fn numbers(&self, arrival: Arrival) -> io::Result<Vec<usize>> {
        self.0.number(arrival)
    }

    fn fail(&self) {
        self.0.fail();
    }

    async fn has_gone(&self) {
        self.0.has_gone().await;
    }
}

/// `TcpListener::accept`, again and again.
pub(super) struct Accepts(Clients);

impl Rig for Accepts {
    type Source = LocalBoxStream<'static, Arrival>;

    const ENDS: bool = false;
    const ERROR: Option<ErrorKind> = Some(ErrorKind::InvalidInput);

    async fn new() -> (Rc<Self>, Self::Source) {
        let (clients, listener) = Clients::new();
        let accept = async |listener: TcpListener| Some((listener.accept().await, listener));
        (Rc::new(Accepts(clients)), unfold(listener, accept).boxed_local())
    }

    fn cause(&self, _: usize) {
        self.0.connect();
    }

    fn numbers(&self, arrival: Arrival) -> io::Result<Vec<usize>> {
        self.0.number(arrival)
    }

    fn fail(&self) {
        self.0.fail();
    }

    async fn has_gone(&self) {
        self.0.has_gone().await;
    }
}

/// The other end of a stream.
struct Peer(RefCell<Option<std::net::TcpStream>>);

impl Peer {
    async fn new() -> (Peer, TcpStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let stream = TcpStream::connect(address).await.expect("a connection");
        let (peer, _) = listener.accept().expect("its other end");
        peer.set_nodelay(true).expect("a connection");
        (Peer(RefCell::new(Some(peer))), stream)
    }

    fn write(&self, number: usize) {
        let peer = self.0.borrow();
        let byte = u8::try_from(number).expect("a byte");
        peer.as_ref().expect("it is open").write_all(&[byte]).expect("sent");
    }

    fn end(&self) {
        let peer = self.0.borrow();
        peer.as_ref().expect("it is open").shutdown(Shutdown::Write).expect("a connection");
    }

    fn reset(&self) {
        let peer = self.0.take().expect("it is open");
        reset_when_closed(&peer);
    }
}

fn numbers(chunk: &Chunk) -> Vec<usize> {
    chunk.iter().map(|byte| usize::from(*byte)).collect()
}

/// `TcpStream::chunks`.
pub(super) struct Bytes(Peer);

impl Rig for Bytes {
    type Source = Chunks;

    const ENDS: bool = true;
    const ERROR: Option<ErrorKind> = Some(ErrorKind::ConnectionReset);

    async fn new() -> (Rc<Self>, Chunks) {
        let (peer, stream) = Peer::new().await;
        (Rc::new(Bytes(peer)), stream.chunks())
    }

    fn cause(&self, number: usize) {
        self.0.write(number);
    }

    fn numbers(&self, chunk: io::Result<Chunk>) -> io::Result<Vec<usize>> {
        chunk.map(|chunk| numbers(&chunk))
    }

    fn close(&self) {
        self.0.end();
    }

    fn fail(&self) {
        self.0.reset();
    }
}

/// `TcpStream::recv`, until it says that there is no more.
pub(super) struct Receives(Peer);

impl Rig for Receives {
    type Source = LocalBoxStream<'static, io::Result<Chunk>>;

    const ENDS: bool = true;
    const ERROR: Option<ErrorKind> = Some(ErrorKind::ConnectionReset);

    async fn new() -> (Rc<Self>, Self::Source) {
        let (peer, stream) = Peer::new().await;
        let receive = async |stream: Option<TcpStream>| {
            let stream = stream?;
            let received = stream.recv().await;
            match received {
                Ok(chunk) if chunk.is_empty() => None,
                Ok(chunk) => Some((Ok(chunk), Some(stream))),
                Err(error) => Some((Err(error), None)),
            }
        };
        // Asked after its end, an unfold panics.
        (Rc::new(Receives(peer)), unfold(Some(stream), receive).fuse().boxed_local())
    }

    fn cause(&self, number: usize) {
        self.0.write(number);
    }

    fn numbers(&self, chunk: io::Result<Chunk>) -> io::Result<Vec<usize>> {
        chunk.map(|chunk| numbers(&chunk))
    }

    fn close(&self) {
        self.0.end();
    }

    fn fail(&self) {
        self.0.reset();
    }
}
