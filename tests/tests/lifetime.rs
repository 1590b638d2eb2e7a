//! What the kernel may touch stays where it is (LENT), whoever drops or forgets the future that asked for it.
//!
//! Programs of their own leave thousands of receives, sends, accepts and connects at random points. Their
//! allocator closes the pages of what was given back and puts canaries beside what is lent
//! (`aem_tests::guarded`), so that a touch too many is an error, a crash or a dead canary.

use std::time::Duration;

use aem::Backend;
use aem_tests::child::Program;
use aem_tests::keepers;
use aem_tests::scale::scaled_count;

/// At full length, on a slow machine.
const LIMIT: Duration = Duration::from_secs(600);

fn leave(keeper: Backend, how: &str, count: usize, without: &str) {
    for seed in [1, 2] {
        let arguments = [how, &(count / 2).to_string(), &seed.to_string()];
        let path = env!("CARGO_BIN_EXE_abandoned");
        let mut command = keepers::command(keeper, path, &arguments);
        if !without.is_empty() {
            command.env("AEM_IO_URING_WITHOUT", without);
        }
        let mut child = Program::run(command);
        let said = child.try_line(LIMIT).unwrap_or_default();
        let (status, errors) = child.end(Duration::from_secs(20));
        println!("{} {how} {without}: {said}", keepers::name(keeper));
        let what = format!("{keeper:?} {arguments:?} {without:?}: {status}, {said}: {errors}");
        assert!(status.success() && errors.is_empty(), "{what}");
    }
}

fn leave_on_both(how: &str, count: usize) {
    for keeper in keepers::both() {
        leave(keeper, how, count, "");
        if keeper == Backend::IoUring {
            leave(keeper, how, count / 10, "defer_taskrun,coop_taskrun");
            leave(keeper, how, count / 10, "multishot_receive,multishot_accept");
        }
    }
}

#[test]
fn dropped_futures_leave_nothing_to_be_touched() {
    leave_on_both("drop", scaled_count(100_000, 2_000));
}

#[test]
fn forgotten_futures_leave_nothing_to_be_touched() {
    leave_on_both("forget", scaled_count(10_000, 2_000));
}
