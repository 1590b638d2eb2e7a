#[aem::main(backend = "kqueue")]
async fn main() {}
