//! An echo of datagrams by a handler, and a client that awaits.

use std::net::SocketAddr;
use std::time::Duration;

use aem::Chunk;
use aem::net::UdpSocket;
use aem::time::timeout;

#[aem::main]
async fn main() -> aem::Result {
    let server = UdpSocket::bind("127.0.0.1:0")?;
    let address = server.local_addr()?;
    // The datagram that came goes back, changed in place.
    let reply = server.clone();
    aem::on_ok(server.datagrams(), move |(mut datagram, peer): (Chunk, SocketAddr)| {
        datagram.make_ascii_uppercase();
        reply.send_to(datagram, peer);
    })
    .detach();

    let client = UdpSocket::bind("127.0.0.1:0")?;
    for text in ["one", "", "three"] {
        client.send_to(text, address).await?;
        // Datagrams may be lost.
        match timeout(Duration::from_secs(1), client.recv_from()).await {
            Ok(answer) => println!("{text:?} is answered by {:?}", answer?.0),
            Err(_) => println!("{text:?} is not answered"),
        }
    }
    Ok(())
}
