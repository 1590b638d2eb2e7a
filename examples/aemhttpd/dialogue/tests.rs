//! What is said on a connection, however its bytes arrive, against the site that is shipped.

use super::*;
use crate::answers::Part;
use crate::limits::MAX_SMALL;
use crate::log::Format;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

pub(super) fn shipped() -> (Service, Vec<u8>, Vec<u8>) {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/aemhttpd/site"));
    let read = |name: &str| std::fs::read(root.join(name)).unwrap();
    let (site, log) = (Site::open(root).unwrap(), Log::new(Format::None));
    (Service { site, log, requests: u32::MAX }, read("style.css"), read("primes.html"))
}

fn new(service: &Service) -> Dialogue {
    Dialogue::new(service, None)
}

/// Says all chunks, going on at once whenever the dialogue waits.
///
/// Returns what was answered, without the `Date` lines, and the most that was written at once.
pub(super) fn say<'a>(
    site: &Service,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<u8>, usize, Dialogue) {
    let mut dialogue = new(site);
    let (mut answered, mut most) = (Vec::new(), 0);
    for chunk in chunks {
        let mut fresh = chunk;
        loop {
            let mut out = Answers::at(Instant::now());
            dialogue.advance(site, fresh, &mut out);
            fresh = &[];
            most = most.max(out.len());
            answered.extend(sent(&out));
            if dialogue.is_over() || !dialogue.waits(&out) {
                break;
            }
        }
    }
    (without_dates(&answered), most, dialogue)
}

/// What the client gets.
pub(super) fn sent(out: &Answers) -> Vec<u8> {
    let mut all = Vec::new();
    for part in out.parts() {
        match part {
            Part::Written(bytes) => all.extend_from_slice(bytes),
            Part::Kept(bytes) => all.extend_from_slice(bytes),
            Part::File(file, range) => {
                let mut bytes = vec![0; (range.end - range.start) as usize];
                let file = std::fs::File::from(file.try_clone().unwrap());
                file.read_exact_at(&mut bytes, range.start).unwrap();
                all.extend(bytes);
            }
        }
    }
    all
}

fn without_dates(answers: &[u8]) -> Vec<u8> {
    let lines = answers.split_inclusive(|&byte| byte == b'\n');
    lines.filter(|line| !line.starts_with(b"Date: ")).collect::<Vec<_>>().concat()
}

fn text(answers: &[u8]) -> String {
    String::from_utf8_lossy(answers).into_owned()
}

pub(super) const STYLE: &str = "GET /style.css HTTP/1.1\r\nHost: a\r\n\r\n";
const PRIMES: &str = "GET /primes.html HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn answers_do_not_depend_on_how_the_bytes_arrive() {
    let (site, style, primes) = shipped();
    let body = "GET /never HTTP/1.1\r\nHost: of the body\r\n\r\n";
    let length = body.len();
    let post = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}");
    let head = "HEAD /primes.html HTTP/1.1\r\nHost: a\r\n\r\n";
    let last = "GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let input = [STYLE, PRIMES, &post, head, STYLE, last, STYLE].concat();
    let (whole, ..) = say(&site, [input.as_bytes()]);
    for size in [1, 2, 3, 7, 64, 100] {
        assert!(say(&site, input.as_bytes().chunks(size)).0 == whole, "chunks of {size} bytes");
    }
    let said = text(&whole);
    let codes: Vec<_> =
        said.match_indices("HTTP/1.1 ").map(|(at, _)| &said[at + 9..at + 12]).collect();
    assert_eq!(codes, ["200", "200", "405", "200", "200", "404"]);
    assert!(!said.contains("of the body"));
    let bodies: usize = said.split("\r\n\r\n").count();
    assert_eq!(bodies, codes.len() + 1);
    assert!(said.contains(&text(&primes)) && said.contains(&text(&style)));
}

#[test]
fn requests_of_one_packet_are_answered_in_one_write() {
    let (site, style, _) = shipped();
    let mut out = Answers::at(Instant::now());
    let mut dialogue = new(&site);
    dialogue.advance(&site, STYLE.repeat(16).as_bytes(), &mut out);
    assert_eq!(text(&sent(&out)).matches("HTTP/1.1 200 OK\r\n").count(), 16);
    assert!(out.len() > 16 * style.len() && !dialogue.waits(&out));
    assert!(dialogue.begun.is_none(), "an idle connection holds no buffer");
}

