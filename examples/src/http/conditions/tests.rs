//! What is given to whom, by what he has.

use super::*;

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

/// A file of a hundred bytes.
fn tag() -> Tag {
    Tag { modified: UNIX_EPOCH + Duration::new(784_111_777, 5), length: 100 }
}

fn given<'a>(fields: &[(&'a str, &'a str)]) -> Conditions<'a> {
    let mut conditions = Conditions::default();
    fields.iter().for_each(|(name, value)| conditions.note(name, value.as_bytes()));
    conditions
}

fn judge(fields: &[(&str, &str)]) -> Verdict {
    given(fields).judge(tag(), true)
}

fn part(only: Range<u64>) -> Verdict {
    Verdict::Parts(vec![only])
}

fn parts(all: &[Range<u64>]) -> Verdict {
    Verdict::Parts(all.to_vec())
}

#[test]
fn tags_are_compared_as_strongly_as_it_matters() {
    let own = tag().to_string();
    let weak = format!("W/{own}");
    let several = format!("\"a,b\" , {own}");
    for (list, strong, weakly) in [
        (&own[..], true, true),
        (&weak, false, true),
        (&several, true, true),
        ("*", true, true),
        ("\"x\"", false, false),
        ("\"", false, false),
        ("", false, false),
        (own.trim_matches('"'), false, false),
    ] {
        let matches = judge(&[("If-Match", list)]) == Verdict::Whole;
        assert_eq!(matches, strong, "{list}");
        let is_there = judge(&[("IF-NONE-MATCH", list)]) == Verdict::NotModified;
        assert_eq!(is_there, weakly, "{list}");
    }
    let two_lines = [("If-None-Match", "\"x\""), ("If-None-Match", &own[..])];
    assert_eq!(judge(&two_lines), Verdict::NotModified);
}

#[test]
fn dates_count_in_seconds_and_tags_come_before_them() {
    let since = |name, date| judge(&[(name, date)]);
    assert_eq!(since("If-Modified-Since", DATE), Verdict::NotModified);
    assert_eq!(since("If-Modified-Since", AFTER), Verdict::NotModified);
    assert_eq!(since("If-Modified-Since", BEFORE), Verdict::Whole);
    assert_eq!(since("If-Unmodified-Since", DATE), Verdict::Whole);
    assert_eq!(since("If-Unmodified-Since", BEFORE), Verdict::PreconditionFailed);
    for other_form in ["Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
        assert_eq!(since("If-Modified-Since", other_form), Verdict::NotModified);
    }
    for nothing in ["yesterday", "", "0"] {
        assert_eq!(since("If-Modified-Since", nothing), Verdict::Whole);
        assert_eq!(since("If-Unmodified-Since", nothing), Verdict::Whole);
    }
    assert_eq!(judge(&[("If-None-Match", "\"x\""), ("If-Modified-Since", DATE)]), Verdict::Whole);
    let matches = [("If-Match", "*"), ("If-Unmodified-Since", BEFORE)];
    assert_eq!(judge(&matches), Verdict::Whole);
    let both = [("If-Match", "\"x\""), ("If-None-Match", "*")];
    assert_eq!(judge(&both), Verdict::PreconditionFailed);
}

#[test]
fn ranges_are_what_the_rfc_says() {
    for (range, expected) in [
        ("bytes=0-9", part(0..10)),
        ("bytes=0-0", part(0..1)),
        ("bytes=90-", part(90..100)),
        ("bytes=90-1000", part(90..100)),
        ("bytes=-10", part(90..100)),
        ("bytes=-1000", part(0..100)),
        ("bytes=0-99999999999999999999999", part(0..100)),
        ("BYTES=0-9", part(0..10)),
        ("bytes=0-9, 20-29 ,-5", parts(&[0..10, 20..30, 95..100])),
        ("bytes=,0-9,,", part(0..10)),
        ("bytes=200-300,0-9", part(0..10)),
        ("bytes=100-", Verdict::RangeNotSatisfiable),
        ("bytes=-0", Verdict::RangeNotSatisfiable),
        ("bytes=99999999999999999999999-", Verdict::RangeNotSatisfiable),
        ("bytes=0-79,0-79", Verdict::Whole),
        ("bytes=9-0", Verdict::Whole),
        ("bytes=", Verdict::Whole),
        ("bytes=-", Verdict::Whole),
        ("bytes=a-b", Verdict::Whole),
        ("bytes=0-9;1-2", Verdict::Whole),
        ("bytes 0-9", Verdict::Whole),
        ("bytes=+1-2", Verdict::Whole),
        ("lines=0-9", Verdict::Whole),
    ] {
        assert_eq!(judge(&[("Range", range)]), expected, "{range}");
    }
    let crumbs: Vec<String> = (0..=MAX_RANGES).map(|n| format!("{}-{}", 2 * n, 2 * n)).collect();
    assert_eq!(judge(&[("Range", &format!("bytes={}", crumbs.join(",")))]), Verdict::Whole);
    assert_eq!(given(&[("Range", "bytes=0-9")]).judge(tag(), false), Verdict::Whole);
}

#[test]
fn a_range_is_of_the_file_that_the_client_has() {
    let own = tag().to_string();
    let weak = format!("W/{own}");
    let of = |if_range: &str| judge(&[("Range", "bytes=0-9"), ("If-Range", if_range)]);
    assert_eq!(of(&own), part(0..10));
    assert_eq!(of(DATE), part(0..10));
    for other in [&weak[..], "\"x\"", BEFORE, AFTER, "", "*"] {
        assert_eq!(of(other), Verdict::Whole, "{other}");
    }
    let fresh = Tag { modified: SystemTime::now(), length: 100 };
    let date = httpdate::fmt_http_date(fresh.modified);
    let mut conditions = Conditions::default();
    conditions.note("Range", b"bytes=0-9");
    conditions.note("If-Range", date.as_bytes());
    assert_eq!(conditions.judge(fresh, true), Verdict::Whole, "it may change within its second");
}
