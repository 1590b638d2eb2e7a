//! What is said on one connection: the protocol without the socket.
//!
//! [`Dialogue::advance`] takes the bytes that came and appends the answers to them to a buffer:
//! all requests that are complete are answered, in order, so that what came in one packet goes
//! out in one write. It stops early in three cases, and [`Dialogue::waits`] then says that it
//! should go on when the kernel has taken what was written: a page is longer than a piece; a
//! batch of answers is full; the last answer was given.
//!
//! It keeps what it has not used, and nothing else: at most an incomplete head, a request whose body is
//! incomplete, or the requests behind a long answer in the chunk that brought them.

use crate::body::{Body, Step};
use crate::files::{Found, Rest, Site};
use crate::limits::{BATCH, PIECE};
use crate::log::Log;
use crate::page;
use crate::request::{self, Method, Parsed, Request};
use crate::response::{self, Head, Persistence, Status};
use crate::router::{self, Route};
use crate::target;
use std::io;
use std::net::IpAddr;

/// What all dialogues share.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) site: Site,
    pub(crate) log: Log,
    /// Requests on one connection.
    pub(crate) requests: u64,
}

/// The state between two events; empty while a connection is idle.
#[derive(Debug)]
pub(crate) struct Dialogue {
    peer: IpAddr,
    /// How many requests were answered.
    answered: u64,
    /// What was received and is not answered yet.
    unread: Vec<u8>,
    /// The request whose body is not whole yet. It is answered when it is: not before it is known
    /// that there is nothing wrong with it.
    pending: Option<Box<Pending>>,
    /// The page that is being sent, if it is longer than a piece.
    page: Option<Rest>,
    /// Whether the last request was read: nothing that comes is one.
    is_ending: bool,
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
    pub(crate) fn new(peer: IpAddr) -> Dialogue {
        let (unread, pending, page) = (Vec::new(), None, None);
        Dialogue { peer, answered: 0, unread, pending, page, is_ending: false }
    }

    /// Goes on: with the page that is being sent, then with the requests that are there, `fresh`
    /// being new bytes from the client, perhaps none.
    ///
    /// # Errors
    ///
    /// When the page cannot be read on. Its length was promised already, so the connection has to
    /// be broken off.
    pub(crate) fn advance(
        &mut self,
        service: &Service,
        fresh: &[u8],
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        if let Some(page) = &mut self.page {
            page.read(out, PIECE)?;
            self.page.take_if(|page| page.is_over());
        }
        if self.unread.is_empty() {
            let used = self.answer_all(service, fresh, out);
            self.unread.extend_from_slice(&fresh[used..]);
            return Ok(());
        }
        let mut unread = std::mem::take(&mut self.unread);
        unread.extend_from_slice(fresh);
        let used = self.answer_all(service, &unread, out);
        if used < unread.len() {
            unread.drain(..used);
            self.unread = unread;
        }
        Ok(())
    }

    /// Whether `advance` is to be called again when the kernel has taken the `written` bytes.
    pub(crate) fn waits(&self, written: usize) -> bool {
        self.page.is_some() || self.is_ending || written >= BATCH
    }

    /// Whether everything is said.
    pub(crate) fn is_over(&self) -> bool {
        self.is_ending && self.page.is_none()
    }

    /// Makes the answer in progress the last one.
    pub(crate) fn end(&mut self) {
        self.is_ending = true;
        (self.unread, self.pending) = (Vec::new(), None);
    }

    /// Whether there is a part of a request.
    pub(crate) fn has_begun(&self) -> bool {
        !self.unread.is_empty() || self.pending.is_some()
    }

    /// Ends with a word to a client that began a request and did not complete it in time; says
    /// nothing, and returns false, to one that did not even begin.
    pub(crate) fn time_out(&mut self, service: &Service, out: &mut Vec<u8>) -> bool {
        let has_begun = self.has_begun();
        if has_begun {
            self.refuse(service, Status::REQUEST_TIMEOUT, out);
            self.end();
        }
        has_begun
    }

    /// Answers the requests in `input`; returns how much of it was used.
    fn answer_all(&mut self, service: &Service, input: &[u8], out: &mut Vec<u8>) -> usize {
        let mut rest = input;
        while !self.is_ending && self.page.is_none() && out.len() < BATCH {
            let went_on = match self.pending.take() {
                Some(pending) => self.read_body(service, pending, &mut rest, out),
                None => self.read_head(service, &mut rest, out),
            };
            match went_on {
                Ok(true) => {}
                Ok(false) => break,
                Err(status) => self.refuse(service, status, out),
            }
        }
        if self.is_ending { input.len() } else { input.len() - rest.len() }
    }

    /// Reads one head, and answers the request if that is all of it. False if more is needed.
    fn read_head(
        &mut self,
        service: &Service,
        input: &mut &[u8],
        out: &mut Vec<u8>,
    ) -> Result<bool, Status> {
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
        self.pending = Some(Box::new(Pending { head, body, content, is_wanted }));
        Ok(true)
    }

    /// Reads on in a body, and answers its request if that is all of it. False if more is needed.
    fn read_body(
        &mut self,
        service: &Service,
        mut pending: Box<Pending>,
        input: &mut &[u8],
        out: &mut Vec<u8>,
    ) -> Result<bool, Status> {
        loop {
            match pending.body.read(input)? {
                Step::Data(data) if pending.is_wanted => pending.content.extend_from_slice(data),
                Step::Data(_) => {}
                Step::Wait => {
                    self.pending = Some(pending);
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
        out: &mut Vec<u8>,
    ) {
        let start = out.len();
        self.answered += 1;
        let keeps = request.keep_alive && self.answered < service.requests;
        self.is_ending = !keeps;
        let persistence = match (keeps, request.is_http_1_0) {
            (true, false) => Persistence::Open,
            (true, true) => Persistence::OpenSaid,
            (false, _) => Persistence::Close,
        };
        let has_body = request.method != Method::Head;
        if let Err(status) = self.say(&service.site, request, content, persistence, out) {
            // Such a request is no client's that one would want to hear again.
            self.is_ending |= status == Status::BAD_REQUEST || status == Status::LENGTH_REQUIRED;
            let persistence = if self.is_ending { Persistence::Close } else { persistence };
            out.truncate(start);
            response::plain(out, status, persistence, has_body, None);
        }
        service.log.note(self.peer, request.line, &out[start..]);
    }

    /// Says what a request asks for, or why that cannot be.
    fn say(
        &mut self,
        site: &Site,
        request: &Request<'_>,
        content: &[u8],
        persistence: Persistence,
        out: &mut Vec<u8>,
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
        match site.find(target::path(path)?)? {
            Found::Page(page) => {
                let served = page::serve(page, request, persistence, out);
                self.page = served.map_err(|_| Status::INTERNAL_SERVER_ERROR)?;
            }
            Found::Directory => {
                let location = target::as_directory(path);
                let field = Some(("Location", &location[..]));
                response::plain(out, Status::MOVED_PERMANENTLY, persistence, has_body, field);
            }
        }
        Ok(())
    }

    /// The last answer, to what is no request.
    fn refuse(&mut self, service: &Service, status: Status, out: &mut Vec<u8>) {
        self.is_ending = true;
        let start = out.len();
        response::plain(out, status, Persistence::Close, true, None);
        service.log.note(self.peer, "-", &out[start..]);
    }
}

#[cfg(test)]
mod strict;
#[cfg(test)]
mod strict_table;
#[cfg(test)]
mod tests;
