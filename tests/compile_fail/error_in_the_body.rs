#[aem::main]
async fn main() -> std::io::Result<()> {
    let number: u32 = "seven";
    drop(number);
    Ok(())
}
