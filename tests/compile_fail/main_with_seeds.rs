#[aem::main(seeds = 0..100)]
async fn main() {}
