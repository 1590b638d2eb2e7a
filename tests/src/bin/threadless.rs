//! Asks for blocking closures while the system has no memory for a thread, and again when it has.

use aem_tests::limits::{address_space, limit_address_space};

#[aem::main]
async fn main() -> aem::Result {
    let before = address_space()?;
    // A thread needs some two megabytes for its stack.
    limit_address_space(aem_tests::proc::virtual_size() + (1 << 20))?;
    let job = aem::spawn_blocking(|| 1);
    let refused = job.await;
    limit_address_space(before)?;
    let panic = refused.expect_err("no thread").into_panic();
    let text = panic.downcast_ref::<String>().expect("a text");
    assert!(text.contains("no thread could be started"), "{text}");
    assert_eq!(aem::spawn_blocking(|| 2).await?, 2);
    println!("refused, then run");
    Ok(())
}
