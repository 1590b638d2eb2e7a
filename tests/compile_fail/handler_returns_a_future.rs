use std::future::Future;
use std::pin::Pin;

fn answer(_: u32) -> Pin<Box<dyn Future<Output = ()>>> {
    Box::pin(async {})
}

fn main() {
    let done = async { aem::on(futures::stream::iter(0..3), answer).await };
    aem::block_on(done).unwrap();
}
