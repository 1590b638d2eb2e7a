//! Addresses that are taken, wrong, or nowhere.

use std::io::ErrorKind;
use std::net::SocketAddr;

use aem::net::{TcpListener, TcpStream};

use super::run;

#[test]
fn an_address_in_use_is_an_error() {
    run(async || {
        let first = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = first.local_addr().expect("an address");
        let error = TcpListener::bind(address).expect_err("it is taken");
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        let others = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        let error = TcpListener::bind(others.local_addr().expect("an address"));
        assert_eq!(error.expect_err("it is taken").kind(), ErrorKind::AddrInUse);
        // Of several addresses the first that is free is used.
        let choice = [address, SocketAddr::from(([127, 0, 0, 1], 0))];
        TcpListener::bind(&choice[..]).expect("the second one is free");
    });
}

#[test]
fn an_address_that_is_none_is_an_error() {
    run(async || {
        for text in ["", "localhost", "127.0.0.1", "127.0.0.1:", ":x", "127.0.0.1:65536", "a:b:c"] {
            TcpListener::bind(text).expect_err(text);
            TcpStream::connect(text).await.expect_err(text);
        }
        let nowhere: &[SocketAddr] = &[];
        let error = TcpListener::bind(nowhere).expect_err("no address");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let error = TcpStream::connect(nowhere).await.expect_err("no address");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        // An address of somebody else's; it is set aside for documentation.
        let error = TcpListener::bind("203.0.113.7:0").expect_err("not ours");
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
    });
}

#[test]
fn a_name_that_does_not_resolve_is_an_error() {
    run(async || {
        // Longer than any name may be, so that nobody on the net is asked.
        let name = format!("{}:80", "x".repeat(300));
        TcpListener::bind(&*name).expect_err("no such name");
        TcpStream::connect(&*name).await.expect_err("no such name");
    });
}

#[test]
fn a_port_where_nobody_listens_is_an_error() {
    run(async || {
        let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = gone.local_addr().expect("an address");
        drop(gone);
        let error = TcpStream::connect(address).await.expect_err("nobody listens");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        TcpStream::connect("127.0.0.1:0").await.expect_err("port 0 is nobody's");
        // Of several addresses the first that answers is used.
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let choice = [address, listener.local_addr().expect("an address")];
        TcpStream::connect(&choice[..]).await.expect("the second one answers");
    });
}

#[test]
fn odd_backlogs_are_taken() {
    run(async || {
        for backlog in [0, 1, u32::MAX] {
            let listener = TcpListener::builder().backlog(backlog).bind("127.0.0.1:0");
            let listener = listener.expect("a listener");
            let address = listener.local_addr().expect("an address");
            let _client = TcpStream::connect(address).await.expect("a connection");
            listener.accept().await.expect("a connection");
        }
    });
}
