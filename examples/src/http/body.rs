//! The body of a request, however it comes (RFC 9112, 6 and 7).
//!
//! [`Body::read`] takes the next step into the bytes that are there: it gives a piece of the data, or
//! says that more is needed, that this was all, or that this is no body. Nothing is left to guess: a
//! chunk's size is hexadecimal digits, its line ends with CRLF, and so does its data. What comes beside
//! the data, extensions and trailers, is looked at and thrown away: it changes nothing, and is bounded.

use super::limits::{MAX_BODY, MAX_CHUNK_LINE, MAX_CHUNK_LINES};
use super::request::{Framing, is_token, line};
use super::status::Status;

/// A body that is being read.
#[derive(Debug)]
pub struct Body {
    place: Place,
    /// Bytes of data that may still come.
    room: u64,
    /// Bytes of lines that may still come.
    line_room: usize,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    /// So many bytes, and then the end.
    Rest(u64),
    /// The line with a chunk's size.
    Size,
    /// So many bytes of a chunk.
    Chunk(u64),
    /// The line end after a chunk's data.
    ChunkEnd,
    /// A trailer field, or the empty line.
    Trailer,
    End,
}

/// What a step has come to.
#[derive(Debug, PartialEq)]
pub enum Step<'a> {
    /// A piece of the content.
    Data(&'a [u8]),
    /// What is there is not enough for a step.
    Wait,
    /// There is no more.
    End,
}

impl Body {
    /// A body that has not begun.
    ///
    /// # Errors
    ///
    /// `ContentTooLarge` if it is known to be.
    pub fn new(framing: Framing) -> Result<Body, Status> {
        let place = match framing {
            Framing::None | Framing::Length(0) => Place::End,
            Framing::Length(length) if length > MAX_BODY => return Err(Status::CONTENT_TOO_LARGE),
            Framing::Length(length) => Place::Rest(length),
            Framing::Chunked => Place::Size,
        };
        Ok(Body { place, room: MAX_BODY, line_room: MAX_CHUNK_LINES })
    }

    /// Whether nothing more comes.
    pub fn is_over(&self) -> bool {
        self.place == Place::End
    }

    /// The next step into `input`, from which what was used is taken.
    ///
    /// # Errors
    ///
    /// What to answer. Where the body ends is then unknown.
    pub fn read<'a>(&mut self, input: &mut &'a [u8]) -> Result<Step<'a>, Status> {
        loop {
            match self.place {
                Place::End => return Ok(Step::End),
                Place::Rest(left) => {
                    let data = take(input, left);
                    let left = left - data.len() as u64;
                    self.place = if left == 0 { Place::End } else { Place::Rest(left) };
                    return Ok(if data.is_empty() { Step::Wait } else { Step::Data(data) });
                }
                Place::Chunk(left) => {
                    let data = take(input, left);
                    let left = left - data.len() as u64;
                    self.place = if left == 0 { Place::ChunkEnd } else { Place::Chunk(left) };
                    return Ok(if data.is_empty() { Step::Wait } else { Step::Data(data) });
                }
                Place::ChunkEnd => match *input {
                    [b'\r', b'\n', rest @ ..] => (*input, self.place) = (rest, Place::Size),
                    [] | [b'\r'] => return Ok(Step::Wait),
                    _ => return Err(Status::BAD_REQUEST),
                },
                Place::Size | Place::Trailer => {
                    let too_long = Status::FIELDS_TOO_LARGE;
                    let Some((line, length)) = line(input, MAX_CHUNK_LINE, too_long)? else {
                        return Ok(Step::Wait);
                    };
                    *input = &input[length..];
                    self.line_room = self.line_room.checked_sub(length).ok_or(too_long)?;
                    self.place =
                        if self.place == Place::Size { self.chunk(line)? } else { trailer(line)? };
                }
            }
        }
    }

    /// What comes after the line of a chunk (7.1).
    fn chunk(&mut self, line: &[u8]) -> Result<Place, Status> {
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (size, extensions) = line.split_at(digits);
        let extensions = extensions.trim_ascii_start();
        let is_right = digits > 0
            && (extensions.first() == Some(&b';') || line.len() == digits)
            && extensions.iter().all(|&byte| is_text(byte));
        if !is_right {
            return Err(Status::BAD_REQUEST);
        }
        let size = size.iter().try_fold(0_u64, |size, &digit| {
            let digit = char::from(digit).to_digit(16)?;
            size.checked_mul(16)?.checked_add(digit.into())
        });
        let size = size.ok_or(Status::CONTENT_TOO_LARGE)?;
        if size == 0 {
            return Ok(Place::Trailer);
        }
        self.room = self.room.checked_sub(size).ok_or(Status::CONTENT_TOO_LARGE)?;
        Ok(Place::Chunk(size))
    }
}

/// What comes after the line of a trailer field, or the empty line.
fn trailer(line: &[u8]) -> Result<Place, Status> {
    if line.is_empty() {
        return Ok(Place::End);
    }
    let colon = line.iter().position(|&byte| byte == b':').ok_or(Status::BAD_REQUEST)?;
    let (name, value) = line.split_at(colon);
    let is_right = !name.is_empty()
        && name.iter().copied().all(is_token)
        && value.iter().copied().all(is_text);
    if is_right { Ok(Place::Trailer) } else { Err(Status::BAD_REQUEST) }
}

/// Whether a byte may stand in a field's value (9110, 5.5).
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

fn take<'a>(input: &mut &'a [u8], most: u64) -> &'a [u8] {
    let n = usize::try_from(most).unwrap_or(usize::MAX).min(input.len());
    let (data, rest) = input.split_at(n);
    *input = rest;
    data
}

#[cfg(test)]
mod tests;
