#[aem::main]
async unsafe fn main() {}
