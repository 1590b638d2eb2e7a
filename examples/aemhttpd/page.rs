//! A page as an answer: all of it, parts of it, or what is to be said instead.

use crate::conditions::{Tag, Verdict};
use crate::files::{Page, Part, Rest};
use crate::limits::{HEAD_ROOM, PIECE};
use crate::request::{Method, Request};
use crate::response::{self, Head, Persistence, Status};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io;
use std::ops::Range;

/// Answers with a page, or as much of it as a piece holds; gives back what is left.
///
/// # Errors
///
/// What the system says of a file that cannot be read; nothing is promised then.
pub(crate) fn serve(
    page: Page,
    request: &Request<'_>,
    persistence: Persistence,
    out: &mut Vec<u8>,
) -> io::Result<Option<Rest>> {
    let Page { tag, media_type, mut rest } = page;
    let is_get = request.method == Method::Get;
    let all = tag.length;
    let length = match request.conditions.judge(tag, is_get) {
        Verdict::Whole => {
            out.reserve(HEAD_ROOM + usize::try_from(all).unwrap_or(usize::MAX).min(PIECE));
            let head = facts(Head::new(out, Status::OK, persistence), tag);
            head.field("Accept-Ranges", "bytes")
                .field("Content-Type", media_type)
                .field("Content-Length", all)
                .end();
            all
        }
        Verdict::Parts(parts) => {
            let head = facts(Head::new(out, Status::PARTIAL_CONTENT, persistence), tag);
            match &parts[..] {
                [part] => {
                    let length = part.end - part.start;
                    head.field("Content-Range", content_range(part, all))
                        .field("Content-Type", media_type)
                        .field("Content-Length", length)
                        .end();
                    rest = rest.only(part.clone());
                    length
                }
                parts => {
                    let boundary = format!("{:016x}", RandomState::new().hash_one(all));
                    let parts = multipart(parts, all, media_type, &boundary);
                    let media_type = format!("multipart/byteranges; boundary={boundary}");
                    let length: u64 = parts.iter().map(Part::len).sum();
                    head.field("Content-Type", media_type).field("Content-Length", length).end();
                    rest = rest.only_parts(parts);
                    length
                }
            }
        }
        Verdict::NotModified => {
            facts(Head::new(out, Status::NOT_MODIFIED, persistence), tag).end();
            return Ok(None);
        }
        Verdict::PreconditionFailed => {
            response::plain(out, Status::PRECONDITION_FAILED, persistence, is_get, None);
            return Ok(None);
        }
        Verdict::RangeNotSatisfiable => {
            let size = format!("bytes */{all}");
            let field = Some(("Content-Range", &size[..]));
            response::plain(out, Status::RANGE_NOT_SATISFIABLE, persistence, is_get, field);
            return Ok(None);
        }
    };
    if !is_get || length == 0 {
        return Ok(None);
    }
    rest.read(out, PIECE)?;
    Ok(Some(rest).filter(|rest| !rest.is_over()))
}

/// What is told of every page.
fn facts(head: Head<'_>, tag: Tag) -> Head<'_> {
    head.field("Last-Modified", httpdate::HttpDate::from(tag.modified)).field("ETag", tag)
}

fn content_range(part: &Range<u64>, all: u64) -> String {
    format!("bytes {}-{}/{all}", part.start, part.end - 1)
}

/// Parts with heads of their own, and the line that ends them (RFC 9110, 14.6).
fn multipart(parts: &[Range<u64>], all: u64, media_type: &str, boundary: &str) -> Vec<Part> {
    let mut told: Vec<Part> = parts
        .iter()
        .map(|part| {
            let range = content_range(part, all);
            let head = format!(
                "\r\n--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: {range}\r\n\r\n"
            );
            Part { head: head.into_bytes(), bytes: part.clone() }
        })
        .collect();
    told.push(Part { head: format!("\r\n--{boundary}--\r\n").into_bytes(), bytes: 0..0 });
    told
}
