//! The page on may_minihttp: a coroutine a connection, and one worker for all of them.
//!
//! It answers with fields of its own beside the page's: its name, and a date that it keeps. It reads the
//! target of each request, and leaves Nagle's delay on, as it has no setting for that.

use std::io;
use std::net::TcpListener;

use may_minihttp::{HttpService, HttpServiceFactory, Request, Response};

use super::page::Page;
use crate::server;

/// What is said to each request for the page.
#[derive(Clone, Copy)]
struct Site {
    target: &'static str,
    fields: &'static [&'static str],
    body: &'static str,
}

impl HttpService for Site {
    fn call(
        &mut self,
        request: Request<'_, '_, '_>,
        response: &mut Response<'_>,
    ) -> io::Result<()> {
        if request.path() != self.target {
            response.status_code(404, "Not Found");
            return Ok(());
        }
        for field in self.fields {
            response.header(field);
        }
        response.body(self.body);
        Ok(())
    }
}

struct Sites(Site);

impl HttpServiceFactory for Sites {
    type Service = Site;

    fn new_service(&self, _: usize) -> Site {
        self.0
    }
}

/// Serves until the process ends.
///
/// # Errors
///
/// The address is taken, or the page is no text.
pub fn serve(listener: TcpListener, page: Page) -> io::Result<()> {
    let body = String::from_utf8(page.body().to_vec()).map_err(io::Error::other)?;
    let own = |name: &str| !["server", "date", "content-length"].contains(&name);
    let fields = page.fields().filter(|(name, _)| own(&name.to_ascii_lowercase()));
    let fields = fields.map(|(name, value)| &*format!("{name}: {value}").leak());
    let site = Site {
        target: page.target().to_owned().leak(),
        fields: fields.collect::<Vec<_>>().leak(),
        body: body.leak(),
    };
    may::config().set_workers(1);
    // It wants to bind for itself.
    let address = listener.local_addr()?;
    drop(listener);
    let server = Sites(site).start(address)?;
    server::announce_at("http", address)?;
    server.join().map_err(|_| io::Error::other("the server has panicked"))
}
