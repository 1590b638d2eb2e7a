//! UDP and Unix sockets, with sockets of the standard library at the other end.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net as std_unix;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aem::Chunk;
use aem::net::{
    Chunks, Datagrams, Messages, UdpMessage, UdpSocket, UnixDatagram, UnixDatagrams, UnixIncoming,
    UnixListener, UnixMessage, UnixStream,
};

use super::Rig;

fn byte(number: usize) -> [u8; 1] {
    [u8::try_from(number).expect("a byte")]
}

fn numbers(chunk: &[u8]) -> Vec<usize> {
    chunk.iter().map(|byte| usize::from(*byte)).collect()
}

/// The two ends of a conversation by UDP.
struct Talk {
    ours: UdpSocket,
    theirs: RefCell<Option<std::net::UdpSocket>>,
}

impl Talk {
    fn new() -> Talk {
        let ours = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let theirs = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
        let address = |address: io::Result<SocketAddr>| address.expect("its address");
        ours.connect(address(theirs.local_addr())).expect("an address");
        theirs.connect(address(ours.local_addr())).expect("an address");
        Talk { ours, theirs: RefCell::new(Some(theirs)) }
    }

    fn send(&self, number: usize) {
        let theirs = self.theirs.borrow();
        theirs.as_ref().expect("it is open").send(&byte(number)).expect("sent");
    }

    /// What is sent to nobody comes back as an error.
    fn lose_the_peer(&self) {
        self.theirs.take();
        self.ours.send("anybody there?");
    }
}

/// `UdpSocket::datagrams`.
pub(super) struct UdpDatagrams(Talk);

impl Rig for UdpDatagrams {
    type Source = Datagrams;

    const ENDS: bool = false;
    const ERROR: Option<ErrorKind> = Some(ErrorKind::ConnectionRefused);

    async fn new() -> (Rc<Self>, Datagrams) {
        let talk = Talk::new();
        let source = talk.ours.datagrams();
        (Rc::new(UdpDatagrams(talk)), source)
    }

    fn cause(&self, number: usize) {
        self.0.send(number);
    }

    fn numbers(&self, event: io::Result<(Chunk, SocketAddr)>) -> io::Result<Vec<usize>> {
        event.map(|(datagram, _)| numbers(&datagram))
    }

    fn fail(&self) {
        self.0.lose_the_peer();
    }
}

/// `UdpSocket::messages`.
pub(super) struct UdpMessages(Talk);

impl Rig for UdpMessages {
    type Source = Messages<UdpMessage>;

    const ENDS: bool = false;
    const ERROR: Option<ErrorKind> = Some(ErrorKind::ConnectionRefused);

    async fn new() -> (Rc<Self>, Self::Source) {
        let talk = Talk::new();
        talk.ours.set_recv_packet_info(true).expect("an option");
        let source = talk.ours.messages();
        (Rc::new(UdpMessages(talk)), source)
    }

    fn cause(&self, number: usize) {
        self.0.send(number);
    }

    fn numbers(&self, event: io::Result<UdpMessage>) -> io::Result<Vec<usize>> {
        event.map(|message| {
            let info = message.packet_info.expect("as it was asked for");
            assert_eq!(info.address, self.0.ours.local_addr().expect("its address").ip());
            numbers(&message.data)
        })
    }

    fn fail(&self) {
        self.0.lose_the_peer();
    }
}

/// `UnixDatagram::datagrams`, which cannot fail.
pub(super) struct UnixLetters(std_unix::UnixDatagram);

impl Rig for UnixLetters {
    type Source = UnixDatagrams;

    const ENDS: bool = false;

    async fn new() -> (Rc<Self>, UnixDatagrams) {
        let (ours, theirs) = std_unix::UnixDatagram::pair().expect("a pair");
        let ours = UnixDatagram::from_std(ours).expect("a socket");
        (Rc::new(UnixLetters(theirs)), ours.datagrams())
    }

    fn cause(&self, number: usize) {
        self.0.send(&byte(number)).expect("sent");
    }

    fn numbers(&self, event: io::Result<(Chunk, std_unix::SocketAddr)>) -> io::Result<Vec<usize>> {
        event.map(|(datagram, _)| numbers(&datagram))
    }
}

/// The other end of a Unix stream.
struct Peer {
    /// A second handle of our end, to do what a stream does not.
    ours: std_unix::UnixStream,
    theirs: RefCell<Option<std_unix::UnixStream>>,
}

