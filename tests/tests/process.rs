//! Processes: each child ends once, is heard of, and leaves nothing; on both keepers.
//!
//! Every test looks at the children of this process afterwards. They are counted, so the tests of this
//! program run one after the other: all are watched.

#[path = "process/capsules.rs"]
mod capsules;
#[path = "process/children.rs"]
mod children;
#[path = "process/cloners.rs"]
mod cloners;
#[path = "process/hygiene.rs"]
mod hygiene;
#[path = "process/outliving.rs"]
mod outliving;
#[path = "process/pipes.rs"]
mod pipes;
#[path = "process/storm.rs"]
mod storm;

use std::sync::Once;
use std::time::Duration;

use aem::process::{Command, Stdio};
use aem::time::{sleep, timeout};
use aem_tests::keepers;
use aem_tests::proc::children;
use aem_tests::watch::{Watch, watched_on};

/// Nothing here takes longer, unless it hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs a test on each keeper, under guard, and asserts that no child is left.
fn on_both<F: Future>(test: impl Fn(Watch) -> F) {
    // The process has one descriptor for signals, for ever: it is made now.
    static SIGNALS: Once = Once::new();
    SIGNALS.call_once(|| aem::block_on(async { drop(aem::signal::ctrl_c()) }));
    for keeper in keepers::both() {
        watched_on(keepers::builder(keeper), async |watch| {
            timeout(LIMIT, test(watch)).await.expect("the test hangs");
            timeout(LIMIT, no_child_is_left()).await.expect("children are left");
        });
    }
}

/// Waits until the kernel knows of no child of this process.
async fn no_child_is_left() {
    while !children().is_empty() {
        sleep(Duration::from_millis(1)).await;
    }
}

/// A shell that runs a script.
fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// Somebody who stays until he is ended. What a test that fails leaves behind holds nothing of ours.
fn sleeper() -> Command {
    let mut command = Command::new("sleep");
    command.arg("100").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Sends a signal to the process of a number, which is known to be a child's.
fn send(pid: u32, signal: i32) {
    // SAFETY: no memory is passed, and the child has not been reaped: the number is its own.
    assert_eq!(unsafe { libc::kill(pid as i32, signal) }, 0);
}
