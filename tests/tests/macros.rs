//! `#[aem::main]` and `#[aem::test]`: what compiles, what does not and what is said then, what runs.

#[test]
fn mistakes_are_compile_errors_that_say_what_to_do() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("compile_fail/*.rs");
    cases.pass("compile_pass/*.rs");
}

/// Runs whole mains, whatever they return: they are functions like any other.
#[test]
fn a_main_gives_back_what_its_body_gave() {
    #[aem::main]
    async fn fails() -> Result<(), std::num::ParseIntError> {
        aem::spawn(async { "seven".parse::<u8>() }).await.expect("nobody panics")?;
        Ok(())
    }
    #[aem::main(workers = 1)]
    async fn succeeds() {
        aem::yield_now().await;
    }
    assert!(fails().is_err());
    succeeds();
}

#[aem::test]
async fn a_test_runs_on_a_runtime() {
    assert!(aem::Handle::try_current().is_some());
    assert_eq!(aem::spawn(async { 6 * 7 }).await.unwrap(), 42);
}

#[aem::test(workers = 1, backend = "epoll")]
async fn a_test_may_return_a_result() -> Result<(), aem::BoxError> {
    aem::yield_now().await;
    let number: u8 = "7".parse()?;
    assert_eq!(number, 7);
    Ok(())
}

#[aem::test]
#[should_panic(expected = "and this is expected")]
async fn a_test_may_panic_as_it_should() {
    panic!("this panic, and this is expected");
}

#[aem::test]
#[ignore = "shows that the attribute is kept: it would fail"]
async fn a_test_may_be_ignored() {
    panic!("an ignored test ran");
}

/// Runs an ignored test of this file under an environment in which no runtime can be made.
fn without_a_runtime(name: &str) -> (Option<i32>, String) {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--ignored", "--exact", name, "--nocapture"]).env("AEM_BACKEND", "nonsense");
    let output = child.output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_main_without_a_runtime_says_so_and_exits_with_1() {
    let (status, stderr) = without_a_runtime("main_on_nonsense");
    assert_eq!(status, Some(1), "{stderr}");
    let is_named = |line: &str| line.starts_with("aem: ") && line.contains("AEM_BACKEND");
    assert!(stderr.lines().any(is_named), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
}

#[test]
fn a_test_without_a_runtime_says_so_and_fails() {
    let (status, stderr) = without_a_runtime("test_on_nonsense");
    assert_eq!(status, Some(101), "{stderr}");
    assert!(stderr.contains("aem: no runtime for the test `test_on_nonsense`"), "{stderr}");
    assert!(stderr.contains("AEM_BACKEND"), "{stderr}");
}

#[aem::main]
async fn refused() {
    unreachable!("main ran on nonsense");
}

#[test]
#[ignore = "ends its process: a test above runs it in a child"]
fn main_on_nonsense() {
    refused();
}

#[aem::test]
#[ignore = "fails: a test above runs it in a child"]
async fn test_on_nonsense() {
    unreachable!("the test ran on nonsense");
}