impl Peer {
    fn new() -> (Peer, UnixStream) {
        let (ours, theirs) = std_unix::UnixStream::pair().expect("a pair");
        let second = ours.try_clone().expect("a descriptor");
        let stream = UnixStream::from_std(ours).expect("a stream");
        (Peer { ours: second, theirs: RefCell::new(Some(theirs)) }, stream)
    }

    fn with<R>(&self, act: impl FnOnce(&std_unix::UnixStream) -> R) -> R {
        act(self.theirs.borrow().as_ref().expect("it is open"))
    }

    fn end(&self) {
        self.with(|theirs| theirs.shutdown(Shutdown::Write)).expect("a connection");
    }

    /// One who goes without having read all is missed.
    fn reset(&self) {
        (&self.ours).write_all(b"unread").expect("sent");
        self.theirs.take();
    }
}

/// `UnixStream::chunks`.
pub(super) struct UnixBytes(Peer);

impl Rig for UnixBytes {
    type Source = Chunks;

    const ENDS: bool = true;
    const ERROR: Option<ErrorKind> = Some(ErrorKind::ConnectionReset);

    async fn new() -> (Rc<Self>, Chunks) {
        let (peer, stream) = Peer::new();
        (Rc::new(UnixBytes(peer)), stream.chunks())
    }

    fn cause(&self, number: usize) {
        self.0.with(|mut theirs| theirs.write_all(&byte(number))).expect("sent");
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

/// `UnixStream::messages`, every second one with a descriptor.
pub(super) struct UnixMessages {
    peer: Peer,
    /// How many descriptors have come.
    came: Cell<usize>,
}

impl Rig for UnixMessages {
    type Source = Messages<UnixMessage>;

    const ENDS: bool = true;
    const ERROR: Option<ErrorKind> = Some(ErrorKind::ConnectionReset);

    async fn new() -> (Rc<Self>, Self::Source) {
        let (peer, stream) = Peer::new();
        (Rc::new(UnixMessages { peer, came: Cell::new(0) }), stream.messages())
    }

    fn cause(&self, number: usize) {
        self.peer.with(|theirs| {
            if number.is_multiple_of(2) {
                aem_tests::passing::send(theirs, &byte(number), &[theirs.as_fd()]);
            } else {
                (&*theirs).write_all(&byte(number)).expect("sent");
            }
        });
    }

    fn numbers(&self, event: io::Result<UnixMessage>) -> io::Result<Vec<usize>> {
        let message = event?;
        let numbers = numbers(&message.data);
        self.came.set(self.came.get() + message.descriptors.len());
        let sent = numbers.last().map_or(0, |last| last / 2 + 1);
        assert_eq!(self.came.get(), sent, "with {numbers:?}");
        Ok(numbers)
    }

    fn close(&self) {
        self.peer.end();
    }

    fn fail(&self) {
        self.peer.reset();
    }
}

/// `UnixListener::incoming`, which fails when the process is out of descriptors only.
pub(super) struct UnixConnections {
    address: std_unix::SocketAddr,
    clients: RefCell<Vec<std_unix::UnixStream>>,
}

impl Rig for UnixConnections {
    type Source = UnixIncoming;

    const ENDS: bool = false;

    async fn new() -> (Rc<Self>, UnixIncoming) {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("aem-sources-{}-{number}", std::process::id());
        let address = std_unix::SocketAddr::from_abstract_name(name).expect("a name");
        let listener = UnixListener::bind_addr(&address).expect("nobody has it");
        let source = listener.incoming();
        (Rc::new(UnixConnections { address, clients: RefCell::default() }), source)
    }

    fn cause(&self, number: usize) {
        let mut client = std_unix::UnixStream::connect_addr(&self.address).expect("it listens");
        client.write_all(&byte(number)).expect("sent");
        self.clients.borrow_mut().push(client);
    }

    fn numbers(&self, event: <UnixIncoming as futures::Stream>::Item) -> io::Result<Vec<usize>> {
        let (stream, _) = event?;
        let mut first = [0];
        // Who connects has sent its number already.
        let fd = stream.as_fd().try_clone_to_owned()?;
        io::Read::read_exact(&mut std_unix::UnixStream::from(fd), &mut first)?;
        Ok(numbers(&first))
    }
}
