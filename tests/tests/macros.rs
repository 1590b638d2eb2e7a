//! `#[aem::main]` and `#[aem::test]`: what does not compile, and what is said then.

#[test]
fn mistakes_are_compile_errors_that_say_what_to_do() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("compile_fail/*.rs");
}
