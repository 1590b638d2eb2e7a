#[aem::main(worker_threads = 1, stack = 4096)]
async fn main() {}
