//! What each check is there for, shown to it once: a check that finds nothing may be blind.

use super::*;

fn count(check: impl FnOnce(&mut Findings)) -> usize {
    let mut found = Findings::default();
    check(&mut found);
    found.len()
}

#[test]
fn imports_that_go_up_or_sideways() {
    let exports = imports::exports(&lexer::read("pub use time::sleep;").tokens);
    let imports =
        |path, text| count(|found| imports::check(&Source::new(path, text), &exports, found));
    assert_eq!(imports("aem-rt/src/queue.rs", "use crate::{sync::A, job::{B, net}};"), 1);
    assert_eq!(imports("aem-rt/src/queue/ready.rs", "use super::super::reactor::A;"), 1);
    assert_eq!(imports("aem-rt/src/queue/ready.rs", "use super::reactor::A;"), 0);
    assert_eq!(imports("aem-rt/src/job.rs", "use crate::queue::A; use crate::error;"), 0);
    assert_eq!(imports("aem-rt/src/reactor.rs", "fn f() { crate::sleep(1) }"), 1);
    assert_eq!(imports("aem-rt/src/lib.rs", "use crate::net::A;"), 0);
}

#[test]
fn unsafe_without_a_reason() {
    let unsafes = |text| count(|found| check_safety(&Source::new("a.rs", text), found));
    assert_eq!(unsafes("// SAFETY: so.\nlet a =\n    unsafe { b() };"), 0);
    assert_eq!(unsafes("// SAFETY: so.\nlet a = b();\nunsafe { b() };"), 1);
    assert_eq!(unsafes("/// # Safety\n/// Do.\n#[inline]\nunsafe fn f() {}"), 0);
    assert_eq!(unsafes("// SAFETY: no.\nunsafe fn f() {}"), 1);
    assert_eq!(unsafes("impl<T> A for B { unsafe fn f() {} } impl B { unsafe fn f() {} }"), 1);
    assert_eq!(unsafes("\"unsafe\"; r#\"unsafe\"#; 'u'; // unsafe\ntype F = unsafe fn();"), 0);
}

#[test]
fn loom_behind_other_doors() {
    let looms = |text| count(|found| check_loom(&Source::new("a.rs", text), found));
    assert_eq!(looms("#[cfg(all(test, not(loom)))] mod a;"), 1);
    assert_eq!(looms("if cfg!(loom) {}"), 1);
    assert_eq!(looms("#[cfg(test)] mod loom_tests; fn f() { loom() }"), 0);
}

#[test]
fn functions_and_their_lengths() {
    let tokens = lexer::read("fn a() {\n  if b {\n  }\n}\ntrait T { fn c([u8; 2]); }").tokens;
    assert_eq!(functions(&tokens), [("a".to_owned(), 1, 4)]);
}

#[test]
fn promises_in_comments_and_names() {
    let cites = |text| cites(&Source::new("tests/a.rs", text), "ONCE");
    assert!(cites("// ONCE: each op.") && cites("fn once_is_enough() {}"));
    assert!(!cites("// At once.\n\"ONCE\"; fn all_at_once() {}"));
}
