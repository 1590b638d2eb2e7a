//! Any descriptor: its readiness as events, and attempts that wait for it.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;

use aem::fd::{AsyncFd, Interest, Readiness};
use aem_tests::traffic::reset_when_closed;
use futures::StreamExt;
use futures::stream::{LocalBoxStream, unfold};

use super::Rig;

fn pair() -> (AsyncFd<TcpStream>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let ours = TcpStream::connect(address).expect("a connection");
    ours.set_nonblocking(true).expect("a socket");
    let (theirs, _) = listener.accept().expect("its other end");
    (AsyncFd::new(ours).expect("a descriptor"), theirs)
}

fn write(peer: &RefCell<Option<TcpStream>>, number: usize) {
    let byte = u8::try_from(number).expect("a byte");
    peer.borrow().as_ref().expect("it is open").write_all(&[byte]).expect("sent");
}

fn reset(peer: &RefCell<Option<TcpStream>>) {
    let peer = peer.take().expect("it is open");
    reset_when_closed(&peer);
}

/// `AsyncFd::readiness`, of which each event tells that one byte can be read.
pub(super) struct Readable {
    fd: AsyncFd<TcpStream>,
    peer: RefCell<Option<TcpStream>>,
}

impl Rig for Readable {
    type Source = Readiness<TcpStream>;

    const ENDS: bool = false;
    const ERROR: Option<ErrorKind> = Some(ErrorKind::ConnectionReset);

    async fn new() -> (Rc<Self>, Self::Source) {
        let (fd, theirs) = pair();
        let source = fd.readiness(Interest::READABLE);
        (Rc::new(Readable { fd, peer: RefCell::new(Some(theirs)) }), source)
    }

    fn cause(&self, number: usize) {
        write(&self.peer, number);
    }

    fn numbers(&self, ready: io::Result<Interest>) -> io::Result<Vec<usize>> {
        assert!(ready?.is_readable());
        let mut byte = [0];
        self.fd.get_ref().read_exact(&mut byte)?;
        Ok(vec![usize::from(byte[0])])
    }

    fn fail(&self) {
        reset(&self.peer);
    }
}

/// `AsyncFd::io`, again and again.
pub(super) struct Attempts {
    peer: RefCell<Option<TcpStream>>,
}

impl Rig for Attempts {
    type Source = LocalBoxStream<'static, io::Result<u8>>;

    const ENDS: bool = true;
    const ERROR: Option<ErrorKind> = Some(ErrorKind::ConnectionReset);

    async fn new() -> (Rc<Self>, Self::Source) {
        let (fd, theirs) = pair();
        let attempt = async |fd: Option<AsyncFd<TcpStream>>| {
            let fd = fd?;
            let mut byte = [0];
            match fd.io(Interest::READABLE, |mut socket| socket.read(&mut byte)).await {
                Ok(0) => None,
                Ok(_) => Some((Ok(byte[0]), Some(fd))),
                Err(error) => Some((Err(error), None)),
            }
        };
        let source = unfold(Some(fd), attempt).fuse().boxed_local();
        (Rc::new(Attempts { peer: RefCell::new(Some(theirs)) }), source)
    }

    fn cause(&self, number: usize) {
        write(&self.peer, number);
    }

    fn numbers(&self, byte: io::Result<u8>) -> io::Result<Vec<usize>> {
        Ok(vec![usize::from(byte?)])
    }

    fn close(&self) {
        self.peer.take();
    }

    fn fail(&self) {
        reset(&self.peer);
    }
}
