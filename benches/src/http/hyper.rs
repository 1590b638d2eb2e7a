//! The page on hyper and tokio's current-thread runtime, from memory or from the disk.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read};
use std::net::TcpListener;
use std::path::PathBuf;
use std::rc::Rc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_LENGTH, DATE, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use super::SITE;
use super::page::Page;
use crate::server;

/// Where the bytes of the page come from.
enum From {
    /// They are there before the first request.
    Memory(Bytes),
    /// The file is opened and read for each request, on the server's one thread.
    Disk(PathBuf),
}

struct Site {
    target: String,
    /// Those of the page, but for its length and the date, which are hyper's to say.
    fields: Vec<(HeaderName, HeaderValue)>,
    from: From,
}

/// From memory. Serves until the process ends.
///
/// # Errors
///
/// What stands in the way of the first connection.
pub fn serve_from_memory(listener: TcpListener, page: Page) -> io::Result<()> {
    let content = Bytes::copy_from_slice(page.body());
    serve(listener, &page, From::Memory(content))
}

/// From the file itself. Serves until the process ends.
///
/// # Errors
///
/// As of [`serve_from_memory`].
pub fn serve_from_disk(listener: TcpListener, page: Page) -> io::Result<()> {
    let path = format!("{SITE}{}", page.target());
    serve(listener, &page, From::Disk(path.into()))
}

fn serve(listener: TcpListener, page: &Page, from: From) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let site = Rc::new(Site::new(page, from)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    server::announce("http", &listener)?;
    LocalSet::new().block_on(&runtime, async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::task::spawn_local(converse(Rc::clone(&site), stream));
        }
    })
}

async fn converse(site: Rc<Site>, stream: TcpStream) {
    let answer = |request| {
        let response = site.answer(&request);
        async { Ok::<_, Infallible>(response) }
    };
    let connection =
        http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
    // A client that goes away in the middle is its own business.
    let _ = connection.await;
}

impl Site {
    fn new(page: &Page, from: From) -> io::Result<Site> {
        let read = |(name, value): (&str, &str)| -> io::Result<_> {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(io::Error::other)?;
            Ok((name, HeaderValue::from_str(value).map_err(io::Error::other)?))
        };
        let mut fields = page.fields().map(read).collect::<io::Result<Vec<_>>>()?;
        fields.retain(|(name, _)| *name != CONTENT_LENGTH && *name != DATE);
        Ok(Site { target: page.target().to_owned(), fields, from })
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let is_it = request.method() == Method::GET && request.uri().path() == self.target;
        let Some(content) = self.content().filter(|_| is_it) else {
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::NOT_FOUND;
            return response;
        };
        let mut response = Response::new(Full::new(content));
        for (name, value) in &self.fields {
            response.headers_mut().insert(name, value.clone());
        }
        response
    }

    fn content(&self) -> Option<Bytes> {
        match &self.from {
            From::Memory(content) => Some(content.clone()),
            From::Disk(path) => read(path).ok(),
        }
    }
}

fn read(path: &PathBuf) -> io::Result<Bytes> {
    let mut file = File::open(path)?;
    let mut content = Vec::with_capacity(file.metadata()?.len() as usize);
    file.read_to_end(&mut content)?;
    Ok(content.into())
}
