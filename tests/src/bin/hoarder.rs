//! A server that is slow on purpose: `hoarder keep CONNECTIONS POOL` or `hoarder hold CONNECTIONS`.
//!
//! It prints where it listens. `keep` holds the chunks of the first message of each connection while it
//! waits for the second one, with a pool of so many bytes. `hold` blocks its loop in a handler from the line
//! `hold` to the next line, and counts what every connection has sent. Both print `done` and what they
//! counted when so many connections have ended.

use std::cell::Cell;
use std::io::{self, BufRead};
use std::rc::Rc;
use std::sync::mpsc;

use aem::net::{TcpListener, TcpStream};
use aem::{Chunk, Runtime};
use aem_tests::limits::raise_descriptors;
use aem_tests::messages::{self, LONG, SHORT};
use futures::StreamExt;
use futures::channel::mpsc as queue;

/// As many as wait in the kernel on most systems.
const BACKLOG: u32 = 4096;

fn listen() -> io::Result<TcpListener> {
    let listener = TcpListener::builder().backlog(BACKLOG).bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    Ok(listener)
}

/// Receives until there are `length` bytes, and gives the chunks as they came.
async fn receive(stream: &TcpStream, length: usize) -> io::Result<Vec<Chunk>> {
    let (mut chunks, mut count) = (Vec::new(), 0);
    while count < length {
        let chunk = stream.recv().await?;
        if chunk.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        count += chunk.len();
        chunks.push(chunk);
    }
    Ok(chunks)
}

/// Takes two messages, and lets go of the first when the second is there.
async fn keep_one(stream: TcpStream) -> io::Result<()> {
    let first = receive(&stream, LONG).await?;
    stream.send("1").await?;
    let second = receive(&stream, LONG).await?;
    let id = messages::id(&first.concat());
    assert_eq!(first.concat(), messages::long(id, 1), "the first message of {id}");
    assert_eq!(second.concat(), messages::long(id, 2), "the second message of {id}");
    stream.send("2").await
}

async fn keep(connections: usize) -> aem::Result {
    let listener = listen()?;
    let mut tasks = Vec::new();
    for _ in 0..connections {
        let (stream, _peer) = listener.accept().await?;
        tasks.push(aem::spawn(keep_one(stream)));
    }
    for task in tasks {
        task.await??;
    }
    println!("done {connections}");
    Ok(())
}

/// Checks that the short messages of one connection come once each, in their order.
#[derive(Default)]
struct Checked {
    rest: Vec<u8>,
    next: u32,
    id: Option<u32>,
}

impl Checked {
    fn add(&mut self, bytes: &[u8]) -> usize {
        self.rest.extend_from_slice(bytes);
        let whole = self.rest.len() / SHORT;
        for message in self.rest.drain(..whole * SHORT).collect::<Vec<u8>>().chunks(SHORT) {
            let id = *self.id.get_or_insert_with(|| messages::id(message));
            assert_eq!(message, messages::short(id, self.next), "message {} of {id}", self.next);
            self.next += 1;
        }
        whole
    }
}

async fn hold(connections: usize) -> aem::Result {
    let listener = listen()?;
    let (lines, inbox) = queue::unbounded();
    let (go, gone) = mpsc::channel();
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            let _ =
                if line == "hold" { lines.unbounded_send(()).is_ok() } else { go.send(()).is_ok() };
        }
    });
    aem::on(inbox, move |()| {
        println!("held");
        // Not an await: nothing else of this thread runs meanwhile.
        gone.recv().expect("a line");
    })
    .detach();
    let (messages, ended) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let (told, mut ends) = queue::unbounded();
    let (counted, over) = (messages.clone(), ended.clone());
    let incoming = aem::on_ok(listener.incoming(), move |(stream, _peer)| {
        let (counted, over, told) = (counted.clone(), over.clone(), told.clone());
        let (mut checked, reply) = (Checked::default(), stream.clone());
        aem::on_ok(stream.chunks(), move |chunk| {
            let whole = checked.add(&chunk);
            counted.set(counted.get() + whole);
            reply.send(vec![b'!'; whole]);
        })
        .on_end(move |end| {
            assert!(end.is_ok(), "{end:?}");
            over.set(over.get() + 1);
            if over.get() == connections {
                told.unbounded_send(()).expect("somebody waits");
            }
        })
        .detach();
    });
    ends.next().await;
    drop(incoming);
    println!("done {} {}", ended.get(), messages.get());
    Ok(())
}

fn main() -> aem::Result {
    raise_descriptors()?;
    let arguments: Vec<String> = std::env::args().collect();
    let number = |index: usize| arguments[index].parse::<usize>().expect("a number");
    match arguments[1].as_str() {
        "keep" => Runtime::builder().pool(number(3)).build()?.block_on(keep(number(2))),
        "hold" => Runtime::new()?.block_on(hold(number(2))),
        other => panic!("not a way to be slow: {other}"),
    }
}
