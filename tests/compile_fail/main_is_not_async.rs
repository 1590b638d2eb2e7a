#[aem::main]
fn main() {}