#[test]
fn what_is_made_at_once_is_bounded() {
    let (site, _, primes) = shipped();
    let input = [PRIMES, &STYLE.repeat(1000), PRIMES].concat();
    let (answered, most, dialogue) = say(&site, input.as_bytes().chunks(64 * 1024));
    assert!(answered.len() > 2 * primes.len());
    assert!(most < BATCH + MAX_SMALL as usize, "{most}");
    assert!(!dialogue.has_begun() && !dialogue.is_over());
}

#[test]
fn after_bad_input_nothing_is_a_request() {
    let (site, ..) = shipped();
    for bad in [
        "NONSENSE\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET /../secret HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        let (said, _, dialogue) = say(&site, [[bad, STYLE].concat().as_bytes()]);
        let said = text(&said);
        assert!(said.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{said}");
        assert!(said.contains("\r\nConnection: close\r\n"), "{said}");
        assert_eq!(said.matches("HTTP/1.1").count(), 1, "{said}");
        assert!(dialogue.is_over() && !dialogue.has_begun());
    }
}

#[test]
fn an_unread_body_is_never_a_request() {
    let (site, ..) = shipped();
    for fields in ["Content-Length: 40\r\nExpect: 100-continue", "Content-Length: 9999999"] {
        let input = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{STYLE}");
        let (said, _, dialogue) = say(&site, [input.as_bytes()]);
        assert_eq!(text(&said).matches("HTTP/1.1").count(), 1, "{fields}");
        assert!(dialogue.is_over(), "{fields}");
    }
}

#[test]
fn an_unchanged_page_is_not_sent_again() {
    let (site, ..) = shipped();
    let (said, ..) = say(&site, [STYLE.as_bytes()]);
    let said = text(&said);
    let modified = said.lines().find(|line| line.starts_with("Last-Modified: ")).unwrap();
    let date = modified.trim_start_matches("Last-Modified: ");
    let ask = |date: &str| {
        let fields = format!("Host: a\r\nIf-Modified-Since: {date}\r\n\r\n");
        let (said, ..) = say(&site, [format!("GET /style.css HTTP/1.1\r\n{fields}").as_bytes()]);
        text(&said)
    };
    let again = ask(date);
    assert!(again.starts_with("HTTP/1.1 304 Not Modified\r\n"), "{again}");
    assert!(again.ends_with("\r\n\r\n") && again.contains(modified), "{again}");
    assert!(ask("Sun, 06 Nov 1994 08:49:37 GMT").starts_with("HTTP/1.1 200 OK\r\n"));
}

#[test]
fn http_1_0_is_told_what_becomes_of_its_connection() {
    let (site, ..) = shipped();
    let (said, _, dialogue) = say(&site, [b"GET / HTTP/1.0\r\n\r\n".as_slice()]);
    assert!(text(&said).contains("\r\nConnection: close\r\n") && dialogue.is_over());
    let (said, _, dialogue) =
        say(&site, [b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".as_slice()]);
    assert!(text(&said).contains("\r\nConnection: keep-alive\r\n") && !dialogue.is_over());
}

#[test]
fn only_who_began_a_request_is_told_that_it_took_too_long() {
    let (site, ..) = shipped();
    let mut out = Answers::at(Instant::now());
    assert!(!new(&site).time_out(&site, &mut out) && out.is_empty());
    let (_, _, mut dialogue) = say(&site, [&STYLE.as_bytes()[..20]]);
    assert!(dialogue.time_out(&site, &mut out) && dialogue.is_over());
    assert!(text(&sent(&out)).starts_with("HTTP/1.1 408 Request Timeout\r\n"));
}

#[test]
fn who_waits_with_a_body_is_told_to_go_on_and_gets_it_back() {
    let (site, ..) = shipped();
    let head =
        "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    let mut dialogue = new(&site);
    let mut out = Answers::at(Instant::now());
    dialogue.advance(&site, head.as_bytes(), &mut out);
    assert_eq!(text(&sent(&out)), "HTTP/1.1 100 Continue\r\n\r\n");
    out.begin(Instant::now());
    for piece in ["he", "ll", "o"] {
        assert!(out.is_empty());
        dialogue.advance(&site, piece.as_bytes(), &mut out);
    }
    assert!(
        text(&sent(&out)).starts_with("HTTP/1.1 200 OK\r\n")
            && sent(&out).ends_with(b"\r\n\r\nhello")
    );
    // One that comes at once is not told.
    let (said, ..) = say(&site, [[head, "hello"].concat().as_bytes()]);
    assert!(text(&said).starts_with("HTTP/1.1 200 OK\r\n"), "{}", text(&said));
    assert!(dialogue.begun.is_none(), "nothing is kept");
}
