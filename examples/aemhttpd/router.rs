//! What a request is for: the routes of this server, and the methods of each.

use aem_examples::http::request::{Framing, Method, Request};
use aem_examples::http::status::Status;
use aem_examples::http::target::Target;

/// Whom a request is for.
#[derive(Debug, PartialEq)]
pub(crate) enum Route<'a> {
    /// The file of this path.
    Page(&'a [u8]),
    /// Whoever sends back what he is sent.
    Echo,
    /// Whoever says which methods there are.
    Methods(&'static str),
}

/// Why it is for nobody.
#[derive(Debug, PartialEq)]
pub(crate) enum Refusal {
    /// The target has these methods only.
    Method(&'static str),
    /// The request is not one that could be answered.
    Request(Status),
}

/// Where content is sent back from.
const ECHO: &[u8] = b"/echo";

const OF_PAGES: &str = "GET, HEAD, OPTIONS";
const OF_ECHO: &str = "POST, OPTIONS";
const OF_ALL: &str = "GET, HEAD, POST, OPTIONS";

/// Finds the route of a request.
pub(crate) fn route<'a>(request: &Request<'a>) -> Result<Route<'a>, Refusal> {
    let path = match request.target {
        Target::Server => return Ok(Route::Methods(OF_ALL)),
        Target::Path(path) => path,
    };
    match (path == ECHO, request.method) {
        (true, Method::Post) if request.framing == Framing::None => {
            Err(Refusal::Request(Status::LENGTH_REQUIRED))
        }
        (true, Method::Post) => Ok(Route::Echo),
        (true, Method::Options) => Ok(Route::Methods(OF_ECHO)),
        (true, _) => Err(Refusal::Method(OF_ECHO)),
        (false, Method::Get | Method::Head) => Ok(Route::Page(path)),
        (false, Method::Options) => Ok(Route::Methods(OF_PAGES)),
        (false, _) => Err(Refusal::Method(OF_PAGES)),
    }
}
