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
use crate::page;
use crate::request::{self, Method, Parsed, Request};
use crate::response::{self, Head, Persistence, Status};
use crate::router::{self, Route};
use crate::target;
use std::io;

/// The state between two events; empty while a connection is idle.
#[derive(Debug, Default)]
pub(crate) struct Dialogue {
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
    /// Goes on: with the page that is being sent, then with the requests that are there, `fresh`
    /// being new bytes from the client, perhaps none.
    ///
    /// # Errors
    ///
    /// When the page cannot be read on. Its length was promised already, so the connection has to
    /// be broken off.
    pub(crate) fn advance(
        &mut self,
        site: &Site,
        fresh: &[u8],
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        if let Some(page) = &mut self.page {
            page.read(out, PIECE)?;
            self.page.take_if(|page| page.is_over());
        }
        if self.unread.is_empty() {
            let used = self.answer_all(site, fresh, out);
            self.unread.extend_from_slice(&fresh[used..]);
            return Ok(());
        }
        let mut unread = std::mem::take(&mut self.unread);
        unread.extend_from_slice(fresh);
        let used = self.answer_all(site, &unread, out);
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

    /// Ends with a word to a client that began a request and did not complete it in time; says
    /// nothing, and returns false, to one that did not even begin.
    pub(crate) fn time_out(&mut self, out: &mut Vec<u8>) -> bool {
        let has_begun = !self.unread.is_empty() || self.pending.is_some();
        if has_begun {
            self.refuse(Status::REQUEST_TIMEOUT, true, out);
            self.end();
        }
        has_begun
    }

    /// Answers the requests in `input`; returns how much of it was used.
    fn answer_all(&mut self, site: &Site, input: &[u8], out: &mut Vec<u8>) -> usize {
        let mut rest = input;
        while !self.is_ending && self.page.is_none() && out.len() < BATCH {
            let went_on = match self.pending.take() {
                Some(pending) => self.read_body(site, pending, &mut rest, out),
                None => self.read_head(site, &mut rest, out),
            };
            match went_on {
                Ok(true) => {}
                Ok(false) => break,
                Err(status) => self.refuse(status, true, out),
            }
        }
        if self.is_ending { input.len() } else { input.len() - rest.len() }
    }

    /// Reads one head, and answers the request if that is all of it. False if more is needed.
    fn read_head(
        &mut self,
        site: &Site,
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
            self.answer(site, &request, &[], out);
            return Ok(true);
        }
        let is_wanted = matches!(router::route(&request), Ok(Route::Echo));
        if request.expects && !is_wanted {
            // The body need not come, and may; so nothing that comes is a request.
            self.answer(site, &Request { keep_alive: false, ..request }, &[], out);
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
        site: &Site,
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
                        self.answer(site, &request, &pending.content, out);
                    }
                    return Ok(true);
                }
            }
        }
    }

    /// Answers one request.
    fn answer(&mut self, site: &Site, request: &Request<'_>, content: &[u8], out: &mut Vec<u8>) {
        let has_body = request.method != Method::Head;
        self.is_ending = !request.keep_alive;
        let persistence = match (request.keep_alive, request.is_http_1_0) {
            (true, false) => Persistence::Open,
            (true, true) => Persistence::OpenSaid,
            (false, _) => Persistence::Close,
        };
        let plain = |out: &mut Vec<u8>, status, field| {
            response::plain(out, status, persistence, has_body, field);
        };
        let path = match router::route(request) {
            Ok(Route::Page(path)) => path,
            Ok(Route::Echo) => return response::content(out, persistence, content),
            Ok(Route::Methods(methods)) => {
                return Head::new(out, Status::NO_CONTENT, persistence)
                    .field("Allow", methods)
                    .end();
            }
            Err(router::Refusal::Method(methods)) => {
                return plain(out, Status::METHOD_NOT_ALLOWED, Some(("Allow", methods)));
            }
            Err(router::Refusal::Request(status)) => return self.refuse(status, has_body, out),
        };
        match target::path(path).and_then(|path| site.find(path)) {
            Ok(Found::Page(page)) => {
                let start = out.len();
                match page::serve(page, request, persistence, out) {
                    Ok(rest) => self.page = rest,
                    Err(_) => {
                        out.truncate(start);
                        plain(out, Status::INTERNAL_SERVER_ERROR, None);
                    }
                }
            }
            Ok(Found::Directory) => {
                let location = target::as_directory(path);
                plain(out, Status::MOVED_PERMANENTLY, Some(("Location", &location)));
            }
            Err(Status::BAD_REQUEST) => self.refuse(Status::BAD_REQUEST, has_body, out),
            Err(status) => plain(out, status, None),
        }
    }

    /// The last answer, to what cannot be served.
    fn refuse(&mut self, status: Status, has_body: bool, out: &mut Vec<u8>) {
        self.is_ending = true;
        response::plain(out, status, Persistence::Close, has_body, None);
    }
}

#[cfg(test)]
mod strict;
#[cfg(test)]
mod strict_table;
#[cfg(test)]
mod tests;
