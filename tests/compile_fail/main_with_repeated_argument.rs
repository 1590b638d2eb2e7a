#[aem::main(backend = "epoll", backend = "auto")]
async fn main() {}
