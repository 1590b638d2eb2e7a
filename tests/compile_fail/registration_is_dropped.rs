#![deny(unused_must_use)]

fn main() {
    aem::block_on(async {
        aem::on(futures::stream::iter(0..3), |_| ());
    });
}
