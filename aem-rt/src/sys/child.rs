//! Tests in processes of their own: a number of a descriptor that is closed is taken by the next test.

use std::process::Command;

/// Runs the test of that path alone in a process of its own, and returns true in there.
pub(crate) fn in_child(test: &str) -> bool {
    const NAME: &str = "AEM_TEST_CHILD";
    if std::env::var(NAME).is_ok_and(|name| name == test) {
        return true;
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(NAME, test);
    let output = child.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{output:?}");
    false
}
