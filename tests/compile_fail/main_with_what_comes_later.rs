#[aem::main(workers = 4)]
async fn main() {}

#[aem::test(seeds = 0..100)]
async fn simulated() {}
