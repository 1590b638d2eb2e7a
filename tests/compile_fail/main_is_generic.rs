#[aem::main]
async fn main<T: Default>()
where
    T: Send,
{
}
