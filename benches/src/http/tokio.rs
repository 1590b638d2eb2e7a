//! The page on tokio's current-thread runtime, without hyper: a task a connection, with room to read into.
//!
//! It reads requests and counts what it owes as the loops written by hand do.

use std::cell::RefCell;
use std::io;
use std::net::TcpListener;
use std::rc::Rc;

use ::tokio::io::{AsyncReadExt, AsyncWriteExt};
use ::tokio::net;
use ::tokio::task::{LocalSet, spawn_local};

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
    let runtime = ::tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    server::announce("http", &listener)?;
    listener.set_nonblocking(true)?;
    let page = Rc::new(RefCell::new(page));
    LocalSet::new().block_on(&runtime, async move {
        let listener = net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            spawn_local(converse(stream, Rc::clone(&page)));
        }
    })
}

async fn converse(mut stream: net::TcpStream, page: Rc<RefCell<Page>>) {
    let (mut unread, mut answers) = (Vec::with_capacity(BUFFER), Vec::new());
    loop {
        if !matches!(stream.read_buf(&mut unread).await, Ok(1..)) {
            return;
        }
        let Some(used) = page.borrow_mut().answer_all(&unread, &mut answers) else { return };
        unread.drain(..used);
        if stream.write_all(&answers).await.is_err() {
            return;
        }
        answers.clear();
    }
}
