fn main() {
    let done = async {
        let mut seen = Vec::new();
        aem::on(futures::stream::iter(0..3), move |number| {
            seen.push(number);
            seen.len()
        })
        .await
    };
    aem::block_on(done).unwrap();
}
