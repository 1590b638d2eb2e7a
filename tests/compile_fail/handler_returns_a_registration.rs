fn main() {
    let done = async {
        aem::on(futures::stream::iter(0..3), |_| aem::on(futures::stream::iter(0..3), |_: u32| ())).await
    };
    aem::block_on(done).unwrap();
}
