//! What the bytes of a body come to, and where it ends, however they arrive.

use super::*;

/// Reads a body that comes in pieces of this size; gives the data and how many bytes were used.
fn read(framing: Framing, input: &[u8], size: usize) -> Result<(Vec<u8>, usize), Status> {
    let mut body = Body::new(framing)?;
    let (mut data, mut unread, mut come) = (Vec::new(), Vec::new(), 0);
    loop {
        let mut rest = &unread[..];
        let step = loop {
            match body.read(&mut rest)? {
                Step::Data(piece) => data.extend_from_slice(piece),
                step => break step,
            }
        };
        let left = rest.len();
        match step {
            Step::End => return Ok((data, come - left)),
            _ if come == input.len() => return Ok((data, usize::MAX)),
            _ => {}
        }
        unread.drain(..unread.len() - left);
        let more = size.min(input.len() - come);
        unread.extend_from_slice(&input[come..come + more]);
        come += more;
    }
}

#[track_caller]
fn comes_to(framing: Framing, input: &str, expected: &str, used: usize) {
    for size in 1..=input.len() {
        let read = read(framing, input.as_bytes(), size);
        assert_eq!(read, Ok((expected.into(), used)), "{size} bytes at a time");
    }
}

#[test]
fn a_length_is_that_many_bytes() {
    comes_to(Framing::Length(5), "hello, and more", "hello", 5);
    comes_to(Framing::Length(0), "more", "", 0);
    comes_to(Framing::None, "more", "", 0);
    comes_to(Framing::Length(9), "hello", "hello", usize::MAX);
    assert_eq!(Body::new(Framing::Length(MAX_BODY + 1)).unwrap_err(), Status::CONTENT_TOO_LARGE);
}

#[test]
fn chunks_end_where_they_say() {
    comes_to(Framing::Chunked, "0\r\n\r\nmore", "", 5);
    comes_to(Framing::Chunked, "5\r\nhello\r\n0\r\n\r\nmore", "hello", 15);
    let all = "1;a=b\r\nh\r\n4 ;c\r\nello\r\n000\r\nX: y\r\nZ:\r\n\r\n";
    comes_to(Framing::Chunked, all, "hello", all.len());
    comes_to(Framing::Chunked, "5\r\nhel", "hel", usize::MAX);
    let large = format!("{:x}\r\n{}\r\n0\r\n\r\n", 70_000, "x".repeat(70_000));
    assert_eq!(read(Framing::Chunked, large.as_bytes(), 1000).unwrap().1, large.len());
}

#[test]
fn what_is_no_body_is_no_body() {
    for (input, status) in [
        ("\r\n", Status::BAD_REQUEST),
        ("g\r\n", Status::BAD_REQUEST),
        ("1 \r\na\r\n", Status::BAD_REQUEST),
        ("1\r\nab\r\n", Status::BAD_REQUEST),
        ("1\na", Status::BAD_REQUEST),
        ("1;\u{1}\r\na", Status::BAD_REQUEST),
        ("0\r\nno field\r\n\r\n", Status::BAD_REQUEST),
        ("0\r\n folded: x\r\n\r\n", Status::BAD_REQUEST),
        ("10000000000000000\r\n", Status::CONTENT_TOO_LARGE),
        ("40001\r\n", Status::CONTENT_TOO_LARGE),
    ] {
        for size in 1..=input.len() {
            assert_eq!(read(Framing::Chunked, input.as_bytes(), size), Err(status), "{input:?}");
        }
    }
}

#[test]
fn what_is_not_data_is_bounded() {
    let too_large = Err(Status::FIELDS_TOO_LARGE);
    let extension = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(MAX_CHUNK_LINE));
    assert_eq!(read(Framing::Chunked, extension.as_bytes(), 100), too_large);
    let trailers = format!("0\r\n{}\r\n", "A: b\r\n".repeat(MAX_CHUNK_LINES / 6));
    assert_eq!(read(Framing::Chunked, trailers.as_bytes(), 100), too_large);
    let chunks = "1\r\na\r\n".repeat(MAX_CHUNK_LINES / 3 + 1);
    assert_eq!(read(Framing::Chunked, chunks.as_bytes(), 100), too_large);
    let data = "8000\r\n".to_owned() + &"x".repeat(0x8000) + "\r\n";
    assert_eq!(
        read(Framing::Chunked, data.repeat(9).as_bytes(), 1000),
        Err(Status::CONTENT_TOO_LARGE)
    );
}
