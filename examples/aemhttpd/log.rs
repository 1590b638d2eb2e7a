//! The access log: a line for each answer, on standard output.
//!
//! Lines are gathered and written together, at the latest when the server looks after its connections: a
//! reader that is slower than the server holds it up, so let it be a file or a program that is not.

use crate::limits::MAX_LOG;
use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::time::SystemTime;

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
pub(crate) enum Format {
    None,
    /// As Apache's common log format has it, in UTC.
    Common,
    /// An object of JSON a line.
    Json,
}

/// The lines that are not written yet.
#[derive(Debug)]
pub(crate) struct Log {
    format: Format,
    lines: RefCell<String>,
}

impl Log {
    pub(crate) fn new(format: Format) -> Log {
        Log { format, lines: RefCell::default() }
    }

    /// Whether anything is noted.
    pub(crate) fn is_kept(&self) -> bool {
        self.format != Format::None
    }

    /// Notes an answer, of which the head is there.
    pub(crate) fn note(&self, peer: Option<IpAddr>, request: &[u8], answer: &[u8]) {
        if !self.is_kept() {
            return;
        }
        let peer = peer.map_or_else(|| "-".to_owned(), |peer| peer.to_string());
        let word = |before: &[u8], end: u8| {
            let start = answer.windows(before.len()).position(|it| it == before)? + before.len();
            let word = answer[start..].split(|&byte| byte == end).next()?;
            std::str::from_utf8(word).ok()
        };
        let status = word(b"HTTP/1.1 ", b' ').unwrap_or("000");
        let bytes = word(b"Content-Length: ", b'\r').unwrap_or("0");
        let time = httpdate::fmt_http_date(SystemTime::now());
        let mut lines = self.lines.borrow_mut();
        // Of what may stand in a request line only these could end a text.
        let request = String::from_utf8_lossy(request);
        let request = request.replace('\\', "\\\\").replace('"', "\\\"");
        let written = match self.format {
            // Sun, 06 Nov 1994 08:49:37 GMT
            Format::Common => writeln!(
                lines,
                "{peer} - - [{}/{}/{}:{} +0000] \"{request}\" {status} {bytes}",
                &time[5..7],
                &time[8..11],
                &time[12..16],
                &time[17..25]
            ),
            _ => writeln!(
                lines,
                "{{\"time\":\"{time}\",\"peer\":\"{peer}\",\"request\":\"{request}\",\
                 \"status\":{status},\"bytes\":{bytes}}}"
            ),
        };
        written.expect("a String takes all that is written");
        if lines.len() >= MAX_LOG {
            drop(lines);
            self.flush();
        }
    }

    /// Writes what was gathered.
    pub(crate) fn flush(&self) {
        let lines = self.lines.take();
        if !lines.is_empty() {
            // Whoever closed our output does not want to know.
            let mut out = std::io::stdout();
            let _ = out.write_all(lines.as_bytes()).and_then(|()| out.flush());
        }
    }
}
