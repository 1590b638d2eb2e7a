//! A page as an answer: all of it, parts of it, or what is to be said instead.

use crate::answers::Answers;
use crate::files::Page;
use crate::response::{self, Head, Persistence};
use aem_examples::http::conditions::Verdict;
use aem_examples::http::request::{Method, Request};
use aem_examples::http::status::Status;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

/// The answer that most requests for a page get, of which each second only the date is new.
#[derive(Debug)]
pub(crate) struct Whole {
    answer: Arc<[u8]>,
    head: usize,
    date: usize,
    /// Until when the date is right.
    end: Instant,
}

impl Whole {
    pub(crate) fn new(fields: &str, media_type: &str, content: &[u8], now: Instant) -> Whole {
        let mut out = Answers::at(now);
        let bytes = Head::new(&mut out, Status::OK, Persistence::Open)
            .fields(fields)
            .field("Content-Type", media_type)
            .length(content.len() as u64)
            .end();
        let (head, (date, end)) = (bytes.len(), response::date(now));
        bytes.extend_from_slice(content);
        let date = bytes.windows(date.len()).position(|it| it == date);
        let (answer, date) = (Arc::from(&bytes[..]), date.expect("every head has a date"));
        Whole { answer, head, date, end }
    }

    /// The answer in a moment that is not before the last one.
    pub(crate) fn at(&mut self, now: Instant) -> Arc<[u8]> {
        if now >= self.end {
            let (date, end) = response::date(now);
            let place = &mut Arc::make_mut(&mut self.answer)[self.date..][..date.len()];
            place.copy_from_slice(&date);
            self.end = end;
        }
        Arc::clone(&self.answer)
    }

    pub(crate) fn content(&self) -> &[u8] {
        &self.answer[self.head..]
    }
}

/// Answers with a page.
///
/// # Errors
///
/// When there are no descriptors left for it.
pub(crate) fn serve(
    page: &Page,
    request: &Request<'_>,
    persistence: Persistence,
    out: &mut Answers,
) -> io::Result<()> {
    let is_get = request.method == Method::Get;
    let (all, kind) = (page.tag.length, page.media_type);
    let head = |out, status| Head::new(out, status, persistence).fields(&page.fields);
    match request.conditions.judge(page.tag, is_get) {
        Verdict::Whole => {
            if is_get
                && persistence == Persistence::Open
                && let Some(whole) = page.whole(out.now())
            {
                out.push(whole);
                return Ok(());
            }
            head(out, Status::OK).field("Content-Type", kind).length(all).end();
            if is_get {
                page.put(0..all, out)?;
            }
        }
        Verdict::Parts(parts) => match &parts[..] {
            [part] => {
                let head = head(out, Status::PARTIAL_CONTENT).field("Content-Type", kind);
                let range = content_range(part, all);
                head.field("Content-Range", range).length(part.end - part.start).end();
                page.put(part.clone(), out)?;
            }
            parts => {
                let boundary = format!("{:016x}", RandomState::new().hash_one(all));
                let heads = parts.iter().map(|part| part_head(part, page, &boundary));
                let (heads, last) = (heads.collect::<Vec<_>>(), format!("\r\n--{boundary}--\r\n"));
                let sizes = heads.iter().zip(parts);
                let sizes = sizes.map(|(head, part)| head.len() as u64 + part.end - part.start);
                let length = sizes.sum::<u64>() + last.len() as u64;
                let kind = format!("multipart/byteranges; boundary={boundary}");
                head(out, Status::PARTIAL_CONTENT).field("Content-Type", kind).length(length).end();
                for (head, part) in heads.iter().zip(parts) {
                    out.bytes().extend_from_slice(head.as_bytes());
                    page.put(part.clone(), out)?;
                }
                out.bytes().extend_from_slice(last.as_bytes());
            }
        },
        Verdict::NotModified => {
            head(out, Status::NOT_MODIFIED).end();
        }
        Verdict::PreconditionFailed => {
            let status = Status::PRECONDITION_FAILED;
            response::plain(out, status, persistence, is_get, None);
        }
        Verdict::RangeNotSatisfiable => {
            let (status, size) = (Status::RANGE_NOT_SATISFIABLE, format!("bytes */{all}"));
            let field = Some(("Content-Range", &*size));
            response::plain(out, status, persistence, is_get, field);
        }
    }
    Ok(())
}

fn content_range(part: &Range<u64>, all: u64) -> String {
    format!("bytes {}-{}/{all}", part.start, part.end - 1)
}

/// What stands before one of several parts (RFC 9110, 14.6).
fn part_head(part: &Range<u64>, page: &Page, boundary: &str) -> String {
    let (kind, range) = (page.media_type, content_range(part, page.tag.length));
    format!("\r\n--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: {range}\r\n\r\n")
}
