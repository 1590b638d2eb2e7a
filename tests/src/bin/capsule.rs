//! A process that waits for connections from the one that made it, and says on each who it is.

use aem::net::TcpStream;
use aem::process::Work;

#[aem::main]
async fn main() -> aem::Result {
    aem::on_ok(Work::inherited()?, |connection| -> aem::Result {
        let stream = TcpStream::from_std(connection.into())?;
        stream.send(std::process::id().to_string());
        Ok(())
    })
    .await?;
    Ok(())
}
