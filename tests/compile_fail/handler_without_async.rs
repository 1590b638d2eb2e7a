async fn answer(_: u32) -> aem::Result {
    Ok(())
}

fn main() {
    aem::block_on(async {
        // The closure gives back a future that nobody runs.
        let done = aem::on(futures::stream::iter(0..3), |number| async move {
            answer(number).await
        });
        done.await
    })
    .unwrap();
}
