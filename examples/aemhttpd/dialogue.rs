//! What is said on one connection: the protocol without the socket.
//!
//! [`Dialogue::advance`] takes the bytes that came and appends the answers to them to a buffer:
//! all requests that are complete are answered, in order, so that what came in one packet goes
//! out in one write. It stops early in three cases, and [`Dialogue::waits`] then says that it
//! should go on when the kernel has taken what was written: a page is sent as a file; a batch of
//! answers is full; the last answer was given.
//!
//! It keeps what it has not used, and nothing else: at most an incomplete head, a request whose body is
//! incomplete, or the requests behind a long answer in the chunk that brought them.

use crate::answers::Answers;
use crate::files::{Found, Site};
use crate::limits::BATCH;
use crate::log::Log;
use crate::page;
use crate::response::{self, Head, Persistence};
use crate::router::{self, Route};
use aem_examples::http::body::{Body, Step};
use aem_examples::http::request::{self, Method, Parsed, Request};
use aem_examples::http::status::Status;
use aem_examples::http::target;
use std::net::IpAddr;

/// What all dialogues share.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) site: Site,
    pub(crate) log: Log,
    /// Requests on one connection; `u32::MAX` for any.
    pub(crate) requests: u32,
}

/// The state between two events; empty while a connection is idle.
#[derive(Debug)]
pub(crate) struct Dialogue {
    /// With whom, where anybody wants to know.
    peer: Option<Box<IpAddr>>,
    begun: Option<Box<Begun>>,
    /// How many requests may still come. When the last was read, nothing that comes is one.
    left: u32,
}

/// What there is of requests that are not answered yet.
#[derive(Debug, Default)]
struct Begun {
    unread: Vec<u8>,
    /// The request whose body is not whole yet. It is answered when it is: not before it is known
    /// that there is nothing wrong with it.
    pending: Option<Pending>,
}

/// A request whose body is being read.
#[derive(Debug)]
struct Pending {
    /// Its head, to be looked at again when it is answered.
    head: Vec<u8>,
    body: Body,
    /// What has come of it, if anybody wants it.
    content: Vec<u8>,
    is_wanted: bool,
}

impl Dialogue {
    pub(crate) fn new(service: &Service, peer: Option<IpAddr>) -> Dialogue {
        Dialogue { peer: peer.map(Box::new), begun: None, left: service.requests }
    }

    /// With whom, if it was told.
    pub(crate) fn peer(&self) -> Option<IpAddr> {
        self.peer.as_deref().copied()
    }

    /// Goes on with the requests that are there, `fresh` being new bytes from the client, perhaps
    /// none.
    pub(crate) fn advance(&mut self, service: &Service, fresh: &[u8], out: &mut Answers) {
        let mut unread =
            self.begun.as_mut().map_or(Vec::new(), |it| std::mem::take(&mut it.unread));
        if unread.is_empty() {
            let used = self.answer_all(service, fresh, out);
            unread.extend_from_slice(&fresh[used..]);
        } else {
            unread.extend_from_slice(fresh);
            let used = self.answer_all(service, &unread, out);
            unread.drain(..used);
        }
        if !unread.is_empty() {
            self.begun.get_or_insert_default().unread = unread;
        }
        self.begun.take_if(|begun| begun.unread.is_empty() && begun.pending.is_none());
    }

    /// Whether `advance` is to be called again when the kernel has taken what was written.
    pub(crate) fn waits(&self, written: &Answers) -> bool {
        self.is_over() || written.len() >= BATCH || written.has_files()
    }

    /// Whether everything is said.
    pub(crate) fn is_over(&self) -> bool {
        self.left == 0
    }

    /// Makes the answer in progress the last one.
    pub(crate) fn end(&mut self) {
        self.left = 0;
        self.begun = None;
    }

