//! Tests of the file.

use super::*;

/// Made up, with these numbers of idle connections.
pub(in super::super) fn records(of: &[(usize, &str, usize, f64)]) -> Records {
    let record = |&(round, server, idle, micros): &(usize, &str, usize, f64)| Record {
        round,
        server: server.to_owned(),
        idle,
        requests: 1_000,
        seconds: 1.5,
        median_micros: micros,
        most_micros: 2.0 * micros,
        mean_micros: micros,
        cpu_micros: micros / 100.0,
        anonymous_kb: 1_000 + idle as u64,
        slab_kb: 5_000,
    };
    Records { caption: "then and there".to_owned(), all: of.iter().map(record).collect() }
}

#[test]
fn what_is_written_is_read_again() {
    let records = records(&[(0, "b", 0, 1.25), (0, "b", 500, 2.5), (0, "a", 0, 3.0)]);
    assert_eq!(Records::of(&records.text()), Some(records.clone()));
    assert_eq!((records.servers(), records.steps()), (vec!["b", "a"], vec![0, 500]));
    assert_eq!(records.figures("b", 500, |record| record.most_micros), [5.0]);
}

#[test]
fn what_is_not_such_a_file_is_not_understood() {
    let text = records(&[(0, "b", 0, 1.25)]).text();
    for (from, to) in [("# ", ""), ("round,", ""), ("1000,1.5", "x,1.5"), (",5000", "")] {
        assert!(text.contains(from));
        assert_eq!(Records::of(&text.replacen(from, to, 1)), None, "without {from}");
    }
    assert_eq!(Records::of(&text.lines().take(2).collect::<Vec<_>>().join("\n")), None);
}
