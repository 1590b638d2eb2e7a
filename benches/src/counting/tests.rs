//! Tests of what is read of the counting programs.

use super::{read_callgrind, read_strace};

#[test]
fn callgrind_total_is_found() {
    let text = "version: 1\nevents: Ir\n\nfn=(0)\n16 3\n\ntotals: 174905\n";
    assert_eq!(read_callgrind(text), Some(vec![("instructions".to_owned(), 174_905)]));
    assert_eq!(read_callgrind("version: 1\n"), None);
}

#[test]
fn strace_table_is_read_to_its_sum() {
    let text = "    calls syscall\n--------- ----------------\n       23 close\n        1 write\n\
                --------- ----------------\n       24 total\n";
    let counts = vec![("close".to_owned(), 23), ("write".to_owned(), 1)];
    assert_eq!(read_strace(text), Some(counts));
    assert_eq!(read_strace(""), None);
}
