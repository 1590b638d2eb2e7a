#[aem::test]
fn not_async() {}

#[aem::test]
async fn with_arguments(n: u8) {}

#[aem::test]
async fn generic<const N: usize>() {}

#[aem::test]
#[test]
async fn twice() {}

#[aem::test(seeds = 7)]
async fn one_seed() {}

#[aem::test]
const TEST: u8 = 0;

fn main() {}
