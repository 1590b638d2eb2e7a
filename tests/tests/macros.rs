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

/// Where io_uring is not there yet it is an error by name, never epoll in silence.
#[aem::test(backend = "io_uring")]
#[should_panic(expected = "aem: no runtime for the test `io_uring_is_refused_by_name`")]
async fn io_uring_is_refused_by_name() {
    unreachable!("the test ran on another backend");
}

#[test]
fn a_main_without_a_runtime_says_so_and_exits_with_1() {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--ignored", "--exact", "main_on_io_uring", "--nocapture"]);
    let output = child.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.lines().any(|it| it.starts_with("aem: ") && it.contains("io_uring")),
        "{stderr}"
    );
    assert!(!stderr.contains("panicked"), "{stderr}");
}

#[aem::main(backend = "io_uring")]
async fn refused() {
    unreachable!("main ran on another backend");
}

#[test]
#[ignore = "ends its process: the test above runs it in a child"]
fn main_on_io_uring() {
    refused();
}
