#[aem::main]
async fn main() -> Option<u8> {
    None
}
