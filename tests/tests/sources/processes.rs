//! Pipes, and the ends of children.

use std::cell::RefCell;
use std::io::{self, PipeWriter, Write};
use std::process::ExitStatus;
use std::rc::Rc;

use aem::Chunk;
use aem::fd::{PipeChunks, PipeReader};
use aem::process::{Command, Exited};
use futures::StreamExt;
use futures::stream::{LocalBoxStream, unfold};

use super::Rig;

/// The other end of a pipe.
struct Peer(RefCell<Option<PipeWriter>>);

impl Peer {
    fn new() -> (Peer, PipeReader) {
        let (reader, writer) = io::pipe().expect("a pipe");
        let reader = PipeReader::from_fd(reader.into()).expect("a pipe");
        (Peer(RefCell::new(Some(writer))), reader)
    }

    fn write(&self, number: usize) {
        let byte = u8::try_from(number).expect("a byte");
        self.0.borrow_mut().as_mut().expect("it is open").write_all(&[byte]).expect("written");
    }
}

fn numbers(chunk: &Chunk) -> Vec<usize> {
    chunk.iter().map(|byte| usize::from(*byte)).collect()
}

/// `PipeReader::chunks`.
pub(super) struct Bytes(Peer);

impl Rig for Bytes {
    type Source = PipeChunks;

    const ENDS: bool = true;

    async fn new() -> (Rc<Self>, PipeChunks) {
        let (peer, reader) = Peer::new();
        (Rc::new(Bytes(peer)), reader.chunks())
    }

    fn cause(&self, number: usize) {
        self.0.write(number);
    }

    fn numbers(&self, chunk: io::Result<Chunk>) -> io::Result<Vec<usize>> {
        chunk.map(|chunk| numbers(&chunk))
    }

    fn close(&self) {
        self.0.0.take();
    }
}

/// `PipeReader::recv`, until it says that there is no more.
pub(super) struct Receives(Peer);

impl Rig for Receives {
    type Source = LocalBoxStream<'static, io::Result<Chunk>>;

    const ENDS: bool = true;

    async fn new() -> (Rc<Self>, Self::Source) {
        let (peer, reader) = Peer::new();
        let receive = async |reader: PipeReader| match reader.recv().await {
            Ok(chunk) if chunk.is_empty() => None,
            received => Some((received, reader)),
        };
        // Asked after its end, an unfold panics.
        (Rc::new(Receives(peer)), unfold(reader, receive).fuse().boxed_local())
    }

    fn cause(&self, number: usize) {
        self.0.write(number);
    }

    fn numbers(&self, chunk: io::Result<Chunk>) -> io::Result<Vec<usize>> {
        chunk.map(|chunk| numbers(&chunk))
    }

    fn close(&self) {
        self.0.0.take();
    }
}

/// `Child::exited`, of one that ends soon.
pub(super) struct Ends;

impl Rig for Ends {
    type Source = Exited;

    const EVENTS: usize = 1;
    const ENDS: bool = true;
    const ENDS_BY_ITSELF: bool = true;

    async fn new() -> (Rc<Self>, Exited) {
        let child = Command::new("sleep").arg("0.005").spawn().expect("started");
        (Rc::new(Ends), child.exited())
    }

    fn cause(&self, _: usize) {}

    fn numbers(&self, status: io::Result<ExitStatus>) -> io::Result<Vec<usize>> {
        assert!(status?.success());
        Ok(vec![0])
    }
}
