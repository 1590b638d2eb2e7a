//! The RFCs, request by request: each answered as they want it, however its bytes arrive.

use super::strict_table::rows;
use super::tests::{STYLE, say, shipped};

/// The status of each answer but the interim ones, and whether the last one says that it is the last.
fn statuses(request: &[u8], mut answers: &[u8]) -> (Vec<String>, bool) {
    let (mut told, mut ends) = (Vec::new(), false);
    while !answers.is_empty() {
        assert!(!ends, "an answer after the last one");
        let text = String::from_utf8_lossy(answers);
        let (head, _) = text.split_once("\r\n\r\n").expect("a whole head");
        let status = head.strip_prefix("HTTP/1.1 ").expect("a status line")[..3].to_owned();
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let has_no_body = request.starts_with(b"HEAD") && told.is_empty();
        let length = if has_no_body { 0 } else { length.map_or(0, |it| it.parse().unwrap()) };
        answers = &answers[head.len() + 4 + length..];
        ends = head.lines().any(|line| line == "Connection: close");
        if status != "100" {
            told.push(status);
        }
    }
    (told, ends)
}

#[test]
fn every_request_is_answered_as_the_rfcs_want_it() {
    let (site, ..) = shipped();
    let (mut wrong, rows) = (Vec::new(), rows());
    for row in &rows {
        // One more request behind all is answered, unless the connection has ended.
        let input = [&row.request, STYLE.as_bytes()].concat();
        let expected =
            if row.ends { row.answers.clone() } else { [&row.answers[..], &["200"]].concat() };
        let mut check = |how: &str, chunks: &[&[u8]]| {
            let (said, _, dialogue) = say(&site, chunks.iter().copied());
            let (got, ends) = statuses(&row.request, &said);
            if got != expected || ends != row.ends || dialogue.is_over() != row.ends {
                let request = String::from_utf8_lossy(&row.request);
                wrong.push(format!("RFC {} {request:?} {how}: {got:?}, {ends}", row.section));
            }
        };
        check("whole", &[&input]);
        check("byte by byte", &input.chunks(1).collect::<Vec<_>>());
        for place in 1..row.request.len() {
            let (first, second) = input.split_at(place);
            check(&format!("split at {place}"), &[first, second]);
        }
    }
    assert!(rows.len() >= 150);
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(40)].join("\n")
    );
}
