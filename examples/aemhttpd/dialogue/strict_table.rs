//! The rows of `strict.txt`, for whoever asks a server all of them.

/// A request as it is sent, and what is to come of it.
pub(crate) struct Row {
    /// Of which RFC it is a matter.
    pub(crate) section: &'static str,
    pub(crate) request: Vec<u8>,
    /// The status of each answer.
    pub(crate) answers: Vec<&'static str>,
    /// Whether the connection ends with the last of them.
    pub(crate) ends: bool,
}

/// All rows.
pub(crate) fn rows() -> Vec<Row> {
    let lines = include_str!("strict.txt").lines();
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(row).collect()
}

/// The section, the answers and the request each begin at a column of their own.
fn row(line: &'static str) -> Row {
    let (section, rest) = line.split_at(15);
    let (answers, request) = rest.split_at(10);
    let ends = answers.trim().ends_with('!');
    let answers = answers.trim().trim_end_matches('!').split(' ').collect();
    let chunked = r"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let request = unescaped(&request.replace("{post}", chunked));
    Row { section: section.trim(), request, answers, ends }
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut left = text.bytes();
    while let Some(byte) = left.next() {
        bytes.push(match (byte, byte == b'\\') {
            (_, false) => byte,
            _ => match left.next().expect("something behind a backslash") {
                b'r' => b'\r',
                b'n' => b'\n',
                b't' => b'\t',
                b'x' => {
                    let digits = [left.next(), left.next()].map(|digit| digit.expect("a digit"));
                    let digits = str::from_utf8(&digits).expect("two digits");
                    u8::from_str_radix(digits, 16).expect("hexadecimal ones")
                }
                other => other,
            },
        });
    }
    bytes
}
