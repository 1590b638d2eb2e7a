//! What `wrk` says, with and without errors.

use super::*;

const HEAD: &str = "Running 1s test @ http://127.0.0.1:1/
  1 threads and 100 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.10ms  341.91us  10.45ms   97.51%
    Req/Sec    91.70k     4.48k   96.26k    90.91%
  100258 requests in 1.10s, 290.60MB read\n";

#[test]
fn a_run_without_errors() {
    let text = format!("{HEAD}Requests/sec:  91147.77\nTransfer/sec:    264.19MB\n");
    let report = Report { requests: 100_258, requests_per_second: 91_147.77, errors: 0 };
    assert_eq!(read(&text), Some(report));
}

#[test]
fn all_errors_are_counted() {
    let text = format!(
        "{HEAD}  Socket errors: connect 1, read 20, write 300, timeout 4000
  Non-2xx or 3xx responses: 50000\nRequests/sec:  91147.77\n"
    );
    assert_eq!(read(&text).map(|report| report.errors), Some(54_321));
}

#[test]
fn no_answer_at_all_is_no_report() {
    assert_eq!(read("unable to connect to 127.0.0.1:1 Connection refused\n"), None);
    assert_eq!(read("  0 requests in 1.10s, 0.00B read\nRequests/sec:      0.00\n"), None);
}
