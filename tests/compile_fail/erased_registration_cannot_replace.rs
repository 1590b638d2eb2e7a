fn main() {
    aem::block_on(async {
        let registration = aem::on(futures::stream::iter(0..3), |_| ()).erase();
        registration.replace(|_| ());
        registration.reclaim();
    });
}
