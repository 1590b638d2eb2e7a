//! A file server on hyper and tokio's current-thread runtime, for AEMhttpd to be measured beside.
//!
//! It serves the files of one directory, without subdirectories, and says of each what AEMhttpd
//! says: length, type, and when it was modified. Its first line on stdout is `http://ADDR/`. It
//! ends when it is killed.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue, LAST_MODIFIED};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

/// Where the bytes of a page come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// They are all read before the first request.
    Memory,
    /// The file is opened and read for each request, on the server's one thread.
    Disk,
}

/// A file, and what is said about it.
#[derive(Clone)]
struct Page {
    content: Bytes,
    modified: HeaderValue,
}

impl Page {
    fn read(path: &Path) -> io::Result<Page> {
        let mut file = File::open(path)?;
        let facts = file.metadata()?;
        let mut content = Vec::with_capacity(facts.len() as usize);
        file.read_to_end(&mut content)?;
        let modified = httpdate::fmt_http_date(facts.modified()?);
        let modified = HeaderValue::from_str(&modified).map_err(io::Error::other)?;
        Ok(Page { content: content.into(), modified })
    }
}

struct Site {
    root: PathBuf,
    /// By path, with its slash. Empty where pages come from the disk.
    in_memory: HashMap<String, Page>,
    from: From,
}

impl Site {
    fn open(root: &Path, from: From) -> io::Result<Site> {
        let mut in_memory = HashMap::new();
        for entry in fs::read_dir(root)? {
            let entry = entry?;
            if from == From::Memory && entry.file_type()?.is_file() {
                let path = format!("/{}", entry.file_name().to_string_lossy());
                in_memory.insert(path, Page::read(&entry.path())?);
            }
        }
        Ok(Site { root: root.to_owned(), in_memory, from })
    }

    fn find(&self, path: &str) -> Option<Page> {
        match self.from {
            From::Memory => self.in_memory.get(path).cloned(),
            From::Disk => {
                let name = path.strip_prefix('/').filter(|name| !name.contains('/'))?;
                Page::read(&self.root.join(name)).ok()
            }
        }
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        let Some(page) = self.find(path) else {
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::NOT_FOUND;
            return response;
        };
        let mut response = Response::new(Full::new(page.content));
        let headers = response.headers_mut();
        let media_type = if path.ends_with(".html") { "text/html" } else { "text/plain" };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        headers.insert(LAST_MODIFIED, page.modified);
        response
    }
}

async fn serve(site: Rc<Site>, stream: TcpStream) {
    let answer = |request| {
        let response = site.answer(&request);
        async { Ok::<_, Infallible>(response) }
    };
    let connection =
        http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
    // A client that goes away in the middle is its own business.
    let _ = connection.await;
}

/// Serves until the process ends.
///
/// # Errors
///
/// What stands in the way of the first connection.
pub fn run(root: &Path, from: From) -> io::Result<Infallible> {
    let site = Rc::new(Site::open(root, from)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        println!("http://{}/", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::task::spawn_local(serve(Rc::clone(&site), stream));
        }
    })
}
