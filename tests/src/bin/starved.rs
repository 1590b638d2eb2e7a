//! Makes runtimes with ever more descriptors to have, until one can be made.

use std::panic::{AssertUnwindSafe, catch_unwind};

use aem_tests::limits::limit_descriptors;

/// What stays open in any program: the standard streams.
const OPEN: u64 = 3;

fn main() {
    std::panic::set_hook(Box::new(|_| ()));
    let mut refused = 0;
    for more in 0.. {
        limit_descriptors(OPEN + more).expect("a limit");
        match aem::Runtime::new() {
            Ok(runtime) => {
                assert_eq!(runtime.block_on(async { 1 }), 1);
                break;
            }
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EMFILE)),
        }
        let panic = catch_unwind(AssertUnwindSafe(|| aem::block_on(async {})));
        let panic = panic.expect_err("no descriptors");
        let text = panic.downcast_ref::<String>().expect("a text");
        assert!(text.contains("cannot make a runtime"), "{text}");
        refused += 1;
    }
    assert!((1..10).contains(&refused), "{refused} were refused");
    println!("an error for each limit, then a runtime");
}
