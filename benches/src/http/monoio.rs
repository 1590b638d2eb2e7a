//! The page on monoio, on io_uring: a task a connection, with a buffer to read into.
//!
//! It reads requests and counts what it owes as the loops written by hand do.

use std::cell::RefCell;
use std::io;
use std::net::TcpListener;
use std::rc::Rc;

use ::monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use ::monoio::net;

use super::page::Page;
use crate::server;

/// What is read at once.
const BUFFER: usize = 16 << 10;

/// Serves until the process ends.
///
/// # Errors
///
/// There is no runtime to be had, or the listener fails.
pub fn serve(listener: TcpListener, page: Page) -> io::Result<()> {
    let builder = ::monoio::RuntimeBuilder::<::monoio::IoUringDriver>::new();
    let mut runtime = builder.build()?;
    server::announce("http", &listener)?;
    let page = Rc::new(RefCell::new(page));
    runtime.block_on(async move {
        let listener = net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            ::monoio::spawn(converse(stream, Rc::clone(&page)));
        }
    })
}

async fn converse(mut stream: net::TcpStream, page: Rc<RefCell<Page>>) {
    let (mut buffer, mut unread) = (Vec::with_capacity(BUFFER), Vec::new());
    let mut answers = Vec::new();
    loop {
        let (result, read) = stream.read(buffer).await;
        if !matches!(result, Ok(1..)) {
            return;
        }
        unread.extend_from_slice(&read);
        buffer = read;
        let Some(used) = page.borrow_mut().answer_all(&unread, &mut answers) else { return };
        unread.drain(..used);
        let (result, written) = stream.write_all(answers).await;
        if result.is_err() {
            return;
        }
        answers = written;
        answers.clear();
    }
}
