//! A program that a supervisor starts with its sockets: `heir`. It says what it got, one line each, and
//! serves the first TCP listener once.

use aem::net::{Inherited, inherited};

fn kind(socket: Inherited) -> String {
    let name = socket.name().unwrap_or("-").to_owned();
    let Err(other) = socket.into_unix_listener() else { return format!("{name}: unix listener") };
    let socket = other.into_inherited().expect("it is of another kind");
    let Err(other) = socket.into_udp_socket() else { return format!("{name}: udp socket") };
    let socket = other.into_inherited().expect("it is of another kind");
    let Err(other) = socket.into_unix_datagram() else { return format!("{name}: unix datagram") };
    format!("{name}: {other}")
}

#[aem::main]
async fn main() -> aem::Result {
    let mut sockets = match inherited() {
        Ok(sockets) => sockets.into_iter(),
        Err(error) => {
            println!("error: {error}");
            return Ok(());
        }
    };
    println!("{} sockets", sockets.len());
    assert!(inherited()?.is_empty(), "once");
    let Some(first) = sockets.next() else { return Ok(()) };
    let name = first.name().unwrap_or("-").to_owned();
    let listener = first.into_tcp_listener()?;
    println!("{name}: tcp listener");
    for socket in sockets {
        println!("{}", kind(socket));
    }
    let (stream, _peer) = listener.accept().await?;
    stream.send("inherited").await?;
    Ok(())
}
