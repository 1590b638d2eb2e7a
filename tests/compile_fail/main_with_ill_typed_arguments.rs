#[aem::main(workers = "one", backend = epoll, crate = 7)]
async fn main() {}
