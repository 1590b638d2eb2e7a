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
use super::request::Request;
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
        let Some(used) = gather(&mut page.borrow_mut(), &unread, &mut answers) else { return };
        unread.drain(..used);
        let (result, written) = stream.write_all(answers).await;
        if result.is_err() {
            return;
        }
        answers = written;
        answers.clear();
    }
}

/// Adds the answers to all requests that are whole. How much of the bytes these were; none if one was
/// not for the page.
fn gather(page: &mut Page, bytes: &[u8], answers: &mut Vec<u8>) -> Option<usize> {
    let mut used = 0;
    page.set_date();
    while let Some(request) = Request::read(&bytes[used..]) {
        if request.method != b"GET" || request.target != page.target().as_bytes() {
            return None;
        }
        used += request.length;
        answers.extend_from_slice(page.answer());
    }
    Some(used)
}