    /// Whether there is a part of a request.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.is_some()
    }

    /// Ends with a word to a client that began a request and did not complete it in time; says
    /// nothing, and returns false, to one that did not even begin.
    pub(crate) fn time_out(&mut self, service: &Service, out: &mut Answers) -> bool {
        let has_begun = self.has_begun();
        if has_begun {
            self.refuse(service, Status::REQUEST_TIMEOUT, out);
            self.end();
        }
        has_begun
    }

    /// Answers the requests in `input`; returns how much of it was used.
    fn answer_all(&mut self, service: &Service, input: &[u8], out: &mut Answers) -> usize {
        let mut rest = input;
        while !self.waits(out) {
            let went_on = match self.begun.as_mut().and_then(|begun| begun.pending.take()) {
                Some(pending) => self.read_body(service, pending, &mut rest, out),
                None => self.read_head(service, &mut rest, out),
            };
            match went_on {
                Ok(true) => {}
                Ok(false) => break,
                Err(status) => self.refuse(service, status, out),
            }
        }
        if self.is_over() { input.len() } else { input.len() - rest.len() }
    }

    /// Reads one head, and answers the request if that is all of it. False if more is needed.
    fn read_head(
        &mut self,
        service: &Service,
        input: &mut &[u8],
        out: &mut Answers,
    ) -> Result<bool, Status> {
        if input.is_empty() {
            return Ok(false);
        }
        let (request, length) = match request::parse(input) {
            Parsed::Partial => return Ok(false),
            Parsed::Refused(status) => return Err(status),
            Parsed::Complete(request, length) => (request, length),
        };
        let (head, rest) = input.split_at(length);
        *input = rest;
        let body = Body::new(request.framing)?;
        if body.is_over() {
            self.answer(service, &request, &[], out);
            return Ok(true);
        }
        let is_wanted = matches!(router::route(&request), Ok(Route::Echo));
        if request.expects && !is_wanted {
            // The body need not come, and may; so nothing that comes is a request.
            self.answer(service, &Request { keep_alive: false, ..request }, &[], out);
            return Ok(true);
        }
        if request.expects && rest.is_empty() {
            response::go_on(out);
        }
        let (head, content) = (head.to_vec(), Vec::new());
        self.begun.get_or_insert_default().pending =
            Some(Pending { head, body, content, is_wanted });
        Ok(true)
    }

    /// Reads on in a body, and answers its request if that is all of it. False if more is needed.
    fn read_body(
        &mut self,
        service: &Service,
        mut pending: Pending,
        input: &mut &[u8],
        out: &mut Answers,
    ) -> Result<bool, Status> {
        loop {
            match pending.body.read(input)? {
                Step::Data(data) if pending.is_wanted => pending.content.extend_from_slice(data),
                Step::Data(_) => {}
                Step::Wait => {
                    self.begun.get_or_insert_default().pending = Some(pending);
                    return Ok(false);
                }
                Step::End => {
                    if let Parsed::Complete(request, _) = request::parse(&pending.head) {
                        self.answer(service, &request, &pending.content, out);
                    }
                    return Ok(true);
                }
            }
        }
    }

    /// Answers one request, and logs it.
    fn answer(
        &mut self,
        service: &Service,
        request: &Request<'_>,
        content: &[u8],
        out: &mut Answers,
    ) {
        let start = out.mark();
        let keeps = request.keep_alive && self.left > 1;
        match (keeps, service.requests) {
            (false, _) => self.left = 0,
            (true, u32::MAX) => {}
            (true, _) => self.left -= 1,
        }
        let persistence = match (keeps, request.is_http_1_0) {
            (true, false) => Persistence::Open,
            (true, true) => Persistence::OpenSaid,
            (false, _) => Persistence::Close,
        };
        let has_body = request.method != Method::Head;
        if let Err(status) = say(&service.site, request, content, persistence, out) {
            // Such a request is no client's that one would want to hear again.
            if status == Status::BAD_REQUEST || status == Status::LENGTH_REQUIRED {
                self.left = 0;
            }
            let persistence = if self.is_over() { Persistence::Close } else { persistence };
            out.take_back(start);
            response::plain(out, status, persistence, has_body, None);
        }
        service.log.note(self.peer(), request.line, out.since(start));
    }

    /// The last answer, to what is no request.
    fn refuse(&mut self, service: &Service, status: Status, out: &mut Answers) {
        self.left = 0;
        let start = out.mark();
        response::plain(out, status, Persistence::Close, true, None);
        service.log.note(self.peer(), b"-", out.since(start));
    }
}

/// Says what a request asks for, or why that cannot be.
fn say(
    site: &Site,
    request: &Request<'_>,
    content: &[u8],
    persistence: Persistence,
    out: &mut Answers,
) -> Result<(), Status> {
    let has_body = request.method != Method::Head;
    let path = match router::route(request) {
        Ok(Route::Page(path)) => path,
        Ok(Route::Echo) => {
            response::content(out, persistence, content);
            return Ok(());
        }
        Ok(Route::Methods(methods)) => {
            Head::new(out, Status::NO_CONTENT, persistence).field("Allow", methods).end();
            return Ok(());
        }
        Err(router::Refusal::Method(methods)) => {
            let field = Some(("Allow", methods));
            response::plain(out, Status::METHOD_NOT_ALLOWED, persistence, has_body, field);
            return Ok(());
        }
        Err(router::Refusal::Request(status)) => return Err(status),
    };
    match site.find(path, out.now())? {
        Found::Page(page) => {
            let served = page::serve(&page, request, persistence, out);
            served.map_err(|_no_descriptors| Status::SERVICE_UNAVAILABLE)?;
        }
        Found::Directory => {
            let location = target::as_directory(path);
            let field = Some(("Location", &location[..]));
            response::plain(out, Status::MOVED_PERMANENTLY, persistence, has_body, field);
        }
    }
    Ok(())
}

#[cfg(test)]
mod strict;
#[cfg(test)]
mod strict_table;
#[cfg(test)]
mod tests;
